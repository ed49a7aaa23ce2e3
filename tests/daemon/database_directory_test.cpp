#include "daemon/database_directory.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "tests/support/fake_database.h"
#include "tests/support/fake_reactor.h"
#include "tests/support/memory_log.h"

using namespace based;
using namespace std::chrono_literals;

namespace {

// A directory with one configured database, "app", and a catch-all.
struct Directory {
  explicit Directory(std::size_t databases_max = 2, Duration unused_max = 10s,
                     bool rooted = false) {
    directory.add(fake("app", false), {});
    directory.set_catch_all(
        {.make = [this, rooted](const std::string& name) -> Result<DatabaseDirectory::Entry> {
           if (name == "bad") return Error::make(Sqlstate("22023"), "bad");
           return DatabaseDirectory::Entry{.database = fake(name, rooted)};
         },
         .databases_max = databases_max,
         .unused_max = unused_max},
        reactor, log);
  }
  std::unique_ptr<Database> fake(const std::string& name, bool rooted) {
    return std::make_unique<FakeDatabase>(
        reactor,
        FakeDatabase::Options{.name = name, .dialect = Dialect::postgres, .rooted = rooted});
  }
  // The database's name, or the SQLSTATE.
  std::string find(std::string_view name) {
    const auto found = directory.find(name);
    return found ? (*found)->database->name() : std::string(found.error().sqlstate.text());
  }
  const DatabaseDirectory::Entry& entry(std::string_view name) { return **directory.find(name); }
  std::string present() const {
    std::string names;
    for (const auto* entry : directory.present()) names += entry->database->name() + " ";
    return names;
  }

  FakeReactor reactor;
  MemoryLog log;
  DatabaseDirectory directory;
};

using Use = DatabaseDirectory::Use;

}  // namespace

TEST_CASE("without a catch-all a name that nobody configured is 3D000") {
  FakeReactor reactor;
  DatabaseDirectory directory;
  CHECK(directory.find("").error().sqlstate == sqlstate::invalid_catalog_name);
  directory.add(std::make_unique<FakeDatabase>(reactor, FakeDatabase::Options{.name = "app"}), {});
  CHECK((*directory.find(""))->database->name() == "app");
  CHECK((*directory.find("app"))->database->name() == "app");
  CHECK(directory.find("other").error().message == "database \"other\" does not exist");
}

TEST_CASE("a configured name is itself, any other is made once") {
  Directory d;
  CHECK(d.find("app") == "app");
  CHECK(d.find("") == "app");
  CHECK(d.present() == "app ");
  CHECK(d.find("a b\"*") == "a b\"*");
  const auto* made = &d.entry("a b\"*");
  CHECK(&d.entry("a b\"*") == made);
  CHECK(d.present() == "app a b\"* ");
  CHECK(d.directory.all().size() == 1);
}

TEST_CASE("what PostgreSQL cannot have as a name is not made") {
  Directory d;
  CHECK(d.find(std::string(63, 'x')).size() == 63);
  CHECK(d.find(std::string(64, 'x')) == "3D000");
  CHECK(d.find(std::string_view("a\0b", 3)) == "3D000");
  CHECK(d.find("bad") == "22023");
  CHECK(d.present() == "app " + std::string(63, 'x') + " ");
}

TEST_CASE("for one too many the one that is unused for the longest time goes") {
  Directory d;
  {
    const Use a(d.entry("a"));
    const Use b(d.entry("b"));
    CHECK(d.find("c") == "53300");
  }
  CHECK(d.find("c") == "c");  // they are equal: the first by name goes
  CHECK(d.present() == "app b c ");
  std::optional<Use> use(d.entry("b"));
  d.reactor.advance(5s);
  CHECK(d.find("d") == "d");
  CHECK(d.present() == "app b d ");
  use.reset();
  d.reactor.advance(3s);  // unused since a sweep between; d is unused for longer
  CHECK(d.find("e") == "e");
  CHECK(d.present() == "app b e ");
}

TEST_CASE("a database is forgotten when it was unused for its time, and can be made again") {
  Directory d(10, 10s);
  std::optional<Use> use(d.entry("used"));
  d.find("unused");
  d.reactor.advance(9s);
  CHECK(d.present() == "app unused used ");
  d.reactor.advance(5s);
  CHECK(d.present() == "app used ");
  d.reactor.advance(100s);
  CHECK(d.present() == "app used ");
  use.reset();
  d.reactor.advance(9s);
  CHECK(d.present() == "app used ");
  d.reactor.advance(6s);
  CHECK(d.present() == "app ");
  CHECK(d.find("used") == "used");
  CHECK(d.log.text().find("database used: forgotten, nobody has used it for long\n") !=
        std::string::npos);
}

TEST_CASE("with no time set only its place makes a database go") {
  Directory d(1, 0s);
  d.find("a");
  d.reactor.advance(std::chrono::hours(1000));
  CHECK(d.present() == "app a ");
  CHECK(d.find("b") == "b");
  CHECK(d.present() == "app b ");
}

TEST_CASE("a sandbox is never forgotten") {
  Directory d(1, 10s, true);
  d.find("a");
  d.reactor.advance(std::chrono::hours(1));
  CHECK(d.find("b") == "53300");
  CHECK(d.present() == "app a ");
}

TEST_CASE("after the end nothing is made or forgotten") {
  Directory d;
  d.find("a");
  d.directory.end();
  d.reactor.advance(std::chrono::hours(1));
  CHECK(d.present() == "app a ");
  CHECK(d.find("b") == "3D000");
}
