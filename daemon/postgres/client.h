// PostgresClient: one client that speaks PostgreSQL's protocol, from its first byte to its end.
//
//   starting -> [proving ->] opening -> serving -> ended      any -> ended
//   starting -> cancelling -> ended
//
// starting: encryption is declined, the start-up packet is read. proving: it shows who it is.
// opening: its session is being started. serving: its messages go to the session. cancelling: it
// has asked for a cancel, and waits until that was sent. ended: it was told, and its bytes are
// ignored. Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/wire.h"
#include "daemon/database_directory.h"
#include "daemon/status.h"
#include "daemon/transport.h"
#include "protocol/postgres/cutter.h"
#include "protocol/postgres/startup.h"
#include "protocol/scram.h"

namespace based::postgres {

class PostgresFrontEnd;

class PostgresClient final : public TransportHandler, public WireClient {
 public:
  // `turned_away`: what its start-up packet is answered with, if there is no place; outlives it.
  PostgresClient(PostgresFrontEnd& front_end, Transport& transport, const Error* turned_away);
  ~PostgresClient() override;

  // For the front end.
  std::int32_t process_id() const { return process_id_; }
  void cancel(std::string_view secret, std::shared_ptr<const void> until_sent);
  void go_on();
  void look_at_clock();
  void drain();
  void shut_down();
  void add_status(std::vector<SessionStatus>& sessions) const;

  // TransportHandler
  void on_bytes(std::string_view bytes) override;
  void on_drained() override;
  void on_closed(std::string_view reason) override;

 private:
  enum class State : std::uint8_t { starting, proving, opening, serving, cancelling, ended };
  // While a client proves who it is.
  struct Proof {
    Startup startup;
    ScramExchange exchange;
    bool begun = false;
  };

  // WireClient
  void on_started(std::span<const std::pair<std::string, std::string>> parameters) override;
  void send(std::string_view bytes) override { transport_.send(bytes); }
  void flush() override { transport_.flush(); }
  std::size_t unsent() const override { return transport_.unsent(); }
  void notify_when_drained(std::size_t low) override { transport_.notify_when_drained(low); }
  void set_taking(bool on) override;
  bool has_more() const override {
    return delivering_ ? !cutter_.at_end() : cutter_.kept_bytes() > 0;
  }
  void end(const Error& error) override;
  void on_at_rest() override;

  void transition(State to);
  bool read_startup(std::string_view& bytes);
  bool take_startup_packet(const StartupHead& head, std::string_view body, bool more_follows);
  void ask_for_cancel(std::string_view body);
  void decline_encryption(bool& declined, bool more_follows);
  void start(const StartupHead& head, std::string_view body);
  void negotiate(const StartupHead& head, const Startup& startup);
  void authenticate(Startup startup);
  void take_proof(const Piece& message);
  Result<std::string> answer_proof(std::string_view message);
  void take_sandbox_option(Startup& startup);
  Result<void> take_join_options(Startup& startup, Database& database);
  void open_session(Startup startup);
  void deliver();
  void keep_for_later();
  void refuse(const Error& error);

  PostgresFrontEnd& front_end_;
  Transport& transport_;
  const Error* const turned_away_;
  State state_ = State::starting;
  std::int32_t process_id_;
  std::uint16_t minor_ = 0;
  bool taking_ = true;
  bool reads_on_ = false;  // beyond the usual limit, while it is not taking
  bool delivering_ = false;
  bool ssl_declined_ = false;
  bool gss_declined_ = false;
  bool told_to_go_ = false;
  TimePoint since_;  // of the state, or of the last message
  std::string secret_;
  std::string user_;
  std::string database_;
  std::string first_bytes_;  // of a start-up packet that is not whole
  MessageCutter cutter_;
  std::unique_ptr<Proof> proof_;
  std::optional<DatabaseDirectory::Use> use_;  // of the session's
  std::unique_ptr<JoinTicket> ticket_;         // null: the session is not shared
  std::unique_ptr<WireSession> session_;
  std::shared_ptr<PostgresClient*> canceller_;  // finds it while it is cancelling
};

}  // namespace based::postgres
