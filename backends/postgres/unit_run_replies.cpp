// UnitRun's other half: what the server answers.
#include <utility>

#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/sandbox_settings.h"
#include "backends/postgres/server_error.h"
#include "backends/postgres/unit_run.h"
#include "backends/sql/command_tag.h"

namespace based::postgres {
namespace {

bool counts_changes(std::string_view command) {
  return command == "INSERT" || command == "UPDATE" || command == "DELETE" || command == "MERGE";
}

}  // namespace

Flow UnitRun::on_reply(const Reply& reply) {
  if (reply.type == reply::notice) {
    if (!on_notice(reply)) unreadable("a notice");
    return Flow::more;
  }
  if (reply.type == reply::error) {
    if (!on_error(reply)) unreadable("an error");
    return Flow::more;
  }
  Item& item = items_[reply.expectation->index];
  switch (reply.type) {
    case reply::parse_complete:
      link_->statements().parsed(item.name);
      break;
    case reply::row_description:
    case reply::no_data:
      if (!on_description(reply, item)) unreadable("a RowDescription");
      break;
    case reply::data_row:
      return on_row(reply, item);
    case reply::copy_in:
      link_->refuse_copy();
      [[fallthrough]];
    case reply::copy_out:
      fail_locally(Error::make(sqlstate::feature_not_supported, "COPY is not supported yet"), item);
      break;
    case reply::command_complete:
    case reply::empty_query:
    case reply::portal_suspended:
      if (!on_complete(reply, item)) unreadable("a CommandComplete");
      break;
    default:  // COPY data that nobody asked for: swallowed
      break;
  }
  return Flow::more;
}

bool UnitRun::on_description(const Reply& reply, Item& item) {
  rows_ = 0;
  truncated_ = false;
  if (reply.type == reply::no_data) {
    reader_.describe_nothing();
    if (item.describe) on_described(item);
    return true;
  }
  const auto name_of = [this](std::uint32_t oid) {
    const std::string_view name = types_.find(oid);
    if (name.empty()) types_.miss(oid);
    return name;
  };
  if (!reply.whole || !reader_.describe(reply.body, name_of)) return false;
  told_ = true;
  unit_.sink->on_columns(item.index, reader_.columns());
  if (item.describe) on_described(item);
  return true;
}

// All that is asked of it: the server does not say what its tag would be.
void UnitRun::on_described(Item& item) {
  const std::string& told_as = item.statement->told_as;
  const std::string tag = told_as.empty() ? sql::command_tag(item.statement->text) : told_as;
  StepResult result;
  result.tag = tag;
  if (counts_changes(tag)) result.affected = 0;
  complete(item, result);
}

Flow UnitRun::on_row(const Reply& reply, const Item& item) {
  restores_ = restores_ || item.statement == restore_question().get();
  if (local_error_ || item.phase != UnitPhase::step) return Flow::more;
  if (!reply.whole) {
    fail_locally(Error::make(sqlstate::program_limit_exceeded, "a row of the result is too large"),
                 item);
    link_->cancel();
    return Flow::more;
  }
  if (item.max_rows != 0 && rows_ == item.max_rows) {
    truncated_ = true;
    return Flow::more;
  }
  if (!reader_.read(reply.body, link_->check_utf8())) {
    unreadable("a row");
    return Flow::more;
  }
  ++rows_;
  const Flow flow = unit_.sink->on_row(item.index, reader_.row());
  return cancelled() ? Flow::more : flow;
}

bool UnitRun::on_complete(const Reply& reply, Item& item) {
  StepResult result;
  CommandTag tag;
  std::string word;
  if (reply.type == reply::command_complete) {
    if (!decode_command_complete(reply.body, tag)) return false;
    on_tag(tag.command);
    if (item.phase == UnitPhase::epilogue && item.statement->kind == StatementKind::commit &&
        tag.command == "ROLLBACK") {
      on_commit_undone(item);
    }
    result.tag =
        item.statement->told_as.empty() ? tag.command : std::string_view(item.statement->told_as);
    const bool into = tag.command == "SELECT" && !reader_.has_columns();  // CREATE TABLE AS
    if (counts_changes(tag.command) || into) result.affected = tag.count;
  } else if (reply.type == reply::portal_suspended) {
    word = sql::command_tag(item.statement->text);
    result.tag = word;
  }
  result.truncated = std::exchange(truncated_, false);
  complete(item, result);
  return true;
}

void UnitRun::complete(Item& item, StepResult result) {
  ++answered_;
  item.done = true;
  if (item.phase != UnitPhase::step) return;
  if (!local_error_) {
    warn();
    result.rows = rows_;
    if (!item.describe) result.set = owner_.settings_made(item.index);
    told_ = true;
    unit_.sink->on_step_done(item.index, result);
  }
  reader_.describe_nothing();
  owner_.on_step_over(item.index, rows_ + static_cast<std::uint64_t>(result.affected.value_or(0)));
}

// As the server does before it runs it: where a guard is around it, the server does not know.
void UnitRun::warn() {
  for (const Error& warning : owner_.warned()) unit_.sink->on_notice("WARNING", warning);
}

void UnitRun::on_tag(std::string_view command) {
  discarded_all_ = command == "DISCARD ALL";
  if (command == "DISCARD ALL") {
    link_->forget_statements();
    link_->settings().all_reset();
  } else if (command == "DEALLOCATE ALL") {
    link_->forget_statements();
  } else if (command == "DEALLOCATE") {  // one of ours? The text does not say for sure
    link_->statements().forget_all(false);
    link_->own_statements().doubt();
  } else if (command == "CREATE TYPE" || command == "CREATE DOMAIN" ||
             command == "CREATE EXTENSION") {
    types_.mark_stale();
  }
}

// A function of the client's has dropped every prepared statement.
bool UnitRun::finds_no_question(const Reply& reply, const ErrorFields& fields) {
  if (reply.expectation == nullptr || reply.expectation->what != Expect::bind) return false;
  const Item& item = items_[reply.expectation->index];
  if (item.statement != restore_question().get() || fields.sqlstate != "26000") return false;
  link_->statements().forget_all(false);
  lacks_question_ = !local_error_;
  return lacks_question_;
}

bool UnitRun::on_error(const Reply& reply) {
  ErrorFields fields;
  if (!decode_error(reply.body, fields)) return false;
  if (finds_no_question(reply, fields)) return true;
  group_failed_ = true;
  fatal_ = fields.fatal();
  const Item* item = reply.expectation == nullptr ? nullptr : &items_[reply.expectation->index];
  // The server's DO in place of the client's statement is nothing to tell of.
  const bool ran = item != nullptr && reply.expectation->what == Expect::execute;
  if (ran && !item->statement->told_as.empty()) fields.where = {};
  const Statement* said = item == nullptr            ? nullptr
                          : item->refused != nullptr ? item->refused
                                                     : item->statement;
  Error error = server_error(fields, said == nullptr ? "" : said->text);
  if (item != nullptr && !item->name.empty()) {
    // The prepared statement has become useless; its text has not.
    const bool revalidation = fields.routine == "RevalidateCachedQuery";
    // The types of its parameters were inferred when it was parsed; the tables may have others now.
    const bool unbindable = !item->parse && reply.expectation->what == Expect::bind;
    if (revalidation || unbindable) {
      link_->statements().forget(item->name);
      stale_ = item->phase == UnitPhase::step || item->phase == UnitPhase::prologue;
    }
    if (error.sqlstate == Sqlstate("26000")) link_->statements().forget_all(false);
  }
  if (error_) return true;  // of the unit; this one is of its recovery
  if (ran && item->phase == UnitPhase::step) warn();
  if (local_error_) {
    error = *local_error_;
  } else if (cancelled() && error.sqlstate == sqlstate::query_canceled) {
    error.message = cancel_reason_;
  }
  error.executed = item == nullptr ? Executed::unknown : Executed::no;
  if (!fatal_ && item == nullptr) error.executed = Executed::no;  // the commit was refused
  if (phase_ == UnitPhase::done || !local_error_) {
    phase_ = item == nullptr ? UnitPhase::epilogue : item->phase;
    step_ = item == nullptr ? 0 : item->index;
  }
  error_ = std::move(error);
  return true;
}

// The transaction had failed, and nothing before has told so.
void UnitRun::on_commit_undone(const Item& item) {
  group_failed_ = true;
  if (error_) return;
  phase_ = local_error_ ? phase_ : item.phase;
  step_ = local_error_ ? step_ : item.index;
  error_ = local_error_ ? *local_error_
                        : Error::make(sqlstate::transaction_rollback,
                                      "the server answered COMMIT with ROLLBACK: the transaction "
                                      "had failed, nothing was committed")
                              .with_scope(ErrorScope::transaction);
  error_->executed = Executed::no;
}

bool UnitRun::on_notice(const Reply& reply) {
  ErrorFields fields;
  if (!decode_error(reply.body, fields)) return false;
  unit_.sink->on_notice(fields.severity, server_error(fields, {}));
  return true;
}

void UnitRun::fail_locally(Error error, const Item& item) {
  if (local_error_) return;
  local_error_ = std::move(error);
  phase_ = item.phase;
  step_ = item.index;
}

void UnitRun::unreadable(std::string_view what) {
  link_->close(Error::make(
      sqlstate::connection_failure,
      "the connection to PostgreSQL was closed: " + std::string(what) + " could not be read"));
}

void UnitRun::settle_settings(char status) {
  LinkSettings& settings = link_->settings();
  for (const Item& item : items_) {
    if (!item.done) break;
    if (item.describe) continue;
    const StatementKind kind = item.statement->kind;
    if (kind == StatementKind::setting || kind == StatementKind::set_transaction) {
      settings.executed(*item.statement, true);
    }
    if (item.phase == UnitPhase::step) {
      for (const StatementRef& set : owner_.settings_made(item.index)) {
        if (!is_withheld(set->name)) settings.executed(*set, true);
      }
    }
    if (kind == StatementKind::rollback || kind == StatementKind::rollback_to) {
      settings.rolled_back();
    }
    const bool ends = kind == StatementKind::commit || kind == StatementKind::rollback;
    if (ends && owner_.rooted()) settings.committed(true);
  }
  if (group_failed_) settings.rolled_back();
  if (status == 'I') settings.committed(false);
}

void UnitRun::doubt_settings(LinkSettings& settings) const {
  for (const Item& item : items_) {
    settings.may_have_executed(*item.statement);
    if (item.phase != UnitPhase::step) continue;
    for (const StatementRef& set : owner_.settings_made(item.index)) {
      settings.may_have_executed(*set);
    }
  }
}

void UnitRun::on_ready(char status) {
  link_->statements().forget_unconfirmed();
  settle_settings(status);
  if (local_error_ && !error_) {  // it came too late to stop anything
    error_ = std::move(local_error_);
    error_->executed = Executed::yes;
  }
  owner_.on_group_over();
}

bool UnitRun::commit_unanswered() const {
  for (const Item& item : items_) {
    if (item.statement->kind == StatementKind::commit && !item.done) return true;
  }
  return false;
}

}  // namespace based::postgres
