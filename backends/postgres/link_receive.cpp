// The receiving half of Link: from bytes to requesters, and the end.
#include <utility>

#include "backends/postgres/chore_run.h"
#include "backends/postgres/link.h"
#include "backends/postgres/server_error.h"
#include "protocol/check.h"

namespace based::postgres {
namespace {

constexpr int reads_per_event = 8;

// A whole message with its type and length, which stand before it in the scanner's buffer.
std::string_view raw_of(const Piece& piece) {
  if (!piece.whole()) return piece.bytes;
  return {piece.bytes.data() - message_header_bytes, piece.bytes.size() + message_header_bytes};
}

// A message's type for a text: 'D', or "type 255" where it is no character.
std::string shown(char type) {
  if (type > ' ' && type <= '~') return "'" + std::string(1, type) + "'";
  return "type " + std::to_string(static_cast<unsigned char>(type));
}

}  // namespace

void Link::on_descriptor(Reactor::Ready ready) {
  if (state_ == LinkState::closed) return;
  if (ready.failed) return read_last("its socket is broken");
  if (ready.writable || write_wants_read_) write_out();
  if (ready.writable && holder_ != nullptr && !is_congested()) holder_->on_delivered();
  if (ready.readable || read_wants_write_) {
    heard_at_ = reactor_.now();
    read();
  }
  if (close_reason_) finish_closing();
}

// Reads once; true: there may be more, or the stream has ended.
bool Link::read_once() {
  const std::span<char> space = scanner_.space();
  const IoResult result = channel_->read(space);
  read_wants_write_ = result.io == Io::wants_write;
  switch (result.io) {
    case Io::done:
      scanner_.filled(result.bytes);
      return result.bytes == space.size() || channel_->keeps_bytes();
    case Io::wants_read:
    case Io::wants_write:
      return false;
    case Io::ended:
      ended_ = true;
      return true;
    case Io::failed:
      break_off(channel_->last_error());
      return true;
  }
  return false;
}

// Bounded, so that one large result does not keep the loop from the others.
void Link::read() {
  bool more = true;
  for (int i = 0; i < reads_per_event && more; ++i) {
    more = !paused_ && !ended_ && !close_reason_ && read_once();
    deliver();
  }
  if (more && !ended_) soon();
  update_interest();
}

// A server that ends with something of ours unread breaks the socket, but what it has said before
// is there: its last words, or the answer to a COMMIT.
void Link::read_last(std::string_view why) {
  bool more = true;
  while (more && !paused_ && !ended_ && !close_reason_) {
    more = read_once();
    deliver();
  }
  break_off(why);
}

void Link::deliver() {
  Piece piece;
  while (!paused_ && !close_reason_ && state_ != LinkState::closed) {
    switch (scanner_.next(piece)) {
      case Scan::need_more:
        if (ended_) break_off("the server has closed it");
        settle_synthesised();
        if (holder_ != nullptr) holder_->on_delivered();
        return;
      case Scan::broken:
        return break_off("the server sent an impossible message length");
      case Scan::piece:
        take(piece);
    }
  }
}

// The answers to what was never sent, where everything before it is answered.
void Link::settle_synthesised() {
  RequestQueue::Match match;
  while (!close_reason_ && queue_.take_synthesised(match)) {
    if (match.requester != nullptr) match.requester->on_reply({.expectation = match.expectation});
  }
}

void Link::take(const Piece& piece) {
  if (!piece.first) {
    if (large_requester_ == nullptr) return;
    const Flow flow = large_requester_->on_reply({.type = piece.type,
                                                  .body = piece.bytes,
                                                  .raw = piece.bytes,
                                                  .whole = false,
                                                  .first = false,
                                                  .last = piece.last,
                                                  .expectation = &large_expectation_});
    if (flow == Flow::pause) set_paused(true);
    return;
  }
  large_requester_ = nullptr;
  switch (piece.type) {
    case reply::notice:
    case reply::notification:
    case reply::parameter_status:
      return take_unasked(piece);
    case reply::error:
      if (!piece.whole()) return break_off("the server sent an error without end");
      note_last_words(piece);
      if (queue_.empty()) return break_off("the server has closed it");
      return take_reply(piece);
    default:  // the queue knows which replies there can be
      return take_reply(piece);
  }
}

void Link::take_unasked(const Piece& piece) {
  if (!piece.whole()) return;
  if (piece.type == reply::parameter_status) {
    ParameterStatus parameter;
    if (!decode_parameter_status(piece.bytes, parameter)) return break_off("a bad ParameterStatus");
    if (parameter.name == "client_encoding" && parameter.value != "UTF8") check_utf8_ = true;
    // The guard of a sandbox's root is none of a client's settings.
    const bool guards = host_.rooted() && parameter.name == sandbox_guard;
    reported_ = with_reported(reported_, parameter.name, guards ? "off" : parameter.value);
    if (holder_ != nullptr) holder_->on_reported();
  } else if (piece.type == reply::notification) {
    if (holder_ == nullptr) return;
    if (limits_.processes == nullptr) return holder_->on_notification(raw_of(piece));
    return holder_->on_notification(limits_.processes->renumbered(raw_of(piece)));
  } else if (piece.type == reply::notice) {
    settle_synthesised();
    Requester* head = queue_.head();
    if (head != nullptr)
      head->on_reply({.type = piece.type, .body = piece.bytes, .raw = raw_of(piece)});
  }
}

void Link::note_last_words(const Piece& piece) {
  ErrorFields fields;
  if (decode_error(piece.bytes, fields) && fields.fatal()) last_words_ = server_error(fields, {});
}

// It would wait for the data of a session that is gone.
void Link::refuse_data() {
  FrontendWriter(out_).copy_fail("the client is gone");
  write_out();
}

// Behind an error the server has skipped a Query, and waits for a Sync; but its session is gone.
void Link::end_skipping() {
  if (state_ != LinkState::cleaning || !queue_.is_open()) return;
  FrontendWriter(out_).sync();
  queue_.close(true);
  write_out();
}

void Link::take_reply(const Piece& piece) {
  for (;;) {
    RequestQueue::Match match;
    switch (queue_.accept(piece.type, match)) {
      case RequestQueue::Verdict::mismatch:
        return break_off("the server sent " + shown(piece.type) + " where it should not have");
      case RequestQueue::Verdict::synthesised:
        if (match.requester != nullptr)
          match.requester->on_reply({.expectation = match.expectation});
        continue;
      case RequestQueue::Verdict::finished:
        if (!piece.whole() || !decode_ready(piece.bytes, status_)) {
          return break_off("the server sent a bad ReadyForQuery");
        }
        ready_at_ = reactor_.now();
        ++requests_done_;
        definitions_.note_ready(status_);
        logins_.note_ready(status_);
        if (match.requester != nullptr) match.requester->on_ready(status_);
        advance_cancel();
        return continue_pending();
      case RequestQueue::Verdict::deliver:
        break;
    }
    if (piece.type == reply::command_complete) {
      const std::string_view tag = piece.bytes.substr(0, piece.bytes.find('\0'));
      definitions_.note_tag(tag);
      logins_.note_tag(tag);
      host_.note_tag(tag);
    } else if (piece.type == reply::error) {
      definitions_.note_error();
    }
    if (match.requester == nullptr) {
      return piece.type == reply::copy_in ? refuse_data() : end_skipping();
    }
    if (!piece.whole()) {
      large_requester_ = match.requester;
      large_expectation_ = *match.expectation;
    }
    const Flow flow = match.requester->on_reply({.type = piece.type,
                                                 .body = piece.bytes,
                                                 .raw = raw_of(piece),
                                                 .body_bytes = piece.body_bytes,
                                                 .whole = piece.whole(),
                                                 .last = piece.last,
                                                 .expectation = match.expectation});
    if (flow == Flow::pause && state_ == LinkState::leased) set_paused(true);
    return;
  }
}

// --- the end

void Link::soon() { soon_->arm(reactor_.now()); }

void Link::on_soon() {
  if (state_ == LinkState::closed) return;
  deliver();
  if (!write_error_.empty()) {
    read_last(write_error_);
  } else if (!close_reason_ && !paused_) {
    read();
  }
  if (close_reason_) finish_closing();
}

void Link::on_deadline() {
  if (state_ == LinkState::closed) return;
  close_reason_ = Error::make(sqlstate::connection_failure,
                              state_ == LinkState::starting
                                  ? "a new connection was not ready in time"
                                  : "the server did not bring the connection back in time");
  finish_closing();
}

void Link::break_off(std::string_view why) {
  if (!close_reason_) {
    close_reason_ = last_words_
                        ? *last_words_
                        : Error::make(sqlstate::connection_failure,
                                      "the connection to PostgreSQL was lost: " + std::string(why));
  }
  soon();
}

void Link::close(Error reason) {
  if (state_ == LinkState::closed) return;
  if (!close_reason_) close_reason_ = std::move(reason);
  soon();
}

void Link::finish_closing() {
  transition(LinkState::closed, close_reason_->message);
  definitions_.note_lost();
  logins_.note_lost();
  cancel_deadline_->disarm();
  cancel_again_->disarm();
  soon_->disarm();
  watch_.reset();
  channel_.reset();
  queue_.clear();
  chores_.clear();
  LinkHolder* holder = std::exchange(holder_, nullptr);
  if (holder != nullptr) holder->on_link_lost(*close_reason_);
  host_.on_link_closed(*this, *close_reason_, started_);
}

}  // namespace based::postgres
