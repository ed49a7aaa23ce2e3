#include "protocol/postgres/datetime.h"

#include <cstdio>

namespace based::postgres {
namespace {

struct Date {
  int year = 0;
  int month = 0;
  int day = 0;
};

constexpr int days_in_400_years = 146'097;
constexpr int days_to_2000_03_01 = 60;

// Counted from a March, a leap day is the last of its year (Howard Hinnant, "chrono-Compatible
// Low-Level Date Algorithms").
constexpr std::int32_t days_of(Date date) {
  const int year = date.month <= 2 ? date.year - 1 : date.year;
  const int era = (year >= 0 ? year : year - 399) / 400;
  const int year_of_era = year - era * 400;
  const int month = date.month > 2 ? date.month - 3 : date.month + 9;
  const int day_of_year = (153 * month + 2) / 5 + date.day - 1;
  const int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return (era - 5) * days_in_400_years + day_of_era + days_to_2000_03_01;
}

constexpr Date date_of(std::int32_t days) {
  const int shifted = days - days_to_2000_03_01 + 5 * days_in_400_years;
  const int era = (shifted >= 0 ? shifted : shifted - days_in_400_years + 1) / days_in_400_years;
  const int day_of_era = shifted - era * days_in_400_years;
  const int year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int month = (5 * day_of_year + 2) / 153;
  const int calendar_month = month < 10 ? month + 3 : month - 9;
  return {.year = year_of_era + era * 400 + (calendar_month <= 2 ? 1 : 0),
          .month = calendar_month,
          .day = day_of_year - (153 * month + 2) / 5 + 1};
}

constexpr std::int32_t first_day = days_of({1, 1, 1});
constexpr std::int32_t last_day = days_of({9999, 12, 31});
static_assert(days_of({2000, 1, 1}) == 0);
static_assert(date_of(first_day).year == 1 && date_of(last_day).day == 31);

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
  // Behind the point: in microseconds, rounded as PostgreSQL rounds what has nanoseconds.
  std::optional<std::int64_t> fraction() {
    std::int64_t value = 0;
    int count = 0;
    bool up = false;
    for (; !left_.empty() && left_.front() >= '0' && left_.front() <= '9'; ++count) {
      if (count < 6) value = value * 10 + (left_.front() - '0');
      if (count == 6) up = left_.front() >= '5';
      left_.remove_prefix(1);
    }
    if (count == 0) return std::nullopt;
    for (; count < 6; ++count) value *= 10;
    return value + (up ? 1 : 0);
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
  const Date date{static_cast<int>(*y), static_cast<int>(*m), static_cast<int>(*d)};
  if (date.month < 1 || date.month > 12 || date.day < 1) return std::nullopt;
  // A day that does not exist comes back as another one.
  const std::int32_t days = days_of(date);
  const Date back = date_of(days);
  if (back.month != date.month || back.day != date.day) return std::nullopt;
  return days;
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
  if (count < first_day || count > last_day) return std::nullopt;
  const Date date = date_of(count);
  char text[32];
  std::snprintf(text, sizeof text, "%04d-%02d-%02d", date.year, date.month, date.day);
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
