#include "protocol/postgres/datetime.h"

#include <chrono>
#include <cstdio>

namespace based::postgres {
namespace {

using std::chrono::day;
using std::chrono::days;
using std::chrono::month;
using std::chrono::sys_days;
using std::chrono::year;
using std::chrono::year_month_day;

constexpr sys_days epoch = sys_days(year(2000) / 1 / 1);

// Takes pieces from the front of a text; nothing more after one that did not fit.
class Pieces {
 public:
  explicit Pieces(std::string_view text) : left_(text) {}

  bool done() const { return left_.empty(); }
  bool accept(char c) {
    if (left_.empty() || left_.front() != c) return false;
    left_.remove_prefix(1);
    return true;
  }
  // Exactly so many digits.
  std::optional<std::int64_t> digits(std::size_t count) {
    if (left_.size() < count) return std::nullopt;
    std::int64_t value = 0;
    for (const char c : left_.substr(0, count)) {
      if (c < '0' || c > '9') return std::nullopt;
      value = value * 10 + (c - '0');
    }
    left_.remove_prefix(count);
    return value;
  }
  // Behind the point: in microseconds.
  std::optional<std::int64_t> fraction() {
    std::int64_t value = 0;
    int count = 0;
    for (; !left_.empty() && left_.front() >= '0' && left_.front() <= '9'; ++count) {
      if (count >= 6 && left_.front() != '0') return std::nullopt;
      if (count < 6) value = value * 10 + (left_.front() - '0');
      left_.remove_prefix(1);
    }
    if (count == 0) return std::nullopt;
    for (; count < 6; ++count) value *= 10;
    return value;
  }

 private:
  std::string_view left_;
};

std::optional<std::int32_t> take_date(Pieces& pieces) {
  const auto y = pieces.digits(4);
  if (!y || !pieces.accept('-')) return std::nullopt;
  const auto m = pieces.digits(2);
  if (!m || !pieces.accept('-')) return std::nullopt;
  const auto d = pieces.digits(2);
  if (!d || *y == 0) return std::nullopt;
  const year_month_day date{year(static_cast<int>(*y)), month(static_cast<unsigned>(*m)),
                            day(static_cast<unsigned>(*d))};
  if (!date.ok()) return std::nullopt;
  return static_cast<std::int32_t>((sys_days(date) - epoch).count());
}

std::optional<std::int64_t> take_time(Pieces& pieces) {
  const auto hours = pieces.digits(2);
  if (!hours || !pieces.accept(':')) return std::nullopt;
  const auto minutes = pieces.digits(2);
  if (!minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  std::int64_t microseconds = (*hours * 60 + *minutes) * 60'000'000;
  if (!pieces.accept(':')) return microseconds;
  const auto seconds = pieces.digits(2);
  if (!seconds || *seconds > 59) return std::nullopt;
  microseconds += *seconds * 1'000'000;
  if (!pieces.accept('.')) return microseconds;
  const auto fraction = pieces.fraction();
  if (!fraction) return std::nullopt;
  return microseconds + *fraction;
}

// False: malformed.
bool take_offset(Pieces& pieces, DateTime& result) {
  if (pieces.accept('Z')) return result.offset_seconds = 0, true;
  const bool west = pieces.accept('-');
  if (!west && !pieces.accept('+')) return false;
  const auto hours = pieces.digits(2);
  if (!hours || *hours > 15) return false;
  std::int64_t seconds = *hours * 3600;
  if (!pieces.done()) {
    pieces.accept(':');
    const auto minutes = pieces.digits(2);
    if (!minutes || *minutes > 59) return false;
    seconds += *minutes * 60;
  }
  result.offset_seconds = static_cast<std::int32_t>(west ? -seconds : seconds);
  return true;
}

}  // namespace

std::optional<DateTime> parse_datetime(std::string_view text) {
  Pieces pieces(text);
  DateTime result;
  const auto date = take_date(pieces);
  if (!date) return std::nullopt;
  result.days = *date;
  if (pieces.done()) return result;
  if (!pieces.accept(' ') && !pieces.accept('T')) return std::nullopt;
  const auto time = take_time(pieces);
  if (!time) return std::nullopt;
  result.has_time = true;
  result.microseconds = *time;
  if (pieces.done()) return result;
  if (!take_offset(pieces, result) || !pieces.done()) return std::nullopt;
  return result;
}

std::optional<std::int64_t> parse_time(std::string_view text) {
  Pieces pieces(text);
  const auto time = take_time(pieces);
  return pieces.done() ? time : std::nullopt;
}

std::optional<std::string> date_text(std::int32_t count) {
  constexpr std::int32_t first =
      static_cast<std::int32_t>((sys_days(year(1) / 1 / 1) - epoch).count());
  constexpr std::int32_t last =
      static_cast<std::int32_t>((sys_days(year(9999) / 12 / 31) - epoch).count());
  if (count < first || count > last) return std::nullopt;
  const year_month_day date(epoch + days(count));
  char text[32];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  return text;
}

std::optional<std::string> time_text(std::int64_t microseconds) {
  if (microseconds < 0 || microseconds > day_microseconds) return std::nullopt;
  const std::int64_t seconds = microseconds / 1'000'000;
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%02d:%02d:%02d", static_cast<int>(seconds / 3600),
                static_cast<int>(seconds / 60 % 60), static_cast<int>(seconds % 60));
  std::string text = buffer;
  const int fraction = static_cast<int>(microseconds % 1'000'000);
  if (fraction == 0) return text;
  std::snprintf(buffer, sizeof buffer, ".%06d", fraction);
  text += buffer;
  while (text.back() == '0') text.pop_back();
  return text;
}

std::optional<std::string> timestamp_text(std::int64_t microseconds) {
  std::int64_t count = microseconds / day_microseconds;
  std::int64_t rest = microseconds % day_microseconds;
  if (rest < 0) {
    rest += day_microseconds;
    --count;
  }
  if (count < INT32_MIN || count > INT32_MAX) return std::nullopt;
  const auto date = date_text(static_cast<std::int32_t>(count));
  if (!date) return std::nullopt;
  return *date + ' ' + *time_text(rest);
}

}  // namespace based::postgres
