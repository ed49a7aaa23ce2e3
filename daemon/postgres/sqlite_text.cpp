#include "daemon/postgres/sqlite_text.h"

#include "daemon/postgres/sqlite_translator.h"

namespace based {

const StatementNotes* TranslatedText::notes_at(std::size_t offset) const {
  for (const StatementNotes& notes : statements) {
    if (notes.begin == offset) return &notes;
  }
  return nullptr;
}

namespace {

// Which types are arrays, as the driver postgres.js asks at login: none.
bool asks_for_array_types(std::string_view text) {
  const auto has = [text](std::string_view part) { return text.find(part) != text.npos; };
  return text.size() < 1024 && has("b.typarray") && has("pg_catalog.pg_type") &&
         has("a.typcategory = 'A'");
}

}  // namespace

Result<TranslatedText> translate_to_sqlite(std::string_view text, const SessionFacts& facts) {
  if (text.size() > translated_bytes_max) {
    TranslatedText same;
    same.text = text;
    return same;
  }
  if (!asks_for_array_types(text)) return SqliteTranslator(text, facts).run();
  auto none = SqliteTranslator("SELECT 0 AS oid, 0 AS typarray WHERE 0", facts).run();
  none->statements.front().written_end = text.size();
  none->changed = true;
  return none;
}

std::string sqlite_literal(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') result += c;
    result += c;
  }
  return result += '\'';
}

}  // namespace based
