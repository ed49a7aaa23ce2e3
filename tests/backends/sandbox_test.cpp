#include <doctest/doctest.h>

#include <string>

#include "backends/sandbox_answer.h"

namespace based {
namespace {

SandboxLogEntry entry(std::string statement) {
  SandboxLogEntry made;
  made.statement = std::move(statement);
  return made;
}

class OneSandbox final : public Sandbox {
 public:
  void mark(const std::string& name, Done) override { asked = "mark " + name; }
  void reset(const std::optional<std::string>& mark, Done) override {
    asked = "reset " + mark.value_or("all");
  }
  void drop(Done) override { asked = "drop"; }
  SandboxStatus status() const override {
    SandboxStatus status;
    status.name = "shop#1";
    status.marks = {"a", "b"};
    return status;
  }
  std::vector<SandboxStatus> list() const override { return {status(), status()}; }
  SandboxLog& log() override { return log_; }

  std::string asked;

 private:
  SandboxLog log_;
};

TEST_CASE("a sandbox's log keeps the newest entries, bounded in number and bytes") {
  SandboxLog log({.entries_max = 3, .bytes_max = 10, .text_bytes_max = 6});
  for (const char* text : {"aa", "bb", "cc", "dd"}) log.add(entry(text));
  REQUIRE(log.entries().size() == 3);
  CHECK(log.entries().front().statement == "bb");
  CHECK(log.entries().front().number == 2);
  log.add(entry("123456"));
  REQUIRE(log.entries().size() == 3);
  CHECK(log.entries().front().statement == "cc");
  log.add(entry("12345\u00e9"));  // never a half character
  REQUIRE(log.entries().size() == 1);
  CHECK(log.entries().front().statement == "12345...");
  log.clear();
  log.add(entry("x"));
  CHECK(log.entries().front().number == 7);
}

TEST_CASE("each SANDBOX command has its tag, and a value for each of its columns") {
  OneSandbox sandbox;
  sandbox.log().add(entry("SELECT 1"));
  for (const SandboxVerb verb : {SandboxVerb::status, SandboxVerb::list, SandboxVerb::log}) {
    CHECK_FALSE(sandbox_changes(verb));
    const auto rows = sandbox_rows(verb, sandbox);
    CHECK(rows.size() == (verb == SandboxVerb::list ? 2 : 1));
    const auto columns = sandbox_columns(verb);
    REQUIRE(rows[0].size() == columns.size());
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const ValueKind kind = rows[0][i].kind;
      CHECK((kind == ValueKind::null ||
             kind == (columns[i].number ? ValueKind::int64 : ValueKind::text)));
    }
  }
  CHECK(sandbox_rows(SandboxVerb::status, sandbox)[0][9].data == "a b");
  CHECK(sandbox_tag(SandboxVerb::reset) == "SANDBOX RESET");
  CHECK(sandbox_columns(SandboxVerb::reset).empty());
}

TEST_CASE("a changing SANDBOX command goes to its function") {
  OneSandbox sandbox;
  const auto run = [&](SandboxVerb verb, std::string name) {
    Statement statement;
    statement.kind = StatementKind::sandbox;
    statement.verb = verb;
    statement.name = std::move(name);
    change_sandbox(statement, sandbox, {});
    return sandbox.asked;
  };
  CHECK(run(SandboxVerb::mark, "a") == "mark a");
  CHECK(run(SandboxVerb::reset, "a") == "reset a");
  CHECK(run(SandboxVerb::reset, "") == "reset all");
  CHECK(run(SandboxVerb::drop, "") == "drop");
}

}  // namespace
}  // namespace based
