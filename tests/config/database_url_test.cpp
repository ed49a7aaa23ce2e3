#include "config/database_url.h"

#include <doctest/doctest.h>

#include <string>

using namespace based;

namespace {

DatabaseUrl parsed(const std::string& text) {
  auto url = parse_database_url(text);
  REQUIRE_MESSAGE(url.ok(), text);
  return *url;
}

std::string refusal(const std::string& text) {
  auto url = parse_database_url(text);
  REQUIRE_MESSAGE(!url.ok(), text);
  CHECK(url.error().sqlstate == sqlstate::invalid_parameter_value);
  return url.error().message;
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("three slashes before a sqlite path are relative, four absolute") {
  const auto relative = parsed("sqlite:///data/app.db");
  CHECK(relative.kind == DatabaseKind::sqlite);
  CHECK(relative.path == "data/app.db");
  CHECK(relative.name == "app");
  CHECK(relative.shown == "sqlite:///data/app.db");
  const auto absolute = parsed("sqlite:////var/lib/app.db");
  CHECK(absolute.path == "/var/lib/app.db");
  CHECK(absolute.name == "app");
}

TEST_CASE("a sqlite database in memory is called main") {
  for (const char* text :
       {"sqlite::memory:", "sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite:///:memory:"}) {
    const auto url = parsed(text);
    CHECK(url.path.empty());
    CHECK(url.name == "main");
  }
}

TEST_CASE("a sqlite database is called after its file, without the last suffix") {
  CHECK(parsed("sqlite:///app").name == "app");
  CHECK(parsed("sqlite:///app.test.sqlite3").name == "app.test");
  CHECK(parsed("sqlite:///a.b/app.db").name == "app");
  CHECK(parsed("sqlite:///.hidden").name == ".hidden");
  CHECK(parsed("sqlite:///my%20app.db").name == "my app");
  CHECK(parsed("sqlite:///my%20app.db").path == "my app.db");
}

TEST_CASE("a sqlite URL takes mode=ro and no other option") {
  CHECK_FALSE(parsed("sqlite:///a.db").read_only);
  CHECK(parsed("sqlite:///a.db?mode=ro").read_only);
  CHECK(parsed("sqlite:///a.db?mode=ro").path == "a.db");
  CHECK(holds(refusal("sqlite:///a.db?cache=shared"), "mode=ro"));
}

TEST_CASE("a sqlite URL that names a host, no file or half a path is refused with the reason") {
  CHECK(holds(refusal("sqlite://data/app.db"), "no host"));
  CHECK(holds(refusal("sqlite:app.db"), "three slashes"));
  CHECK(holds(refusal("sqlite:/app.db"), "three slashes"));
  CHECK(holds(refusal("sqlite:///"), "no file"));
  CHECK(holds(refusal("sqlite:////"), "no file"));
  CHECK(holds(refusal("sqlite:////var/lib/"), "no file"));
  CHECK(holds(refusal("sqlite:///.."), "no file"));
  CHECK(holds(refusal("sqlite:///a/.."), "no file"));
  CHECK(holds(refusal("sqlite:///a.db#part"), "%23"));
  CHECK(holds(refusal("sqlite:///a%00.db"), "NUL"));
}

TEST_CASE("a PostgreSQL URL reaches libpq as it was written") {
  for (const std::string text :
       {"postgresql://app:h%40sh@db.internal:5432/app?sslmode=verify-full&options=-c%20x%3D1",
        "postgres://h1:1,h2:2/app?target_session_attrs=read-write", "postgresql://%2Fvar%2Frun/app",
        "postgresql:///app?host=/run/pg&port=5433", "postgresql://"}) {
    const auto url = parsed(text);
    CHECK(url.kind == DatabaseKind::postgresql);
    CHECK(url.conninfo == text);
  }
}

TEST_CASE("a driver after the scheme is accepted and does not reach libpq") {
  CHECK(parsed("postgresql+asyncpg://u@h/app").conninfo == "postgresql://u@h/app");
  CHECK(parsed("postgres+psycopg2://u@h/app").conninfo == "postgres://u@h/app");
  CHECK(parsed("sqlite+pysqlite:///app.db").path == "app.db");
  CHECK_FALSE(parse_database_url("sqlite+:///app.db").ok());
}

TEST_CASE("a PostgreSQL database is called as libpq would call it") {
  CHECK(parsed("postgresql://u:p@h:1/app").name == "app");
  CHECK(parsed("postgresql:///app").name == "app");
  CHECK(parsed("postgresql://h/app.v2").name == "app.v2");
  CHECK(parsed("postgresql://h/a%2Db").name == "a-b");
  CHECK(parsed("postgresql://h1,h2/app?dbname=other").name == "other");
  CHECK(parsed("postgresql://h?dbname=other&dbname=last").name == "last");
  CHECK(parsed("postgresql://alice@h").name == "alice");
  CHECK(parsed("postgresql://alice:pw@h/").name == "alice");
  CHECK(parsed("postgresql://h?user=bob").name == "bob");
  CHECK(parsed("postgresql://localhost").name == "main");
}

TEST_CASE("it is known whether a URL says a user and a password") {
  CHECK(parsed("postgresql://u:p@h/d").has_user);
  CHECK(parsed("postgresql://u:p@h/d").has_password);
  CHECK(parsed("postgresql://u@h/d").has_user);
  CHECK_FALSE(parsed("postgresql://u@h/d").has_password);
  CHECK_FALSE(parsed("postgresql://u:@h/d").has_password);
  CHECK(parsed("postgresql://h/d?user=u&password=p").has_password);
  CHECK_FALSE(parsed("postgresql://h/d?sslpassword=p").has_password);
  CHECK_FALSE(parsed("postgresql://h/d").has_user);
}

TEST_CASE("what is no URL of ours is refused with the forms, and no refusal holds a password") {
  for (const std::string text :
       {":memory:", "", "app.db", "/var/lib/app.db", "mysql://app:hush@db/app", "://hush", "sqlite",
        "postgresql:app:hush", "postgresql:/app:hush@h", "sqlite://u:hush@h/x.db",
        "host=db password=hush", "postgresql://u:hush\n@h/d", "sqlite:///a\tb"}) {
    const std::string message = refusal(text);
    CHECK_MESSAGE(!holds(message, "hush"), text);
  }
  CHECK(holds(refusal("mysql://db/app"), "'mysql'"));
  CHECK(holds(refusal(":memory:"), "sqlite::memory:"));
  CHECK(holds(refusal("sqlite:///" + std::string(9000, 'x')), "8192"));
}

TEST_CASE("the shown form of a URL holds no password") {
  CHECK(parsed("postgresql+x://u:hush@h/d?password=hush").shown ==
        "postgresql+x://u:***@h/d?password=***");
}

TEST_CASE("a database's name is 1 to 63 letters, digits, '_', '-' or '.'") {
  for (const std::string name : {"a", "app", "App_2", "_x", "0", "a-b.c", ""}) {
    CHECK(check_database_name(name).ok() == !name.empty());
  }
  CHECK(check_database_name(std::string(63, 'a')).ok());
  CHECK_FALSE(check_database_name(std::string(64, 'a')).ok());
  for (const char* name : {".hidden", "-x", "a b", "a#1", "a/b", "\xc3\xa4", "a\"b"}) {
    CHECK_FALSE(check_database_name(name).ok());
  }
}
