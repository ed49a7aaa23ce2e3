#include "daemon/status.h"

#include <doctest/doctest.h>

using namespace based;

TEST_CASE("a status tree renders its leaves in one line a map, with the path to it") {
  DatabaseStatus database;
  database.name = "app";
  database.backend = "sqlite";
  database.lanes.push_back({.path = "/var/lib/my app.db", .state = "idle", .units = 3});
  const std::vector<std::string> lines = render_lines(
      StatusTree::Map{{"version", "1"}, {"databases", StatusTree::List{describe(database)}}});
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == "status: version=1");
  CHECK(lines[1] == "status.databases.0: name=app backend=sqlite force_rollback=false");
  CHECK(
      lines[2].starts_with("status.databases.0.lanes.0: path=\"/var/lib/my app.db\" state=idle "
                           "holder=0 waiting=0 units=3"));
}

TEST_CASE("sessions show their levels, the outermost first") {
  FrontEndStatus front_end;
  SessionStatus session;
  session.id = 7;
  session.levels = {{.name = "", .state = "open", .age_ms = 5}, {.name = "a", .state = "failed"}};
  front_end.sessions.push_back(session);
  const auto lines = render_lines(StatusTree::Map{{"native", describe(front_end)}});
  CHECK(lines[1].starts_with("status.native.sessions.0: id=7"));
  CHECK(lines[2] == "status.native.sessions.0.levels.0: name=\"\" state=open age_ms=5");
  CHECK(lines[3] == "status.native.sessions.0.levels.1: name=a state=failed age_ms=0");
}
