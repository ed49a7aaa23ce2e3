// Fixture: a SQLite database on a real lane, sessions that speak SQL in one call, files in a
// directory of its own.
#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backends/sqlite/sqlite_database.h"
#include "threaded_reactor.h"

namespace based::test {

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "based-sqlite-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    return names;
  }

 private:
  std::filesystem::path path_;
};

inline std::string bytes_of(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

class MemoryLog final : public Log {
 public:
  bool enabled(LogLevel) const override { return true; }
  void write(LogLevel level, std::string_view message) override {
    const std::lock_guard lock{mutex_};
    if (level != LogLevel::debug) lines_.emplace_back(message);
  }
  std::string text() const {
    const std::lock_guard lock{mutex_};
    std::string all;
    for (const auto& line : lines_) all += line + "\n";
    return all;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

inline StatementRef statement(std::string text, StatementKind kind = StatementKind::other) {
  auto made = std::make_shared<Statement>();
  made->text = std::move(text);
  made->kind = kind;
  return made;
}

// A value that can be compared and printed.
inline std::string shown(const ValueView& value) {
  switch (value.kind) {
    case ValueKind::null:
      return "null";
    case ValueKind::boolean:
      return value.boolean ? "bool:true" : "bool:false";
    case ValueKind::int64:
      return std::to_string(value.int64);
    case ValueKind::float64: {
      char text[64];
      std::snprintf(text, sizeof text, "float:%.17g", value.float64);
      return text;
    }
    case ValueKind::text:
      return "'" + std::string{value.data} + "'";
    case ValueKind::bytes:
      return "x'" + std::string{value.data} + "'";
  }
  return "?";
}

struct Reply {
  struct Step {
    std::vector<std::string> names, types;
    std::vector<std::vector<std::string>> rows;
    std::string tag;
    std::optional<std::int64_t> affected, last_insert_id;
    std::uint64_t rows_told = 0;
    bool truncated = false;
    bool done = false;
  };
  std::vector<Step> steps;
  UnitOutcome outcome;

  bool ok() const { return !outcome.error; }
  std::string code() const {
    return outcome.error ? std::string{outcome.error->sqlstate.text()} : "ok";
  }
  std::string message() const { return outcome.error ? outcome.error->message : ""; }
  std::string detail() const { return outcome.error ? outcome.error->detail : ""; }
  // The only value of the only row of the last step.
  std::string value() const {
    if (steps.empty() || steps.back().rows.empty()) return "(none)";
    return steps.back().rows.front().front();
  }
};

// One session, its sink and its listener.
class Client final : public Sink, public SessionListener {
 public:
  Client(Database& database, ThreadedReactor& reactor, SessionOptions options = {})
      : reactor_(reactor), session_(database.open_session(std::move(options), *this)) {}

  // --- one unit
  void begin_unit(Unit unit) {
    reply = Reply{};
    done = false;
    rows_seen = 0;
    unit.sink = this;
    session_->submit(std::move(unit));
  }
  Reply& finish() {
    REQUIRE(reactor_.run_until([this] { return done; }));
    return reply;
  }
  Reply& run(Unit unit) {
    begin_unit(std::move(unit));
    return finish();
  }
  static Unit unit_of(const std::string& sql, std::vector<ValueView> values = {}) {
    Unit unit;
    Step step;
    auto made = std::make_shared<Statement>();
    made->text = sql;
    made->parameter_count = static_cast<std::uint32_t>(values.size());
    step.statement = made;
    step.parameters = ValueList::copy_of(values);
    unit.steps.push_back(std::move(step));
    return unit;
  }
  // Autocommit outside a transaction; inside, a statement of it.
  Reply& sql(const std::string& text, std::vector<ValueView> values = {}) {
    auto unit = unit_of(text, std::move(values));
    unit.keep_lease = in_transaction;
    return run(std::move(unit));
  }
  // Transaction control as the session's envelopes send it.
  Reply& control(const std::string& text) {
    Unit unit;
    const bool begins = text.starts_with("BEGIN");
    unit.envelope.prologue.push_back(
        statement(text, begins ? StatementKind::begin : StatementKind::other));
    if (begins) in_transaction = true;
    if (text == "COMMIT" || text == "ROLLBACK") in_transaction = false;
    unit.keep_lease = in_transaction;
    return run(std::move(unit));
  }
  void close() { session_.reset(); }
  BackendSession& session() { return *session_; }

  // --- Sink
  void on_columns(std::size_t step, std::span<const Column> columns) override {
    for (const auto& column : columns) {
      at(step).names.emplace_back(column.name);
      at(step).types.emplace_back(column.type);
    }
  }
  Flow on_row(std::size_t step, std::span<const ValueView> row) override {
    ++rows_seen;
    if (rows_seen <= rows_kept) {
      auto& kept = at(step).rows.emplace_back();
      for (const auto& value : row) kept.push_back(shown(value));
    }
    return pause_after != 0 && rows_seen >= pause_after ? Flow::pause : Flow::more;
  }
  void on_step_done(std::size_t step, const StepResult& result) override {
    auto& at_step = at(step);
    at_step.tag = result.tag;
    at_step.affected = result.affected;
    at_step.last_insert_id = result.last_insert_id;
    at_step.rows_told = result.rows;
    at_step.truncated = result.truncated;
    at_step.done = true;
  }
  void on_notice(std::string_view, const Error&) override {}
  void on_done(UnitOutcome outcome) override {
    CHECK_FALSE(done);
    reply.outcome = std::move(outcome);
    if (reply.outcome.transaction != TransactionStatus::open) in_transaction = false;
    done = true;
    if (when_done) when_done();
  }
  // --- SessionListener
  void on_lease_lost(const Error& reason) override {
    lost.push_back(reason);
    in_transaction = false;
  }

  Reply reply;
  bool done = true;
  bool in_transaction = false;
  std::uint64_t rows_seen = 0;
  std::uint64_t rows_kept = 1000;
  std::uint64_t pause_after = 0;
  std::vector<Error> lost;
  std::function<void()> when_done;

 private:
  Reply::Step& at(std::size_t step) {
    if (reply.steps.size() <= step) reply.steps.resize(step + 1);
    return reply.steps[step];
  }

  ThreadedReactor& reactor_;
  std::unique_ptr<BackendSession> session_;
};

class Fixture {
 public:
  SqliteOptions options() const {
    SqliteOptions made;
    made.name = "main";
    made.path = dir.file("main.db");
    made.temp_dir = dir.path();
    return made;
  }
  void open(SqliteOptions options) {
    auto opened = open_sqlite(std::move(options), reactor, log);
    REQUIRE(opened.ok());
    database = std::move(opened).value();
  }
  std::unique_ptr<Client> client(SessionOptions options = {}) {
    if (options.session_id == 0) options.session_id = ++last_session;
    return std::make_unique<Client>(*database, reactor, std::move(options));
  }
  std::vector<std::string> shut_down() {
    bool closed = false;
    std::vector<std::string> said;
    database->shut_down([&](std::vector<std::string> report) {
      said = std::move(report);
      closed = true;
    });
    REQUIRE(reactor.run_until([&] { return closed; }));
    database.reset();
    return said;
  }

  TempDir dir;
  ThreadedReactor reactor;
  MemoryLog log;
  std::unique_ptr<Database> database;
  std::uint64_t last_session = 0;
};

}  // namespace based::test
