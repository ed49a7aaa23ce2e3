#include "backends/postgres/link.h"

#include <algorithm>
#include <array>
#include <utility>

#include "backends/postgres/chore_run.h"
#include "backends/sql/database_names.h"
#include "protocol/check.h"

namespace based::postgres {
namespace {

constexpr std::size_t out_bytes_kept = 64 * 1024;
constexpr Duration cancel_pause_first = std::chrono::milliseconds(50);
constexpr Duration looked_at_lately = std::chrono::milliseconds(2);

constexpr std::string_view name_of(LinkState state) {
  constexpr std::array<std::string_view, 6> names{"starting", "idle",     "leased",
                                                  "cleaning", "checking", "closed"};
  return names[static_cast<std::size_t>(state)];
}

constexpr bool is_edge(LinkState from, LinkState to) {
  using enum LinkState;
  switch (from) {
    case starting:
    case cleaning:
    case checking:
      return to == idle || to == closed;
    case idle:
      return to == leased || to == checking || to == closed;
    case leased:  // never straight to idle
      return to == cleaning || to == closed;
    case closed:
      return false;
  }
  return false;
}
static_assert(!is_edge(LinkState::leased, LinkState::idle));

}  // namespace

Link::Link(std::uint64_t id, std::unique_ptr<Channel> channel, LinkLimits limits, LinkHost& host,
           Reactor& reactor, Log& log)
    : id_(id),
      limits_(limits),
      host_(host),
      reactor_(reactor),
      log_(log),
      channel_(std::move(channel)),
      scanner_(limits.message_bytes_max),
      statements_(limits.statements_cached_max),
      definitions_(statements_, limits.definitions_committed),
      logins_(limits.logins_changed),
      opened_at_(reactor.now()),
      idle_since_(reactor.now()),
      used_at_(reactor.now()) {
  process_id_ = channel_->process_id();
  if (limits.processes != nullptr) client_process_ = limits.processes->add(process_id_);
  check_utf8_ = channel_->parameter("server_encoding") == "SQL_ASCII";
  Reported reported;
  for (const std::string_view name : reported_names()) {
    const std::string value = channel_->parameter(std::string(name));
    if (!value.empty()) reported.emplace(name, value);
  }
  if (host.rooted()) reported.insert_or_assign(std::string(sandbox_guard), "off");
  reported_ = std::make_shared<const Reported>(std::move(reported));
  watch_ = reactor_.watch(channel_->fd(), [this](Reactor::Ready ready) { on_descriptor(ready); });
  deadline_ = reactor_.make_timer([this] { on_deadline(); });
  cancel_deadline_ = reactor_.make_timer([this] {
    if (state_ == LinkState::closed) return;
    close_reason_ = Error::make(sqlstate::connection_failure,
                                "the server did not answer a cancel request in time");
    finish_closing();
  });
  cancel_again_ = reactor_.make_timer([this] {
    if (cancel_ == CancelState::striking && cancel_due() && !close_reason_) send_cancel({});
  });
  soon_ = reactor_.make_timer([this] { on_soon(); });
}

Link::~Link() {
  if (client_process_) limits_.processes->remove(process_id_, client_process_);
}

std::string Link::describe() const {
  return "link " + std::to_string(id_) + " (server process " + std::to_string(process_id_) + ")";
}

// --- states

void Link::transition(LinkState to, std::string_view why) {
  INVARIANT(is_edge(state_, to));
  if (log_.enabled(LogLevel::debug)) {
    log_.write(LogLevel::debug, describe() + ": " + std::string(name_of(state_)) + " -> " +
                                    std::string(name_of(to)) + ", " + std::string(why));
  }
  state_ = to;
  switch (to) {
    case LinkState::cleaning:
      if (!abandoned_ && queue_.empty()) break;  // armed where there turns out to be work
      [[fallthrough]];
    case LinkState::checking:
      deadline_->arm(reactor_.now() + limits_.cleanup_timeout);
      break;
    case LinkState::starting:
    case LinkState::idle:    // the host's rules about rest end it
    case LinkState::leased:  // the holder's statement timeout and idle time end it
    case LinkState::closed:
      deadline_->disarm();
      break;
  }
}

void Link::start(std::vector<Chore> chores) {
  deadline_->arm(reactor_.now() + limits_.start_timeout);
  pending_.emplace_back();  // the first Sync: do we understand each other?
  for (Chore& chore : chores) pending_.push_back(std::move(chore));
  update_interest();
  continue_pending();
}

bool Link::lease(LinkHolder& holder) {
  INVARIANT(state_ == LinkState::idle && quiet());
  definitions_.begin_lease();
  // What came behind the last answer must not be taken for the next one.
  if (!scanner_.empty()) {
    deliver();
    if (!scanner_.empty()) break_off("the server sent half a message that nobody waits for");
  }
  // It may have died since the loop last looked; one that was used a moment ago is not asked.
  if (reactor_.now() - idle_since_ >= looked_at_lately) {
    while (!close_reason_ && !ended_ && read_once()) deliver();
    if (ended_) deliver();
  }
  if (close_reason_ || ended_) {
    soon();
    return false;
  }
  holder_ = &holder;
  transition(LinkState::leased, "taken");
  return true;
}

void Link::check() {
  transition(LinkState::checking, "rested long");
  pending_.push_back({.texts = {""}});
  continue_pending();
}

void Link::run_last(Chore chore) {
  transition(LinkState::leased, "for the last statements");
  run_chore(std::move(chore));
}

void Link::release(Leaving leaving) {
  INVARIANT(state_ == LinkState::leased);
  holder_ = nullptr;
  paused_ = cancel_waits_ = false;
  scanner_.stream_over(0);
  for (const auto& run : chores_) run->cut_holder();
  statements_.forget_unconfirmed();
  abandoned_ = leaving == Leaving::abandoned || !quiet() || status_ != host_.rest_status();
  if (!abandoned_) {
    settings_.committed(host_.rest_status() == 'T');
  } else {
    settings_.rolled_back();
  }
  transition(LinkState::cleaning, "released");
  if (close_reason_) return soon();
  if (!queue_.empty()) {
    if (queue_.size() > chores_.size()) cancel();  // Based's own statements are short
    update_interest();
    return soon();  // bytes may wait in the scanner since a pause
  }
  cleaning_asked_ = false;
  continue_pending();
}

void Link::continue_pending() {
  if (state_ == LinkState::leased || state_ == LinkState::idle || close_reason_) return;
  if (!quiet() || !chores_.empty()) return;
  if (state_ == LinkState::cleaning && !std::exchange(cleaning_asked_, true)) {
    for (Chore& chore : host_.cleaning_chores(*this)) pending_.push_back(std::move(chore));
  }
  if (!pending_.empty()) {
    Chore chore = std::move(pending_.front());
    pending_.pop_front();
    if (state_ == LinkState::cleaning && !abandoned_) {
      deadline_->arm(reactor_.now() + limits_.cleanup_timeout);
    }
    return run_chore(std::move(chore));
  }
  cleaning_asked_ = false;
  if (status_ != host_.rest_status()) {
    return break_off("it is in transaction status " + std::string(1, status_) +
                     " where it should be in " + std::string(1, host_.rest_status()));
  }
  idle_since_ = reactor_.now();
  if (state_ != LinkState::checking) used_at_ = idle_since_;
  transition(LinkState::idle, started_ ? "clean" : "started");
  started_ = true;
  scanner_.trim();
  host_.on_link_idle(*this);
}

void Link::run_chore(Chore chore) {
  send_owed();
  chores_.push_back(std::make_unique<ChoreRun>(*this, std::move(chore)));
  submit(chores_.back()->write(out_));
}

void Link::begin_ahead(Chore chore, char status) {
  chore.then = [this](const std::optional<Error>& error) {
    if (error) close(*error);
  };
  run_chore(std::move(chore));
  status_ = status;
}

void Link::send_owed() {
  if (!owed_) return;
  Chore chore = *std::exchange(owed_, std::nullopt);
  chore.then = [this](const std::optional<Error>& error) {
    if (error) close(*error);
  };
  chores_.push_back(std::make_unique<ChoreRun>(*this, std::move(chore)));
  own_statements_.unnamed.reset();
  queue_.push(chores_.back()->write(out_));
}

void Link::finish_chore(ChoreRun* run, const std::optional<Error>& error) {
  const auto found = std::ranges::find_if(chores_, [run](const auto& c) { return c.get() == run; });
  const std::unique_ptr<ChoreRun> finished = std::move(*found);
  chores_.erase(found);
  if (cancel_ == CancelState::proving) {
    cancel_ = CancelState::none;
    cancel_deadline_->disarm();
    if (holder_ != nullptr) holder_->on_cancel_over();
  } else if (error && state_ != LinkState::leased && !finished->may_fail()) {
    close_reason_ = *error;
    return soon();
  }
  if (const auto& then = finished->then()) then(error);
  if (cancel_waits_ && !runs_own()) {
    cancel_waits_ = false;
    cancel();
  }
  continue_pending();
}

// --- cancelling

// Is what it was asked for still running? Once the holder is gone, that is everything.
bool Link::cancel_due() const {
  return !queue_.empty() && (state_ == LinkState::cleaning || !cancel_answered());
}

// Is the server at a statement of Based's own? Those are short, and none may be struck.
bool Link::runs_own() const {
  return std::ranges::any_of(chores_,
                             [head = queue_.head()](const auto& run) { return run.get() == head; });
}

void Link::cancel(std::shared_ptr<const void> until_sent) {
  if (cancel_ == CancelState::none && runs_own()) {
    cancel_waits_ = true;
    return;
  }
  const bool striking = cancel_ == CancelState::striking;
  if (cancel_ == CancelState::proving || (striking && !cancel_answered()) || close_reason_) return;
  cancel_deadline_->arm(reactor_.now() + limits_.cleanup_timeout);
  cancel_pause_ = cancel_pause_first;
  cancel_for_ = requests_done_;
  if (cancel_ != CancelState::in_flight) send_cancel(std::move(until_sent));
}

void Link::send_cancel(std::shared_ptr<const void> until_sent) {
  cancel_ = CancelState::in_flight;
  channel_->cancel([this, until_sent = std::move(until_sent)](bool sent) { on_cancelled(sent); });
}

void Link::on_cancelled(bool sent) {
  if (state_ == LinkState::closed) return;
  if (!sent) return break_off("a cancel request could not be sent");
  cancel_ = CancelState::striking;
  advance_cancel();
  // The server forgets a cancel that comes before it has read the statement.
  if (cancel_ == CancelState::striking && cancel_due()) {
    cancel_again_->arm(reactor_.now() + cancel_pause_);
    cancel_pause_ *= 2;
  }
}

void Link::advance_cancel() {
  if (cancel_ == CancelState::none || cancel_ == CancelState::proving || close_reason_) return;
  if (!cancel_due()) {  // what was sent behind it may take as long as it likes
    cancel_again_->disarm();
    cancel_deadline_->disarm();
  }
  if (cancel_ != CancelState::striking || !queue_.empty()) return;
  cancel_deadline_->arm(reactor_.now() + limits_.cleanup_timeout);
  cancel_ = CancelState::proving;
  run_chore({});
}

// --- sending

void Link::forget(const Requester* requester) {
  queue_.forget(requester);
  if (large_requester_ == requester) large_requester_ = nullptr;
}

void Link::note_sent(std::string_view text) {
  definitions_.note_sent(text);
  const std::string database = sql::database_to_leave(text);
  if (!database.empty()) host_.on_database_to_leave(database);
}

bool Link::note_sent(const Statement& statement) {
  const StatementKind kind = statement.kind;
  const bool defines = kind == StatementKind::definition || kind == StatementKind::standalone;
  if (defines || kind == StatementKind::pinning) note_sent(statement.text);
  if (statement.makes.empty()) return defines;
  definitions_.note_selected_into(statement.makes, statement.makes_temporary);
  return true;
}

void Link::forget_statements() {
  statements_.forget_all(true);
  own_statements_ = {};
}

// Requests of this kind use the unnamed statement as they like.
void Link::submit(Request request) {
  INVARIANT(!owed_);
  own_statements_.unnamed.reset();
  queue_.push(std::move(request));
  if (!close_reason_) write_out();
}

void Link::flush() {
  if (close_reason_) return;
  write_out();
  settle_synthesised();
}

void Link::fill(std::size_t bytes) {
  if (bytes == 0) return;
  if (fill_left_ > 0) return break_off("two messages of one session have no end");
  fill_at_ = out_.size();
  fill_left_ = bytes;
}

void Link::write_out() {
  static constexpr std::array<char, 16 * 1024> nothing{};
  write_wants_read_ = false;
  while (unsent()) {
    const bool fills = fill_left_ > 0 && out_sent_ == fill_at_;
    const std::size_t end = fill_left_ > 0 ? fill_at_ : out_.size();
    const IoResult result = channel_->write(
        fills ? std::string_view(nothing.data(), std::min(nothing.size(), fill_left_))
              : std::string_view(out_).substr(out_sent_, end - out_sent_));
    if (result.io == Io::done && fills) {
      fill_left_ -= result.bytes;
      continue;
    }
    if (result.io == Io::done) {
      out_sent_ += result.bytes;
      continue;
    }
    write_wants_read_ = result.io == Io::wants_read;
    if (result.io == Io::ended || result.io == Io::failed) {
      write_error_ = channel_->last_error();
      soon();  // not here: who writes does not expect to be told of replies
    }
    break;
  }
  if (!unsent()) {
    out_.clear();
    out_sent_ = 0;
    if (out_.capacity() > out_bytes_kept) out_.shrink_to_fit();
  } else if (out_sent_ > out_bytes_kept && out_sent_ > out_.size() / 2) {
    forget_sent();
  }
  update_interest();
}

// Whoever always has more to say never comes to the end of it.
void Link::forget_sent() {
  out_.erase(0, out_sent_);
  if (fill_left_ > 0) fill_at_ -= out_sent_;
  out_sent_ = 0;
}

void Link::refuse_copy() {
  FrontendWriter writer(out_);
  writer.copy_fail("COPY is not supported");
  writer.sync();
  queue_.close(true);
  write_out();
}

void Link::set_paused(bool paused) {
  if (paused_ == paused) return;
  paused_ = paused;
  if (paused) paused_at_ = reactor_.now();
  if (!paused) soon();
  update_interest();
}

void Link::update_interest() {
  if (watch_ == nullptr) return;
  watch_->set_interest(!paused_, (unsent() && !write_wants_read_) || read_wants_write_);
}

}  // namespace based::postgres
