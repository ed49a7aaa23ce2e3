// A seeded simulation: clients that do anything at any time, over a database and a network that
// fail at any time. What the answers promise must be true in the end.
#include <fmt/format.h>

#include <map>
#include <random>
#include <set>

#include "tests/daemon/native/native_fixture.h"

using namespace based;
using namespace based::native;
using namespace std::chrono_literals;

namespace {

using Ids = std::vector<int>;

// What one request was, to read its answer.
struct Asked {
  enum class What { insert, many, begin, commit, rollback, rollback_all, other, control };
  What what = What::other;
  std::uint32_t session = 0;
  Ids ids;
};

// An answer's words: "END open/2 ..." or "ERROR 25P02 failed/1 unknown ...".
struct Answer {
  bool end = false;
  std::string code;
  std::string state;
  std::size_t depth = 0;
  bool unknown = false;  // or executed
  bool rolled_back = false;
};

Answer read_answer(const std::string& line) {
  Answer answer;
  std::vector<std::string> words;
  std::string word;
  for (const char c : line + " ") {
    if (c != ' ') {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  answer.end = words.at(0) == "END";
  if (!answer.end) answer.code = words.at(1);
  const std::string report = words.at(answer.end ? 1 : 2);
  answer.state = report.substr(0, report.find('/'));
  if (answer.state != report) answer.depth = std::stoul(report.substr(report.find('/') + 1));
  for (const std::string& each : words) {
    answer.unknown = answer.unknown || each == "unknown" || each == "executed";
    answer.rolled_back = answer.rolled_back || each == "rolled_back";
  }
  return answer;
}

// What the clients were promised.
struct Ledger {
  std::set<int> stays;
  std::set<int> gone;
  std::set<int> unknown;

  void move(Ids& ids, std::set<int>& to) {
    to.insert(ids.begin(), ids.end());
    ids.clear();
  }
};

// One session as its client sees it: the rows of each level.
struct Believed {
  std::vector<Ids> levels;

  void drop_to(std::size_t depth, Ledger& ledger) {
    while (levels.size() > depth) {
      ledger.move(levels.back(), ledger.gone);
      levels.pop_back();
    }
  }
  void forget_all(std::set<int>& to, Ledger& ledger) {
    for (Ids& ids : levels) ledger.move(ids, to);
    levels.clear();
  }
};

class Simulation {
 public:
  explicit Simulation(unsigned seed)
      : random_(seed),
        daemon_({.dialect = chance(50) ? Dialect::postgres : Dialect::sqlite, .rooted = chance(30)},
                limits()) {
    daemon_.database->overrun = pick(4);
    fault_percent_ = pick(3) * 2;
    daemon_.database->fault = [this](UnitPhase phase, std::string_view) { return fault(phase); };
  }

  Simulation(Dialect dialect, bool rooted)
      : random_(1), daemon_({.dialect = dialect, .rooted = rooted}, limits()) {}

  // The same conversation every time, of which the n-th statement or wait fails. False: it has not
  // so many.
  bool run_with_failure(int nth) {
    int count = 0;
    daemon_.database->fault = [&](UnitPhase phase, std::string_view) -> std::optional<Error> {
      // A ROLLBACK that fails is a lost link, which the fake has another word for.
      if (phase == UnitPhase::recovery || ++count != nth) return std::nullopt;
      return Error::make(sqlstate::out_of_memory, "a fault");
    };
    connect();
    read();
    using What = Asked::What;
    for (const What what :
         {What::insert, What::begin, What::insert, What::begin, What::insert, What::rollback,
          What::insert, What::begin, What::many, What::commit, What::commit, What::many,
          What::begin, What::insert, What::begin, What::insert, What::rollback_all, What::insert}) {
      ask(what);
      read();
    }
    daemon_.database->fault = nullptr;
    settle();
    check_all_answered();
    CHECK(daemon_.database->violations.empty());
    lose();
    daemon_.reactor.run_ready();
    verify();
    return count >= nth;
  }

  void run() {
    for (int step = 0; step < 150; ++step) {
      if (client_ == nullptr || client_->closed()) connect();
      act();
      if (client_ != nullptr && chance(60)) read();
    }
    daemon_.database->fault = nullptr;
    daemon_.database->open_queue();
    settle();
    check_all_answered();
    if (client_ != nullptr) lose();
    daemon_.reactor.run_ready();
    verify();
  }

 private:
  static NativeLimits limits() {
    NativeLimits limits;
    limits.output_bytes = 1 << 16;
    limits.requests = 40;
    limits.depth = 5;
    return limits;
  }
  int pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }
  bool chance(int percent) { return pick(100) < percent; }

  std::optional<Error> fault(UnitPhase phase) {
    // A ROLLBACK that fails is a lost link; the fake has other words for these.
    if (phase == UnitPhase::recovery || phase == UnitPhase::epilogue) return std::nullopt;
    if (!chance(fault_percent_)) return std::nullopt;
    return Error::make(sqlstate::out_of_memory, "a fault");
  }

  void connect() {
    client_ = std::make_unique<Client>(daemon_);
    client_->transport().split = [this](std::size_t bytes) {
      return chance(70) ? bytes : static_cast<std::size_t>(1 + pick(static_cast<int>(bytes)));
    };
    believed_.clear();
    asked_.clear();
    for (std::uint32_t session = 1; session <= 3; ++session) {
      note(client_->open(session), {.what = Asked::What::control, .session = session});
    }
  }

  void ask(Asked::What what) {
    using What = Asked::What;
    Asked asked{.what = what, .session = 1};
    if (what == What::insert || what == What::many) {
      std::vector<Client::Item> items;
      for (int i = 0; i < (what == What::many ? 3 : 1); ++i) {
        asked.ids.push_back(++last_id_);
        items.push_back({fmt::format("insert {}", last_id_)});
      }
      const bool many = what == What::many;
      return note(many ? client_->batch(1, items, true, true) : client_->exec(1, items[0].sql),
                  std::move(asked));
    }
    const TxOp op = what == What::begin      ? TxOp::begin
                    : what == What::commit   ? TxOp::commit
                    : what == What::rollback ? TxOp::rollback
                                             : TxOp::rollback_all;
    note(client_->tx(1, op), std::move(asked));
  }

  void note(std::uint32_t request, Asked asked) { asked_[request] = std::move(asked); }

  void act() {
    const auto session = static_cast<std::uint32_t>(1 + pick(3));
    const std::uint8_t chain = chance(30) ? flags::chain : 0;
    using What = Asked::What;
    switch (pick(22)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4: {
        const int id = ++last_id_;
        note(client_->exec(session, fmt::format("insert {}", id), chain),
             {.what = What::insert, .session = session, .ids = {id}});
        break;
      }
      case 5: {
        const Ids ids{last_id_ + 1, last_id_ + 2, last_id_ + 3};
        last_id_ += 3;
        std::vector<Client::Item> items;
        for (const int id : ids) items.push_back({fmt::format("insert {}", id)});
        note(client_->batch(session, items, true, true, chain),
             {.what = What::many, .session = session, .ids = ids});
        break;
      }
      case 6:
      case 7:
      case 8:
        note(client_->tx(session, TxOp::begin, chain), {.what = What::begin, .session = session});
        break;
      case 9:
      case 10:
        note(client_->tx(session, TxOp::commit, chain), {.what = What::commit, .session = session});
        break;
      case 11:
      case 12:
        note(client_->tx(session, TxOp::rollback, chain),
             {.what = What::rollback, .session = session});
        break;
      case 13:
        note(client_->tx(session, TxOp::rollback_all),
             {.what = What::rollback_all, .session = session});
        break;
      case 14: {
        static constexpr const char* texts[] = {"fail", "lose", "or rollback", "slow", "warn"};
        note(client_->exec(session, texts[pick(5)], chain), {.session = session});
        break;
      }
      case 15: {
        RunOptions options;
        if (chance(50)) options.credit = static_cast<std::uint64_t>(1 + pick(3));
        note(client_->exec(session, fmt::format("select {}", pick(8)), chain, options),
             {.session = session});
        break;
      }
      case 16:
        note(client_->fetch(session, client_->last_request() - static_cast<unsigned>(pick(3)),
                            static_cast<std::uint64_t>(pick(4))),
             {.what = What::control, .session = session});
        break;
      case 17:
        note(client_->cancel(session,
                             {.request = client_->last_request() - static_cast<unsigned>(pick(4))}),
             {.what = What::control, .session = session});
        break;
      default:
        weather();
    }
  }

  // What nobody asked for.
  void weather() {
    FakeDatabase& db = *daemon_.database;
    switch (pick(9)) {
      case 0:
        db.queue_closed = true;
        break;
      case 1:
      case 2:
        db.open_queue();
        break;
      case 3:
      case 4:
        db.run_on();
        break;
      case 5:
        db.lose_leases(Error::make(sqlstate::connection_failure, "a lease was lost"));
        break;
      case 6:
        client_->transport().stalled = chance(50);
        client_->transport().take_all();
        break;
      case 7:
        daemon_.reactor.advance(100ms);
        break;
      default:
        if (chance(15)) lose();
    }
  }

  // The client goes, at any time. What it was not told may be either way.
  void lose() {
    client_->transport().lose();
    read();
    for (auto& [request, asked] : asked_) {
      ledger_.move(asked.ids, ledger_.unknown);
      if (asked.what == Asked::What::commit) {
        believed_[asked.session].forget_all(ledger_.unknown, ledger_);
      }
    }
    asked_.clear();
    for (auto& [session, believed] : believed_) believed.forget_all(ledger_.gone, ledger_);
    believed_.clear();
    client_.reset();
  }

  void settle() {
    for (int round = 0; round < 200 && client_ != nullptr && !client_->closed(); ++round) {
      client_->transport().stalled = false;
      client_->transport().take_all();
      daemon_.database->open_queue();
      daemon_.database->run_on();
      read();
      std::vector<std::uint32_t> waiting;
      for (const auto& [request, asked] : asked_) waiting.push_back(request);
      if (waiting.empty()) return;
      for (const std::uint32_t request : waiting) {
        note(client_->fetch(0, request, 1000), {.what = Asked::What::control});
      }
      read();
    }
  }

  void read() {
    for (const std::string& line : client_->run()) {
      if (line[0] != '#') {
        take_notice(line);
        continue;
      }
      const std::size_t space = line.find(' ');
      const auto request = static_cast<std::uint32_t>(std::stoul(line.substr(1, space)));
      const std::string rest = line.substr(space + 1);
      if (rest.rfind("END", 0) != 0 && rest.rfind("ERROR", 0) != 0) {
        CHECK(asked_.contains(request));  // nothing comes behind the final frame
        continue;
      }
      const auto found = asked_.find(request);
      REQUIRE_MESSAGE(found != asked_.end(), "a second final frame: ", line);
      Asked asked = std::move(found->second);
      asked_.erase(found);
      take_answer(asked, read_answer(rest), line);
    }
  }

  // Only one kind is without a request: a transaction that was lost; the fake loses all of them.
  void take_notice(const std::string& line) {
    CHECK(line.find("transaction_lost") != std::string::npos);
  }

  void take_answer(Asked& asked, const Answer& answer, const std::string& line) {
    if (asked.what == Asked::What::control) return;
    CAPTURE(line);
    Believed& believed = believed_[asked.session];
    if (answer.end) {
      take_end(asked, answer, believed);
    } else {
      take_error(asked, answer, believed);
    }
    if (answer.state == "aborted") {
      for (Ids& ids : believed.levels) ledger_.move(ids, ledger_.gone);
    }
    CHECK(believed.levels.size() == answer.depth);
  }

  void take_end(Asked& asked, const Answer& answer, Believed& believed) {
    switch (asked.what) {
      case Asked::What::insert:
      case Asked::What::many:
        if (answer.depth == 0) return ledger_.move(asked.ids, ledger_.stays);
        REQUIRE(believed.levels.size() == answer.depth);
        return append(asked.ids, believed.levels.back());
      case Asked::What::begin:
        believed.levels.emplace_back();
        return;
      case Asked::What::commit: {
        REQUIRE(!believed.levels.empty());
        Ids ids = std::move(believed.levels.back());
        believed.levels.pop_back();
        if (believed.levels.empty()) return ledger_.move(ids, ledger_.stays);
        return append(ids, believed.levels.back());
      }
      case Asked::What::rollback:
      case Asked::What::rollback_all:
        return believed.drop_to(answer.depth, ledger_);
      case Asked::What::other:
      case Asked::What::control:
        return;
    }
  }

  void take_error(Asked& asked, const Answer& answer, Believed& believed) {
    ledger_.move(asked.ids, answer.unknown ? ledger_.unknown : ledger_.gone);
    if (asked.what != Asked::What::commit) return;
    if (answer.unknown) believed.forget_all(ledger_.unknown, ledger_);
    believed.drop_to(answer.depth, ledger_);
  }

  static void append(const Ids& ids, Ids& to) { to.insert(to.end(), ids.begin(), ids.end()); }

  void check_all_answered() {
    if (client_ == nullptr || client_->closed()) return;
    for (const auto& entry : asked_) {
      CHECK_MESSAGE(false, "a request without a final frame: ", entry.first);
    }
  }

  void verify() {
    std::multiset<int> rows;
    for (const std::string& row : daemon_.database->committed) rows.insert(std::stoi(row));
    for (const int id : ledger_.stays) {
      CAPTURE(id);
      CHECK(rows.count(id) == 1);
    }
    for (const int id : ledger_.gone) {
      CAPTURE(id);
      CHECK(rows.count(id) == 0);
    }
    CHECK(daemon_.database->sessions() == 0);
  }

  std::mt19937 random_;
  Daemon daemon_;
  std::unique_ptr<Client> client_;
  std::map<std::uint32_t, Asked> asked_;
  std::map<std::uint32_t, Believed> believed_;
  Ledger ledger_;
  int last_id_ = 0;
  int fault_percent_ = 0;
};

}  // namespace

TEST_CASE("whatever happens, each request is answered once and each answer is true") {
  for (unsigned seed = 1; seed <= 1000; ++seed) {
    CAPTURE(seed);
    Simulation(seed).run();
  }
}

TEST_CASE("whichever statement fails, each request is answered once and each answer is true") {
  for (const Dialect dialect : {Dialect::postgres, Dialect::sqlite}) {
    for (const bool rooted : {false, true}) {
      int nth = 1;
      while (Simulation(dialect, rooted).run_with_failure(nth)) {
        CAPTURE(nth);
        ++nth;
      }
      CHECK(nth > 18);
    }
  }
}
