// SANDBOX ..., which no database sees.
#include <utility>

#include "backends/sandbox_answer.h"
#include "daemon/postgres/sqlite_types.h"
#include "daemon/postgres/sqlite_wire.h"
#include "protocol/check.h"
#include "protocol/postgres/type_names.h"

namespace based {

std::vector<WireStatement::Column> sandbox_columns_of(const Statement& statement) {
  std::vector<WireStatement::Column> columns;
  for (const SandboxColumn& column : sandbox_columns(statement.verb)) {
    columns.push_back({std::string(column.name),
                       column.number ? postgres::type_oid::int8 : postgres::type_oid::text});
  }
  return columns;
}

void SqliteWire::run_sandbox(const WireStatement& prepared, bool tells_columns,
                             const std::vector<std::int16_t>& formats) {
  const Statement& statement = *prepared.statement;
  Sandbox* sandbox = database_.sandbox();
  if (sandbox == nullptr) return fail(no_sandbox_error(database_.name()));
  if (!sandbox_changes(statement.verb)) {
    return give_sandbox_rows(statement, tells_columns, formats);
  }
  if (!stack_.empty()) return fail(sandbox_in_transaction_error());
  if (tells_columns && !querying_) writer_.no_data();
  purpose_ = Purpose::sandbox;
  client_.set_taking(false);
  change_sandbox(statement, *sandbox,
                 [weak = std::weak_ptr<SqliteWire*>{anchor_},
                  tag = sandbox_tag(statement.verb)](const std::optional<Error>& error) {
                   const auto there = weak.lock();
                   if (there && *there != nullptr) (*there)->sandbox_done(tag, error);
                 });
}

void SqliteWire::give_sandbox_rows(const Statement& statement, bool tells_columns,
                                   const std::vector<std::int16_t>& formats) {
  WireStatement told;
  told.columns = sandbox_columns_of(statement);
  if (formats.size() > 1 && formats.size() != told.columns->size()) {
    return fail(Error::make(sqlstate::protocol_violation,
                            "bind message has " + std::to_string(formats.size()) +
                                " result formats but query has " +
                                std::to_string(told.columns->size()) + " columns"));
  }
  if (tells_columns) tell_columns(told, formats);
  const std::vector<ValueList> rows = sandbox_rows(statement.verb, *database_.sandbox());
  for (const ValueList& row : rows) {
    writer_.begin_row(told.columns->size());
    for (std::size_t i = 0; i < told.columns->size(); ++i) {
      const std::int16_t format = formats.empty()       ? std::int16_t{0}
                                  : formats.size() == 1 ? formats[0]
                                                        : formats[i];
      const bool written = write_cell(writer_, (*told.columns)[i].oid, format, row.views()[i]);
      INVARIANT(written);
    }
    writer_.end_row();
  }
  std::string tag(sandbox_tag(statement.verb));
  writer_.command_complete(tag);
}

void SqliteWire::sandbox_done(std::string_view tag, const std::optional<Error>& error) {
  INVARIANT(purpose_ == Purpose::sandbox);
  purpose_ = Purpose::none;
  if (error) {
    fail(*error);
  } else {
    writer_.command_complete(tag);
  }
  if (!busy()) advance();
  resume_messages();
}

}  // namespace based
