// What a PostgreSQL client writes, as SQLite takes it; and what the tokens say about types.
//
// Translated: `x::type` to CAST (text-like types such as date, uuid and json keep the text as it
// is), E'...' strings, and the functions that ask about the session (version(), current_database(),
// current_schema(), current_user, session_user, pg_backend_pid(), current_setting(), set_config(),
// pg_advisory_unlock_all(), pg_is_in_recovery()) to literals. `pg_catalog.` before them is dropped.
// All else is SQLite's SQL, and stays as it is. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace based {

// Longer texts are bulk data: they are not translated.
inline constexpr std::size_t translated_bytes_max = 8u << 20;

// What the functions above answer.
struct SessionFacts {
  std::string version;
  std::string database;
  std::string user;
  std::int32_t process_id = 0;
  // nullopt: there is no such setting.
  std::function<std::optional<std::string>(std::string_view name)> setting;
};

// What is known of a parameter from where it stands.
struct ParameterHint {
  std::uint32_t number = 0;  // from 1
  std::uint32_t oid = 0;     // 0: the type of the column
  std::string column;
  std::uint32_t ordinal = 0;  // or, with neither: the column of that number, from 1
};

struct SetConfig {
  std::string name;
  std::string value;
  bool local = false;
};

// About one statement.
struct StatementNotes {
  std::size_t begin = 0;          // of its first token in the translated text
  std::size_t written_begin = 0;  // of what the client wrote, in its text
  std::size_t written_end = 0;
  std::vector<std::uint32_t> item_types;  // of the result's first columns; 0: not known from here
  bool returning = false;                 // the items are RETURNING's
  std::vector<ParameterHint> hints;
  std::vector<std::string> tables;  // after FROM, JOIN, INTO and UPDATE
  std::vector<SetConfig> set_configs;
  bool reads_settings = false;  // its literals are of now: to be translated again when it runs
  bool catalogue = false;       // asks PostgreSQL's catalogue
};

struct TranslatedText {
  std::string text;
  bool changed = false;
  std::vector<StatementNotes> statements;

  // Of the statement that begins at this offset; nullptr: none.
  const StatementNotes* notes_at(std::size_t offset) const;
};

// 0A000 for a cast to a type that has no counterpart, 42704 for a setting that does not exist. What
// cannot be read is left to SQLite.
Result<TranslatedText> translate_to_sqlite(std::string_view text, const SessionFacts& facts);

// 'text' as a literal.
std::string sqlite_literal(std::string_view text);

}  // namespace based
