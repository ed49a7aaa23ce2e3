#include "backends/postgres/opener.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <memory>

#include "backends/postgres/pq_channel.h"
#include "backends/postgres/server_error.h"

namespace based::postgres {
namespace {

struct FreeOptions {
  void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
};

// What comes out of a helper thread.
struct Opened {
  Connection connection;
  Error error;
};

void ignore_notice(void*, const PGresult*) {}

const std::string* find(const ConnectionKeywords& keywords, std::string_view name) {
  for (const auto& [keyword, value] : keywords) {
    if (keyword == name) return &value;
  }
  return nullptr;
}

// Hosts are tried one after another, each with its own timeout: only libpq's blocking call does it.
bool has_several_hosts(const ConnectionKeywords& keywords) {
  for (const char* name : {"host", "hostaddr"}) {
    const std::string* value = find(keywords, name);
    if (value != nullptr && value->find(',') != std::string::npos) return true;
  }
  return false;
}

Error failure(PGconn* connection) {
  Error error = connect_error(PQerrorMessage(connection));
  if (PQconnectionNeedsPassword(connection) != 0) error.sqlstate = sqlstate::invalid_password;
  return error;
}

// Drives the connection to its end by polling, so that it could be made verbose at its start:
// otherwise libpq does not tell the SQLSTATE of a refusal.
bool poll_until_open(PGconn* connection, Clock::time_point deadline) {
  PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
  PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
  for (;;) {
    if (wants == PGRES_POLLING_OK) return true;
    if (wants == PGRES_POLLING_FAILED) return true;  // PQstatus says it
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return false;
    pollfd polled{.fd = PQsocket(connection),
                  .events = static_cast<short>(wants == PGRES_POLLING_READING ? POLLIN : POLLOUT),
                  .revents = 0};
    if (polled.fd < 0) return true;
    if (::poll(&polled, 1, static_cast<int>(left.count())) == 0) return false;
    wants = PQconnectPoll(connection);
  }
}

Opened open_blocking(const ConnectionKeywords& keywords, Duration timeout) {
  std::vector<const char*> names, values;
  for (const auto& [name, value] : keywords) {
    names.push_back(name.c_str());
    values.push_back(value.c_str());
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  const auto start = Clock::now();
  Opened opened;
  const bool several = has_several_hosts(keywords);
  opened.connection.reset(several ? PQconnectdbParams(names.data(), values.data(), 0)
                                  : PQconnectStartParams(names.data(), values.data(), 0));
  PGconn* connection = opened.connection.get();
  if (connection == nullptr) {
    opened.error = Error::make(sqlstate::out_of_memory, "libpq has no memory for a connection");
    return opened;
  }
  PQsetNoticeReceiver(connection, &ignore_notice, nullptr);
  bool in_time = true;
  if (several) {
    if (PQstatus(connection) != CONNECTION_OK && Clock::now() - start < timeout) {
      PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
      PQreset(connection);  // once more, to learn the SQLSTATE
    }
  } else if (PQstatus(connection) != CONNECTION_BAD) {
    in_time = poll_until_open(connection, start + timeout);
  }
  if (in_time && PQstatus(connection) == CONNECTION_OK) {
    if (PQsetnonblocking(connection, 1) == 0) return opened;
    in_time = true;
  }
  opened.error = failure(connection);
  if (!in_time) {
    opened.error = Error::make(sqlstate::cannot_connect, "timeout while connecting")
                       .with_detail(opened.error.message);
  }
  opened.connection.reset();
  return opened;
}

struct Job {
  Opened opened;
  Opener::Done done;  // loop thread; empty when the attempt was given up
};

class PqAttempt final : public OpenAttempt {
 public:
  explicit PqAttempt(std::shared_ptr<Job> job) : job_(std::move(job)) {}
  ~PqAttempt() override { job_->done = nullptr; }

 private:
  std::shared_ptr<Job> job_;
};

}  // namespace

Result<ConnectionKeywords> connection_keywords(const OpenerOptions& options) {
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, FreeOptions> parsed(
      PQconninfoParse(options.conninfo.c_str(), &message));
  if (!parsed) {
    Error error = Error::make(sqlstate::invalid_parameter_value,
                              message == nullptr ? "libpq has no memory" : message);
    PQfreemem(message);
    while (!error.message.empty() && error.message.back() == '\n') error.message.pop_back();
    return error;
  }
  ConnectionKeywords keywords = options.forced;
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val == nullptr || find(keywords, option->keyword) != nullptr) continue;
    keywords.emplace_back(option->keyword, option->val);
  }
  const auto add = [&keywords](const char* name, const std::string& value) {
    if (find(keywords, name) == nullptr) keywords.emplace_back(name, value);
  };
  if (!options.password.empty()) add("password", options.password);
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(options.connect_timeout).count();
  add("connect_timeout", std::to_string(std::max<std::int64_t>(seconds, 2)));
  add("application_name", options.application_name);
  // A dead host is noticed after about two minutes, not after two hours.
  add("keepalives_idle", "60");
  add("keepalives_interval", "15");
  add("keepalives_count", "4");
  return keywords;
}

PqOpener::PqOpener(ConnectionKeywords keywords, Duration connect_timeout, Reactor& reactor)
    : keywords_(std::make_shared<const ConnectionKeywords>(std::move(keywords))),
      connect_timeout_(connect_timeout),
      reactor_(reactor) {}

std::unique_ptr<OpenAttempt> PqOpener::open(Done done) {
  auto job = std::make_shared<Job>();
  job->done = std::move(done);
  auto attempt = std::make_unique<PqAttempt>(job);
  reactor_.run_off_loop(
      [job, keywords = keywords_, timeout = connect_timeout_] {
        job->opened = open_blocking(*keywords, timeout);
      },
      [job, &reactor = reactor_] {
        const auto tell = std::exchange(job->done, nullptr);
        if (!tell) {
          job->opened.connection.reset();
        } else if (job->opened.connection) {
          tell(std::unique_ptr<Channel>(
              std::make_unique<PqChannel>(std::move(job->opened.connection), reactor)));
        } else {
          tell(std::move(job->opened.error));
        }
      });
  return attempt;
}

}  // namespace based::postgres
