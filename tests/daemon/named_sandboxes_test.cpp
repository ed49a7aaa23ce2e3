#include "daemon/named_sandboxes.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "daemon/database_directory.h"
#include "tests/support/fake_database.h"
#include "tests/support/fake_reactor.h"
#include "tests/support/memory_log.h"

using namespace based;
using namespace std::chrono_literals;

namespace {

// "app" has sandboxes, "plain" has none.
struct Directory {
  explicit Directory(const SandboxLimits& limits = {.count_max = 2, .idle_max = 10s}) {
    DatabaseEntry app = entry_of("app");
    app.make_sandbox = [this](const std::string& name) -> Result<DatabaseEntry> {
      if (name == "app#bad") return Error::make(Sqlstate("58P01"), "bad");
      return entry_of(name);
    };
    directory.set_sandboxes(limits, reactor, log);
    directory.add(std::move(app));
    directory.add(entry_of("plain"));
  }
  DatabaseEntry entry_of(const std::string& name) {
    return {.database = std::make_unique<FakeDatabase>(
                reactor,
                FakeDatabase::Options{.name = name, .dialect = Dialect::postgres, .rooted = true})};
  }
  // The database's name, or the SQLSTATE.
  std::string find(std::string_view name, std::optional<std::int32_t> pid = std::nullopt) {
    const auto found = directory.find(name, pid);
    return found ? (*found)->database->name() : std::string(found.error().sqlstate.text());
  }
  const DatabaseEntry& entry(std::string_view name) { return **directory.find(name); }
  std::string present() const {
    std::string names;
    for (const auto* entry : directory.present()) names += entry->database->name() + " ";
    return names;
  }

  FakeReactor reactor;
  MemoryLog log;
  DatabaseDirectory directory;
};

}  // namespace

TEST_CASE("a sandbox is made when its name is first said, and is the same from then on") {
  Directory d;
  CHECK(d.find("app#w1") == "app#w1");
  const DatabaseEntry* one = &d.entry("app#w1");
  CHECK(&d.entry("app#w1") == one);
  CHECK(d.find("app") == "app");
  CHECK(d.find("app#w2") == "app#w2");
  CHECK(d.present() == "app plain app#w1 app#w2 ");
  CHECK(d.directory.all().size() == 2);
}

TEST_CASE("a name that no sandbox can have, or whose database has none, is refused") {
  Directory d;
  CHECK(d.find("app#") == "22023");
  CHECK(d.find("app#a b") == "22023");
  CHECK(d.find("app#a/b") == "22023");
  CHECK(d.find("app#" + std::string(64, 'x')) == "22023");
  CHECK(d.find("app#a#b") == "3D000");
  CHECK(d.find("app#" + std::string(63, 'x')).size() == 67);
  CHECK(d.find("app#A.b_c-1") == "app#A.b_c-1");
  CHECK(d.find("plain#w1") == "3D000");
  CHECK(d.directory.find("plain#w1").error().hint.find("sandboxes = true") != std::string::npos);
  CHECK(d.find("other#w1") == "3D000");
  CHECK(d.find("#w1") == "3D000");
  Directory e;
  CHECK(e.find("app#bad") == "58P01");
  CHECK(e.present() == "app plain ");
}

TEST_CASE("a sandbox is its database's where rights are asked for") {
  Directory d;
  CHECK(d.directory.owner_of("app#w1") == "app");
  CHECK(d.directory.owner_of("app") == "app");
  CHECK(d.directory.owner_of("other#w1") == "other#w1");
  d.directory.add(d.entry_of("odd#name"));
  CHECK(d.directory.owner_of("odd#name") == "odd#name");
  CHECK(d.find("odd#name") == "odd#name");
}

TEST_CASE("there is a limit to sandboxes, and one that is over makes room") {
  Directory d;
  std::optional<DatabaseUse> one(d.entry("app#1")), two(d.entry("app#2"));
  CHECK(d.find("app#3") == "53300");
  CHECK(d.find("app#1") == "app#1");
  one.reset();
  CHECK(d.find("app#3") == "53300");  // what it holds is not thrown away yet
  d.reactor.advance(20s);
  CHECK(d.find("app#3") == "app#3");
  CHECK(d.present() == "app plain app#2 app#3 ");
}

TEST_CASE("a sandbox that nobody uses is closed after its time, a used one never") {
  Directory d;
  std::optional<DatabaseUse> use(d.entry("app#used"));
  d.find("app#unused");
  d.reactor.advance(9s);
  CHECK(d.present() == "app plain app#unused app#used ");
  d.reactor.advance(5s);
  CHECK(d.present() == "app plain app#used ");
  CHECK(d.log.text().find("sandbox app#unused: closed") != std::string::npos);
  d.reactor.advance(100s);
  CHECK(d.present() == "app plain app#used ");
  use.reset();
  d.reactor.advance(9s);
  CHECK(d.present() == "app plain app#used ");
  d.reactor.advance(8s);
  CHECK(d.present() == "app plain ");
}

TEST_CASE("without a time a sandbox stays") {
  Directory d({.count_max = 2});
  d.find("app#w");
  d.reactor.advance(1000h);
  CHECK(d.present() == "app plain app#w ");
}

TEST_CASE("by process: each has its own, which is closed when the process has ended") {
  Directory d({.count_max = 3, .by_process = true});
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const std::string mine = d.find("app", ::getpid());
  CHECK(mine.starts_with("app#pid-" + std::to_string(::getpid()) + "-"));
  CHECK(d.find("app", ::getpid()) == mine);
  const std::string others = d.find("app", child);
  CHECK(others != mine);
  CHECK(d.find("app#named", ::getpid()) == "app#named");
  CHECK(d.find("plain", ::getpid()) == "plain");
  CHECK(d.find("app") == "app");
  CHECK(d.find("app", 0) == "app");
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  d.reactor.advance(20s);
  CHECK(d.present() == "app plain app#named " + mine + " ");
}

TEST_CASE("after the end nothing is closed behind the directory's back") {
  Directory d;
  d.find("app#w");
  d.directory.end();
  d.reactor.advance(100s);
  CHECK(d.present() == "app plain app#w ");
}
