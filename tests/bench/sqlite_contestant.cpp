// SQLite in this process: a handle and a thread a client, as an application without a daemon would
// have it.
#include <sqlite3.h>

#include <cstdlib>
#include <thread>

#include "tests/bench/contestant.h"

namespace based::bench {
namespace {

using Moment = std::chrono::steady_clock::time_point;

constexpr int busy_timeout_ms = 20000;

void check(int status, sqlite3* handle) {
  if (status != SQLITE_OK && status != SQLITE_ROW && status != SQLITE_DONE) {
    fail(std::string("sqlite: ") + sqlite3_errmsg(handle));
  }
}

Figures run_client(const std::string& path, Workload workload, Moment end) {
  sqlite3* handle = nullptr;
  check(sqlite3_open(path.c_str(), &handle), handle);
  sqlite3_busy_timeout(handle, busy_timeout_ms);
  check(sqlite3_exec(handle, "PRAGMA synchronous=FULL", nullptr, nullptr, nullptr), handle);
  sqlite3_stmt* statement = nullptr;
  const char* text = workload == Workload::read ? "SELECT payload FROM bench_rows WHERE id = ?1"
                                                : "INSERT INTO bench_log(payload) VALUES (?1)";
  check(sqlite3_prepare_v2(handle, text, -1, &statement, nullptr), handle);
  unsigned seed = static_cast<unsigned>(std::hash<std::thread::id>{}(std::this_thread::get_id()));
  Figures figures;
  for (Moment now = std::chrono::steady_clock::now(); now < end;) {
    const Moment sent = now;
    check(sqlite3_bind_int64(statement, 1, rand_r(&seed) % keys), handle);
    for (int status = SQLITE_ROW; status != SQLITE_DONE;) {
      status = sqlite3_step(statement);
      check(status, handle);
    }
    sqlite3_reset(statement);
    now = std::chrono::steady_clock::now();
    ++figures.requests;
    figures.latencies_us.push_back(static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(now - sent).count()));
  }
  sqlite3_finalize(statement);
  sqlite3_close(handle);
  return figures;
}

}  // namespace

Figures run_sqlite(const std::string& path, Workload workload, int clients,
                   std::chrono::milliseconds time) {
  std::vector<Figures> each(static_cast<std::size_t>(clients));
  std::vector<std::thread> threads;
  const Moment start = std::chrono::steady_clock::now();
  for (Figures& figures : each) {
    threads.emplace_back([&] { figures = run_client(path, workload, start + time); });
  }
  for (std::thread& thread : threads) thread.join();
  Figures sum;
  sum.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const Figures& figures : each) {
    sum.requests += figures.requests;
    sum.latencies_us.insert(sum.latencies_us.end(), figures.latencies_us.begin(),
                            figures.latencies_us.end());
  }
  return sum;
}

}  // namespace based::bench
