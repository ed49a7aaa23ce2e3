#include "backends/postgres/listener.h"

#include "backends/postgres/listen_journal.h"
#include "backends/postgres/notification_queue.h"
#include "tests/support/fake_postgres.h"
#include "tests/support/memory_log.h"

namespace based::postgres {
namespace {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;

struct Hearer final : Subscriber {
  void on_notification_heard(std::string_view message) override {
    Notification notification;
    REQUIRE(decode_notification(message.substr(5), notification));
    heard += std::string(notification.channel) + "=" + std::string(notification.payload) + " ";
  }
  void on_notifications_missed() override { ++missed; }
  void on_listening(const std::optional<Error>& error) override {
    ++told;
    if (error) refusal = error->sqlstate.text();
    if (then) then();
  }
  std::string heard, refusal;
  int told = 0;
  int missed = 0;
  std::function<void()> then;
};

struct ListenerFixture {
  ListenerFixture() : cluster(reactor) { make(); }
  ~ListenerFixture() {
    for (Hearer* hearer : {&one, &two}) listener->unsubscribe_all(*hearer);
  }
  void make(std::size_t channels_max = 100) {
    ListenerSettings settings{
        .name = "app", .wait_timeout = 10s, .linger = 60s, .channels_max = channels_max};
    settings.link = {.start_timeout = 10s,
                     .cleanup_timeout = 5s,
                     .statements_cached_max = 0,
                     .message_bytes_max = 1 << 20};
    listener = std::make_unique<Listener>(settings, cluster, reactor, log);
  }
  void subscribe(Hearer& hearer, const std::string& channel) {
    CHECK_FALSE(listener->subscribe(hearer, channel));
    cluster.settle_all();
  }
  PoolStatus status() const {
    PoolStatus status;
    listener->add_status(status);
    return status;
  }

  FakeReactor reactor;
  FakeCluster cluster;
  MemoryLog log;
  std::unique_ptr<Listener> listener;
  Hearer one, two;
};

StatementRef statement(StatementKind kind, std::string name = "") {
  auto made = std::make_shared<Statement>();
  made->kind = kind;
  made->name = std::move(name);
  return made;
}

std::string shown(const std::vector<ListenJournal::Action>& actions) {
  std::string text;
  for (const auto& action : actions) {
    text += (action.listen ? "+" : "-") + (action.channel.empty() ? "*" : action.channel) + " ";
  }
  return text;
}

}  // namespace

TEST_CASE_FIXTURE(ListenerFixture, "one link listens for everybody, from the first subscription") {
  CHECK(cluster.attempts == 0);
  CHECK_FALSE(listener->subscribe(one, "a"));
  CHECK_FALSE(listener->subscribe(one, "b\"c"));
  CHECK(listener->is_pending(one));
  CHECK(one.told == 0);
  cluster.settle_all();
  CHECK_FALSE(listener->is_pending(one));
  CHECK(one.told == 1);
  subscribe(two, "a");
  CHECK(two.told == 0);  // it was listened to already
  CHECK_FALSE(listener->is_pending(two));
  REQUIRE(cluster.servers.size() == 1);
  CHECK(cluster.servers[0]->texts == Texts{"LISTEN \"a\"", "LISTEN \"b\"\"c\""});
  cluster.servers[0]->notify("a", "1");
  cluster.servers[0]->notify("b\"c", "2");
  cluster.servers[0]->notify("of nobody", "3");
  cluster.settle_all();
  CHECK(one.heard == "a=1 b\"c=2 ");
  CHECK(two.heard == "a=1 ");
  CHECK(status().channels == 2);
  CHECK(status().subscriptions == 3);
  CHECK(status().notifications_delivered == 3);
}

TEST_CASE_FIXTURE(ListenerFixture, "the last one who leaves a channel ends it, and then the link") {
  subscribe(one, "a");
  subscribe(two, "a");
  listener->unsubscribe(one, "a");
  cluster.settle_all();
  CHECK(cluster.servers[0]->texts == Texts{"LISTEN \"a\""});
  listener->unsubscribe_all(two);
  cluster.settle_all();
  CHECK(cluster.servers[0]->texts == Texts{"LISTEN \"a\"", "UNLISTEN \"a\""});
  cluster.servers[0]->notify("a", "late");
  cluster.settle_all();
  CHECK(two.heard == "");
  reactor.advance(59s);
  cluster.settle_all();
  CHECK(cluster.alive() == 1);
  reactor.advance(2s);
  cluster.settle_all();
  CHECK(cluster.alive() == 0);
  CHECK(listener->empty());
  subscribe(one, "a");
  CHECK(one.told == 2);
  CHECK(cluster.servers.size() == 2);
}

TEST_CASE_FIXTURE(ListenerFixture, "a channel that is left and wanted again meanwhile stays") {
  subscribe(one, "a");
  listener->unsubscribe(one, "a");
  subscribe(two, "a");
  CHECK(cluster.servers[0]->texts == Texts{"LISTEN \"a\""});
  cluster.servers[0]->notify("a", "1");
  cluster.settle_all();
  CHECK(two.heard == "a=1 ");
}

TEST_CASE_FIXTURE(ListenerFixture, "a lost link is replaced, and who listened is told of the gap") {
  subscribe(one, "a");
  cluster.servers[0]->die("terminating connection");
  cluster.settle_all();
  CHECK_FALSE(listener->subscribe(two, "b"));
  cluster.settle_all();
  reactor.advance(1s);
  cluster.settle_all();
  REQUIRE(cluster.servers.size() == 2);
  CHECK(cluster.servers[1]->texts.size() == 2);
  CHECK(one.missed == 1);
  CHECK(two.missed == 0);
  CHECK(two.told == 1);
  CHECK(one.told == 1);
  cluster.servers[1]->notify("a", "again");
  cluster.settle_all();
  CHECK(one.heard == "a=again ");
}

TEST_CASE_FIXTURE(ListenerFixture,
                  "a server that takes the link away each time is not asked in a loop") {
  subscribe(one, "a");
  for (int i = 0; i < 200; ++i) {
    cluster.servers.back()->silent = true;
    cluster.servers.back()->die("no");
    cluster.settle_all();
    reactor.advance(10ms);
    cluster.settle_all();
  }
  CHECK(cluster.attempts < 25);
}

TEST_CASE_FIXTURE(ListenerFixture, "who cannot be served is told so, and is subscribed no more") {
  SUBCASE("at once where it cannot be helped") {
    cluster.refusal = Error::make(sqlstate::invalid_password, "wrong");
    subscribe(one, "a");
    CHECK(one.refusal == "28P01");
  }
  SUBCASE("in time where the server is away") {
    cluster.refusal = Error::make(sqlstate::cannot_connect, "away");
    subscribe(one, "a");
    for (int i = 0; i < 9; ++i) {
      reactor.advance(1s);
      cluster.settle_all();
    }
    CHECK(one.told == 0);
    reactor.advance(1s);
    cluster.settle_all();
    CHECK(one.refusal == "08001");
  }
  CHECK(one.told == 1);
  CHECK(status().subscriptions == 0);
  cluster.refusal.reset();
  one.refusal.clear();
  reactor.advance(20s);
  subscribe(one, "a");
  reactor.advance(20s);
  cluster.settle_all();
  CHECK(one.told == 2);
  CHECK(one.refusal == "");
}

TEST_CASE_FIXTURE(ListenerFixture, "a LISTEN that the server refuses is its subscriber's error") {
  subscribe(one, "a");
  subscribe(two, "a syntax error");
  CHECK(two.refusal == "42601");
  CHECK(status().subscriptions == 1);
  cluster.servers[0]->notify("a", "1");
  cluster.settle_all();
  CHECK(one.heard == "a=1 ");
}

TEST_CASE_FIXTURE(ListenerFixture, "a subscriber that is told may go, or want more") {
  one.then = [this] {
    one.then = nullptr;
    CHECK_FALSE(listener->subscribe(one, "b"));
  };
  two.then = [this] { listener->unsubscribe_all(two); };
  CHECK_FALSE(listener->subscribe(one, "a"));
  CHECK_FALSE(listener->subscribe(two, "a"));
  cluster.settle_all();
  CHECK(one.told == 2);
  CHECK(two.told == 1);
  cluster.servers[0]->notify("a", "1");
  cluster.servers[0]->notify("b", "2");
  cluster.settle_all();
  CHECK(one.heard == "a=1 b=2 ");
  CHECK(two.heard == "");
}

TEST_CASE_FIXTURE(ListenerFixture, "a listener that is stopped is empty when its link is closed") {
  subscribe(one, "a");
  listener->unsubscribe_all(one);
  listener->stop();
  cluster.settle_all();
  CHECK(listener->empty());
  CHECK(cluster.alive() == 0);
}

TEST_CASE_FIXTURE(ListenerFixture, "channels are limited") {
  make(2);
  subscribe(one, "a");
  subscribe(one, "b");
  subscribe(two, "b");
  const auto error = listener->subscribe(two, "c");
  REQUIRE(error);
  CHECK(error->sqlstate.text() == "53400");
}

TEST_CASE("a full queue of notifications drops the oldest and says so") {
  NotificationQueue queue(4 * (10 + sizeof(std::string)));
  CHECK(queue.empty());
  for (char c = '0'; c < '6'; ++c) queue.push(std::string(10, c));
  const std::string taken = queue.take();
  CHECK(taken.starts_with("N"));
  CHECK(taken.find("2 notifications were dropped") != std::string::npos);
  CHECK(taken.ends_with("2222222222333333333344444444445555555555"));
  CHECK(queue.empty());
  CHECK(queue.bytes() == 0);
  queue.push("one");
  CHECK(queue.take() == "one");
  queue.note_missed();
  CHECK_FALSE(queue.empty());
  CHECK(queue.take().find("01000") != std::string::npos);
}

TEST_CASE("LISTEN and UNLISTEN are effective in their order when the transaction is committed") {
  using enum StatementKind;
  ListenJournal journal;
  journal.done(*statement(listen, "a"), "LISTEN");
  journal.ready('T', false);
  CHECK_FALSE(journal.has_committed());
  journal.done(*statement(savepoint, "s"), "SAVEPOINT");
  journal.done(*statement(listen, "b"), "LISTEN");
  journal.done(*statement(rollback_to, "s"), "ROLLBACK");
  journal.done(*statement(listen), "UNLISTEN");
  journal.done(*statement(listen, "c"), "LISTEN");
  journal.done(*statement(commit), "COMMIT");
  journal.ready('I', false);
  CHECK(shown(journal.take()) == "+a -* +c ");
  CHECK_FALSE(journal.has_committed());

  journal.done(*statement(listen, "a"), "LISTEN");
  journal.done(*statement(commit), "ROLLBACK");
  journal.ready('I', false);
  CHECK(shown(journal.take()) == "");
  journal.done(*statement(listen, "a"), "LISTEN");
  journal.ready('I', true);
  CHECK(shown(journal.take()) == "");
  journal.done(*statement(listen, "a"), "LISTEN");
  journal.done(*statement(rollback_to, "made before the first LISTEN"), "ROLLBACK");
  journal.ready('I', false);
  CHECK(shown(journal.take()) == "");
  journal.done(*statement(discard, "all"), "DISCARD ALL");
  journal.ready('I', false);
  CHECK(shown(journal.take()) == "-* ");
}

TEST_CASE("a transaction's NOTIFYs are limited in number and in bytes") {
  using enum StatementKind;
  ListenJournal journal;
  const std::string long_one(ListenJournal::bytes_max / 2, 'x');
  journal.notify("a", long_one);
  journal.notify("a", long_one);  // is once
  CHECK_FALSE(journal.full());
  journal.done(*statement(savepoint, "s"), "SAVEPOINT");
  journal.notify("b", long_one);
  CHECK(journal.full());
  journal.done(*statement(rollback_to, "s"), "ROLLBACK");
  CHECK_FALSE(journal.full());
  journal.notify("b", long_one);
  CHECK(journal.full());
  journal.ready('I', false);
  CHECK(journal.full());  // until they are told
  CHECK(shown(journal.take()) == "-a -b ");
  CHECK_FALSE(journal.full());
  journal.notify("a", long_one);  // in another transaction
  CHECK(journal.take().empty());
  journal.roll_back();

  for (std::size_t i = 1; i < ListenJournal::actions_max; ++i) {
    journal.notify("a", std::to_string(i));
  }
  CHECK_FALSE(journal.full());
  journal.done(*statement(listen, "a"), "LISTEN");
  CHECK(journal.full());
  journal.roll_back();
  CHECK_FALSE(journal.full());
  CHECK(ListenJournal::full_error().sqlstate == sqlstate::program_limit_exceeded);
}

}  // namespace based::postgres
