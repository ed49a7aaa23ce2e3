// Server: the one object that everything hangs off: databases, front end, listeners, clients, and
// their end.
//
// Loop thread only. run() serves until a signal has ended it; the order of the end is written there
// and nowhere else.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/log.h"
#include "daemon/client_list.h"
#include "daemon/database_directory.h"
#include "daemon/front_end.h"
#include "daemon/greeter.h"
#include "daemon/listener.h"
#include "daemon/peer_names.h"
#include "daemon/service_manager.h"
#include "daemon/signals.h"
#include "daemon/uv_reactor.h"

namespace based {

struct ServerOptions {
  std::vector<ListenPlace> listen;
  std::string unix_socket_dir;  // not empty: each TCP port of `listen` has a .s.PGSQL.PORT there
  unsigned unix_socket_mode = 0700;  // of these
  ClientLimits clients;
  Duration first_byte_max;
  bool names_peers = false;   // clients are known by the user of their process
  Duration shutdown_timeout;  // how long a drain lets open transactions finish
};

class Server {
 public:
  // `databases` and the front ends are the configured ones; these know the databases already.
  struct FrontEnds {
    FrontEnd& native;
    FrontEnd& postgres;
  };
  Server(ServerOptions options, UvReactor& reactor, Log& log, DatabaseDirectory& databases,
         FrontEnds front_ends);
  ~Server();

  // Opens every listener and says so on standard error ("listening on 127.0.0.1:6432"); all or
  // none.
  Result<void> listen();
  // Begins the end, as SIGTERM does.
  void stop(std::string_view reason) { on_stop_signal(reason); }
  // Serves until the end is complete: no client, no link, no lane is left.
  void run();

  // The whole daemon's snapshot: the only maker of it.
  StatusTree status() const;

 private:
  enum class State : std::uint8_t {
    serving,   // deadline: none, until a signal
    draining,  // no listener; open transactions finish; deadline: shutdown_timeout
    closing,   // every client is being closed; deadline: the next turns of the loop
    ending,    // databases close their links and lanes; deadline: their own, and a further signal
    ended,
  };

  Result<void> listen_at(const ListenPlace& place);
  Result<void> listen_everywhere();
  void transition(State to, std::string_view reason);
  void on_stop_signal(std::string_view name);
  void begin_drain(std::string_view reason);
  void close_clients(std::string_view reason);
  void end_databases();
  void on_database_ended(const std::string& name, const std::vector<std::string>& report);
  void log_open_transactions();
  void log_status();
  void tell_status();

  ServerOptions options_;
  UvReactor& reactor_;
  Log& log_;
  DatabaseDirectory& databases_;
  FrontEnds front_ends_;
  ServiceManager service_manager_;
  const Error no_place_;  // what a client above max_clients is told
  PeerNames peer_names_;
  ClientGreeters greeters_;
  std::unique_ptr<ClientList> clients_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unique_ptr<Signals> signals_;
  std::unique_ptr<Reactor::Timer> last_look_;  // at the drain's deadline
  std::unique_ptr<Reactor::Timer> drain_deadline_;
  std::unique_ptr<Reactor::Timer> status_timer_;
  std::size_t databases_ending_ = 0;
  TimePoint started_;
  State state_ = State::serving;
};

}  // namespace based
