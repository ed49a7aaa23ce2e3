#include "backends/sqlite/sqlite_error.h"

#include <array>
#include <string>

namespace based::sqlite {
namespace {

struct CodeRow {
  int code;
  std::string_view name;
  Sqlstate sqlstate;
};

constexpr int primary(int code) { return code & 0xff; }

// Extended codes first; the primary code's row serves those that are not listed.
constexpr std::array code_rows = {
    CodeRow{SQLITE_CONSTRAINT_UNIQUE, "SQLITE_CONSTRAINT_UNIQUE", sqlstate::unique_violation},
    CodeRow{SQLITE_CONSTRAINT_PRIMARYKEY, "SQLITE_CONSTRAINT_PRIMARYKEY",
            sqlstate::unique_violation},
    CodeRow{SQLITE_CONSTRAINT_ROWID, "SQLITE_CONSTRAINT_ROWID", sqlstate::unique_violation},
    CodeRow{SQLITE_CONSTRAINT_NOTNULL, "SQLITE_CONSTRAINT_NOTNULL", sqlstate::not_null_violation},
    CodeRow{SQLITE_CONSTRAINT_FOREIGNKEY, "SQLITE_CONSTRAINT_FOREIGNKEY",
            sqlstate::foreign_key_violation},
    CodeRow{SQLITE_CONSTRAINT_CHECK, "SQLITE_CONSTRAINT_CHECK", sqlstate::check_violation},
    CodeRow{SQLITE_CONSTRAINT_TRIGGER, "SQLITE_CONSTRAINT_TRIGGER", sqlstate::raise_exception},
    CodeRow{SQLITE_CONSTRAINT_DATATYPE, "SQLITE_CONSTRAINT_DATATYPE", sqlstate::datatype_mismatch},
    CodeRow{SQLITE_CONSTRAINT_COMMITHOOK, "SQLITE_CONSTRAINT_COMMITHOOK",
            sqlstate::read_only_sql_transaction},
    CodeRow{SQLITE_BUSY_SNAPSHOT, "SQLITE_BUSY_SNAPSHOT", sqlstate::serialization_failure},
    CodeRow{SQLITE_BUSY_RECOVERY, "SQLITE_BUSY_RECOVERY", sqlstate::lock_not_available},
    CodeRow{SQLITE_ABORT_ROLLBACK, "SQLITE_ABORT_ROLLBACK", sqlstate::transaction_rollback},
    CodeRow{SQLITE_READONLY_DIRECTORY, "SQLITE_READONLY_DIRECTORY",
            sqlstate::read_only_sql_transaction},
    CodeRow{SQLITE_IOERR_NOMEM, "SQLITE_IOERR_NOMEM", sqlstate::out_of_memory},
    CodeRow{SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC", sqlstate::io_error},
    CodeRow{SQLITE_IOERR_READ, "SQLITE_IOERR_READ", sqlstate::io_error},
    CodeRow{SQLITE_IOERR_SHORT_READ, "SQLITE_IOERR_SHORT_READ", sqlstate::io_error},
    CodeRow{SQLITE_IOERR_WRITE, "SQLITE_IOERR_WRITE", sqlstate::io_error},
    CodeRow{SQLITE_CANTOPEN_ISDIR, "SQLITE_CANTOPEN_ISDIR", sqlstate::undefined_file},
    CodeRow{SQLITE_ERROR, "SQLITE_ERROR", sqlstate::syntax_or_access_error},
    CodeRow{SQLITE_INTERNAL, "SQLITE_INTERNAL", sqlstate::internal_error},
    CodeRow{SQLITE_PERM, "SQLITE_PERM", sqlstate::undefined_file},
    CodeRow{SQLITE_ABORT, "SQLITE_ABORT", sqlstate::transaction_rollback},
    CodeRow{SQLITE_BUSY, "SQLITE_BUSY", sqlstate::lock_not_available},
    CodeRow{SQLITE_LOCKED, "SQLITE_LOCKED", sqlstate::lock_not_available},
    CodeRow{SQLITE_NOMEM, "SQLITE_NOMEM", sqlstate::out_of_memory},
    CodeRow{SQLITE_READONLY, "SQLITE_READONLY", sqlstate::read_only_sql_transaction},
    CodeRow{SQLITE_INTERRUPT, "SQLITE_INTERRUPT", sqlstate::query_canceled},
    CodeRow{SQLITE_IOERR, "SQLITE_IOERR", sqlstate::io_error},
    CodeRow{SQLITE_CORRUPT, "SQLITE_CORRUPT", sqlstate::data_corrupted},
    CodeRow{SQLITE_FULL, "SQLITE_FULL", sqlstate::disk_full},
    CodeRow{SQLITE_CANTOPEN, "SQLITE_CANTOPEN", sqlstate::undefined_file},
    CodeRow{SQLITE_PROTOCOL, "SQLITE_PROTOCOL", sqlstate::lock_not_available},
    CodeRow{SQLITE_SCHEMA, "SQLITE_SCHEMA", sqlstate::serialization_failure},
    CodeRow{SQLITE_TOOBIG, "SQLITE_TOOBIG", sqlstate::program_limit_exceeded},
    CodeRow{SQLITE_CONSTRAINT, "SQLITE_CONSTRAINT", sqlstate::integrity_constraint_violation},
    CodeRow{SQLITE_MISMATCH, "SQLITE_MISMATCH", sqlstate::datatype_mismatch},
    CodeRow{SQLITE_MISUSE, "SQLITE_MISUSE", sqlstate::internal_error},
    CodeRow{SQLITE_NOLFS, "SQLITE_NOLFS", sqlstate::disk_full},
    CodeRow{SQLITE_AUTH, "SQLITE_AUTH", sqlstate::insufficient_privilege},
    CodeRow{SQLITE_RANGE, "SQLITE_RANGE", sqlstate::protocol_violation},
    CodeRow{SQLITE_NOTADB, "SQLITE_NOTADB", sqlstate::data_corrupted},
};

const CodeRow* row_of(int code) {
  for (const auto& row : code_rows) {
    if (row.code == code) return &row;
  }
  for (const auto& row : code_rows) {
    if (row.code == primary(code)) return &row;
  }
  return nullptr;
}

// SQLITE_ERROR says everything else in its message. The first row whose text is found wins.
struct MessageRow {
  std::string_view text;
  bool at_start;
  Sqlstate sqlstate;
};
constexpr std::array message_rows = {
    MessageRow{"no such table: ", true, sqlstate::undefined_table},
    MessageRow{"no such view: ", true, sqlstate::undefined_table},
    MessageRow{"no such column: ", true, sqlstate::undefined_column},
    MessageRow{"no such savepoint: ", true, sqlstate::invalid_savepoint},
    MessageRow{"no such function: ", true, Sqlstate{"42883"}},
    MessageRow{"wrong number of arguments to function ", true, Sqlstate{"42883"}},
    MessageRow{"no such index: ", true, Sqlstate{"42704"}},
    MessageRow{"no such trigger: ", true, Sqlstate{"42704"}},
    MessageRow{"no such module: ", true, Sqlstate{"42704"}},
    MessageRow{"no such collation sequence: ", true, Sqlstate{"42704"}},
    MessageRow{"unknown database ", true, Sqlstate{"3F000"}},
    MessageRow{"ambiguous column name: ", true, Sqlstate{"42702"}},
    MessageRow{"duplicate column name: ", true, Sqlstate{"42701"}},
    MessageRow{"foreign key mismatch", true, Sqlstate{"42830"}},
    MessageRow{"object name reserved for internal use", true, Sqlstate{"42939"}},
    MessageRow{"misuse of aggregate", true, Sqlstate{"42803"}},
    MessageRow{"misuse of window function", true, Sqlstate{"42P20"}},
    MessageRow{"too many SQL variables", true, sqlstate::program_limit_exceeded},
    MessageRow{"too many ", true, sqlstate::program_limit_exceeded},
    MessageRow{"Expression tree is too large", true, sqlstate::program_limit_exceeded},
    MessageRow{"LIKE or GLOB pattern too complex", true, sqlstate::program_limit_exceeded},
    MessageRow{"integer overflow", true, sqlstate::numeric_value_out_of_range},
    MessageRow{"malformed JSON", true, sqlstate::invalid_text_representation},
    MessageRow{"cannot start a transaction within", true, sqlstate::active_sql_transaction},
    MessageRow{"cannot VACUUM from within", true, sqlstate::active_sql_transaction},
    MessageRow{"cannot commit - no transaction", true, sqlstate::no_active_sql_transaction},
    MessageRow{"cannot rollback - no transaction", true, sqlstate::no_active_sql_transaction},
    MessageRow{" may not be modified", false, sqlstate::insufficient_privilege},
    MessageRow{"may not be dropped", false, sqlstate::insufficient_privilege},
    MessageRow{" because it is a view", false, Sqlstate{"42809"}},
    MessageRow{" already exists", false, sqlstate::duplicate_table},
    MessageRow{" already another table or index with this name", false, sqlstate::duplicate_table},
    MessageRow{" has no column named ", false, sqlstate::undefined_column},
    MessageRow{"syntax error", false, sqlstate::syntax_error},
    MessageRow{"unrecognized token", true, sqlstate::syntax_error},
    MessageRow{"incomplete input", true, sqlstate::syntax_error},
    MessageRow{"values for ", false, sqlstate::syntax_error},
    MessageRow{"values were supplied", false, sqlstate::syntax_error},
};

Sqlstate sqlstate_of_message(std::string_view message, int offset, FailedIn where) {
  for (const auto& row : message_rows) {
    const auto at = message.find(row.text);
    if (at == 0 || (at != std::string_view::npos && !row.at_start)) return row.sqlstate;
  }
  if (where == FailedIn::prepare && offset >= 0) return sqlstate::syntax_error;
  return sqlstate::syntax_or_access_error;
}

std::string_view after(std::string_view message, std::string_view prefix) {
  const auto at = message.find(prefix);
  return at == std::string_view::npos ? std::string_view{} : message.substr(at + prefix.size());
}

// "t.a, t.b" -> table t, column "a, b"; "index 'name'" -> constraint name.
void name_columns(Error& error, std::string_view names) {
  if (names.starts_with("index '") && names.ends_with('\'')) {
    error.constraint = names.substr(7, names.size() - 8);
    return;
  }
  while (!names.empty()) {
    const auto comma = names.find(", ");
    const auto one = names.substr(0, comma);
    const auto dot = one.find('.');
    if (dot == std::string_view::npos) return;
    error.table = one.substr(0, dot);
    if (!error.column.empty()) error.column += ", ";
    error.column += one.substr(dot + 1);
    names = comma == std::string_view::npos ? std::string_view{} : names.substr(comma + 2);
  }
}

void name_constraint(Error& error, int code) {
  const std::string_view message = error.message;
  const auto failed = after(message, " constraint failed: ");
  switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
    case SQLITE_CONSTRAINT_NOTNULL:
      return name_columns(error, failed);
    case SQLITE_CONSTRAINT_CHECK:
      error.constraint = failed;
      return;
    case SQLITE_CONSTRAINT_DATATYPE:
      return name_columns(error, after(message, " column "));
    default:
      return;
  }
}

void name_object(Error& error) {
  const std::string_view message = error.message;
  if (const auto table = after(message, "no such table: "); !table.empty()) {
    error.table = table;
  } else if (const auto column = after(message, "no such column: "); !column.empty()) {
    error.column = column;
  } else if (const auto named = after(message, " has no column named "); !named.empty()) {
    error.column = named;
    error.table = after(message.substr(0, message.find(" has no column")), "table ");
  }
}

}  // namespace

std::string_view code_name(int code) {
  const auto* row = row_of(code);
  return row == nullptr ? std::string_view{} : row->name;
}

Error error_from(int code, std::string_view message, int offset, FailedIn where) {
  const auto* row = row_of(code);
  Error error =
      Error::make(row == nullptr ? sqlstate::internal_error : row->sqlstate, std::string{message});
  error.native_code = code;
  error.native_name = code_name(code);
  if (offset >= 0) error.position = static_cast<std::uint32_t>(offset);
  if (code == SQLITE_ERROR) {
    error.sqlstate = sqlstate_of_message(error.message, offset, where);
    name_object(error);
  }
  if (primary(code) == SQLITE_CONSTRAINT) name_constraint(error, code);
  if (code == SQLITE_BUSY) {
    error.detail = "another process holds a lock on the database file";
  }
  return error;
}

Error error_of(sqlite3* db, int code, FailedIn where) {
  const char* message = db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db);
  const int offset = db == nullptr ? -1 : sqlite3_error_offset(db);
  return error_from(code, message == nullptr ? "" : message, offset, where);
}

}  // namespace based::sqlite
