// Contestant: one way to a database under measurement: some closed-loop clients for some time.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace based::bench {

enum class Workload : std::uint8_t {
  ping,    // no database at all
  read,    // one row by key
  insert,  // one row, durable
};

struct Figures {
  std::uint64_t requests = 0;
  double seconds = 0;
  std::vector<std::uint32_t> latencies_us;  // one a request

  double per_second() const { return seconds > 0 ? static_cast<double>(requests) / seconds : 0; }
  double percentile_ms(double share) const;
};

// One measurement: every client sends, waits for the answer, sends again, until the time is over.
// An error of the database ends the program: figures of failed requests mean nothing.
Figures run_native(const std::string& socket_path, const std::string& database, Workload workload,
                   int clients, std::chrono::milliseconds time);
Figures run_libpq(const std::string& conninfo, Workload workload, int clients,
                  std::chrono::milliseconds time);
Figures run_sqlite(const std::string& path, Workload workload, int clients,
                   std::chrono::milliseconds time);

[[noreturn]] void fail(const std::string& what);

// What every contestant sends for a read: rows of bench_rows(id, payload), filled before the first
// run.
constexpr int keys = 10000;

}  // namespace based::bench
