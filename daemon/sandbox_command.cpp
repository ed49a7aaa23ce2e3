#include "daemon/sandbox_command.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/postgres/one_query.h"
#include "backends/sql/script.h"
#include "config/command_line.h"

namespace based {
namespace {

constexpr const char* usage =
    "usage: based sandbox [--host HOST | --socket FOLDER] [--port N] [--user NAME]\n"
    "                     DATABASE[#NAME] COMMAND\n"
    "  COMMAND is status, list, log, reset, reset to MARK, mark MARK or drop. The default is\n"
    "  127.0.0.1, port 6432; libpq's variables count (PGHOST, PGPORT, PGUSER, PGPASSWORD).\n";

constexpr int exit_refused = 1;

struct Asked {
  postgres::ConnectionKeywords keywords;
  std::string sql;
};

struct OptionRow {
  std::string_view name;
  const char* keyword;  // libpq's
};
constexpr std::array<OptionRow, 4> options{
    {{"--host", "host"}, {"--socket", "host"}, {"--port", "port"}, {"--user", "user"}}};

void add_default(postgres::ConnectionKeywords& keywords, const char* keyword, const char* variable,
                 const char* value) {
  for (const auto& [given, text] : keywords) {
    if (given == keyword) return;
  }
  if (std::getenv(variable) == nullptr) keywords.emplace_back(keyword, value);
}

bool is_command(const std::string& sql) {
  const auto script = sql::parse_script(sql, Dialect::postgres, ParameterStyle::none);
  return script && (*script)->statements.size() == 1 &&
         (*script)->statements.front()->kind == StatementKind::sandbox;
}

// nullopt: they cannot be read.
std::optional<Asked> read(std::span<const char* const> arguments) {
  Asked asked;
  std::size_t next = 0;
  for (; next < arguments.size() && arguments[next][0] == '-'; ++next) {
    const std::string_view argument(arguments[next]);
    const std::size_t equals = argument.find('=');
    const char* keyword = nullptr;
    for (const OptionRow& row : options) {
      if (row.name == argument.substr(0, equals)) keyword = row.keyword;
    }
    if (keyword == nullptr) return std::nullopt;
    if (equals != std::string_view::npos) {
      asked.keywords.emplace_back(keyword, argument.substr(equals + 1));
    } else if (++next < arguments.size()) {
      asked.keywords.emplace_back(keyword, arguments[next]);
    } else {
      return std::nullopt;
    }
  }
  if (arguments.size() - next < 2) return std::nullopt;
  asked.keywords.emplace_back("dbname", arguments[next++]);
  asked.sql = "SANDBOX";
  for (; next < arguments.size(); ++next) asked.sql.append(" ").append(arguments[next]);
  add_default(asked.keywords, "host", "PGHOST", "127.0.0.1");
  add_default(asked.keywords, "port", "PGPORT", "6432");
  asked.keywords.emplace_back("application_name", "based sandbox");
  if (!is_command(asked.sql)) return std::nullopt;
  return asked;
}

std::string escaped(const std::optional<std::string>& cell) {
  if (!cell) return "\\N";
  std::string text;
  for (const char c : *cell) {
    if (c == '\t') {
      text += "\\t";
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '\\') {
      text += "\\\\";
    } else {
      text += c;
    }
  }
  return text;
}

void print(const std::vector<std::optional<std::string>>& cells) {
  std::string line;
  for (const auto& cell : cells) line.append(line.empty() ? "" : "\t").append(escaped(cell));
  std::printf("%s\n", line.c_str());
}

void tell(const Error& error) {
  const std::string code(error.sqlstate.text());
  std::fprintf(stderr, "based: %s (%s)\n", error.message.c_str(), code.c_str());
  for (const std::string& more : {error.detail, error.hint}) {
    if (!more.empty()) std::fprintf(stderr, "based: %s\n", more.c_str());
  }
}

// Nobody is there, or who is cannot now: the same may be asked again later.
bool is_away(const Error& error) {
  return error.sqlstate.klass() == "08" || error.sqlstate == sqlstate::too_many_connections ||
         error.sqlstate == sqlstate::admin_shutdown ||
         error.sqlstate == sqlstate::cannot_connect_now;
}

}  // namespace

int sandbox_command(std::span<const char* const> arguments) {
  const std::string_view first = arguments.empty() ? std::string_view() : arguments.front();
  if (first == "--help" || first == "-h") {
    std::fputs(usage, stdout);
    return 0;
  }
  const std::optional<Asked> asked = read(arguments);
  if (!asked) {
    std::fputs(usage, stderr);
    return static_cast<int>(ExitCode::usage);
  }
  const Result<postgres::QueryAnswer> answer = postgres::run_one_query(asked->keywords, asked->sql);
  if (!answer) {
    tell(answer.error());
    return is_away(answer.error()) ? static_cast<int>(ExitCode::unavailable) : exit_refused;
  }
  if (answer->columns.empty()) return 0;
  print({answer->columns.begin(), answer->columns.end()});
  for (const auto& row : answer->rows) print(row);
  return std::fflush(stdout) == 0 ? 0 : static_cast<int>(ExitCode::internal);
}

}  // namespace based
