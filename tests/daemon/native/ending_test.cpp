// The end: of the daemon, and of a client at any point.
#include "tests/daemon/native/native_fixture.h"

using namespace based;
using namespace based::native;
using namespace std::chrono_literals;

TEST_CASE("a daemon that ends lets open transactions finish and refuses what is new") {
  Daemon daemon;
  Client open(daemon);
  Client idle(daemon);
  open.open(1);
  open.open(2);
  idle.open(1);
  open.exec(1, "begin; insert a");
  open.run();
  idle.run();
  daemon.front_end->drain(daemon.reactor.now() + 10s);
  CHECK(idle.run() == Lines{"NOTICE goaway"});
  CHECK(idle.closed());
  open.open(3);
  open.exec(2, "insert x");
  open.tx(2, TxOp::begin);
  open.exec(2, "begin");
  open.exec(1, "insert b");
  open.tx(1, TxOp::begin);
  open.tx(1, TxOp::rollback);
  CHECK(open.run() == Lines{"NOTICE goaway", "#5 ERROR 57P01 idle session retry",
                            "#6 ERROR 57P01 idle retry", "#7 ERROR 57P01 idle retry",
                            "#8 ERROR 57P01 idle retry", "#9 END open/1 [INSERT +1]",
                            "#10 END open/2 level=2", "#11 END open/1"});
  CHECK(!open.closed());
  open.tx(1, TxOp::commit);
  CHECK(open.run().back() == "#12 END idle");
  CHECK(open.closed());
  CHECK(daemon.database->committed == Lines{"a", "b"});
}

TEST_CASE("a client that says HELLO to a daemon that ends is told to go, and goes") {
  Daemon daemon;
  Client open(daemon);
  open.open(1);
  open.exec(1, "begin; insert a");
  open.run();
  daemon.front_end->drain(daemon.reactor.now() + 10s);
  Client late(daemon);
  CHECK(late.transport().sent.find("goaway") != std::string::npos);
  CHECK(late.closed());
  CHECK(!open.closed());
}

TEST_CASE("at the deadline what is open is rolled back, and each request has its answer") {
  Daemon daemon;
  Client c(daemon);
  c.open(1);
  c.open(2);
  c.open(3);
  c.exec(1, "begin; insert a; slow");
  c.exec(1, "insert b");
  c.exec(2, "slow");
  c.exec(3, "begin; insert c");
  c.run();
  daemon.front_end->drain(daemon.reactor.now() + 5s);
  daemon.reactor.advance(4s);
  CHECK(!c.closed());
  daemon.reactor.advance(2s);
  const Lines lines = c.run();
  CHECK(c.closed());
  CHECK(c.answers_to(5, lines) == Lines{"ERROR 57P01 idle session"});
  CHECK(c.answers_to(6, lines) == Lines{"ERROR 57P01 idle session retry"});
  // Nobody knows whether a statement that commits by itself has run.
  CHECK(c.answers_to(7, lines) == Lines{"ERROR 57P01 idle session unknown"});
  CHECK(daemon.database->sessions() == 0);
  CHECK(daemon.database->committed.empty());
}

TEST_CASE("a client that is gone leaves nothing behind, whatever it was doing") {
  for (int what = 0; what < 6; ++what) {
    CAPTURE(what);
    Daemon daemon;
    Client c(daemon);
    c.open(1);
    c.exec(1, "begin; insert a");
    c.run();
    if (what == 1) c.exec(1, "slow");
    if (what == 2) {
      RunOptions one;
      one.credit = 1;
      c.exec(1, "select 10", 0, one);
    }
    if (what == 3) {
      daemon.database->queue_closed = true;
      c.exec(1, "insert b");
      c.exec(1, "insert c");
    }
    if (what == 4) c.exec(1, "commit");  // not run yet
    if (what == 5) c.close(1);
    if (what != 4) daemon.reactor.run_ready();
    c.transport().lose();
    daemon.reactor.run_ready();
    CHECK(daemon.database->sessions() == 0);
    CHECK(daemon.database->committed.empty());
  }
}
