#include "backends/sqlite/tag.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "protocol/value.h"

namespace based::sqlite {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }

void skip_to_word(std::string_view& text) {
  while (!text.empty()) {
    if (text.starts_with("--")) {
      const auto end = text.find('\n');
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    } else if (text.starts_with("/*")) {
      const auto end = text.find("*/", 2);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
    } else if (is_space(text.front()) || text.front() == '(' || text.front() == ';') {
      text.remove_prefix(1);
    } else {
      return;
    }
  }
}

// The next word in upper case; "" at anything else.
std::string next_word(std::string_view& text) {
  skip_to_word(text);
  std::string word;
  while (!text.empty() && is_letter(text.front())) {
    word += static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
    text.remove_prefix(1);
  }
  return word;
}

// Words between CREATE or DROP and the kind of object.
constexpr std::array<std::string_view, 4> fillers = {"TEMP", "TEMPORARY", "UNIQUE", "VIRTUAL"};

}  // namespace

std::string command_tag(std::string_view text, const StatementFacts& facts) {
  auto word = next_word(text);
  if (word == "VALUES") return "SELECT";
  if (word == "REPLACE") return "INSERT";
  if (word == "WITH") {
    if (facts.inserts) return "INSERT";
    if (facts.updates) return "UPDATE";
    return facts.deletes ? "DELETE" : "SELECT";
  }
  if (word != "CREATE" && word != "DROP" && word != "ALTER") return word;
  auto object = next_word(text);
  while (std::ranges::find(fillers, object) != fillers.end()) object = next_word(text);
  return object.empty() ? word : word + " " + object;
}

std::string first_words(std::string_view text, std::size_t bytes_max) {
  std::string words;
  for (const char c : text) {
    const bool space = is_space(c);
    if (space && (words.empty() || words.back() == ' ')) continue;
    words += space ? ' ' : c;
    if (words.size() > bytes_max) break;
  }
  if (words.size() <= bytes_max) return words;
  words.resize(bytes_max);
  while (!words.empty() && !is_valid_utf8(words)) words.pop_back();
  return words + "...";
}

}  // namespace based::sqlite
