// A sandbox's root from its link's opening to its loss: how it is begun, when it may be begun anew,
// and what is done between two turns.
#include <charconv>
#include <utility>

#include "backends/postgres/client_objects.h"
#include "backends/postgres/retry.h"
#include "backends/postgres/sandbox_mark_turn.h"
#include "backends/postgres/sandbox_settings.h"
#include "backends/postgres/server_error.h"
#include "backends/sql/control.h"
#include "backends/sql/setting_value.h"
#include "protocol/check.h"

namespace based::postgres {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A root begun anew costs the server about as much as three reads. So often it costs nothing that
// could be measured, and nobody's now() is older.
constexpr Duration renewed_after = milliseconds(100);

// It would strike Based's own statements, too.
constexpr const char* no_statement_timeout =
    "SELECT name, setting, pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings "
    "WHERE name OPERATOR(pg_catalog.=) 'statement_timeout'";
constexpr const char* about_the_server =
    "SELECT pg_catalog.current_setting('transaction_isolation'), "
    "pg_catalog.current_setting('transaction_deferrable', true), session_user";
constexpr const char* root_cursor =
    "DECLARE _based_root NO SCROLL CURSOR WITH HOLD FOR "
    "SELECT 1 / (x - x) FROM pg_catalog.generate_series(1, 1) x";
// A row where the root has to stay: what it is in for the server, and nothing for a cursor only.
constexpr const char* root_question =
    "SELECT pg_catalog.txid_current_if_assigned() "
    "WHERE pg_catalog.txid_current_if_assigned() IS NOT NULL OR EXISTS (SELECT FROM "
    "pg_catalog.pg_cursors WHERE is_holdable AND name OPERATOR(pg_catalog.<>) '_based_root')";

constexpr const char* root_figures =
    "SELECT 'figures', pg_catalog.txid_current_if_assigned(), pg_catalog.count(*), "
    "pg_catalog.count(*) FILTER (WHERE locktype OPERATOR(pg_catalog.=) 'relation' AND mode "
    "OPERATOR(pg_catalog.=) 'AccessExclusiveLock') "
    "FROM pg_catalog.pg_locks WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()";
constexpr Duration figures_every = seconds(1);

// May it leave something in the root that its end takes away, and that no transaction ID shows?
// Settings may, but each session's are known, and made again.
bool may_leave(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::pinning:
    case StatementKind::listen:
    case StatementKind::other:
      return true;
    case StatementKind::prepare:
      return statement.setting == "execute";
    case StatementKind::empty:
    case StatementKind::read:
    case StatementKind::write:
    case StatementKind::definition:
    case StatementKind::begin:
    case StatementKind::commit:
    case StatementKind::rollback:
    case StatementKind::savepoint:
    case StatementKind::release:
    case StatementKind::rollback_to:
    case StatementKind::prepare_transaction:
    case StatementKind::set_transaction:
    case StatementKind::setting:
    case StatementKind::discard:
    case StatementKind::copy:
    case StatementKind::standalone:
    case StatementKind::sandbox:
      return false;
  }
  INVARIANT(false);
}

}  // namespace

// --- its link

void SandboxRoot::open() {
  if (link_ || attempt_ || done_ || waiters_.empty()) return;
  if (reactor_.now() < retry_at_) return retry_->arm(retry_at_);
  attempt_ = opener_.open(
      [this](Result<std::unique_ptr<Channel>> opened) { on_opened(std::move(opened)); });
}

void SandboxRoot::on_opened(Result<std::unique_ptr<Channel>> opened) {
  attempt_.reset();
  if (!opened) return on_open_failed(opened.error());
  ++roots_;
  marks_.clear();
  turns_ = transactions_ = 0;
  root_told_ = overflow_told_ = false;
  link_ = std::make_unique<Link>(roots_, *std::move(opened), settings_.link, *this, reactor_, log_);
  std::vector<Chore> chores;
  if (!settings_.session_texts.empty()) chores.push_back({.texts = settings_.session_texts});
  server_limits_.clear();
  for (const char* text : {no_server_timeouts, no_statement_timeout}) {
    if (settings_.shared && text == no_statement_timeout) continue;
    chores.push_back({.texts = {text}, .on_row = [this](const std::vector<Cell>& row) {
                        server_limits_.emplace(row[0].bytes, row[1].bytes);
                      }});
  }
  if (!settings_.shared) chores.push_back({.texts = {notice_when_we_are_gone}});
  chores.push_back({.texts = {about_the_server}, .on_row = [this](const std::vector<Cell>& row) {
                      server_modes_.isolation = sql::isolation_named(row[0].bytes);
                      server_modes_.deferrable = sql::bool_of(row[1].bytes).value_or(false);
                      user_ = row[2].bytes;
                    }});
  chores.push_back(types_.load());
  root_open_ = kept_ = false;
  if (begins_at_once()) chores.push_back(beginning());
  link_->settings() = LinkSettings(sandbox_guard);
  link_->settings().became(settings_.base_settings, false);
  link_->start(std::move(chores));
}

const std::string* SandboxRoot::server_limit(std::string_view setting) const {
  const auto found = server_limits_.find(setting);
  return found == server_limits_.end() ? nullptr : &found->second;
}

void SandboxRoot::on_link_closed(Link&, const Error& reason, bool was_started) {
  buried_ = std::move(link_);
  burial_->arm(reactor_.now());
  const bool lost = root_open_;  // what no turn has written in is closed when it is asked
  holder_ = nullptr;
  root_open_ = false;
  marks_.clear();
  if (done_) {
    tell_operations(reason);
    return ending_->arm(reactor_.now());
  }
  if (operating_ && operations_.front().kind == OperationKind::drop) {
    tell_operations(std::nullopt);
    return open();
  }
  if (!operations_.empty()) operate_->arm(reactor_.now());
  if (!was_started) return on_open_failed(reason);
  if (settings_.shared) {
    revoke_parked(reason);
    return open();
  }
  if (!lost) {
    log_.write(LogLevel::info,
               "sandbox " + settings_.name +
                   ": its connection ended, and nothing was in it: " + reason.message);
    tell_operations(reason);
    return open();
  }
  ++losses_;
  last_loss_ = reason.message;
  log_.write(LogLevel::error, "sandbox " + settings_.name + " was LOST: " + reason.message + "; " +
                                  std::to_string(turns_) + " turns are gone");
  tell_operations(loss());
  revoke_parked(loss());
  refuse_all(loss());
}

Error SandboxRoot::loss() const {
  return Error::make(sqlstate::transaction_rollback,
                     "the sandbox of " + settings_.name + " was lost: " + last_loss_)
      .with_detail("Everything that any session did in it is gone.")
      .with_hint("The next statement runs in a fresh sandbox.")
      .with_scope(ErrorScope::session);
}

void SandboxRoot::on_open_failed(const Error& error) {
  const Duration pause = retry_pause(failures_++);
  last_failure_ = error;
  retry_at_ = reactor_.now() + (is_permanent(error) ? Duration(seconds(1)) : pause);
  log_.write(LogLevel::warning, name_in_log() + ": no connection: " + error.message);
  if (is_permanent(error)) refuse_all(away_error());
  open();
}

Error SandboxRoot::away_error() const {
  return postgres::away_error(*last_failure_, settings_.name);
}

// --- a root

// The root is open from now on.
Chore SandboxRoot::beginning() {
  root_open_ = true;
  if (settings_.objects != nullptr) settings_.objects->begin_anew();
  root_began_ = reactor_.now();
  definitions_at_begin_ = link_->definitions().here();
  renew_at_ = root_began_ + renewed_after;
  kept_ = begins_at_once();
  if (!kept_) renew_->arm(renew_at_);
  forget_figures();
  figures_due_ = TimePoint();
  // Read only is the default of the link for what might run behind a lost root. Inside of it a
  // client is told what the server would tell it.
  Chore chore;
  sequences_.clear();
  if (settings_.restores_sequences) {
    chore.texts = remember_sequences(SequencePlace::outside);
    chore.on_row = [this](const std::vector<Cell>& row) { take_row(row); };
  }
  std::vector<std::string>& texts = chore.texts;
  for (const char* text :
       {"BEGIN READ WRITE", root_cursor, "SET LOCAL default_transaction_read_only = off"}) {
    texts.emplace_back(text);
  }
  texts.insert(texts.end(), settings_.init_texts.begin(), settings_.init_texts.end());
  if (!settings_.init_texts.empty()) texts.emplace_back("SET LOCAL statement_timeout = 0");
  texts.emplace_back("SAVEPOINT _based_turn");
  return chore;
}

// The end of a root that nobody needs to keep. Nobody misses it from now on.
Chore SandboxRoot::renewal(Link& link) {
  root_open_ = false;
  sequences_.clear();
  forget_figures();
  link.settings() = LinkSettings(sandbox_guard);
  link.settings().became(settings_.base_settings, false);
  link.definitions().go_back(definitions_at_begin_);
  return {.texts = {"ROLLBACK"}};
}

// The same for one in which something was done.
Chore SandboxRoot::ending(Link& link) {
  if (!root_open_) return {};
  const std::string remembered = sequences_;
  Chore chore = renewal(link);
  add_restoring(chore, remembered, SequencePlace::outside);
  return chore;
}

void SandboxRoot::add_restoring(Chore& chore, const std::string& remembered, SequencePlace place) {
  const std::vector<std::string> texts = restore_sequences(remembered, place);
  chore.texts.insert(chore.texts.end(), texts.begin(), texts.end());
  chore.on_row = [this](const std::vector<Cell>& row) { take_row(row); };
}

// Rows of Based's own that begin with a word.
void SandboxRoot::take_row(const std::vector<Cell>& row) {
  if (row[0].bytes == "remembered") {
    sequences_ = row[1].bytes;
  } else if (row[0].bytes == "restored") {
    log_.write(LogLevel::info, "sandbox " + settings_.name + ": " + std::string(row[1].bytes));
  } else if (row[0].bytes == "written") {
    settings_.vacuum(row[1].bytes);
  } else if (row[0].bytes == "figures") {
    take_figures(row);
  }
}

void SandboxRoot::forget_figures() {
  xid_.clear();
  locks_ = exclusive_locks_ = locked_ = 0;
  locked_tables_.clear();
  subtransactions_ = Subtransactions();
}

void SandboxRoot::take_figures(const std::vector<Cell>& row) {
  const auto number = [](std::string_view text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  };
  xid_ = row[1].bytes;
  locks_ = number(row[2].bytes);
  const std::uint64_t before = std::exchange(exclusive_locks_, number(row[3].bytes));
  if (exclusive_locks_ == before || !settings_.ask_locked) return;
  if (exclusive_locks_ > 0) return settings_.ask_locked(link_->process_id());
  note_locked(0, {});
}

void SandboxRoot::note_effects(const Statement& statement) {
  keeps_ = keeps_ || may_leave(statement);
}

// Where a turn runs, its end will do it.
bool SandboxRoot::may_operate() const {
  return link_ && link_->state() == LinkState::idle && root_open_ && !done_ && parked_.empty();
}

void SandboxRoot::on_renew() {
  if (!may_operate() || (is_kept() && !figures_old_)) return;
  if (link_->lease(operator_)) link_->release(Leaving::finished);
}

void SandboxRoot::unlock(bool due) {
  unlock_due_ = due;
  if (due) unlock_->arm(reactor_.now());
}

// --- between two turns

std::vector<Chore> SandboxRoot::cleaning_chores(Link& link) {
  const bool lost = root_open_ && link.status() == 'I';
  std::vector<Chore> chores = turn_chores(link);
  if (!lost && std::exchange(unlock_due_, false)) {
    chores.push_back({.texts = {unlock_session()->text}});
  }
  return chores;
}

std::vector<Chore> SandboxRoot::turn_chores(Link& link) {
  const bool was_held = std::exchange(holder_, nullptr) != nullptr;
  std::vector<Chore> chores;
  // Nothing has to be undone: the turn has sent nothing, or nothing since what it has committed.
  std::optional<Chore> owed = link.take_owed();
  const bool committed = std::exchange(committed_, false) && link.status() == 'T';
  const bool unused = owed || committed;
  if (root_open_ && link.status() == 'I') return chores;  // it is gone: the link is closed for it
  if (!between_.empty()) {
    if (owed) link.owe(*std::move(owed));  // the turn of who is parked
    return {Chore{.texts = std::exchange(between_, {})}};
  }
  if (was_held) end_turn(link.abandoned());
  if (parked_.empty() && !settings_.shared) {
    link.definitions().settle(link.abandoned() && !unused);
  }
  if (parked_.empty()) subtransactions_.bound(marks_.size() + 1);
  if (settings_.objects != nullptr) {
    if (link.abandoned() && !unused) {
      settings_.objects->clearing_undone();
    } else if (parked_.empty()) {
      settings_.objects->clearing_stays();
    }
  }
  if (operating_) return {operation_chore(link)};
  if (marking_ != nullptr) return {mark_chore(link)};
  if (!parked_.empty()) {
    chores.push_back(next_join(link.abandoned() && !unused));
  } else if (settings_.shared) {
    if (link.status() != 'I') chores.push_back({.texts = {back_to_base()}});
  } else if (link.abandoned()) {
    // What earlier turns have done stays; nobody has asked yet whether it is anything.
    if (unused) {
      link.owe(next_turn());
    } else {
      chores.push_back({.texts = {"ROLLBACK TO SAVEPOINT _based_turn"}});
    }
    if (!is_kept() && reactor_.now() >= renew_at_) chores.push_back(question(link));
  } else if (is_kept() || keeps_ || reactor_.now() < renew_at_) {
    kept_ = kept_ || keeps_;
    link.owe(next_turn());
  } else {
    chores.push_back(question(link));
  }
  if (root_open_ && is_kept() && looks_closer()) {
    chores.push_back({.texts = {root_figures},
                      .on_row = [this](const std::vector<Cell>& row) { take_row(row); }});
  }
  if (types_.stale()) chores.push_back(types_.load());
  return chores;
}

// Is it time for the figures of a root that stays? At most once a second, and then once more.
bool SandboxRoot::looks_closer() {
  figures_old_ = reactor_.now() < figures_due_;
  if (figures_old_) {
    renew_->arm(figures_due_);
  } else {
    figures_due_ = reactor_.now() + figures_every;
  }
  return !figures_old_;
}

// In front of what the next turn sends, or the rest of this one.
Chore SandboxRoot::next_turn() const {
  const std::string name = base_name();
  return {.texts = {"RELEASE SAVEPOINT " + name, "SAVEPOINT " + name}, .as_query = true};
}

// Nobody waits for the answer but who comes behind this turn.
Chore SandboxRoot::question(Link& link) {
  return {.texts = {root_question},
          .on_row =
              [this](const std::vector<Cell>& row) {
                kept_ = true;
                xid_ = row[0].is_null ? std::string_view() : row[0].bytes;
              },
          .then =
              [this, &link](const std::optional<Error>&) {
                kept_ ? link.owe(next_turn()) : link.clean_further(renewal(link));
              }};
}

}  // namespace based::postgres
