#include "config/secrets.h"

#include <algorithm>
#include <array>
#include <vector>

namespace based {
namespace {

// Where the text has secrets: half-open ranges, in order.
struct Range {
  std::size_t begin;
  std::size_t end;
  bool server_password;
};

// libpq's options with secret values, of any version. Compared without regard to case: a misspelt
// PASSWORD is still somebody's password.
constexpr std::array<std::string_view, 5> secret_keys = {
    "password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"};

constexpr auto npos = std::string_view::npos;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool same_word(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

bool is_secret_key(std::string_view key) {
  for (const std::string_view secret : secret_keys) {
    if (same_word(key, secret)) return true;
  }
  return false;
}

int hex_digit(char c) {
  const char d = lower(c);
  if (d >= '0' && d <= '9') return d - '0';
  return d >= 'a' && d <= 'f' ? d - 'a' + 10 : -1;
}

// "h1:5432,[::1]:5433": hosts with ports and nothing that could be a password.
bool is_host_list(std::string_view authority) {
  while (!authority.empty()) {
    std::string_view host = authority.substr(0, authority.find(','));
    authority.remove_prefix(host.size() == authority.size() ? host.size() : host.size() + 1);
    if (host.starts_with('[') && host.find(']') != npos) host.remove_prefix(host.find(']') + 1);
    const std::size_t colon = host.find(':');
    if (colon == npos) continue;
    if (host.find_first_not_of("0123456789", colon + 1) != npos) return false;
  }
  return true;
}

// Where the query begins: at a '?' that an '=' follows before any '@'. A '?' before an '@' belongs
// to a password that should have been escaped.
std::size_t find_query(std::string_view url, std::size_t begin) {
  std::size_t question = url.find('?', begin);
  while (question != npos) {
    const std::size_t at = url.find('@', question);
    if (at == npos || url.find('=', question) < at) break;
    question = url.find('?', at);
  }
  return question;
}

// user:password before the host: up to the last '@', although libpq ends it at the first.
void find_in_authority(std::string_view url, std::size_t begin, std::vector<Range>& ranges) {
  const std::size_t colon = url.find(':', begin);
  if (colon == npos) return;
  const std::size_t query = find_query(url, begin);
  if (query < colon) return;
  const std::size_t at = url.substr(0, query).rfind('@');
  if (at != npos && at >= begin) {
    if (at > colon) ranges.push_back({colon + 1, at, true});
    return;
  }
  const std::size_t end = std::min(url.find_first_of("/?", begin), url.size());
  if (colon < end && !is_host_list(url.substr(begin, end - begin)))
    ranges.push_back({colon + 1, end, true});
}

void find_in_query(std::string_view url, std::size_t begin, std::vector<Range>& ranges) {
  std::size_t at = begin;
  while (at < url.size()) {
    std::size_t end = url.find('&', at);
    if (end == npos) end = url.size();
    const std::size_t equals = url.find('=', at);
    if (equals != npos && equals < end) {
      const std::string key = decode_percent(url.substr(at, equals - at));
      if (is_secret_key(key)) ranges.push_back({equals + 1, end, same_word(key, "password")});
    }
    at = end + 1;
  }
}

// "key = value" and "key='a \' b'", as libpq reads them.
void find_in_conninfo(std::string_view text, std::vector<Range>& ranges) {
  std::size_t at = 0;
  while (at < text.size()) {
    while (at < text.size() && is_space(text[at])) ++at;
    const std::size_t key_begin = at;
    while (at < text.size() && !is_space(text[at]) && text[at] != '=') ++at;
    const std::string_view key = text.substr(key_begin, at - key_begin);
    while (at < text.size() && is_space(text[at])) ++at;
    if (at >= text.size() || text[at] != '=') continue;
    ++at;
    while (at < text.size() && is_space(text[at])) ++at;
    const std::size_t value_begin = at;
    const bool quoted = at < text.size() && text[at] == '\'';
    if (quoted) ++at;
    while (at < text.size() && (quoted ? text[at] != '\'' : !is_space(text[at]))) {
      at += text[at] == '\\' ? 2 : 1;
    }
    if (quoted) ++at;
    if (at > text.size()) at = text.size();
    if (is_secret_key(key)) ranges.push_back({value_begin, at, same_word(key, "password")});
  }
}

std::vector<Range> find_secrets(std::string_view text) {
  std::vector<Range> ranges;
  const std::size_t scheme = text.find("://");
  if (scheme == npos || text.find_first_of(" ='") < scheme) {
    find_in_conninfo(text, ranges);
    return ranges;
  }
  find_in_authority(text, scheme + 3, ranges);
  const std::size_t query = find_query(text, scheme + 3);
  if (query != npos) find_in_query(text, query + 1, ranges);
  return ranges;
}

}  // namespace

std::string mask_secrets(std::string_view text) {
  std::string masked;
  std::size_t copied = 0;
  for (const Range& range : find_secrets(text)) {
    masked += text.substr(copied, range.begin - copied);
    masked += secret_mask;
    copied = range.end;
  }
  masked += text.substr(copied);
  return masked;
}

bool has_password(std::string_view text) {
  for (const Range& range : find_secrets(text)) {
    if (range.server_password && range.end > range.begin) return true;
  }
  return false;
}

std::string decode_percent(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && text.size() - i >= 3 && hex_digit(text[i + 1]) >= 0 &&
                        hex_digit(text[i + 2]) >= 0;
    if (escape) {
      decoded += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

}  // namespace based
