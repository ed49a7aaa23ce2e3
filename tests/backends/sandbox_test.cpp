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

TEST_CASE("what fails at the end of its unit was no success") {
  SandboxLog log({.entries_max = 9, .bytes_max = 20, .text_bytes_max = 9});
  for (const std::uint64_t session : {1, 2, 1, 2}) {
    SandboxLogEntry made = entry(std::to_string(session));
    made.session = session;
    log.add(std::move(made));
  }
  log.fail_last(1, "23503", "gone");
  log.fail_last(7, "23503", "nobody");
  CHECK(log.entries()[0].sqlstate.empty());
  CHECK(log.entries()[2].sqlstate == "23503");
  CHECK(log.entries()[2].error == "gone");
  CHECK(log.entries()[3].sqlstate.empty());
  log.fail_last(2, "23503", "123456789 and more");
  CHECK(log.entries()[3].error == "123456789...");
  log.add(entry("12345"));  // its bytes count
  CHECK(log.entries().size() == 2);
}

TEST_CASE("what a front end answers by itself is in the log when it is answered") {
  SandboxLog log;
  SaidStatement said(&log, 3, "client");
  const TimePoint began{};
  const TimePoint over = began + std::chrono::milliseconds(5);
  said.done(1, over);  // nothing was said
  said.say("begin", 0, began);
  CHECK(log.entries().empty());
  said.done(1, over);
  said.say("commit", 1, over);
  said.failed(Error::make(sqlstate::transaction_rollback, "it had failed"), over);
  said.say("selec", 0, over);
  said.forget();
  said.done(0, over);
  REQUIRE(log.entries().size() == 2);
  const SandboxLogEntry& first = log.entries()[0];
  CHECK(first.statement == "begin");
  CHECK(first.level == 1);
  CHECK(first.session == 3);
  CHECK(first.client == "client");
  CHECK(first.duration == std::chrono::milliseconds(5));
  const SandboxLogEntry& second = log.entries()[1];
  CHECK(second.level == 1);
  CHECK(second.sqlstate == "40000");
  CHECK(second.error == "it had failed");
  SaidStatement none(nullptr, 3, "client");
  none.say("begin", 0, began);
  none.done(1, over);
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
