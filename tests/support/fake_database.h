// FakeDatabase: a Database whose transactions are real and whose statements are a script.
//
// It keeps one list of rows, the texts of the `insert` statements that were committed, so that a
// test sees what a conversation has come to. Control SQL works on a stack of savepoints, and what a
// real database would refuse (a savepoint that does not exist, a statement in a failed transaction,
// several statements that commit together without BEGIN) is noted in `violations`.
//
// What a statement does is in its words:
//   select N          N rows of one column           insert X       adds a row "X"
//   fail              23505, as a real one           or rollback    23505, and the transaction is
//   lose              the link is lost                              gone
//   slow              rests until run_on() or cancel warn           a notice, then as `other`
//   hidden begin      leaves a transaction open      big N          one row of N bytes
// A step that is only described does nothing, and is logged with a question mark.
#pragma once

#include <algorithm>
#include <cctype>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backends/database.h"
#include "backends/sql/script.h"
#include "protocol/check.h"
#include "tests/support/fake_transaction.h"

namespace based {

class FakeDatabase final : public Database {
 public:
  struct Options {
    std::string name = "app";
    Dialect dialect = Dialect::postgres;
    bool rooted = false;
  };

  FakeDatabase(Reactor& reactor, Options options)
      : reactor_(reactor), options_(std::move(options)) {}
  ~FakeDatabase() override { INVARIANT(sessions_.empty()); }

  // --- what a test sees and says
  std::vector<std::string> committed;
  std::vector<std::string> log;         // every statement that ran, in order
  std::vector<std::string> violations;  // of the contract, or of a real database's rules
  bool queue_closed = false;            // units wait until open_queue()
  int overrun = 0;                      // rows that still come after a pause
  std::uint64_t units = 0;
  // Asked before each statement and each queue wait; an error makes it fail there.
  std::function<std::optional<Error>(UnitPhase, std::string_view text)> fault;

  std::size_t sessions() const { return sessions_.size(); }
  std::size_t transactions() const {
    return static_cast<std::size_t>(
        std::count_if(sessions_.begin(), sessions_.end(), [](auto* s) { return s->in_tx(); }));
  }
  bool busy() const {
    return std::any_of(sessions_.begin(), sessions_.end(), [](auto* s) { return s->busy(); });
  }
  void open_queue() {
    queue_closed = false;
    for (FakeSession* session : copy_of_sessions()) session->leave_queue();
  }
  // What is `slow` ends normally.
  void run_on() {
    for (FakeSession* session : copy_of_sessions()) session->run_on();
  }
  // Every lease that rests between units is taken away.
  void lose_leases(const Error& reason) {
    for (FakeSession* session : copy_of_sessions()) session->lose_lease(reason);
  }
  std::vector<std::string> take_log() { return std::exchange(log, {}); }
  const Unit* last_unit() const { return last_unit_.get(); }
  const SessionOptions& last_options() const { return last_options_; }

  // --- Database
  const std::string& name() const override { return options_.name; }
  Dialect dialect() const override { return options_.dialect; }
  bool rooted() const override { return options_.rooted; }
  bool force_rollback() const override { return options_.rooted; }
  Result<ScriptRef> intern(std::string_view text, ParameterStyle style) override {
    return sql::parse_script(text, options_.dialect, style);
  }
  std::unique_ptr<BackendSession> open_session(SessionOptions options,
                                               SessionListener& listener) override {
    last_options_ = std::move(options);
    return std::make_unique<FakeSession>(*this, listener);
  }
  DatabaseStatus status() const override { return {.name = options_.name, .backend = "fake"}; }
  void shut_down(std::function<void(std::vector<std::string>)> done) override {
    reactor_.post([done = std::move(done)] { done({}); });
  }

 private:
  class FakeSession final : public BackendSession {
   public:
    FakeSession(FakeDatabase& database, SessionListener& listener)
        : database_(database),
          listener_(listener),
          tx_(database.options_.rooted, database.committed, database.violations) {
      database_.sessions_.push_back(this);
    }
    ~FakeSession() override {
      *anchor_ = nullptr;
      std::erase(database_.sessions_, this);
    }

    bool in_tx() const { return tx_.is_open(); }
    bool busy() const { return state_ != State::none; }

    void submit(Unit unit) override {
      INVARIANT(state_ == State::none);
      INVARIANT(unit.sink != nullptr);
      ++database_.units;
      unit_ = std::move(unit);
      note_unit();
      state_ = State::waiting;
      outcome_ = {};
      place_ = 0;
      rows_left_ = 0;
      still_coming_ = 0;
      streaming_ = false;
      lost_ = false;
      post([this] {
        if (!database_.queue_closed) leave_queue();
      });
    }

    void cancel(std::string_view reason) override {
      if (state_ == State::none || state_ == State::ending) return;
      Error error = Error::make(sqlstate::query_canceled, std::string(reason));
      const bool waits = state_ == State::waiting;
      outcome_.phase = waits ? UnitPhase::queue : phase();
      state_ = State::ending;
      // A pause does not hold an error back.
      post([this, waits, error] {
        if (waits) return complete(error);
        fail(error);
      });
    }

    void resume() override {
      if (state_ != State::paused) return;
      state_ = State::running;
      post([this] { go(); });
    }

    void leave_queue() {
      if (state_ != State::waiting) return;
      outcome_.phase = UnitPhase::queue;
      state_ = State::running;
      if (auto error = fault_at(UnitPhase::queue, "")) return complete(std::move(*error));
      go();
    }
    void run_on() {
      if (state_ != State::slow) return;
      state_ = State::running;
      finish_step("SLOW", {});
      go();
    }
    void lose_lease(const Error& reason) {
      if (state_ != State::none || !in_tx()) return;
      tx_.forget();
      listener_.on_lease_lost(reason);
    }

   private:
    enum class State { none, waiting, running, slow, paused, ending };

    void post(std::function<void()> task) {
      database_.reactor_.post([weak = std::weak_ptr<FakeSession*>(anchor_), task] {
        const auto there = weak.lock();
        if (there && *there != nullptr) task();
      });
    }

    void violation(std::string text) { database_.violations.push_back(std::move(text)); }

    std::optional<Error> fault_at(UnitPhase phase, std::string_view text) {
      return database_.fault ? database_.fault(phase, text) : std::nullopt;
    }

    void note_unit() {
      const auto& envelope = unit_.envelope;
      const bool alone = envelope.prologue.empty() && !in_tx();
      if (alone && unit_.steps.size() > 1) violation("several steps without a transaction");
      database_.last_unit_ = std::make_unique<Unit>();
      database_.last_unit_->envelope = unit_.envelope;
      database_.last_unit_->keep_lease = unit_.keep_lease;
      database_.last_unit_->pin = unit_.pin;
      database_.last_unit_->read_only = unit_.read_only;
      database_.last_unit_->profile = unit_.profile;
      database_.last_unit_->queue_deadline = unit_.queue_deadline;
      database_.last_unit_->statement_timeout = unit_.statement_timeout;
    }

    // --- the run: place_ counts through prologue, steps and epilogue
    std::size_t steps_begin() const { return unit_.envelope.prologue.size(); }
    std::size_t steps_end() const { return steps_begin() + unit_.steps.size(); }
    std::size_t all() const { return steps_end() + unit_.envelope.epilogue.size(); }
    std::size_t step() const { return place_ - steps_begin(); }
    UnitPhase phase() const {
      if (place_ < steps_begin()) return UnitPhase::prologue;
      return place_ < steps_end() ? UnitPhase::step : UnitPhase::epilogue;
    }

    void go() {
      while (state_ == State::running && place_ < all()) {
        outcome_.phase = phase();
        if (streaming_) {
          give_row();
          continue;
        }
        const Statement& statement = statement_here();
        database_.log.push_back((describes() ? "? " : "") + statement.text);
        if (auto error = fault_at(outcome_.phase, statement.text)) return fail(std::move(*error));
        if (outcome_.phase == UnitPhase::step) {
          if (auto error = run_step(statement)) return fail(std::move(*error));
        } else {
          if (auto error = tx_.run(statement)) return fail(std::move(*error));
          ++place_;
        }
      }
      if (state_ == State::running) complete(std::nullopt);
    }

    const Statement& statement_here() const {
      if (place_ < steps_begin()) return *unit_.envelope.prologue[place_];
      if (place_ < steps_end()) return *unit_.steps[step()].statement;
      return *unit_.envelope.epilogue[place_ - steps_end()];
    }

    static bool starts(std::string_view text, std::string_view word) {
      return text.substr(0, word.size()) == word;
    }
    static std::size_t number_in(std::string_view text) {
      const std::size_t digit = text.find_first_of("0123456789");
      return digit == std::string_view::npos ? 0 : std::stoul(std::string(text.substr(digit)));
    }

    bool describes() const { return phase() == UnitPhase::step && unit_.steps[step()].describe; }

    // Does its part and moves on, or leaves rows, or rests.
    std::optional<Error> run_step(const Statement& statement) {
      const std::string& text = statement.text;
      if (tx_.failed) {
        violation("a statement in a failed transaction: " + text);
        return Error::make(sqlstate::in_failed_sql_transaction, "the transaction is failed");
      }
      if (describes()) {
        if (starts(text, "fail")) return Error::make(sqlstate::undefined_table, "there is none");
        StepResult described;
        if (starts(text, "insert")) described.affected = 0;
        finish_step(starts(text, "insert") ? "INSERT" : "OTHER", described);
        return std::nullopt;
      }
      if (starts(text, "select") || starts(text, "big")) return begin_rows(text), std::nullopt;
      if (starts(text, "slow")) return state_ = State::slow, std::nullopt;
      if (starts(text, "fail")) {
        Error error = Error::make(sqlstate::unique_violation, "it is there already");
        error.position = 5;
        return error;
      }
      if (starts(text, "or rollback") || starts(text, "lose")) {
        const bool link = starts(text, "lose");
        lost_ = in_tx();
        tx_.forget();
        return Error::make(link ? sqlstate::connection_failure : sqlstate::unique_violation,
                           link ? "the link was lost" : "all was rolled back")
            .with_executed(link ? Executed::unknown : Executed::no);
      }
      if (starts(text, "hidden begin")) tx_.begin();
      if (starts(text, "hidden commit")) tx_.commit();
      if (starts(text, "warn")) {
        unit_.sink->on_notice("WARNING", Error::make(Sqlstate("01000"), "take care"));
      }
      StepResult result;
      if (starts(text, "insert")) {
        std::string row = text.substr(std::min(text.size(), std::size_t{7}));
        for (const ValueView& value : unit_.steps[step()].parameters.views()) {
          row += value.kind == ValueKind::int64 ? " " + std::to_string(value.int64)
                                                : " " + std::string(value.data);
        }
        tx_.write(std::move(row));
        result.affected = 1;
        if (database_.options_.dialect == Dialect::sqlite) {
          result.last_insert_id = static_cast<std::int64_t>(database_.committed.size());
        }
        finish_step("INSERT", result);
      } else {
        finish_step("OTHER", result);
      }
      return std::nullopt;
    }

    void begin_rows(std::string_view text) {
      const Column column{.name = "n", .type = "int8", .type_oid = 20};
      const std::size_t current = step();
      const std::size_t wanted = starts(text, "big") ? 1 : number_in(text);
      row_bytes_ = starts(text, "big") ? number_in(text) : 0;
      const std::uint64_t max = unit_.steps[current].max_rows;
      rows_left_ = max != 0 ? std::min<std::size_t>(wanted, max) : wanted;
      truncated_ = rows_left_ < wanted;
      rows_given_ = 0;
      streaming_ = true;
      unit_.sink->on_columns(current, {&column, 1});
    }

    void give_row() {
      if (rows_left_ == 0) {
        streaming_ = false;
        return finish_step("SELECT", {.rows = rows_given_, .truncated = truncated_});
      }
      const std::string big(row_bytes_, 'x');
      const ValueView value = row_bytes_ > 0
                                  ? ValueView::text(big)
                                  : ValueView::of(static_cast<std::int64_t>(rows_given_ + 1));
      ++rows_given_;
      --rows_left_;
      const Flow flow = unit_.sink->on_row(step(), {&value, 1});
      if (state_ != State::running) return;  // the sink has cancelled
      if (flow == Flow::pause && still_coming_ == 0) still_coming_ = database_.overrun + 1;
      if (still_coming_ > 0 && --still_coming_ == 0) state_ = State::paused;
    }

    void finish_step(std::string_view tag, StepResult result) {
      result.tag = tag;
      unit_.sink->on_step_done(step(), result);
      ++place_;
    }

    // --- the end
    void fail(Error error) {
      if (place_ < all()) outcome_.step = phase() == UnitPhase::step ? step() : 0;
      if (in_tx() && database_.options_.dialect == Dialect::postgres) tx_.failed = true;
      if (phase() == UnitPhase::prologue) outcome_.step = place_;
      if (in_tx()) {
        for (const auto& statement : unit_.envelope.after_error(outcome_.phase, outcome_.step)) {
          database_.log.push_back(statement->text);
          if (tx_.run(*statement)) {
            outcome_.phase = UnitPhase::recovery;
            break;
          }
        }
      }
      complete(std::move(error));
    }

    void complete(std::optional<Error> error) {
      outcome_.error = std::move(error);
      if (!outcome_.error) outcome_.phase = UnitPhase::done;
      outcome_.transaction = lost_        ? TransactionStatus::lost
                             : tx_.failed ? TransactionStatus::failed
                             : in_tx()    ? TransactionStatus::open
                                          : TransactionStatus::idle;
      outcome_.lease_held = in_tx() || unit_.keep_lease;
      state_ = State::none;
      Sink* sink = unit_.sink;
      unit_ = Unit{};
      sink->on_done(std::move(outcome_));
    }

    FakeDatabase& database_;
    SessionListener& listener_;
    std::shared_ptr<FakeSession*> anchor_ = std::make_shared<FakeSession*>(this);
    State state_ = State::none;
    Unit unit_;
    UnitOutcome outcome_;
    std::size_t place_ = 0;
    std::size_t rows_left_ = 0;
    std::size_t rows_given_ = 0;
    std::size_t row_bytes_ = 0;
    int still_coming_ = 0;  // rows, after a pause was asked for
    bool truncated_ = false;
    bool streaming_ = false;
    bool lost_ = false;
    FakeTransaction tx_;
  };

  std::vector<FakeSession*> copy_of_sessions() const { return sessions_; }

  Reactor& reactor_;
  Options options_;
  SessionOptions last_options_;
  std::unique_ptr<Unit> last_unit_;
  std::vector<FakeSession*> sessions_;
};

}  // namespace based
