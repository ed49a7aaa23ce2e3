// The requests that a connection answers itself: OPEN, FETCH, CANCEL, PING, STATUS; and the way of
// the others to their sessions.
#include <fmt/format.h>

#include <utility>

#include "daemon/native/connection.h"
#include "daemon/native/status_encoding.h"

namespace based::native {
namespace {

// Takes the same time wherever the first difference is.
bool same_key(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

}  // namespace

void NativeConnection::take_request(const Frame& frame) {
  switch (frame.header.type) {
    case MessageType::open:
    case MessageType::close:
    case MessageType::exec:
    case MessageType::batch:
    case MessageType::tx:
      return take_queued(frame);
    case MessageType::fetch:
      return take_fetch(frame);
    case MessageType::cancel:
      return take_cancel(frame);
    case MessageType::ping:
      return take_ping(frame);
    case MessageType::status:
      return take_status(frame);
    case MessageType::hello:
    case MessageType::welcome:
    case MessageType::auth:
    case MessageType::cols:
    case MessageType::rows:
    case MessageType::end:
    case MessageType::error:
    case MessageType::notice:
      INVARIANT(false);
  }
}

void NativeConnection::take_queued(const Frame& frame) {
  const FrameHeader& header = frame.header;
  if (header.session == 0) {
    return fail_connection(header,
                           Error::make(sqlstate::protocol_violation,
                                       fmt::format("{} needs a session", name_of(header.type))));
  }
  if (header.type == MessageType::open) return open_session(frame);
  const auto session = sessions_.find(header.session);
  if (session == sessions_.end()) {
    return send_error(header, Error::make(sqlstate::no_such_session,
                                          fmt::format("session {} is not open", header.session))
                                  .with_scope(ErrorScope::session));
  }
  if (requests_ >= limits().requests) {
    session->second->note_refused();
    return send_error(header,
                      Error::make(sqlstate::too_many_connections,
                                  fmt::format("{} requests are waiting, the limit", requests_))
                          .as_retryable());
  }
  if (frame.payload.size() > limits().request_bytes - request_bytes_) {
    session->second->note_refused();
    return send_error(header,
                      Error::make(sqlstate::out_of_memory,
                                  fmt::format("requests of {} bytes are waiting, the limit is {}",
                                              request_bytes_, limits().request_bytes))
                          .as_retryable());
  }
  ++requests_;
  request_bytes_ += frame.payload.size();
  session->second->take(header, frame.payload);
}

// The client's default, or the one of that name.
Result<const DatabaseDirectory::Entry*> NativeConnection::find_database(
    std::string_view database, std::string_view sandbox) const {
  std::string name(database);
  if (const auto usable = databases(); name.empty() && !usable.empty()) {
    name = usable.front()->database->name();
  }
  if (!sandbox.empty()) name.append("#").append(sandbox);
  DatabaseDirectory& all = front_end_.databases();
  if (!front_end_.users().may_use(user_, all.owner_of(name)))
    return not_permitted(user_, name).with_scope(ErrorScope::session);
  Result<const DatabaseDirectory::Entry*> found = all.find(name, transport_.peer_pid());
  if (!found) return std::move(found).error().with_scope(ErrorScope::session);
  return found;
}

// Null: the session is not to be shared.
Result<std::unique_ptr<JoinTicket>> NativeConnection::ticket_for(const Open& open,
                                                                 Database& database) const {
  if (!open.share && open.join.empty()) return std::unique_ptr<JoinTicket>();
  if (open.share && !open.join.empty()) {
    return Error::make(sqlstate::invalid_parameter_value, "either share or join can be asked for");
  }
  JoinTokens& tokens = database.joins();
  return open.share ? tokens.share(user_) : tokens.join(open.join, user_);
}

void NativeConnection::open_session(const Frame& frame) {
  const FrameHeader& header = frame.header;
  const Result<Open> open = decode_open(frame.payload);
  if (!open) return send_error(header, open.error());
  if (sessions_.contains(header.session)) {
    return send_error(header, Error::make(sqlstate::protocol_violation,
                                          fmt::format("session {} is open", header.session)));
  }
  if (draining_) return send_error(header, ending_error());
  if (sessions_.size() >= limits().sessions) {
    return send_error(header,
                      Error::make(sqlstate::too_many_connections,
                                  fmt::format("{} sessions are open, the limit", sessions_.size()))
                          .with_scope(ErrorScope::session)
                          .as_retryable());
  }
  const Result<const DatabaseDirectory::Entry*> found =
      find_database(open->database, open->sandbox);
  if (!found) return send_error(header, found.error());
  const DatabaseDirectory::Entry* entry = *found;
  Database* database = entry->database.get();
  Result<std::unique_ptr<JoinTicket>> ticket = ticket_for(*open, *database);
  if (!ticket) return send_error(header, std::move(ticket).error().with_scope(ErrorScope::session));
  const std::string token = *ticket ? (*ticket)->token() : std::string();
  auto session = make_session(
      *this, *entry, *open,
      {.number = header.session, .id = front_end_.next_session_id(), .ticket = *std::move(ticket)});
  sessions_.emplace(header.session, std::move(session));
  End end;
  end.opened =
      OpenedReport{.database = database->name(),
                   .backend = database->dialect() == Dialect::postgres ? "postgresql" : "sqlite",
                   .force_rollback = database->force_rollback(),
                   .read_only = open->read_only,
                   .token = token};
  send_end(header, end);
}

void NativeConnection::take_fetch(const Frame& frame) {
  const Result<Fetch> fetch = decode_fetch(frame.payload);
  if (!fetch) return send_error(frame.header, fetch.error());
  End end;
  end.found = false;
  // Its own answer first: the rows that it lets flow come behind.
  NativeSession* target = nullptr;
  for (const auto& [number, session] : sessions_) {
    if (session->has_request(fetch->request)) target = session.get();
  }
  end.found = target != nullptr;
  send_end(frame.header, end);
  if (target != nullptr) target->fetch(fetch->request, fetch->rows);
}

void NativeConnection::take_cancel(const Frame& frame) {
  const Result<Cancel> cancel = decode_cancel(frame.payload);
  if (!cancel) return send_error(frame.header, cancel.error());
  ++front_end_.counters().cancels;
  bool found = false;
  if (cancel->connection && *cancel->connection != id_) {
    NativeConnection* other = front_end_.find(*cancel->connection);
    found = other != nullptr &&
            other->cancel_from_elsewhere(cancel->key, frame.header.session, cancel->request);
  } else {
    found = cancel_here(frame.header.session, cancel->request);
  }
  End end;
  end.found = found;
  send_end(frame.header, end);
}

bool NativeConnection::cancel_from_elsewhere(std::string_view key, std::uint32_t session,
                                             std::uint32_t request) {
  if (state_ != State::ready || !same_key(key, cancel_key_)) return false;
  return cancel_here(session, request);
}

// With a request's number the session does not matter: numbers are the connection's.
bool NativeConnection::cancel_here(std::uint32_t session, std::uint32_t request) {
  bool found = false;
  for (const auto& [number, candidate] : sessions_) {
    if (request == 0 && session != 0 && number != session) continue;
    found = candidate->cancel(request) || found;
  }
  return found;
}

void NativeConnection::take_ping(const Frame& frame) {
  const Result<Ping> ping = decode_ping(frame.payload);
  if (!ping) return send_error(frame.header, ping.error());
  std::string out;
  FrameWriter writer(out, {.type = MessageType::ping,
                           .flags = flags::reply,
                           .session = frame.header.session,
                           .request = frame.header.request});
  encode(*ping, out);
  writer.finish();
  send_frames(out);
}

void NativeConnection::take_status(const Frame& frame) {
  const Result<StatusRequest> request = decode_status(frame.payload);
  if (!request) return send_error(frame.header, request.error());
  const std::string status = encode_status(front_end_.daemon_status());
  constexpr std::size_t around_it = 64;
  if (status.size() > client_frame_bytes_max_ - around_it) {
    return send_error(frame.header,
                      Error::make(sqlstate::program_limit_exceeded,
                                  fmt::format("a status of {} bytes is larger than the payload "
                                              "that the client takes",
                                              status.size())));
  }
  End end;
  end.status = status;
  send_end(frame.header, end);
}

}  // namespace based::native
