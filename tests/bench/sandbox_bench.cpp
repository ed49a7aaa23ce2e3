// What a test costs, by how its traces are removed afterwards. See tests/bench/sandbox.
#include <libpq-fe.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "sandbox_bench: %s\n", what.c_str());
  std::exit(1);
}

Connection connect(const std::string& conninfo) {
  Connection made(PQconnectdb(conninfo.c_str()), &PQfinish);
  if (PQstatus(made.get()) != CONNECTION_OK) fail(PQerrorMessage(made.get()));
  return made;
}

double median(std::vector<double> values) {
  if (values.empty()) fail("nothing was measured");
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The microseconds of each test of one way, and of each kind of statement in it.
struct Times {
  std::vector<double> tests;
  std::map<std::string, std::vector<double>> statements;
};

class Tester {
 public:
  explicit Tester(Times& times) : times_(times) {}

  // Runs the statement, whose time is counted under this kind.
  void run(PGconn* connection, const std::string& kind, const std::string& sql) {
    const Clock::time_point begun = Clock::now();
    PGresult* result = PQexec(connection, sql.c_str());
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
      fail(sql + ": " + PQresultErrorMessage(result));
    }
    PQclear(result);
    times_.statements[kind].push_back(since(begun));
  }

  // 3 transactions of 3 inserts each, and 8 selects.
  void body(PGconn* connection, const char* begin, const char* commit) {
    for (int transaction = 0; transaction < 3; ++transaction) {
      if (begin != nullptr) run(connection, "begin", begin);
      for (int row = 3 * transaction + 1; row <= 3 * transaction + 3; ++row) {
        const std::string id = std::to_string(row);
        run(connection, "insert", "insert into written values (" + id + ", 'row " + id + "')");
      }
      if (commit != nullptr) run(connection, "commit", commit);
    }
    for (int row = 1; row <= 4; ++row) {
      const std::string where = " where id = " + std::to_string(row);
      run(connection, "select", "select note from written" + where);
      run(connection, "select", "select note from fixtures" + where);
    }
  }

  // The same in one transaction, which leaves nothing.
  void rolled_back(PGconn* connection, const char* begin, const char* commit) {
    run(connection, "reset", "begin");
    body(connection, begin, commit);
    run(connection, "reset", "rollback");
  }

  template <typename Test>
  void measure(Test&& test) {
    const Clock::time_point begun = Clock::now();
    test();
    times_.tests.push_back(since(begun));
  }

 private:
  static double since(Clock::time_point begun) {
    return std::chrono::duration<double, std::micro>(Clock::now() - begun).count();
  }

  Times& times_;
};

struct Options {
  std::string server;  // a conninfo without a database
  std::string based;   // the same of the daemon
  int rounds = 10;
  int tests = 1000;  // of a round, in the ways that are quick
  int slow = 10;     // of a round, with a clone for each
};

struct Links {
  Connection sandbox;
  Connection bare;
  Connection relayed;
  Connection committed;
  Connection maintenance;
};

struct Ways {
  Times sandbox;
  Times bare;
  Times relayed;
  Times savepoints;
  Times truncate;
  Times clone;
};

// Alternates in short turns: what disturbs the machine disturbs all ways.
void run_round(const Options& options, const Links& links, Ways& ways) {
  Tester in_sandbox(ways.sandbox);
  Tester in_bare(ways.bare);
  Tester in_relayed(ways.relayed);
  Tester in_savepoints(ways.savepoints);
  Tester in_truncate(ways.truncate);
  Tester in_clone(ways.clone);
  constexpr int turn = 50;
  for (int done = 0; done < options.tests; done += turn) {
    for (int test = 0; test < turn; ++test) {
      in_sandbox.measure([&] {
        in_sandbox.body(links.sandbox.get(), "begin", "commit");
        in_sandbox.run(links.sandbox.get(), "reset", "sandbox reset to fixtures");
      });
    }
    for (int test = 0; test < turn; ++test) {
      in_bare.measure([&] { in_bare.rolled_back(links.bare.get(), nullptr, nullptr); });
    }
    for (int test = 0; test < turn; ++test) {
      in_relayed.measure([&] { in_relayed.rolled_back(links.relayed.get(), nullptr, nullptr); });
    }
    for (int test = 0; test < turn; ++test) {
      in_savepoints.measure(
          [&] { in_savepoints.rolled_back(links.bare.get(), "savepoint s", "release s"); });
    }
    for (int test = 0; test < turn / 5; ++test) {
      in_truncate.measure([&] {
        in_truncate.body(links.committed.get(), "begin", "commit");
        in_truncate.run(links.committed.get(), "reset", "truncate written");
      });
    }
  }
  for (int test = 0; test < options.slow; ++test) {
    in_clone.measure([&] {
      in_clone.run(links.maintenance.get(), "create", "create database clone template pattern");
      Connection clone = connect(options.server + " dbname=clone");
      in_clone.body(clone.get(), "begin", "commit");
      clone.reset();
      in_clone.run(links.maintenance.get(), "drop", "drop database clone with (force)");
    });
  }
}

void print(const char* name, const Times& times) {
  std::vector<double> sorted = times.tests;
  std::sort(sorted.begin(), sorted.end());
  std::printf("cell %-10s tests %zu median %.0f us p99 %.0f us;", name, sorted.size(),
              median(sorted), sorted[sorted.size() * 99 / 100]);
  for (const auto& [kind, values] : times.statements) {
    std::printf(" %s %.1f", kind.c_str(), median(values));
  }
  std::printf("\n");
}

std::vector<double> by_thousand(const std::vector<double>& tests) {
  std::vector<double> medians;
  for (std::size_t at = 0; at < tests.size(); at += 1000) {
    const auto first = tests.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t count = std::min<std::size_t>(1000, tests.size() - at);
    medians.push_back(median({first, first + static_cast<std::ptrdiff_t>(count)}));
  }
  return medians;
}

void report(const Options& options, const Ways& ways) {
  print("sandbox", ways.sandbox);
  print("bare", ways.bare);
  print("relayed", ways.relayed);
  print("savepoints", ways.savepoints);
  print("truncate", ways.truncate);
  print("clone", ways.clone);
  const double sandbox = median(ways.sandbox.tests);
  const std::vector<double> ours = by_thousand(ways.sandbox.tests);
  const std::vector<double> relayed = by_thousand(ways.relayed.tests);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    std::printf("tests from %zu sandbox %.0f us relayed %.0f us\n", 1000 * i + 1, ours[i],
                relayed[i]);
  }
  std::printf("ratio sandbox_to_bare %.3f\n", sandbox / median(ways.bare.tests));
  std::printf("ratio sandbox_to_relayed %.3f\n", sandbox / median(ways.relayed.tests));
  std::printf("ratio sandbox_to_savepoints %.3f\n", sandbox / median(ways.savepoints.tests));
  std::printf("ratio truncate_to_sandbox %.1f\n", median(ways.truncate.tests) / sandbox);
  if (options.slow > 0) {
    std::printf("ratio clone_to_sandbox %.1f\n", median(ways.clone.tests) / sandbox);
  }
  // In terms of what was measured beside it: the machine may have become slower meanwhile.
  std::printf("ratio last_to_first_thousand %.3f\n",
              ours.back() / relayed.back() / (ours.front() / relayed.front()));
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int at = 1; at + 1 < argc; at += 2) {
    const std::string name = argv[at];
    if (name == "--server") options.server = argv[at + 1];
    if (name == "--based") options.based = argv[at + 1];
    if (name == "--rounds") options.rounds = std::atoi(argv[at + 1]);
    if (name == "--tests") options.tests = std::atoi(argv[at + 1]);
    if (name == "--clones") options.slow = std::atoi(argv[at + 1]);
  }
  if (options.server.empty() || options.based.empty() || options.rounds < 1 || options.tests < 1 ||
      options.slow < 1) {
    fail("--server CONNINFO --based CONNINFO [--rounds N] [--tests N] [--clones N]");
  }
  const Links links{
      connect(options.based + " dbname=app#bench"), connect(options.server + " dbname=bare"),
      connect(options.based + " dbname=real"), connect(options.server + " dbname=committed"),
      connect(options.server + " dbname=postgres")};
  Times ignored;
  Tester(ignored).run(links.sandbox.get(), "mark", "sandbox mark fixtures");
  Ways ways;
  for (int round = 0; round < options.rounds; ++round) {
    run_round(options, links, ways);
  }
  report(options, ways);
  return 0;
}
