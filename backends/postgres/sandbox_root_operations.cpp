// What SANDBOX MARK, RESET and DROP do to the root: between two turns, before the next one.
//
// A mark is a savepoint below _based_turn, and so below everything that sessions do. A reset does
// not wait for a turn: the holder's is taken away.
#include <algorithm>
#include <utility>

#include "backends/postgres/sandbox_mark_turn.h"
#include "backends/postgres/sandbox_rules.h"
#include "protocol/check.h"

namespace based::postgres {
namespace {

constexpr const char* written_tables =
    "SELECT 'written', pg_catalog.string_agg(relid::pg_catalog.text, ' ') "
    "FROM pg_catalog.pg_stat_xact_user_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0";

constexpr const char* any_immediate =
    "SELECT 'immediate' WHERE EXISTS (SELECT FROM pg_catalog.pg_constraint "
    "WHERE condeferrable AND NOT condeferred)";

std::string mark_name(std::uint64_t number) { return "_based_m" + std::to_string(number); }

Error ending_error() { return Error::make(sqlstate::admin_shutdown, "the daemon is ending"); }

}  // namespace

void SandboxRoot::mark(const std::string& name, TimePoint deadline, Sandbox::Done done) {
  mark_turns_.push_back(std::make_unique<MarkTurn>(*this, name, std::move(done)));
  MarkTurn& turn = *mark_turns_.back();
  std::optional<Error> refused =
      done_ ? std::optional<Error>(ending_error()) : acquire(turn, deadline);
  if (!refused) return;
  refusals_.emplace_back(&turn, *std::move(refused));
  operate_->arm(reactor_.now());
}

void SandboxRoot::operate(OperationKind kind, std::string mark, Sandbox::Done done) {
  operations_.push_back({.kind = kind, .mark = std::move(mark), .done = std::move(done)});
  operate_->arm(reactor_.now());
}

// From the loop: takes the turn away from who has it, or begins at once.
void SandboxRoot::on_operate() {
  for (auto& [turn, error] : std::exchange(refusals_, {})) finish_mark(*turn, error);
  while (!operations_.empty() && !operating_) {
    const Operation& next = operations_.front();
    if (done_) {
      finish_operation(ending_error());
    } else if (next.kind == OperationKind::reset_to && !find_mark(next.mark)) {
      finish_operation(no_mark_error(next.mark));
    } else if (!link_ || link_->state() == LinkState::closed) {
      finish_operation(std::nullopt);  // nothing was done yet
    } else {
      revoke(next.kind);
      if (link_ && link_->state() == LinkState::idle) return begin_operation();
      return;  // on_link_idle or on_link_closed follows
    }
  }
  if (!operating_ && !done_) serve_waiters();
}

void SandboxRoot::revoke(OperationKind kind) {
  const Error reason =
      Error::make(sqlstate::serialization_failure,
                  kind == OperationKind::drop ? "the sandbox was dropped" : "the sandbox was reset")
          .with_detail("What the transaction had done is gone.")
          .with_scope(ErrorScope::transaction)
          .with_executed(Executed::no)
          .as_retryable();
  revoke_parked(reason);
  if (holder() != nullptr) holder()->on_lease_revoked(reason);
}

std::optional<std::size_t> SandboxRoot::find_mark(const std::string& name) const {
  const auto found = std::ranges::find_if(
      marks_, [&name](const Mark& mark) { return !mark.moved && mark.name == name; });
  if (found == marks_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - marks_.begin());
}

// REQUIRES that the link is idle.
void SandboxRoot::begin_operation() {
  const OperationKind kind = operations_.front().kind;
  if (kind == OperationKind::reset_to && !find_mark(operations_.front().mark)) {
    operate_->arm(reactor_.now());
    return;
  }
  operating_ = true;
  Link& link = *link_;
  if (kind == OperationKind::drop) {
    Chore last = ending(link);
    last.then = [&link](const std::optional<Error>&) {
      link.close(Error::make(sqlstate::admin_shutdown, "the sandbox is dropped"));
    };
    return link.run_last(std::move(last));
  }
  if (!link.lease(operator_)) return;  // it closes soon
  link.release(Leaving::finished);
}

// What brings the root to where the operation wants it, in one round trip. All of it comes behind
// the end of the last turn.
Chore SandboxRoot::operation_chore(Link& link) {
  const Operation& operation = operations_.front();
  Chore chore;
  const bool vacuums = settings_.vacuum_every > 0 && (resets_ + 1) % settings_.vacuum_every == 0;
  if (vacuums && root_open_) chore.texts.emplace_back(written_tables);
  if (operation.kind == OperationKind::reset_to) {
    const std::size_t at = *find_mark(operation.mark);
    chore.texts.push_back("ROLLBACK TO SAVEPOINT " + mark_name(marks_[at].number));
    // The server forgets with a savepoint that is released how they were before that.
    if (marks_[at].immediate) chore.texts.push_back(before_commit_statements().back()->text);
    chore.texts.emplace_back("SAVEPOINT _based_turn");
    link.settings() = marks_[at].settings;
    link.definitions().go_back(marks_[at].definitions);
    subtransactions_.go_back(marks_[at].subtransactions);
    if (settings_.objects != nullptr) settings_.objects->go_back(marks_[at].objects);
    figures_old_ = true;
    renew_->arm(figures_due_);
    add_restoring(chore, marks_[at].sequences, SequencePlace::rooted);
    return chore;
  }
  // Session locks and currval() outlive a transaction.
  chore.texts.emplace_back("SELECT pg_catalog.pg_advisory_unlock_all()");
  chore.texts.emplace_back("DISCARD SEQUENCES");
  const auto add = [&chore](Chore more) {
    chore.texts.insert(chore.texts.end(), more.texts.begin(), more.texts.end());
  };
  chore.on_row = [this](const std::vector<Cell>& row) { take_row(row); };
  add(ending(link));
  if (begins_at_once()) add(beginning());
  return chore;
}

Chore SandboxRoot::mark_chore(Link& link) {
  Chore chore;
  if (settings_.restores_sequences) chore.texts = remember_sequences(SequencePlace::rooted);
  chore.texts.emplace_back(any_immediate);
  chore.texts.emplace_back("RELEASE SAVEPOINT _based_turn");
  chore.on_row = [this](const std::vector<Cell>& row) {
    if (row[0].bytes == "remembered") marks_.back().sequences = row[1].bytes;
    if (row[0].bytes == "immediate") marks_.back().immediate = true;
  };
  const std::optional<std::size_t> at = find_mark(marking_->name());
  // Not the newest one: its savepoint stays, under no name, as those above it need it.
  if (at && *at + 1 == marks_.size()) {
    chore.texts.push_back("RELEASE SAVEPOINT " + mark_name(marks_[*at].number));
    marks_.pop_back();
  } else if (marks_.size() >= sandbox_marks_max) {
    const Error error = Error::make(sqlstate::program_limit_exceeded, "too many marks")
                            .with_hint("A reset to an older one forgets the newer ones.");
    return {.texts = {"RELEASE SAVEPOINT _based_turn", "SAVEPOINT _based_turn"},
            .then = [this, turn = std::exchange(marking_, nullptr),
                     error](const std::optional<Error>&) { finish_mark(*turn, error); }};
  } else if (at) {
    marks_[*at].moved = true;
  }
  const std::uint64_t number = ++marks_made_;
  const std::size_t objects =
      settings_.objects != nullptr ? settings_.objects->mark(marks_.empty()) : 0;
  chore.texts.push_back("SAVEPOINT " + mark_name(number));
  chore.texts.emplace_back("SAVEPOINT _based_turn");
  marks_.push_back({.name = marking_->name(),
                    .number = number,
                    .settings = link.settings(),
                    .subtransactions = subtransactions_.count(),
                    .definitions = link.definitions().here(),
                    .objects = objects});
  return chore;
}

// The link is idle again, or gone (`error`).
void SandboxRoot::finish_mark(MarkTurn& turn, const std::optional<Error>& error) {
  if (marking_ == &turn) marking_ = nullptr;
  const Sandbox::Done done = turn.take_done();
  std::erase_if(mark_turns_, [&turn](const auto& owned) { return owned.get() == &turn; });
  done(error);
}

void SandboxRoot::finish_operation(const std::optional<Error>& error) {
  const bool ran = std::exchange(operating_, false);
  const Operation operation = std::move(operations_.front());
  operations_.pop_front();
  if (ran && !error) {
    if (operation.kind != OperationKind::drop) ++resets_;
    if (operation.kind == OperationKind::reset_to) {
      marks_.resize(*find_mark(operation.mark) + 1);
    } else {
      begin_anew();
    }
  }
  operation.done(error);
}

// Another root: nothing has been done in it.
void SandboxRoot::begin_anew() {
  marks_.clear();
  turns_ = transactions_ = 0;
  if (link_ && link_->state() != LinkState::closed) ++roots_;
}

// After the link has become idle, or was closed: what was asked for is told.
void SandboxRoot::tell_operations(const std::optional<Error>& lost) {
  if (marking_ != nullptr) finish_mark(*marking_, lost);
  if (!operating_) return;
  const bool only_to = operations_.front().kind == OperationKind::reset_to;
  finish_operation(only_to ? lost : std::nullopt);  // a root that is gone is reset
}

// The sandbox ends, and nobody is there to hear of it.
void SandboxRoot::drop_operations() {
  while (!mark_turns_.empty()) {
    withdraw(*mark_turns_.front());
    finish_mark(*mark_turns_.front(), ending_error());
  }
  refusals_.clear();
  if (!operations_.empty() && !operating_) operate_->arm(reactor_.now());
}

}  // namespace based::postgres
