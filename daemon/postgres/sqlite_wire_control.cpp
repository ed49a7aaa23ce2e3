// Transaction control, settings and the other commands that SQLite is not asked for.
#include <array>
#include <utility>

#include "daemon/postgres/sqlite_wire.h"
#include "protocol/postgres/type_names.h"

namespace based {
namespace {

using Kind = SessionCommand::Kind;

Error only_in_block(const char* what) {
  return Error::make(sqlstate::no_active_sql_transaction,
                     std::string(what) + " can only be used in transaction blocks");
}

}  // namespace

void SqliteWire::warn(Sqlstate code, std::string message) {
  writer_.notice("WARNING", Error::make(code, std::move(message)));
}

// For the log of a sandbox, until it is answered or has failed.
void SqliteWire::say(const WireStatement& prepared) {
  const bool control = prepared.statement && prepared.statement->kind == StatementKind::sandbox;
  if (control) return;
  const std::string_view words = prepared.statement ? prepared.statement->words() : prepared.text;
  said_.say(words, level_of_log(), reactor_.now());
}

void SqliteWire::refuse(const WireStatement& prepared, Error error) {
  say(prepared);
  fail(std::move(error), &prepared);
}

void SqliteWire::tell_said() {
  if (!busy()) said_.done(level_of_log(), reactor_.now());
}

void SqliteWire::run_here(const WireStatement& prepared, bool tells_columns,
                          const std::vector<std::int16_t>& formats) {
  say(prepared);
  if (prepared.command) {
    run_command(*prepared.command, tells_columns);
  } else if (prepared.statement->kind == StatementKind::sandbox) {
    run_sandbox(prepared, tells_columns, formats);
  } else {
    if (tells_columns && !querying_) writer_.no_data();
    run_control(*prepared.statement);
  }
  tell_said();
}

// --- transactions

void SqliteWire::run_control(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::begin:
      return begin_level(statement);
    case StatementKind::commit:
    case StatementKind::rollback:
      return end_transaction(statement);
    default:
      return run_savepoint(statement);
  }
}

void SqliteWire::begin_level(const Statement& statement) {
  const char start = statement.text[0];
  const char* tag = start == 'S' || start == 's' ? "START TRANSACTION" : "BEGIN";
  BeginOptions options = statement.begin;
  // Its statements are one after the other in any case: SQLite is serializable.
  options.isolation = BeginOptions::Isolation::unset;
  options.deferrable = BeginOptions::Deferrable::unset;
  if (implicit_) {
    implicit_ = false;  // what the query has done belongs to the transaction now
    read_only_ = options.access == BeginOptions::Access::read_only;
  } else if (stack_.empty() || rules_.nested) {
    const bool unset = options.access == BeginOptions::Access::unset;
    if (stack_.empty() && unset && settings_.read_only()) {
      options.access = BeginOptions::Access::read_only;
    }
    auto level =
        stack_.begin(options, LevelKind::transaction, reactor_.now(), settings_.snapshot());
    if (!level) return fail(std::move(level).error());
  } else {
    warn(sqlstate::active_sql_transaction, "there is already a transaction in progress");
  }
  begun(tag);
}

// What others may join has begun when the client is told so.
void SqliteWire::begun(std::string_view tag) {
  if (backend_->is_joined() && stack_.entered_depth() < stack_.depth()) return start_entering(tag);
  writer_.command_complete(tag);
}

void SqliteWire::end_transaction(const Statement& statement) {
  const bool commits = statement.kind == StatementKind::commit;
  const char* tag = commits ? "COMMIT" : "ROLLBACK";
  if (stack_.empty() || implicit_) {
    if (statement.and_chain) {
      return fail(only_in_block(commits ? "COMMIT AND CHAIN" : "ROLLBACK AND CHAIN"));
    }
    warn(sqlstate::no_active_sql_transaction, "there is no transaction in progress");
    if (stack_.empty()) return writer_.command_complete(tag);
  }
  ending_.chain.reset();
  if (statement.and_chain) {
    std::size_t depth = stack_.depth();
    while (depth > 1 && stack_.levels()[depth - 1].kind == LevelKind::savepoint) --depth;
    ending_.chain = stack_.levels()[depth - 1].options;
  }
  if (commits && usable()) return start_ending(stack_.plan_commit_transaction(), tag);
  if (auto loss = std::exchange(loss_, std::nullopt); loss && commits) {
    // It believes that what it did is there.
    start_ending(stack_.plan_rollback_transaction(), "");
    return fail(std::move(*loss));
  }
  start_ending(stack_.plan_rollback_transaction(), "ROLLBACK");
}

void SqliteWire::run_savepoint(const Statement& statement) {
  const bool outside = stack_.empty() || implicit_;
  switch (statement.kind) {
    case StatementKind::savepoint: {
      if (outside) return fail(only_in_block("SAVEPOINT"));
      BeginOptions options;
      options.name = statement.name;
      auto level =
          stack_.begin(options, LevelKind::savepoint, reactor_.now(), settings_.snapshot());
      if (!level) return fail(std::move(level).error());
      return begun("SAVEPOINT");
    }
    case StatementKind::release:
      if (outside) return fail(only_in_block("RELEASE SAVEPOINT"));
      return start_ending(stack_.plan_release(statement.name), "RELEASE");
    default:
      if (outside) return fail(only_in_block("ROLLBACK TO SAVEPOINT"));
      return start_ending(stack_.plan_rollback_to(statement.name), "ROLLBACK");
  }
}

// --- settings

void SqliteWire::run_command(const SessionCommand& command, bool tells_columns) {
  if (command.kind == Kind::show) return show(command, tells_columns);
  if (tells_columns && !querying_) writer_.no_data();
  switch (command.kind) {
    case Kind::set:
      return run_set(command);
    case Kind::set_transaction:
      return set_modes(command);
    case Kind::reset:
      if (command.name.empty()) {
        settings_.reset_all();
      } else if (auto reset = settings_.reset(command.name); !reset) {
        return fail(std::move(reset).error());
      }
      break;
    case Kind::discard:
      return discard(command);
    case Kind::deallocate:
      if (command.name.empty()) {
        prepared_.clear();
      } else if (prepared_.erase(command.name) == 0) {
        return fail(Error::make(sqlstate::invalid_sql_statement_name,
                                "prepared statement \"" + command.name + "\" does not exist"));
      }
      break;
    case Kind::close:
      if (!command.name.empty()) {
        return fail(
            Error::make(Sqlstate("34000"), "cursor \"" + command.name + "\" does not exist"));
      }
      break;
    case Kind::unlisten:
    case Kind::show:
    case Kind::none:
      break;
  }
  writer_.command_complete(command.tag);
}

void SqliteWire::discard(const SessionCommand& command) {
  if (command.name == "all") {
    if (!stack_.empty()) {
      return fail(Error::make(sqlstate::active_sql_transaction,
                              "DISCARD ALL cannot run inside a transaction block"));
    }
    settings_.reset_all();
    prepared_.clear();
    portals_.clear();
  }
  writer_.command_complete(command.tag);
}

Result<void> SqliteWire::set(std::string_view name, std::string_view value, bool local) {
  const auto before = settings_.value(name);
  if (auto done = settings_.set(name, value); !done) return done;
  if (local && before) set_locals_.emplace_back(name, *before);
  return {};
}

void SqliteWire::run_set(const SessionCommand& command) {
  const bool outside = stack_.empty() || implicit_;
  if (command.local && outside) {
    warn(sqlstate::no_active_sql_transaction, "SET LOCAL can only be used in transaction blocks");
    return writer_.command_complete(command.tag);
  }
  auto done = command.to_default ? settings_.reset(command.name)
                                 : set(command.name, command.value, command.local);
  if (!done) return fail(std::move(done).error());
  writer_.command_complete(command.tag);
}

void SqliteWire::set_modes(const SessionCommand& command) {
  using Access = BeginOptions::Access;
  if (command.session_characteristics) {
    if (command.modes.access != Access::unset) {
      const bool only = command.modes.access == Access::read_only;
      auto done = set("default_transaction_read_only", only ? "on" : "off", false);
      if (!done) return fail(std::move(done).error());
    }
  } else if (stack_.empty() || implicit_) {
    warn(sqlstate::no_active_sql_transaction,
         "SET TRANSACTION can only be used in transaction blocks");
  } else if (command.modes.access == Access::read_only) {
    read_only_ = true;
  } else if (command.modes.access == Access::read_write && in_read_only()) {
    return fail(Error::make(sqlstate::active_sql_transaction,
                            "cannot set transaction read-write mode in a read-only transaction"));
  }
  writer_.command_complete(command.tag);
}

void SqliteWire::show(const SessionCommand& command, bool tells_columns) {
  SqliteSettings::Pairs rows = settings_.all();
  const bool all = command.name.empty();
  if (!all) {
    auto value = settings_.value(command.name);
    if (command.name == "transaction_read_only") value = in_read_only() ? "on" : "off";
    if (!value) {
      return fail(Error::make(Sqlstate("42704"),
                              "unrecognized configuration parameter \"" + command.name + "\""));
    }
    rows = {{command.name, *value}};
  }
  if (tells_columns) {
    std::array<postgres::Field, 2> fields;
    for (postgres::Field& field : fields) {
      field.type_oid = postgres::type_oid::text;
      field.type_size = field.type_modifier = -1;
    }
    fields[0].name = all ? "name" : std::string_view(command.name);
    fields[1].name = "setting";
    writer_.row_description(std::span(fields).first(all ? 2 : 1));
  }
  for (const auto& [name, value] : rows) {
    writer_.begin_row(all ? 2 : 1);
    for (const std::string* cell : {&name, &value}) {
      if (!all && cell == &name) continue;
      writer_.begin_cell();
      writer_.out() += *cell;
      writer_.end_cell();
    }
    writer_.end_row();
  }
  writer_.command_complete("SHOW");
}

Result<void> SqliteWire::apply_set_configs(const WireStatement& prepared) {
  for (const SetConfig& config : prepared.notes.set_configs) {
    if (config.local && stack_.empty()) continue;
    if (auto done = set(config.name, config.value, config.local); !done) return done;
  }
  return {};
}

}  // namespace based
