#include "daemon/postgres/sqlite_text.h"

#include "daemon/postgres/sqlite_translator.h"

namespace based {

const StatementNotes* TranslatedText::notes_at(std::size_t offset) const {
  for (const StatementNotes& notes : statements) {
    if (notes.begin == offset) return &notes;
  }
  return nullptr;
}

Result<TranslatedText> translate_to_sqlite(std::string_view text, const SessionFacts& facts) {
  if (text.size() > translated_bytes_max) {
    TranslatedText same;
    same.text = text;
    return same;
  }
  return SqliteTranslator(text, facts).run();
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
