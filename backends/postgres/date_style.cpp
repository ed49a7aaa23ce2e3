#include "backends/postgres/date_style.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "backends/sql/words.h"

namespace based::postgres {
namespace {

struct DateStyle {
  std::string style;
  std::string order;
  bool readable = true;
};

bool begins_with_one(std::string_view word, std::initializer_list<std::string_view> heads) {
  return std::ranges::any_of(heads,
                             [word](std::string_view head) { return word.starts_with(head); });
}

void read_word(const std::string& word, DateStyle& read) {
  if (word == "iso" || word == "sql" || word.starts_with("postgres")) {
    read.style = word.starts_with("postgres") ? "postgres" : word;
  } else if (word.starts_with("german")) {
    read.style = "german";
    if (read.order.empty()) read.order = "dmy";
  } else if (word == "ymd") {
    read.order = "ymd";
  } else if (word == "dmy" || word.starts_with("euro")) {
    read.order = "dmy";
  } else if (word == "mdy" || begins_with_one(word, {"us", "noneuro"})) {
    read.order = "mdy";
  } else {
    read.readable = false;
  }
}

// Words in one literal or several, with commas or blanks between them.
DateStyle read(std::string_view text) {
  DateStyle found;
  std::string word;
  for (const char c : std::string(text) + ' ') {
    if (std::isalpha(static_cast<unsigned char>(c))) {
      word += c;
    } else if (c != ' ' && c != ',' && c != '\'' && c != '"') {
      found.readable = false;
    } else if (!word.empty()) {
      read_word(sql::lower_ascii(word), found);
      word.clear();
    }
  }
  return found;
}

}  // namespace

std::string changed_date_style(std::string_view before, std::string_view set) {
  const DateStyle old = read(before);
  DateStyle made = read(set);
  if (!made.readable) return std::string(set);
  if (made.style.empty()) made.style = old.style;
  if (made.order.empty()) made.order = old.order;
  if (made.style.empty() || made.order.empty()) return made.style + made.order;
  return made.style + ", " + made.order;
}

}  // namespace based::postgres
