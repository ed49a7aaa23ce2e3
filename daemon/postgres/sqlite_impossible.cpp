#include "daemon/postgres/sqlite_impossible.h"

#include <algorithm>
#include <array>
#include <string>

namespace based {
namespace {

struct Impossible {
  std::string_view word;
  std::string_view hint;
};

constexpr std::string_view no_roles = "SQLite has no roles.";
constexpr std::string_view no_procedures = "SQLite has no procedures.";
constexpr std::string_view prepare_by_driver =
    "Prepare through the driver: the extended protocol is there.";
constexpr std::string_view row_limit =
    "Use a row limit in the extended protocol: a fetch size in most drivers.";
constexpr std::string_view no_views = "SQLite has no materialized views: use a table.";
constexpr std::string_view no_types = "Use CHECK constraints.";
constexpr std::string_view what_there_is = "SQLite has tables, indexes, views and triggers.";

constexpr std::array impossible{
    Impossible{"call", no_procedures},
    Impossible{"checkpoint", "Based copies the write-ahead log back as it grows."},
    Impossible{"cluster", "Use VACUUM."},
    Impossible{"comment", "SQLite keeps no comments."},
    Impossible{"copy", "Use INSERT: many rows in one transaction are as fast."},
    Impossible{"declare", row_limit},
    Impossible{"do", no_procedures},
    Impossible{"execute", prepare_by_driver},
    Impossible{"fetch", row_limit},
    Impossible{"grant", no_roles},
    Impossible{"import", "SQLite has no foreign tables."},
    Impossible{"listen", "SQLite has no notifications."},
    Impossible{"load", "Extensions of SQLite are not loaded either."},
    Impossible{"lock", "A transaction of SQLite has the whole database."},
    Impossible{"merge", "Use INSERT ... ON CONFLICT."},
    Impossible{"move", row_limit},
    Impossible{"notify", "SQLite has no notifications."},
    Impossible{"prepare", prepare_by_driver},
    Impossible{"reassign", no_roles},
    Impossible{"refresh", no_views},
    Impossible{"revoke", no_roles},
    Impossible{"security", no_roles},
    Impossible{"table", "Use SELECT * FROM."},
    Impossible{"truncate", "Use DELETE FROM."},
};

// Behind CREATE, ALTER and DROP.
constexpr std::array objects{
    Impossible{"access", what_there_is},
    Impossible{"aggregate", no_procedures},
    Impossible{"cast", no_types},
    Impossible{"collation", "NOCASE, RTRIM and BINARY are there."},
    Impossible{"conversion", what_there_is},
    Impossible{"database", "Each file is a database: Based's configuration names them."},
    Impossible{"default", no_roles},
    Impossible{"domain", no_types},
    Impossible{"event", "SQLite's triggers are those of tables."},
    Impossible{"extension", "Extensions of SQLite are not loaded either."},
    Impossible{"foreign", "SQLite has no foreign tables."},
    Impossible{"function", no_procedures},
    Impossible{"group", no_roles},
    Impossible{"language", no_procedures},
    Impossible{"materialized", no_views},
    Impossible{"operator", what_there_is},
    Impossible{"policy", no_roles},
    Impossible{"procedure", no_procedures},
    Impossible{"publication", what_there_is},
    Impossible{"role", no_roles},
    Impossible{"rule", "Use triggers."},
    Impossible{"schema", "A file of SQLite is one schema, main."},
    Impossible{"sequence", "INTEGER PRIMARY KEY, also with AUTOINCREMENT, makes numbers."},
    Impossible{"server", "SQLite has no foreign tables."},
    Impossible{"statistics", "Use ANALYZE."},
    Impossible{"subscription", what_there_is},
    Impossible{"system", "Based's configuration has the settings of a file."},
    Impossible{"tablespace", what_there_is},
    Impossible{"type", no_types},
    Impossible{"user", no_roles},
};

constexpr std::array<std::string_view, 12> catalogue_functions{
    "col_description",          "current_schemas",      "format_type",
    "has_any_column_privilege", "has_column_privilege", "has_database_privilege",
    "has_schema_privilege",     "has_table_privilege",  "obj_description",
    "pg_get_userbyid",          "pg_table_is_visible",  "to_regclass"};

template <typename Rows>
const Impossible* find(const Rows& rows, const ClientToken& token) {
  const auto found =
      std::ranges::find_if(rows, [&token](const Impossible& row) { return token.is(row.word); });
  return found == rows.end() ? nullptr : &*found;
}

std::string upper_case(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return upper;
}

Error not_supported(std::string_view what, std::string_view hint) {
  return Error::make(sqlstate::feature_not_supported,
                     upper_case(what) + " is not supported on SQLite")
      .with_hint(std::string(hint));
}

}  // namespace

bool is_impossible(std::string_view first_word) {
  const std::string word = lower_case(first_word);
  return std::ranges::any_of(impossible,
                             [&word](const Impossible& row) { return row.word == word; });
}

std::optional<Error> impossible_error(std::span<const ClientToken> statement) {
  if (statement.empty()) return std::nullopt;
  const ClientToken& first = statement.front();
  if (first.is("prepare") && statement.size() > 1 && statement[1].is("transaction")) {
    return not_supported("prepare transaction", "Use COMMIT.");
  }
  if (const Impossible* row = find(impossible, first)) return not_supported(row->word, row->hint);
  if (statement.size() < 2) return std::nullopt;
  const bool creates = first.is("create");
  if (!creates && !first.is("alter") && !first.is("drop")) return std::nullopt;
  if (creates && statement.size() > 2 && statement[1].is("or") && statement[2].is("replace")) {
    return not_supported("create or replace", "Use DROP ... IF EXISTS before CREATE.");
  }
  const Impossible* row = find(objects, statement[1]);
  if (row == nullptr) return std::nullopt;
  return not_supported(lower_case(first.text) + " " + std::string(row->word), row->hint);
}

Error catalogue_error() {
  return Error::make(sqlstate::feature_not_supported,
                     "PostgreSQL's catalogue does not exist on SQLite")
      .with_hint(
          "SELECT name, type, sql FROM sqlite_schema; and PRAGMA table_info(...) "
          "tell what there is.");
}

bool asks_catalogue(std::string_view function) {
  return std::ranges::find(catalogue_functions, function) != catalogue_functions.end();
}

}  // namespace based
