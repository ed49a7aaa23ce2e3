// native_bench: the native protocol beside libpq and SQLite in this process, interleaved, as
// ratios.
//
//   native_bench --socket PATH [--postgres CONNINFO] [--sqlite FILE] [--clients 1,32,128]
//   [--seconds S] [--rounds N]
//
// The daemon at PATH has the databases `pg` (CONNINFO's) and `lite` (a file filled like FILE).
// tests/bench/native starts everything and calls this. Every cell runs Based and its rival in turn,
// N times; a ratio is the median of the rounds'.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <sstream>

#include "tests/bench/contestant.h"

namespace based::bench {

void fail(const std::string& what) {
  std::fprintf(stderr, "native_bench: %s\n", what.c_str());
  std::exit(1);
}

double Figures::percentile_ms(double share) const {
  if (latencies_us.empty()) return 0;
  std::vector<std::uint32_t> sorted = latencies_us;
  const auto at = static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1));
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(at), sorted.end());
  return sorted[at] / 1000.0;
}

namespace {

struct Options {
  std::string socket;
  std::string postgres;
  std::string sqlite;
  std::vector<int> clients{1, 32, 128};
  std::chrono::milliseconds time{2000};
  int rounds = 3;
};

using Run = std::function<Figures(int clients)>;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

// One cell: both contestants in turn, round after round.
void measure(const std::string& name, int clients, int rounds, const Run& ours, const Run& rival) {
  std::vector<double> our_rates, our_p99, rival_rates, rival_p99, rate_ratios, p99_ratios;
  for (int round = 0; round < rounds; ++round) {
    const Figures a = ours(clients);
    const Figures b = rival(clients);
    our_rates.push_back(a.per_second());
    our_p99.push_back(a.percentile_ms(0.99));
    rival_rates.push_back(b.per_second());
    rival_p99.push_back(b.percentile_ms(0.99));
    rate_ratios.push_back(a.per_second() / b.per_second());
    p99_ratios.push_back(a.percentile_ms(0.99) / std::max(b.percentile_ms(0.99), 0.001));
  }
  std::printf("cell %-16s clients %-4d based %8.0f/s p99 %7.3f ms   rival %8.0f/s p99 %7.3f ms\n",
              name.c_str(), clients, median(our_rates), median(our_p99), median(rival_rates),
              median(rival_p99));
  std::printf("ratio %s_%d_rate %.2f\n", name.c_str(), clients, median(rate_ratios));
  std::printf("ratio %s_%d_p99 %.2f\n", name.c_str(), clients, median(p99_ratios));
  std::fflush(stdout);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    const std::string value = argv[i + 1];
    if (flag == "--socket") options.socket = value;
    if (flag == "--postgres") options.postgres = value;
    if (flag == "--sqlite") options.sqlite = value;
    if (flag == "--seconds")
      options.time = std::chrono::milliseconds(std::lround(1000 * std::stod(value)));
    if (flag == "--rounds") options.rounds = std::stoi(value);
    if (flag == "--clients") {
      options.clients.clear();
      std::istringstream list(value);
      for (std::string item; std::getline(list, item, ',');)
        options.clients.push_back(std::stoi(item));
    }
  }
  if (options.socket.empty()) fail("--socket is missing");
  return options;
}

void run(const Options& options) {
  const auto native = [&](const char* database, Workload workload) -> Run {
    return [&options, database, workload](int clients) {
      return run_native(options.socket, database, workload, clients, options.time);
    };
  };
  const std::pair<const char*, Workload> workloads[] = {{"read", Workload::read},
                                                        {"insert", Workload::insert}};
  for (const int clients : options.clients) {
    const Figures ping = run_native(options.socket, "", Workload::ping, clients, options.time);
    std::printf("cell %-16s clients %-4d based %8.0f/s p99 %7.3f ms\n", "ping", clients,
                ping.per_second(), ping.percentile_ms(0.99));
    for (const auto& [name, workload] : workloads) {
      if (!options.postgres.empty()) {
        measure(std::string("postgres_") + name, clients, options.rounds, native("pg", workload),
                [&options, w = workload](int n) {
                  return run_libpq(options.postgres, w, n, options.time);
                });
      }
      if (!options.sqlite.empty()) {
        measure(std::string("sqlite_") + name, clients, options.rounds, native("lite", workload),
                [&options, w = workload](int n) {
                  return run_sqlite(options.sqlite, w, n, options.time);
                });
      }
    }
  }
}

}  // namespace
}  // namespace based::bench

int main(int argc, char** argv) {
  based::bench::run(based::bench::parse(argc, argv));
  return 0;
}
