#include "backends/sql/classify.h"

#include <array>
#include <span>

#include "backends/sql/control.h"

namespace based::sql {
namespace {

using enum StatementKind;

struct FirstWord {
  std::string_view word;
  StatementKind kind;
};

// By the first word alone. What needs a second look has its function below.
constexpr std::array postgres_words{
    FirstWord{"INSERT", write},        FirstWord{"UPDATE", write},
    FirstWord{"DELETE", write},        FirstWord{"MERGE", write},
    FirstWord{"SHOW", read},           FirstWord{"ALTER", definition},
    FirstWord{"DROP", definition},     FirstWord{"GRANT", definition},
    FirstWord{"REVOKE", definition},   FirstWord{"COMMENT", definition},
    FirstWord{"TRUNCATE", definition}, FirstWord{"REFRESH", definition},
    FirstWord{"REINDEX", definition},  FirstWord{"CLUSTER", definition},
    FirstWord{"SECURITY", definition}, FirstWord{"IMPORT", definition},
    FirstWord{"REASSIGN", definition}, FirstWord{"CREATE", definition},
    FirstWord{"PREPARE", prepare},     FirstWord{"EXECUTE", prepare},
    FirstWord{"DEALLOCATE", prepare},  FirstWord{"LISTEN", listen},
    FirstWord{"UNLISTEN", listen},     FirstWord{"COPY", copy},
    FirstWord{"VACUUM", standalone},   FirstWord{"LOAD", pinning},
};
constexpr std::array sqlite_words{
    FirstWord{"INSERT", write},       FirstWord{"UPDATE", write},
    FirstWord{"DELETE", write},       FirstWord{"REPLACE", write},
    FirstWord{"CREATE", definition},  FirstWord{"ALTER", definition},
    FirstWord{"DROP", definition},    FirstWord{"REINDEX", definition},
    FirstWord{"ANALYZE", definition}, FirstWord{"VACUUM", standalone},
    FirstWord{"ATTACH", standalone},  FirstWord{"DETACH", standalone},
};

bool is_postgres(const Cursor& cursor) { return cursor.dialect() == Dialect::postgres; }

// Past (option, option) or the bare words; is ANALYZE on?
bool read_explain_options(Cursor& cursor) {
  bool analyze = false;
  if (!cursor.sees(TokenKind::open_paren)) {
    static constexpr std::array<std::string_view, 2> bare{"ANALYZE", "ANALYSE"};
    analyze = cursor.accept_one_of(bare);
    cursor.accept("VERBOSE");
    return analyze;
  }
  // A parenthesis also opens EXPLAIN (SELECT ...): options never begin with these.
  static constexpr std::array<std::string_view, 5> queries{"SELECT", "VALUES", "WITH", "TABLE",
                                                           "("};
  if (cursor.sees(TokenKind::open_paren, 1) || is_one_of(cursor.source(1), queries)) return false;
  cursor.skip();
  while (!cursor.sees(TokenKind::close_paren) && !cursor.sees(TokenKind::end)) {
    const bool names_it = cursor.sees("ANALYZE") || cursor.sees("ANALYSE");
    cursor.skip();
    if (!names_it) continue;
    static constexpr std::array<std::string_view, 5> off{"FALSE", "OFF", "0", "'FALSE'", "'OFF'"};
    analyze = !is_one_of(cursor.source(), off);
  }
  cursor.skip();
  return analyze;
}

StatementKind kind_of_query(const Cursor& cursor, const Traits& traits) {
  if (is_postgres(cursor)) {
    if (traits.into_temporary || traits.pins) return pinning;
    if (traits.into) return write;
  }
  return read;
}

StatementKind kind_of_create(Cursor cursor) {
  static constexpr std::array<std::string_view, 4> qualifiers{"OR", "REPLACE", "GLOBAL", "LOCAL"};
  cursor.skip();
  while (cursor.accept_one_of(qualifiers)) {
  }
  if (cursor.sees("TEMP") || cursor.sees("TEMPORARY")) return pinning;
  if (!is_postgres(cursor)) return definition;
  const bool alone =
      cursor.sees("DATABASE") || cursor.sees("TABLESPACE") || cursor.sees("SUBSCRIPTION");
  return alone ? standalone : definition;
}

// Whether PostgreSQL refuses to run it inside a transaction.
bool stands_alone(Cursor cursor, const Traits& traits) {
  if (cursor.sees("DROP")) {
    const bool object = cursor.sees("DATABASE", 1) || cursor.sees("TABLESPACE", 1) ||
                        cursor.sees("SUBSCRIPTION", 1);
    return object || (cursor.sees("INDEX", 1) && traits.concurrently);
  }
  if (cursor.accept("CREATE")) {
    cursor.accept("UNIQUE");
    return cursor.sees("INDEX") && traits.concurrently;
  }
  if (cursor.accept("ALTER")) {
    if (cursor.sees("DATABASE")) {
      return cursor.sees("SET", 2) && cursor.sees("TABLESPACE", 3);
    }
    return cursor.sees("SYSTEM") || (cursor.sees("TABLE") && traits.concurrently);
  }
  if (cursor.accept("REINDEX")) {
    if (cursor.sees(TokenKind::open_paren)) cursor.skip_group();
    return traits.concurrently || cursor.sees("DATABASE") || cursor.sees("SCHEMA") ||
           cursor.sees("SYSTEM");
  }
  if (cursor.accept("CLUSTER")) {
    if (cursor.sees(TokenKind::open_paren)) cursor.skip_group();
    cursor.accept("VERBOSE");
    return cursor.done();
  }
  return false;
}

StatementKind kind_by_table(const Cursor& cursor, std::span<const FirstWord> table) {
  const std::string_view word = cursor.source();
  for (const FirstWord& row : table) {
    if (is_word(word, row.word)) return row.kind;
  }
  return other;
}

// The kind of a statement that is neither transaction control nor a setting.
StatementKind kind_of(Cursor cursor, const Traits& traits) {
  while (cursor.accept(TokenKind::open_paren)) {
  }
  if (!cursor.sees(TokenKind::word)) return other;
  if (cursor.accept("EXPLAIN")) {
    const bool runs = is_postgres(cursor) && read_explain_options(cursor);
    const bool prepared = is_postgres(cursor) && cursor.sees("EXECUTE");
    return runs || prepared ? kind_of(cursor, traits) : read;
  }
  if (cursor.sees("SELECT") || cursor.sees("VALUES")) return kind_of_query(cursor, traits);
  if (cursor.sees("WITH")) {
    const bool writes = traits.modifies && !traits.into_temporary;
    return writes ? write : kind_of_query(cursor, traits);
  }
  if (is_postgres(cursor)) {
    if (cursor.sees("TABLE")) return read;
    if (cursor.sees("DECLARE")) return traits.with_hold ? pinning : other;
    if (stands_alone(cursor, traits)) return standalone;
  }
  const StatementKind kind = is_postgres(cursor) ? kind_by_table(cursor, postgres_words)
                                                 : kind_by_table(cursor, sqlite_words);
  return kind == definition && cursor.sees("CREATE") ? kind_of_create(cursor) : kind;
}

// Of EXPLAIN EXECUTE.
std::string name_explained(Cursor cursor) {
  cursor.skip();
  read_explain_options(cursor);
  return cursor.accept("EXECUTE") && cursor.sees_name() ? cursor.take_name() : std::string();
}

}  // namespace

std::optional<Error> classify(const Cursor& cursor, const Traits& traits, std::uint32_t last_end,
                              Statement& statement) {
  const bool postgres = is_postgres(cursor);
  statement.locks_rows = traits.locks_rows;
  if (auto error = read_transaction_control(cursor, statement)) return error;
  if (statement.kind != other) return std::nullopt;
  if (cursor.sees("SANDBOX")) return read_sandbox(cursor, statement);
  if (postgres) read_setting(cursor, last_end, statement);
  if (!postgres && cursor.sees("PRAGMA")) {
    read_pragma(cursor, last_end, statement);
    return std::nullopt;
  }
  if (statement.kind != other) return std::nullopt;
  statement.kind = kind_of(cursor, traits);
  const bool movable = statement.kind == read || statement.kind == write ||
                       statement.kind == other || statement.kind == definition;
  if (postgres && traits.pins && movable) statement.kind = pinning;
  statement.plain_read = statement.kind == read && !traits.locks_rows && !traits.impure;
  const bool selects = statement.kind == write || statement.kind == pinning;
  if (postgres && selects && !cursor.sees("CREATE") && !cursor.sees("INSERT")) {
    statement.makes = traits.into_name;
    statement.makes_temporary = traits.into_temporary && !traits.into_name.empty();
  }
  if (postgres && cursor.sees("EXPLAIN")) statement.executes = name_explained(cursor);
  if (postgres && statement.executes.empty() && (cursor.sees("CREATE") || cursor.sees("EXPLAIN"))) {
    statement.executes = traits.executes;
  }
  statement.sets_local = postgres && traits.sets_local;
  statement.may_copy =
      postgres && (statement.kind == copy || (statement.kind == other && traits.copies));
  return std::nullopt;
}

}  // namespace based::sql
