#include "backends/sql/setting_value.h"

#include <cstddef>

#include "backends/sql/session_calls.h"
#include "backends/sql/words.h"

namespace based::sql {

std::string plain_value(std::string_view value) {
  std::string read;
  if (read_string_constant(value, read)) return read;
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
  }
  return std::string(value);
}

std::optional<bool> bool_of(std::string_view value) {
  const std::string text = lower_ascii(plain_value(value));
  const auto begins = [&text](std::string_view word, std::size_t least) {
    return text.size() >= least && word.starts_with(text);
  };
  if (begins("true", 1) || begins("yes", 1) || begins("on", 2) || text == "1") return true;
  if (begins("false", 1) || begins("no", 1) || begins("off", 2) || text == "0") return false;
  return std::nullopt;
}

}  // namespace based::sql
