#include "daemon/native/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "daemon/native/native_session.h"

namespace based::native {
namespace {

Duration from_ms(std::uint64_t milliseconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(milliseconds));
}

// Of an error that would be more than its client takes.
constexpr std::size_t message_bytes_max = 4096;

std::uint64_t more_credit(std::uint64_t credit, std::uint64_t rows) {
  return rows > UINT64_MAX - credit ? UINT64_MAX : credit + rows;
}

// A client may ask for less than the database allows, never for more. Zero is no limit.
Duration least_of(std::optional<std::uint64_t> asked, Duration allowed) {
  if (!asked || *asked == 0) return allowed;
  const Duration wish = from_ms(*asked);
  return allowed == Duration::zero() ? wish : std::min(wish, allowed);
}

}  // namespace

BeginOptions to_begin_options(const LevelOptions& options) {
  BeginOptions begin;
  begin.isolation = static_cast<BeginOptions::Isolation>(options.isolation);
  begin.locking = static_cast<BeginOptions::Locking>(options.locking);
  begin.if_open = static_cast<BeginOptions::IfOpen>(options.if_open);
  if (options.read_only) {
    begin.access =
        *options.read_only ? BeginOptions::Access::read_only : BeginOptions::Access::read_write;
  }
  if (options.deferrable) {
    begin.deferrable = *options.deferrable ? BeginOptions::Deferrable::deferrable
                                           : BeginOptions::Deferrable::not_deferrable;
  }
  begin.force_rollback = options.force_rollback;
  begin.name = options.name;
  return begin;
}

std::unique_ptr<NativeSession> make_session(SessionHost& host,
                                            const DatabaseDirectory::Entry& entry,
                                            const Open& options, SessionIdentity identity) {
  return std::make_unique<Session>(host, entry, options, std::move(identity));
}

Session::Session(SessionHost& host, const DatabaseDirectory::Entry& entry, const Open& options,
                 SessionIdentity identity)
    : host_(host),
      use_(entry),
      ticket_(std::move(identity.ticket)),
      database_(*entry.database),
      number_(identity.number),
      id_(identity.id),
      label_(options.label),
      read_only_(options.read_only),
      statement_timeout_(least_of(options.statement_timeout_ms, entry.timeouts.statement)),
      statement_timeout_max_(entry.timeouts.statement),
      queue_timeout_(least_of(options.queue_timeout_ms, entry.timeouts.queue)),
      idle_in_transaction_(
          least_of(options.idle_in_transaction_ms, entry.timeouts.idle_in_transaction)),
      stack_({.dialect = entry.database->dialect(),
              .rooted = entry.database->rooted(),
              .read_only = options.read_only,
              .frees_failed = entry.database->force_rollback(),
              .depth_max = host.limits().depth}),
      envelopes_(stack_.rules()),
      said_(log_of(*entry.database), identity.id, host.peer()) {
  if (options.transaction) implicit_ = to_begin_options(*options.transaction);
  reset_backend();
}

// Whatever the old half held is rolled back; the new one begins with nothing.
void Session::reset_backend() {
  backend_.reset();
  pinned_ = false;
  backend_ = database_.open_session({.session_id = id_,
                                     .label = label_,
                                     .client = host_.peer(),
                                     .user = host_.user(),
                                     .read_only = read_only_,
                                     .idle_in_transaction = idle_in_transaction_,
                                     .owner = &host_.wait_owner(),
                                     .group = ticket_ ? ticket_->group() : 0},
                                    *this);
}

void Session::take(const FrameHeader& header, std::string_view payload) {
  WaitingRequest request;
  request.header = header;
  request.payload = payload;
  waiting_.push_back(std::move(request));
  pump();
}

void Session::pump() {
  if (pumping_) return;
  pumping_ = true;
  while (run_ == nullptr && !entering_ && !waiting_.empty()) {
    WaitingRequest request = std::move(waiting_.front());
    waiting_.pop_front();
    if (request.answered) {
      previous_failed_ = true;
      continue;
    }
    std::string payload = std::move(request.payload);
    start(request.header, std::move(payload), &request);
  }
  pumping_ = false;
}

void Session::start(const FrameHeader& header, std::string payload, const WaitingRequest* waited) {
  run_ = std::make_unique<Run>(header, std::move(payload), number_, host_.client_frame_bytes_max());
  if (closed_) {
    return finish_error(
        Error::make(sqlstate::no_such_session, fmt::format("session {} is closed", number_))
            .with_scope(ErrorScope::session));
  }
  if (header.has(flags::chain) && previous_failed_) {
    return finish_error(
        Error::make(sqlstate::request_skipped, "an earlier request of the chain failed"));
  }
  if (state_lost_ && header.type != MessageType::close) {
    return finish_error(*std::exchange(state_lost_, std::nullopt));
  }
  switch (header.type) {
    case MessageType::exec:
      start_exec();
      break;
    case MessageType::batch:
      start_batch();
      break;
    case MessageType::tx:
      return start_tx();
    case MessageType::close:
      return start_close();
    default:
      INVARIANT(false);
  }
  if (run_ == nullptr) return;
  if (waited->discard) {
    run_->discard = true;
    run_->credit.reset();
  }
  if (run_->credit) run_->credit = more_credit(*run_->credit, waited->more_credit);
  advance();
}

void Session::note_refused() {
  if (run_ == nullptr && waiting_.empty()) {
    previous_failed_ = true;
  } else if (waiting_.empty() || !waiting_.back().answered) {
    WaitingRequest refused;
    refused.answered = true;
    waiting_.push_back(std::move(refused));
  }
}

bool Session::has_request(std::uint32_t request) const {
  if (run_ != nullptr && run_->header.request == request) return true;
  return std::any_of(waiting_.begin(), waiting_.end(), [request](const WaitingRequest& waiting) {
    return waiting.header.request == request && !waiting.answered;
  });
}

void Session::fetch(std::uint32_t request, std::uint64_t rows) {
  if (run_ != nullptr && run_->header.request == request) {
    if (rows == 0) {
      run_->discard = true;
      run_->credit.reset();
      for (const Held& held : run_->held) run_->items[held.item].truncated = true;
      run_->held.clear();
    } else if (run_->credit) {
      run_->credit = more_credit(*run_->credit, rows);
    }
    return go_on();
  }
  for (WaitingRequest& waiting : waiting_) {
    if (waiting.header.request != request) continue;
    waiting.more_credit = more_credit(waiting.more_credit, rows);
    waiting.discard = waiting.discard || rows == 0;
  }
}

bool Session::cancel(std::uint32_t request) {
  bool found = false;
  if (run_ != nullptr && (request == 0 || run_->header.request == request)) {
    run_->cancelled = true;
    found = true;
    if (run_->purpose == UnitPurpose::steps) {
      // A pause would keep the end of the unit from coming.
      run_->dropped = run_->dropped || !run_->held.empty();
      run_->held.clear();
      run_->discard = true;
      run_->credit.reset();
      backend_->cancel("cancelled by the client");
      go_on();
    }
  }
  return cancel_waiting(request) || found;
}

bool Session::cancel_waiting(std::uint32_t request) {
  const Error error = Error::make(sqlstate::query_canceled, "cancelled while it waited");
  bool found = false;
  for (WaitingRequest& waiting : waiting_) {
    const bool meant = request == 0 || waiting.header.request == request;
    if (!meant || waiting.answered || waiting.header.type == MessageType::close) continue;
    found = true;
    waiting.answered = true;
    std::string payload;
    encode(Failure{.error = &error, .transaction = transaction(), .step = std::nullopt}, payload);
    host_.send_final(MessageType::error, number_, waiting.header.request, payload,
                     waiting.payload.size());
    waiting.payload = std::string();
  }
  return found;
}

bool Session::is_idle() const {
  const bool nothing_open = stack_.empty() || stack_.state() == StackState::aborted;
  return run_ == nullptr && waiting_.empty() && nothing_open;
}

void Session::end(const Error& error) {
  backend_.reset();
  if (run_ != nullptr) {
    Error last = error;
    const bool commits = run_->purpose == UnitPurpose::ending &&
                         run_->ending.kind == LevelsEnd::Kind::commit && run_->ending.depth == 0;
    const bool autocommits = run_->purpose == UnitPurpose::steps && stack_.empty();
    if (commits || autocommits) last.executed = Executed::unknown;
    if (run_->begun || run_->purpose != UnitPurpose::none) last.retryable = false;
    stack_.finish(stack_.plan_rollback_all());
    finish_error(last);
  }
  for (WaitingRequest& waiting : waiting_) {
    if (waiting.answered) continue;
    std::string payload;
    encode(Failure{.error = &error, .transaction = {}, .step = std::nullopt}, payload);
    host_.send_final(MessageType::error, number_, waiting.header.request, payload,
                     waiting.payload.size());
  }
  waiting_.clear();
}

std::vector<ResultReport> Session::results_before(std::size_t item) const {
  std::vector<ResultReport> results;
  results.reserve(item);
  for (std::size_t i = 0; i < item; ++i) {
    const ItemResult& result = run_->items[i];
    results.push_back({.tag = result.tag,
                       .affected = result.affected,
                       .last_insert_id = result.last_insert_id,
                       .rows = result.rows,
                       .truncated = result.truncated,
                       .error = result.error.get()});
  }
  return results;
}

void Session::finish_end() {
  said_.done(level_of_log(), now());
  flush_rows();
  run_->end.transaction = transaction();
  run_->end.results = results_before(run_->items.size());
  std::string payload;
  encode(run_->end, payload);
  if (payload.size() > host_.client_frame_bytes_max()) {
    return finish_error(Error::make(sqlstate::program_limit_exceeded,
                                    "the results are larger than the payload that the client takes")
                            .with_executed(Executed::yes));
  }
  finish(MessageType::end, payload, false);
}

void Session::finish_error(const Error& error, std::optional<std::uint32_t> item) {
  said_.failed(error, now());
  flush_rows();
  // Until the first statement was sent nothing has been done, whatever there is of it.
  const auto results = results_before(item && run_->begun ? *item : 0);
  const bool several = run_->is_batch || run_->items.size() > 1;
  Failure failure{.error = &error,
                  .transaction = transaction(),
                  .step = several ? item : std::nullopt,
                  .results = results};
  std::string payload;
  encode(failure, payload);
  if (payload.size() > host_.client_frame_bytes_max()) {
    Error brief = error;
    brief.message.resize(std::min(brief.message.size(), message_bytes_max));
    brief.detail = brief.hint = std::string();
    failure.error = &brief;
    failure.results = {};
    payload.clear();
    encode(failure, payload);
  }
  finish(MessageType::error, payload, true);
}

void Session::finish(MessageType type, const std::string& payload, bool failed) {
  previous_failed_ = failed;
  const std::unique_ptr<Run> done = std::move(run_);
  if (backend_) backend_->rest(resting());
  host_.send_final(type, number_, done->header.request, payload, done->payload.size());
  if (closed_ && done->header.type == MessageType::close) host_.closed(number_);
}

TransactionReport Session::transaction() const {
  if (stack_.empty()) return {};
  const StackState state = stack_.state();
  return {.state = state == StackState::sound    ? TransactionState::open
                   : state == StackState::failed ? TransactionState::failed
                                                 : TransactionState::aborted,
          .depth = stack_.depth()};
}

SessionStatus Session::status() const {
  SessionStatus status;
  status.id = id_;
  status.client = host_.peer();
  status.label = label_;
  status.database = database_.name();
  status.state = run_ != nullptr ? (run_->paused ? "paused" : "running")
                 : pinned_       ? "pinned"
                                 : "idle";
  status.transaction = text_of(transaction().state);
  status.waiting_requests = waiting_.size();
  const TimePoint now = host_.reactor().now();
  for (std::uint32_t depth = 1; depth <= stack_.depth(); ++depth) {
    const Level& level = stack_.levels()[depth - 1];
    status.levels.push_back(
        {.name = level.options.name,
         .state = stack_.is_failed(depth)           ? "failed"
                  : depth <= stack_.entered_depth() ? "open"
                                                    : "pending",
         .age_ms = static_cast<std::uint64_t>(
             std::chrono::duration_cast<std::chrono::milliseconds>(now - level.began).count())});
  }
  return status;
}

}  // namespace based::native
