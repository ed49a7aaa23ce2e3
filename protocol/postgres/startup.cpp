#include "protocol/postgres/startup.h"

#include "protocol/postgres/body_reader.h"

namespace based::postgres {
namespace {

constexpr std::uint32_t cancel_code = 80877102;
constexpr std::uint32_t ssl_code = 80877103;
constexpr std::uint32_t gss_code = 80877104;
constexpr std::size_t secret_bytes_min = 4;
constexpr std::size_t secret_bytes_max = 256;

Error violation(std::string text) { return Error::make(Sqlstate("08P01"), std::move(text)); }

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Words between white space; a backslash takes the next character as it is (pg_split_opts).
std::vector<std::string> split_options(std::string_view text) {
  std::vector<std::string> words;
  std::size_t at = 0;
  while (at < text.size()) {
    if (is_space(text[at])) {
      ++at;
      continue;
    }
    std::string word;
    for (; at < text.size() && !is_space(text[at]); ++at) {
      if (text[at] == '\\' && at + 1 < text.size()) ++at;
      word += text[at];
    }
    words.push_back(std::move(word));
  }
  return words;
}

Error bad_option(const std::string& word) {
  return Error::make(sqlstate::syntax_error,
                     "invalid command-line argument for server process: " + word);
}

// name=value of -c and --; in the name a dash stands for an underscore.
bool add_assignment(std::string_view text, Startup& startup) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return false;
  std::string name = lower(text.substr(0, equals));
  for (char& c : name) {
    if (c == '-') c = '_';
  }
  startup.settings.emplace_back(std::move(name), text.substr(equals + 1));
  return true;
}

Result<void> read_options(std::string_view text, Startup& startup) {
  const std::vector<std::string> words = split_options(text);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    bool understood = false;
    if (word == "-c") {
      if (i + 1 < words.size()) understood = add_assignment(words[++i], startup);
    } else if (word.starts_with("--")) {
      understood = add_assignment(std::string_view(word).substr(2), startup);
    } else if (word.starts_with("-c")) {
      understood = add_assignment(std::string_view(word).substr(2), startup);
    }
    if (!understood) return bad_option(word);
  }
  return {};
}

}  // namespace

Result<StartupHead> decode_startup_head(std::string_view bytes) {
  BodyReader reader(bytes);
  StartupHead head;
  head.length = reader.take32();
  head.code = reader.take32();
  if (!reader.ok() || head.length < startup_head_bytes || head.length > startup_bytes_max) {
    return violation("invalid length of startup packet");
  }
  return head;
}

Result<StartupKind> startup_kind(const StartupHead& head) {
  if (head.code == cancel_code) return StartupKind::cancel;
  if (head.code == ssl_code) return StartupKind::ssl;
  if (head.code == gss_code) return StartupKind::gss_encryption;
  if (head.major() == 3) return StartupKind::start;
  return Error::make(sqlstate::feature_not_supported,
                     "unsupported frontend protocol " + std::to_string(head.major()) + "." +
                         std::to_string(head.minor()) + ": server supports 3.0 to 3.2");
}

Result<Startup> decode_startup(std::string_view body) {
  Startup startup;
  BodyReader reader(body);
  for (;;) {
    const std::string_view name = reader.take_text();
    if (!reader.ok()) return violation("invalid startup packet layout: expected terminator");
    if (name.empty()) break;
    const std::string_view value = reader.take_text();
    if (!reader.ok()) return violation("invalid startup packet layout: expected terminator");
    if (name == "user") {
      startup.user = value;
    } else if (name == "database") {
      startup.database = value;
    } else if (name == "replication") {
      startup.replication = value;
    } else if (name == "options") {
      if (Result<void> read = read_options(value, startup); !read) return std::move(read).error();
    } else if (name.starts_with("_pq_.")) {
      startup.protocol_options.emplace_back(name);
    } else {
      startup.settings.emplace_back(lower(name), value);
    }
  }
  if (!reader.at_end()) {
    return violation("invalid startup packet layout: expected terminator as last byte");
  }
  if (startup.user.empty()) {
    return Error::make(sqlstate::invalid_authorization,
                       "no PostgreSQL user name specified in startup packet");
  }
  return startup;
}

bool decode_cancel(std::string_view body, CancelKey& key) {
  BodyReader reader(body);
  key.process_id = static_cast<std::int32_t>(reader.take32());
  key.secret = reader.take_rest();
  return reader.ok() && key.secret.size() >= secret_bytes_min &&
         key.secret.size() <= secret_bytes_max;
}

}  // namespace based::postgres
