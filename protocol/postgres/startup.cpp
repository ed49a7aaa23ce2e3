#include "protocol/postgres/startup.h"

#include <algorithm>
#include <array>
#include <utility>

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

// The server's switches of one letter, as far as a client may give them. One without a setting of
// its own has it in its argument.
struct Switch {
  char letter;
  bool has_argument;
  std::string_view setting;
  std::string_view value;  // empty: the argument
};
constexpr std::array switches{
    Switch{'B', true, "shared_buffers", ""},
    Switch{'e', false, "datestyle", "euro"},
    Switch{'F', false, "fsync", "false"},
    Switch{'h', true, "listen_addresses", ""},
    Switch{'i', false, "listen_addresses", "*"},
    Switch{'k', true, "unix_socket_directories", ""},
    Switch{'l', false, "ssl", "true"},
    Switch{'N', true, "max_connections", ""},
    Switch{'O', false, "allow_system_table_mods", "true"},
    Switch{'P', false, "ignore_system_indexes", "true"},
    Switch{'p', true, "port", ""},
    Switch{'S', true, "work_mem", ""},
    Switch{'s', false, "log_statement_stats", "true"},
    Switch{'W', true, "post_auth_delay", ""},
    Switch{'d', true, "", ""},
    Switch{'f', true, "", ""},
    Switch{'t', true, "", ""},
    Switch{'n', false, "", ""},  // of no effect
    Switch{'T', false, "", ""},
    Switch{'c', true, "", ""},
    Switch{'-', true, "", ""},
};

// What an argument stands for.
struct Named {
  char letter;
  std::string_view argument;
  std::string_view setting;
  std::string_view value;
};
constexpr std::array named{
    Named{'f', "s", "enable_seqscan", "false"},       Named{'f', "i", "enable_indexscan", "false"},
    Named{'f', "o", "enable_indexonlyscan", "false"}, Named{'f', "b", "enable_bitmapscan", "false"},
    Named{'f', "t", "enable_tidscan", "false"},       Named{'f', "n", "enable_nestloop", "false"},
    Named{'f', "m", "enable_mergejoin", "false"},     Named{'f', "h", "enable_hashjoin", "false"},
    Named{'t', "pa", "log_parser_stats", "true"},     Named{'t', "pl", "log_planner_stats", "true"},
    Named{'t', "e", "log_executor_stats", "true"},    Named{'d', "0", "log_min_messages", "notice"},
    Named{'d', "1", "log_min_messages", "debug1"},    Named{'d', "2", "log_min_messages", "debug2"},
    Named{'d', "3", "log_min_messages", "debug3"},    Named{'d', "4", "log_min_messages", "debug4"},
    Named{'d', "5", "log_min_messages", "debug5"},
};
constexpr std::array<std::string_view, 4> debugged{"log_statement", "debug_print_parse",
                                                   "debug_print_plan", "debug_print_rewritten"};

bool take_switch(const Switch& row, std::string_view argument, Startup& startup) {
  if (row.letter == 'c' || row.letter == '-') return add_assignment(argument, startup);
  if (!row.setting.empty()) {
    startup.settings.emplace_back(row.setting, row.value.empty() ? argument : row.value);
  }
  if (!row.setting.empty() || !row.has_argument) return true;
  const std::string_view said = row.letter == 't' && argument.starts_with('e') ? "e" : argument;
  for (const Named& meant : named) {
    if (meant.letter != row.letter || meant.argument != said) continue;
    startup.settings.emplace_back(meant.setting, meant.value);
    // From 2 on, one more for each step.
    const int steps = row.letter == 'd' ? said[0] - '1' : 0;
    for (int i = 0; i < steps; ++i) {
      startup.settings.emplace_back(debugged[static_cast<std::size_t>(i)], i == 0 ? "all" : "true");
    }
    return true;
  }
  return false;
}

// As getopt() takes the words: letters without an argument may follow each other in one.
Result<void> read_options(std::string_view text, Startup& startup) {
  const std::vector<std::string> words = split_options(text);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.size() < 2 || word[0] != '-') return bad_option(word);
    for (std::size_t at = 1; at < word.size(); ++at) {
      const auto row = std::ranges::find(switches, word[at], &Switch::letter);
      if (row == switches.end()) return bad_option(word);
      std::string_view argument;
      if (row->has_argument) {
        argument = std::string_view(word).substr(at + 1);
        at = word.size();
        const bool apart = argument.empty() && row->letter != '-';
        if (apart && i + 1 == words.size()) return bad_option(word);
        if (apart) argument = words[++i];
      }
      if (!take_switch(*row, argument, startup)) return bad_option(word);
    }
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
  std::string_view options;
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
      options = value;
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
  // Wherever they stand, the server takes them first: what has a name of its own counts.
  const auto named_settings = std::exchange(startup.settings, {});
  if (Result<void> read = read_options(options, startup); !read) return std::move(read).error();
  startup.settings.insert(startup.settings.end(), named_settings.begin(), named_settings.end());
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
