#include "config/database_url.h"

#include <optional>

#include "config/secrets.h"

namespace based {
namespace {

constexpr auto npos = std::string_view::npos;
constexpr std::size_t url_bytes_max = 8192;  // far beyond any; what is longer is a mistake
constexpr std::string_view forms =
    "a database is sqlite:///relative.db, sqlite:////absolute.db, sqlite::memory: or "
    "postgresql://user@host/database";

Error bad(std::string message) {
  return Error::make(sqlstate::invalid_parameter_value, std::move(message));
}

struct Scheme {
  std::string_view name;  // without "+driver"
  std::string_view rest;  // from the colon's right
};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<Scheme> split_scheme(std::string_view url) {
  const std::size_t colon = url.find(':');
  if (colon == npos || colon == 0) return {};
  std::string_view scheme = url.substr(0, colon);
  for (const char c : scheme) {
    if (!is_letter(c) && !is_digit(c) && c != '+' && c != '-' && c != '.' && c != '_') return {};
  }
  const std::size_t plus = scheme.find('+');
  if (plus != npos) {
    if (plus + 1 == scheme.size()) return {};
    scheme = scheme.substr(0, plus);
  }
  return Scheme{scheme, url.substr(colon + 1)};
}

std::string_view last_component(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == npos ? path : path.substr(slash + 1);
}

std::string sqlite_name(std::string_view path) {
  const std::string_view file = last_component(path);
  const std::size_t dot = file.rfind('.');
  return std::string(dot == npos || dot == 0 ? file : file.substr(0, dot));
}

Result<void> read_sqlite_query(std::string_view query, DatabaseUrl& url) {
  if (query == "mode=ro") {
    url.read_only = true;
  } else if (query != "mode=rwc") {
    return bad("a sqlite URL takes no options but ?mode=ro; the others are keys of the file");
  }
  return {};
}

Result<DatabaseUrl> parse_sqlite(std::string_view rest, std::string_view whole) {
  DatabaseUrl url;
  url.kind = DatabaseKind::sqlite;
  url.shown = whole;
  url.name = "main";
  if (rest == ":memory:" || rest == "//" || rest == "///:memory:") return url;
  if (!rest.starts_with("//"))
    return bad("a sqlite URL has three slashes, or four for an absolute path; " +
               std::string(forms));
  if (!rest.starts_with("///"))
    return bad(
        "a sqlite URL names no host: three slashes for a relative path, four for an "
        "absolute one");
  std::string_view path = rest.substr(3);
  const std::size_t query = path.find('?');
  if (query != npos) {
    auto read = read_sqlite_query(path.substr(query + 1), url);
    if (!read) return std::move(read).error();
    path = path.substr(0, query);
  }
  if (path.find('#') != npos) return bad("a '#' in a path is written %23");
  url.path = decode_percent(path);
  if (url.path.find('\0') != npos) return bad("the path holds a NUL");
  const std::string_view file = last_component(url.path);
  if (file.empty() || file == "." || file == "..")
    return bad("the URL names no file; " + std::string(forms));
  url.name = sqlite_name(url.path);
  return url;
}

struct PostgresParts {
  std::string_view userinfo;
  std::string_view path;
  std::string_view query;
};

PostgresParts split_postgres(std::string_view rest) {
  PostgresParts parts;
  const std::size_t at = rest.find_first_of("@/");
  if (at != npos && rest[at] == '@') {
    parts.userinfo = rest.substr(0, at);
    rest.remove_prefix(at + 1);
  }
  const std::size_t query = rest.find('?');
  if (query != npos) {
    parts.query = rest.substr(query + 1);
    rest = rest.substr(0, query);
  }
  const std::size_t slash = rest.find('/');
  if (slash != npos) parts.path = rest.substr(slash + 1);
  return parts;
}

// The last value of an option of the query, as libpq counts.
std::string query_option(std::string_view query, std::string_view wanted) {
  std::string found;
  while (!query.empty()) {
    const std::string_view option = query.substr(0, query.find('&'));
    query.remove_prefix(option.size() == query.size() ? option.size() : option.size() + 1);
    const std::size_t equals = option.find('=');
    if (equals == npos) continue;
    if (decode_percent(option.substr(0, equals)) == wanted)
      found = decode_percent(option.substr(equals + 1));
  }
  return found;
}

Result<DatabaseUrl> parse_postgres(const Scheme& scheme, std::string_view whole) {
  if (!scheme.rest.starts_with("//")) return bad(std::string(forms));
  DatabaseUrl url;
  url.kind = DatabaseKind::postgresql;
  url.conninfo = std::string(scheme.name) + ":" + std::string(scheme.rest);
  url.shown = mask_secrets(whole);
  url.has_password = has_password(whole);
  const PostgresParts parts = split_postgres(scheme.rest.substr(2));
  std::string user = query_option(parts.query, "user");
  if (user.empty()) user = decode_percent(parts.userinfo.substr(0, parts.userinfo.find(':')));
  url.has_user = !user.empty();
  url.name = query_option(parts.query, "dbname");
  if (url.name.empty()) url.name = decode_percent(parts.path);
  if (url.name.empty()) url.name = user;  // as libpq chooses the database
  if (url.name.empty()) url.name = "main";
  return url;
}

}  // namespace

Result<DatabaseUrl> parse_database_url(std::string_view url) {
  if (url.size() > url_bytes_max)
    return bad("the URL has more than " + std::to_string(url_bytes_max) + " bytes");
  for (const char c : url) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return bad("the URL holds a control character");
  }
  const auto scheme = split_scheme(url);
  if (!scheme) return bad("this is not a URL; " + std::string(forms));
  if (scheme->name == "sqlite") return parse_sqlite(scheme->rest, url);
  if (scheme->name == "postgresql" || scheme->name == "postgres")
    return parse_postgres(*scheme, url);
  return bad("unknown scheme '" + std::string(scheme->name) + "'; " + std::string(forms));
}

std::string with_option(const std::string& url, std::string_view key, std::string_view value) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string longer = url;
  longer += url.find('?') == std::string::npos ? '?' : '&';
  longer += key;
  longer += '=';
  for (const char c : value) {
    if (is_letter(c) || is_digit(c)) {
      longer += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    longer += '%';
    longer += digits[byte >> 4];
    longer += digits[byte & 15];
  }
  return longer;
}

Result<void> check_database_name(std::string_view name) {
  constexpr std::size_t name_bytes_max = 63;
  bool valid = !name.empty() && name.size() <= name_bytes_max;
  for (const char c : name) {
    valid = valid && (is_letter(c) || is_digit(c) || c == '_' || c == '-' || c == '.');
  }
  if (valid) valid = is_letter(name.front()) || is_digit(name.front()) || name.front() == '_';
  if (valid) return {};
  return bad("'" + std::string(name) +
             "' cannot be a database's name: 1 to 63 letters, digits, '_', '-' or '.', beginning "
             "with a letter, a digit or '_'");
}

}  // namespace based
