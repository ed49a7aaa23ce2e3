// PostgreSQL directly: one libpq connection a client, prepared statements, one thread that polls
// them all.
#include <libpq-fe.h>
#include <poll.h>

#include <cstdlib>

#include "tests/bench/contestant.h"

namespace based::bench {
namespace {

using Moment = std::chrono::steady_clock::time_point;

struct Client {
  std::unique_ptr<PGconn, decltype(&PQfinish)> connection{nullptr, &PQfinish};
  Moment sent;
  std::string key;
};

const char* statement_text(Workload workload) {
  return workload == Workload::read ? "SELECT payload FROM bench_rows WHERE id = $1::int4"
                                    : "INSERT INTO bench_log(payload) VALUES ($1)";
}

void send(Client& client) {
  client.key = std::to_string(std::rand() % keys);
  const char* values[] = {client.key.c_str()};
  client.sent = std::chrono::steady_clock::now();
  if (PQsendQueryPrepared(client.connection.get(), "s", 1, values, nullptr, nullptr, 0) != 1) {
    fail(PQerrorMessage(client.connection.get()));
  }
}

// Is the answer whole? Then it has been taken and checked.
bool receive(Client& client) {
  PGconn* connection = client.connection.get();
  if (PQconsumeInput(connection) != 1) fail(PQerrorMessage(connection));
  while (PQisBusy(connection) == 0) {
    PGresult* result = PQgetResult(connection);
    if (result == nullptr) return true;
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) fail(PQresultErrorMessage(result));
    PQclear(result);
  }
  return false;
}

}  // namespace

Figures run_libpq(const std::string& conninfo, Workload workload, int clients,
                  std::chrono::milliseconds time) {
  std::vector<Client> all(static_cast<std::size_t>(clients));
  std::vector<pollfd> polled;
  for (Client& client : all) {
    client.connection.reset(PQconnectdb(conninfo.c_str()));
    PGconn* connection = client.connection.get();
    if (PQstatus(connection) != CONNECTION_OK) fail(PQerrorMessage(connection));
    PQclear(PQprepare(connection, "s", statement_text(workload), 1, nullptr));
    PQsetnonblocking(connection, 1);
    polled.push_back({PQsocket(connection), POLLIN, 0});
  }
  Figures figures;
  const Moment start = std::chrono::steady_clock::now();
  const Moment end = start + time;
  std::size_t waiting = all.size();
  for (Client& client : all) send(client);
  while (waiting > 0) {
    if (poll(polled.data(), polled.size(), 10000) <= 0) fail("PostgreSQL does not answer");
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (polled[i].revents == 0 || !receive(all[i])) continue;
      const Moment now = std::chrono::steady_clock::now();
      ++figures.requests;
      figures.latencies_us.push_back(static_cast<std::uint32_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(now - all[i].sent).count()));
      if (now < end) {
        send(all[i]);
      } else {
        polled[i].fd = -1;
        --waiting;
      }
    }
  }
  figures.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return figures;
}

}  // namespace based::bench
