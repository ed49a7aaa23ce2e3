#include "config/start.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace based;

namespace {

Start begin(std::vector<const char*> arguments) {
  return start(
      arguments, [](const std::string&) { return std::nullopt; }, "1.2.3");
}

}  // namespace

TEST_CASE("questions are answered on standard output and end with 0") {
  CHECK(begin({"--version"}).output == "based 1.2.3\n");
  CHECK(begin({"--help"}).output.starts_with("usage: based"));
  CHECK(begin({"--check-config"}).output == "the settings are sound\n");
  CHECK(begin({"--print-config"}).output.find("[databases.main]") != std::string::npos);
  for (const char* question : {"--version", "--help", "--check-config", "--print-config"}) {
    const Start answered = begin({question});
    CHECK(answered.code == ExitCode::ok);
    CHECK_FALSE(answered.settings.has_value());
    CHECK(answered.errors.empty());
  }
}

TEST_CASE("a wrong command line ends with 64, wrong settings with 78, one line a problem") {
  const Start usage = begin({"--nonsense", "mysql://h"});
  CHECK(usage.code == ExitCode::usage);
  CHECK(usage.errors.starts_with("based: --nonsense: unknown option\nbased: 'mysql://h': "));
  CHECK(usage.output.empty());
  const Start config = begin({"--listen", "0.0.0.0:1", "sqlite:///a.db", "sqlite:///b/a.db"});
  CHECK(config.code == ExitCode::config);
  CHECK(config.errors.find("--listen: listen: other machines") != std::string::npos);
  CHECK(config.errors.find("the name 'a' is taken") != std::string::npos);
  CHECK_FALSE(config.settings.has_value());
  CHECK(begin({"--listen", "0.0.0.0:1", "--check-config"}).code == ExitCode::config);
}

TEST_CASE("without a question there are settings to serve with") {
  const Start serving = begin({"sqlite::memory:"});
  REQUIRE(serving.settings.has_value());
  CHECK(serving.settings->databases.size() == 1);
  CHECK(serving.output.empty());
}
