// NativeConnection: one native client: preface, HELLO, frames to and from its sessions. PROTOCOL.md
// is normative.
//
// It answers HELLO, OPEN, FETCH, CANCEL, PING and STATUS itself; CLOSE, EXEC, BATCH and TX are its
// sessions'. Owned by its transport. Loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/native/front_end.h"
#include "daemon/native/session.h"
#include "daemon/native/session_host.h"
#include "daemon/transport.h"
#include "protocol/native/frame.h"
#include "protocol/native/messages.h"

namespace based::native {

class NativeConnection final : public TransportHandler, private SessionHost {
 public:
  // `turned_away`: what HELLO is answered with, if there is no place; outlives the connection.
  NativeConnection(NativeFrontEnd& front_end, Transport& transport, std::uint64_t id,
                   const Error* turned_away);
  ~NativeConnection() override;

  void on_bytes(std::string_view bytes) override;
  void on_drained() override;
  void on_closed(std::string_view reason) override;

  // Handshake, ping and idle limits, twice a second.
  void look_at_clock();
  // The daemon is ending: tells the client, lets what is open finish, closes when nothing is.
  void drain(TimePoint deadline);
  // Every open request is answered 57P01, every transaction rolled back, the client closed.
  void end();
  // From another connection, whose client knows `key`. Was there something to cancel?
  bool cancel_from_elsewhere(std::string_view key, std::uint32_t session, std::uint32_t request);
  void add_status(std::vector<SessionStatus>& sessions) const;

 private:
  enum class State : std::uint8_t {
    preface,  // deadline: handshake
    hello,    // deadline: handshake, the same
    proving,  // HELLO is answered, who it is is not known; deadline: handshake, the same
    ready,    // deadline: an interval of silence behind our PING; idle
    closing,  // nothing is heard any more; deadline: the transport's
  };

  static Error ending_error();
  void transition(State to);
  void take_bytes(std::string_view bytes);
  std::size_t unsent_max() const;
  void take_frame(const Frame& frame);
  bool is_in_place(const FrameHeader& header);
  void take_hello(const Frame& frame);
  void take_auth(const Frame& frame);
  void refuse_login(const FrameHeader& at, const Error& error);
  void begin(std::uint32_t request, std::string_view auth_data = {});
  void take_request(const Frame& frame);
  Result<std::unique_ptr<JoinTicket>> ticket_for(const Open& open, Database& database) const;
  void open_session(const Frame& frame);
  void take_queued(const Frame& frame);
  void take_fetch(const Frame& frame);
  void take_cancel(const Frame& frame);
  void take_ping(const Frame& frame);
  void take_status(const Frame& frame);
  void add_databases(Welcome& welcome) const;
  std::vector<const DatabaseDirectory::Entry*> databases() const;
  Result<const DatabaseDirectory::Entry*> find_database(std::string_view database,
                                                        std::string_view sandbox) const;
  void welcome(std::uint32_t request, std::string_view auth, std::string_view auth_data);
  bool cancel_here(std::uint32_t session, std::uint32_t request);
  void send_end(const FrameHeader& to, const End& end);
  void send_error(const FrameHeader& to, const Error& error);
  void fail_connection(const FrameHeader& at, const Error& error);
  void end_with(const FrameHeader& at, Error error);
  bool close_when_idle();  // was it?
  void reap();
  TransactionReport transaction_of(std::uint32_t session) const;

  // SessionHost
  void send(MessageType type, std::uint32_t session, std::uint32_t request,
            std::string_view payload) override;
  void send_frames(std::string_view frames) override;
  void send_final(MessageType type, std::uint32_t session, std::uint32_t request,
                  std::string_view payload, std::size_t request_bytes) override;
  void closed(std::uint32_t session) override;
  bool output_full() override;
  std::uint32_t client_frame_bytes_max() const override { return client_frame_bytes_max_; }
  const NativeLimits& limits() const override { return front_end_.limits(); }
  const std::string& peer() const override { return transport_.peer(); }
  const std::string& user() const override { return user_; }
  Reactor& reactor() override { return front_end_.reactor(); }
  Log& log() override { return front_end_.log(); }
  WaitOwner& wait_owner() override { return wait_owner_; }

  NativeFrontEnd& front_end_;
  Transport& transport_;
  const std::uint64_t id_;
  const Error* const turned_away_;
  WaitOwner wait_owner_;
  std::string user_;  // as it says; known when ready
  // One login: the exchange, and whether the client's first step was taken.
  struct Login {
    ScramExchange exchange;
    bool challenged = false;
  };
  std::unique_ptr<Login> login_;  // while it proves who it is
  std::string cancel_key_;
  PrefaceReader preface_;
  FrameBuffer frames_;
  std::map<std::uint32_t, std::unique_ptr<NativeSession>> sessions_;
  std::vector<std::uint32_t> closed_;  // to be destroyed at the end of the turn
  TimePoint accepted_;
  TimePoint last_heard_;  // anything
  TimePoint last_asked_;  // a request
  // Our PING, while nothing was heard since, and whether the last look at the clock waited in vain.
  struct Asked {
    TimePoint at;
    bool overdue = false;
  };
  std::optional<Asked> asked_;
  std::uint32_t last_request_ = 0;
  std::uint32_t client_frame_bytes_max_ = frame_payload_default;
  std::uint32_t requests_ = 0;     // queued ones without a final frame
  std::size_t request_bytes_ = 0;  // payloads of these
  State state_ = State::preface;
  bool draining_ = false;
  bool waits_for_drain_ = false;  // of the output
  bool hears_ = true;             // reads what the client sends
};

}  // namespace based::native
