#include "config/command_line.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace based;

namespace {

ParsedCommandLine parse(std::vector<const char*> arguments) {
  return parse_command_line(arguments);
}

CommandLine good(std::vector<const char*> arguments) {
  auto parsed = parse(std::move(arguments));
  for (const ConfigProblem& problem : parsed.problems) FAIL(format_problem(problem));
  return parsed.line;
}

// The only problem, as it is printed.
std::string complaint(std::vector<const char*> arguments) {
  const auto parsed = parse(std::move(arguments));
  REQUIRE(parsed.problems.size() == 1);
  return format_problem(parsed.problems.front());
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("without arguments the daemon serves its defaults") {
  const auto line = good({});
  CHECK(line.action == CommandLine::Action::serve);
  CHECK(line.urls.empty());
  CHECK_FALSE(line.config_file.has_value());
  CHECK_FALSE(line.force_rollback);
}

TEST_CASE("options and URLs may come in any order, values after a space or an equals sign") {
  const auto line =
      good({"sqlite::memory:", "--config", "a.toml", "--listen=:1", "--listen", "unix:/x",
            "--force-rollback", "postgresql://h/d", "--pool-size=7", "--log-level", "debug"});
  CHECK(line.urls == std::vector<std::string>{"sqlite::memory:", "postgresql://h/d"});
  CHECK(line.config_file == "a.toml");
  CHECK(line.listen == std::vector<ListenAddress>{{"127.0.0.1", 1, ""}, {"", 0, "/x"}});
  CHECK(line.force_rollback);
  CHECK(line.pool_size == 7u);
  CHECK(line.log_level == LogLevelSetting::debug);
  CHECK(good({"-c", "b.toml"}).config_file == "b.toml");
}

TEST_CASE("each action has its option, and help wins over everything") {
  CHECK(good({"--check-config"}).action == CommandLine::Action::check_config);
  CHECK(good({"--print-config"}).action == CommandLine::Action::print_config);
  CHECK(good({"--version"}).action == CommandLine::Action::version);
  CHECK(good({"-V"}).action == CommandLine::Action::version);
  CHECK(good({"--help", "--version"}).action == CommandLine::Action::help);
  CHECK(good({"--nonsense", "-h", "mysql://x"}).action == CommandLine::Action::help);
}

TEST_CASE("an unknown option is named, with the one that may have been meant") {
  CHECK(complaint({"--pool-sise", "--force-rollback"}) ==
        "--pool-sise: unknown option; did you mean --pool-size?");
  CHECK(complaint({"-x"}) == "-x: unknown option");
  CHECK(holds(complaint({"-"}), "not a URL"));
}

TEST_CASE("after -- everything is a URL") {
  CHECK(good({"--", "sqlite::memory:"}).urls.size() == 1);
  CHECK(holds(complaint({"--", "--help"}), "not a URL"));
}

TEST_CASE("a value that is missing, superfluous, repeated or wrong is a problem") {
  CHECK(holds(complaint({"--config"}), "needs a value"));
  CHECK(holds(complaint({"--config="}), "needs a value"));
  CHECK(holds(complaint({"--config", "a", "--config", "b"}), "twice"));
  CHECK(holds(complaint({"--force-rollback=yes"}), "takes no value"));
  CHECK(holds(complaint({"--listen", "6432"}), "host:port"));
  CHECK(holds(complaint({"--log-level", "debg"}), "did you mean debug?"));
  for (const char* size : {"0", "-1", "10001", "1x", "", "99999999999"}) {
    CHECK(holds(complaint({"--pool-size", size}), "from 1 to 10000"));
  }
}

TEST_CASE("all problems are found at once") {
  CHECK(parse({"--x", "--y", "mysql://h", "--pool-size", "0"}).problems.size() == 4);
}

TEST_CASE("a problem with a URL shows it without its password") {
  const auto text = complaint({"mysql://app:hush@db/app?password=hush"});
  CHECK(holds(text, "mysql://app:***@db/app?password=***"));
  CHECK_FALSE(holds(text, "hush"));
}

TEST_CASE("the help names every option, in lines that fit a terminal") {
  const std::string text = usage_text();
  for (const char* option :
       {"--config FILE", "--listen ADDR", "--force-rollback", "--pool-size N", "--check-config",
        "--print-config", "--log-level LEVEL", "--version", "--help", "BASED_PASSWORD"}) {
    CHECK_MESSAGE(holds(text, option), option);
  }
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = text.find('\n', begin);
    CHECK(end - begin <= 90);
    begin = end + 1;
  }
}
