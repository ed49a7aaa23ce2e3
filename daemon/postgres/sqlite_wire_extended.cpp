// The extended protocol: statements, portals and what is told of them.
#include <algorithm>
#include <utility>

#include "daemon/postgres/sqlite_parameters.h"
#include "daemon/postgres/sqlite_tokens.h"
#include "daemon/postgres/sqlite_types.h"
#include "daemon/postgres/sqlite_wire.h"
#include "protocol/check.h"
#include "protocol/postgres/type_names.h"

namespace based {
namespace {

constexpr std::size_t prepared_max = 4096;
constexpr std::size_t portals_max = 256;
constexpr Sqlstate duplicate_statement{"42P05"};
constexpr Sqlstate duplicate_portal{"42P03"};
constexpr Sqlstate no_such_portal{"34000"};

Error no_portal(std::string_view name) {
  return Error::make(no_such_portal, "portal \"" + std::string(name) + "\" does not exist");
}

bool formats_valid(const std::vector<std::int16_t>& formats) {
  return std::ranges::all_of(formats,
                             [](std::int16_t format) { return format == 0 || format == 1; });
}

}  // namespace

WireStatementRef SqliteWire::find_statement(std::string_view name, Error& error) const {
  const auto found = prepared_.find(name);
  if (found != prepared_.end()) return found->second;
  error =
      Error::make(sqlstate::invalid_sql_statement_name,
                  name.empty() ? "unnamed prepared statement does not exist"
                               : "prepared statement \"" + std::string(name) + "\" does not exist");
  return nullptr;
}

void SqliteWire::take_parse(std::string_view body) {
  postgres::ParseRequest request;
  if (!postgres::decode_parse(body, request)) return protocol_error("malformed Parse message");
  if (!request.statement.empty() && prepared_.contains(request.statement)) {
    return fail(Error::make(
        duplicate_statement,
        "prepared statement \"" + std::string(request.statement) + "\" already exists"));
  }
  if (prepared_.size() >= prepared_max) {
    return fail(Error::make(
        sqlstate::program_limit_exceeded,
        "a session of more than " + std::to_string(prepared_max) + " prepared statements"));
  }
  if (request.statement.empty()) prepared_.erase("");
  WireStatementRef made = std::make_shared<WireStatement>();
  made->text = request.text;
  auto statements = parse(request.text, ParameterStyle::positional);
  if (!statements) return refuse(*made, std::move(statements).error());
  if (statements->size() > 1) {
    return fail(Error::make(sqlstate::syntax_error,
                            "cannot insert multiple commands into a prepared statement"));
  }
  if (!statements->empty()) made = statements->front();
  if (!usable()) {
    if (auto refusal = refusal_of(*made)) return refuse(*made, std::move(*refusal));
  }
  // More types than parameters are no error: PostgreSQL has the parameters then, unused.
  made->types.resize(std::max(made->types.size(), request.types.size()), 0);
  std::ranges::copy(request.types, made->types.begin());
  for (const ParameterHint& hint : made->notes.hints) {
    const bool known = hint.number == 0 || hint.number > made->types.size();
    if (!known && made->types[hint.number - 1] == 0) made->types[hint.number - 1] = hint.oid;
  }
  prepared_.insert_or_assign(std::string(request.statement), made);
  // What a value is may depend on the column that it meets: 't' is a text, or true.
  const bool meets_columns = std::ranges::any_of(made->notes.hints, [&](const ParameterHint& hint) {
    const bool one = hint.number > 0 && hint.number <= made->types.size();
    return one && made->types[hint.number - 1] == 0;
  });
  if (!meets_columns || made->notes.tables.empty()) return writer_.parse_complete();
  describing_ = Describing::parse;
  submit_description(made, true);
}

Result<ValueList> SqliteWire::read_values(const postgres::BindRequest& bind,
                                          const WireStatement& prepared) {
  if (bind.values.size() != prepared.types.size()) {
    return Error::make(sqlstate::protocol_violation,
                       "bind message supplies " + std::to_string(bind.values.size()) +
                           " parameters, but prepared statement \"" + std::string(bind.statement) +
                           "\" requires " + std::to_string(prepared.types.size()));
  }
  if (!formats_valid(bind.parameter_formats) || !formats_valid(bind.result_formats)) {
    return Error::make(sqlstate::invalid_parameter_value, "unsupported format code");
  }
  std::deque<std::string> storage;
  std::vector<ValueView> values;
  for (std::size_t i = 0; i < bind.values.size(); ++i) {
    std::int16_t format = 0;
    if (bind.parameter_formats.size() == 1) format = bind.parameter_formats[0];
    if (bind.parameter_formats.size() > 1) format = bind.parameter_formats[i];
    auto value = read_parameter(i + 1, prepared.types[i], format, bind.values[i], storage);
    if (!value) return std::move(value).error();
    values.push_back(*value);
  }
  const std::size_t wanted = prepared.statement ? prepared.statement->parameter_count : 0;
  values.resize(wanted);
  return ValueList::copy_of(values);
}

void SqliteWire::take_bind(std::string_view body) {
  postgres::BindRequest request;
  if (!postgres::decode_bind(body, request)) return protocol_error("malformed Bind message");
  Error error;
  const WireStatementRef prepared = find_statement(request.statement, error);
  if (!prepared) return fail(std::move(error));
  if (!usable() && prepared->statement) {
    if (auto refusal = refusal_of(*prepared)) return refuse(*prepared, std::move(*refusal));
  }
  if (!request.portal.empty() && portals_.contains(request.portal)) {
    return fail(Error::make(duplicate_portal,
                            "cursor \"" + std::string(request.portal) + "\" already exists"));
  }
  if (portals_.size() >= portals_max) {
    return fail(Error::make(sqlstate::program_limit_exceeded,
                            "a session of more than " + std::to_string(portals_max) + " portals"));
  }
  auto values = read_values(request, *prepared);
  if (!values) return fail(std::move(values).error());
  auto portal = std::make_unique<WirePortal>();
  portal->prepared = prepared;
  portal->values = std::move(*values);
  portal->formats = std::move(request.result_formats);
  portals_.insert_or_assign(std::string(request.portal), std::move(portal));
  writer_.bind_complete();
}

void SqliteWire::take_describe(std::string_view body) {
  postgres::NamedRequest request;
  if (!postgres::decode_named(body, request)) return protocol_error("malformed Describe message");
  if (request.what == 'S') {
    Error error;
    const WireStatementRef prepared = find_statement(request.name, error);
    if (!prepared) return fail(std::move(error));
    return describe_statement(prepared, Describing::statement, {});
  }
  const auto found = portals_.find(request.name);
  if (found == portals_.end()) return fail(no_portal(request.name));
  const WireStatement& prepared = *found->second->prepared;
  const bool known = prepared.columns || !prepared.statement || prepared.command ||
                     is_control(prepared.statement->kind) ||
                     found->second->state != WirePortal::State::fresh;
  if (known)
    return describe_statement(found->second->prepared, Describing::portal, found->second->formats);
  // Where an Execute is next, the first row says the types.
  pending_ = Pending{.portal = std::string(request.name), .describe = true};
}

void SqliteWire::take_execute(std::string_view body) {
  postgres::ExecuteRequest request;
  if (!postgres::decode_execute(body, request)) return protocol_error("malformed Execute message");
  const auto found = portals_.find(request.portal);
  if (found == portals_.end()) return fail(no_portal(request.portal));
  const std::uint64_t rows_max =
      request.rows_max > 0 ? static_cast<std::uint64_t>(request.rows_max) : 0;
  WirePortal& portal = *found->second;
  const WireStatement& prepared = *portal.prepared;
  if (!prepared.statement) return writer_.empty_query();
  if (portal.state == WirePortal::State::suspended) return give_rest(portal, rows_max);
  if (portal.state == WirePortal::State::done) {
    if (portal.tag.starts_with("SELECT")) return writer_.command_complete("SELECT 0");
    return fail(Error::make(sqlstate::object_not_in_prerequisite_state,
                            "portal \"" + std::string(request.portal) + "\" cannot be run"));
  }
  pending_ = Pending{.portal = std::string(request.portal), .execute = true, .rows_max = rows_max};
}

void SqliteWire::take_close(std::string_view body) {
  postgres::NamedRequest request;
  if (!postgres::decode_named(body, request)) return protocol_error("malformed Close message");
  if (request.what == 'S') {
    const auto found = prepared_.find(request.name);
    if (found != prepared_.end()) prepared_.erase(found);
  } else {
    const auto found = portals_.find(request.name);
    if (found != portals_.end()) portals_.erase(found);
  }
  writer_.close_complete();
}

// The message behind it is there. False: a unit is in flight now.
bool SqliteWire::settle_pending(bool before_sync) {
  const Pending pending = std::move(*std::exchange(pending_, std::nullopt));
  if (pending.execute) {
    execute(pending.portal, pending.rows_max, before_sync, pending.describe);
  } else {
    const WirePortal& portal = *portals_.find(pending.portal)->second;
    describe_statement(portal.prepared, Describing::portal, portal.formats);
  }
  return !busy();
}

void SqliteWire::execute(const std::string& name, std::uint64_t rows_max, bool alone,
                         bool describe) {
  WirePortal& portal = *portals_.find(name)->second;
  auto now = as_of_now(portal.prepared);
  if (!now) return fail(std::move(now).error());
  portal.prepared = std::move(*now);
  const WireStatementRef prepared = portal.prepared;
  if (auto refusal = refusal_of(*prepared)) return refuse(*prepared, std::move(*refusal));
  if (prepared->command || is_control(prepared->statement->kind)) {
    portal.state = WirePortal::State::done;
    return run_here(*prepared, describe, portal.formats);
  }
  running_.clear();
  values_.clear();
  running_.push_back({.prepared = prepared,
                      .portal = &portal,
                      .rows_max = rows_max,
                      .tells_columns = describe,
                      .formats = portal.formats});
  values_.push_back(ValueList::copy_of(portal.values.views()));
  run_group(1, alone && stack_.empty());
}

void SqliteWire::give_rest(WirePortal& portal, std::uint64_t rows_max) {
  std::uint64_t given = 0;
  while (!portal.rest.empty() && (rows_max == 0 || given < rows_max)) {
    out_ += portal.rest.front();
    portal.rest_bytes -= portal.rest.front().size();
    portal.rest.pop_front();
    ++given;
  }
  if (!portal.rest.empty()) return writer_.portal_suspended();
  portal.state = WirePortal::State::done;
  const bool counts = portal.tag == "SELECT";
  writer_.command_complete(counts ? "SELECT " + std::to_string(given) : portal.tag);
}

// --- descriptions

void SqliteWire::describe_statement(const WireStatementRef& prepared, Describing what,
                                    std::vector<std::int16_t> formats) {
  describing_ = what;
  described_formats_ = std::move(formats);
  const bool here =
      !prepared->statement || prepared->command || is_control(prepared->statement->kind);
  if (here || prepared->columns) {
    described_ = prepared;
    return tell_description();
  }
  if (!usable()) {
    if (auto refusal = refusal_of(*prepared)) return refuse(*prepared, std::move(*refusal));
  }
  submit_description(prepared, prepared->notes.returning && !prepared->notes.tables.empty());
}

void SqliteWire::submit_description(const WireStatementRef& prepared, bool with_tables) {
  described_ = prepared;
  found_columns_.clear();
  table_columns_.clear();
  Unit unit;
  if (describing_ != Describing::parse) {
    unit.steps.push_back({.statement = prepared->statement, .parameters = {}, .describe = true});
  }
  if (with_tables) {
    std::string text =
        "SELECT m.name, p.name, p.type, p.cid + 1 FROM sqlite_schema AS m, "
        "pragma_table_info(m.name) AS p WHERE m.name COLLATE NOCASE IN (";
    for (const std::string& table : prepared->notes.tables) {
      text += (text.back() == '(' ? "" : ", ") + sqlite_literal(table);
    }
    const auto script = database_.intern(text + ")", ParameterStyle::none);
    INVARIANT(script.ok());
    unit.steps.push_back({.statement = (*script)->statements[0], .parameters = {}, .own = true});
  }
  const bool inside = !stack_.empty();
  unit.envelope = inside ? envelopes_.around(stack_, {.reads = true}) : Envelope{};
  unit.keep_lease = inside;
  submit(std::move(unit), Purpose::describe);
}

const SqliteWire::TableColumn* SqliteWire::find_column(const WireStatement& prepared,
                                                       std::string_view name) const {
  const std::string wanted = lower_case(name);
  for (const std::string& table : prepared.notes.tables) {
    for (const TableColumn& column : table_columns_) {
      if (lower_case(column.table) == lower_case(table) && lower_case(column.name) == wanted) {
        return &column;
      }
    }
  }
  return nullptr;
}

void SqliteWire::resolve_parameters(WireStatement& prepared) const {
  for (const ParameterHint& hint : prepared.notes.hints) {
    if (hint.number == 0 || hint.number > prepared.types.size()) continue;
    std::uint32_t& type = prepared.types[hint.number - 1];
    if (type != 0) continue;
    type = hint.oid;
    if (!hint.column.empty()) {
      if (const auto* column = find_column(prepared, hint.column)) {
        type = oid_of_declared(column->type);
      }
    }
    for (const TableColumn& column : table_columns_) {
      const bool target = lower_case(column.table) == lower_case(prepared.notes.tables.front());
      if (hint.ordinal == column.ordinal && target) type = oid_of_declared(column.type);
    }
  }
}

// Told once, they stay.
void SqliteWire::resolve_columns(WireStatement& prepared) const {
  for (std::uint32_t& type : prepared.types) {
    if (type == 0) type = postgres::type_oid::text;
  }
  std::vector<WireStatement::Column> columns = found_columns_;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const auto& items = prepared.notes.item_types;
    if (i < items.size() && items[i] != 0) {
      columns[i].oid = items[i];
    } else if (columns[i].oid == 0 && prepared.notes.returning) {
      const auto* column = find_column(prepared, columns[i].name);
      if (column != nullptr) columns[i].oid = oid_of_declared(column->type);
    }
    if (columns[i].oid == 0) columns[i].oid = postgres::type_oid::text;
  }
  prepared.columns = std::move(columns);
}

void SqliteWire::tell_description() {
  const WireStatementRef prepared = std::exchange(described_, nullptr);
  if (describing_ == Describing::statement) writer_.parameter_description(prepared->types);
  const bool shows = prepared->command && prepared->command->kind == SessionCommand::Kind::show;
  if (!prepared->columns && shows) {
    const bool all = prepared->command->name.empty();
    std::vector<WireStatement::Column> columns;
    columns.push_back({all ? "name" : prepared->command->name, postgres::type_oid::text});
    if (all) columns.push_back({"setting", postgres::type_oid::text});
    WireStatement shown;
    shown.columns = std::move(columns);
    return tell_columns(shown, described_formats_);
  }
  if (prepared->statement && prepared->statement->kind == StatementKind::sandbox) {
    WireStatement told;
    told.columns = sandbox_columns_of(*prepared->statement);
    if (!told.columns->empty()) return tell_columns(told, described_formats_);
  }
  if (!prepared->columns || prepared->columns->empty()) return writer_.no_data();
  tell_columns(*prepared, described_formats_);
}

}  // namespace based
