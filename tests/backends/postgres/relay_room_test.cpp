// A client's large messages, and a link that has no room for them at once.
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "backends/postgres/relay.h"
#include "protocol/postgres/frontend.h"
#include "tests/backends/postgres/pool_fixture.h"
#include "tests/support/wire_probe.h"

namespace based::postgres {

TEST_CASE("what waits for room on the link goes as soon as there is some, whenever that is") {
  PoolFixture app(small_pool(1));
  sql::StatementTable texts{Dialect::postgres};
  Pins pins;
  RelayContext context{.leases = app.pool,
                       .pins = pins,
                       .reactor = app.reactor,
                       .log = app.log,
                       .texts = texts,
                       .lease_timeout = std::chrono::seconds(5),
                       .connect_timeout = std::chrono::seconds(5),
                       .settings_timeout = std::chrono::seconds(5),
                       .prepared_max = 8};
  WireProbe probe([&context](WireClient& client) {
    return std::make_unique<Relay>(context, WireOptions{.session_id = 1}, client);
  });
  app.cluster.settle_all();
  REQUIRE(probe.started);
  for (int tries = 0; tries < 6; ++tries) {
    CAPTURE(tries);
    std::string messages;
    FrontendWriter writer(messages);
    writer.parse("", "insert " + std::string(out_bytes_high + 1000, 'x'), {});
    writer.begin_bind("", "", {});
    writer.end_bind();
    writer.execute("", 0);
    writer.sync();
    probe.query("BEGIN READ WRITE");
    probe.query("select");
    app.cluster.settle_all();
    probe.take();
    FakeServer& server = *app.cluster.servers.front();
    server.silent = true;  // as PostgreSQL before the Sync
    server.no_room = tries;
    probe.send_messages(messages);
    app.cluster.settle_all();
    CHECK(server.unanswered() == messages.size());
    server.silent = false;
    app.cluster.settle_all();
    CHECK(probe.take().starts_with("1 2 C:insert xxx"));
    probe.query("ROLLBACK");
    app.cluster.settle_all();
    probe.take();
  }
}

}  // namespace based::postgres
