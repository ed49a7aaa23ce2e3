// Session: the one implementation of NativeSession, see session.h.
//
// The files: session.cpp (queue, chains, final frames), session_run.cpp (EXEC and BATCH into
// units), session_outcome.cpp (what a unit has come to), session_rows.cpp (results and credit),
// session_transaction.cpp (TX, CLOSE and their SQL), session_sandbox.cpp (SANDBOX).
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/database.h"
#include "backends/envelope.h"
#include "backends/transaction_stack.h"
#include "daemon/native/run.h"
#include "daemon/native/session.h"

namespace based::native {

class Session final : public NativeSession, private Sink, private SessionListener {
 public:
  Session(SessionHost& host, const DatabaseDirectory::Entry& entry, const Open& options,
          SessionIdentity identity);

  void take(const FrameHeader& header, std::string_view payload) override;
  void note_refused() override;
  bool has_request(std::uint32_t request) const override;
  void fetch(std::uint32_t request, std::uint64_t rows) override;
  bool cancel(std::uint32_t request) override;
  void on_drained() override;
  void drain() override { draining_ = true; }
  bool is_idle() const override;
  void end(const Error& error) override;
  TransactionReport transaction() const override;
  SessionStatus status() const override;

 private:
  // session.cpp
  void pump();
  void start(const FrameHeader& header, std::string payload, const WaitingRequest* waited);
  std::vector<ResultReport> results_before(std::size_t item) const;
  void finish_end();
  void finish_error(const Error& error, std::optional<std::uint32_t> item = std::nullopt);
  void finish(MessageType type, const std::string& payload, bool failed);
  bool cancel_waiting(std::uint32_t request);
  void reset_backend();
  void log_refused(const Error& error);

  // session_run.cpp
  void start_exec();
  void start_batch();
  Result<void> plan_item(const BatchItem& item);
  void advance();
  void fail_step(Error error);
  Result<ScriptRef> intern_item(const BatchItem& item);
  std::optional<Error> refusal_of(const PlannedStep& step) const;
  std::size_t group_end_of(bool in_transaction) const;
  void submit_steps();
  GroupPart part_of_group(bool inside) const;
  Duration timeout_of(const RunOptions& options) const;
  ValueList bind(const PlannedStep& step) const;
  void submit(Unit unit, UnitPurpose purpose);
  void submit(Unit unit);
  bool begin_implicit();
  bool in_read_only_level() const;

  // session_outcome.cpp
  void process(UnitOutcome outcome);
  void entering_done(const UnitOutcome& outcome);
  void steps_succeeded(const UnitOutcome& outcome);
  void steps_failed(UnitOutcome& outcome);
  void note_failure(const UnitOutcome& outcome, const Error& error);
  void apply_effects(const Statement& statement);
  void ending_done(UnitOutcome& outcome);
  void failed_ending(const UnitOutcome& outcome, const Error& error);
  void finish_ending_error(const Error& error);
  void complete_ending();

  // session_transaction.cpp
  Resting resting() const;
  void enter();
  void start_tx();
  void start_close();
  void begin_level(const Tx& tx);
  void report_levels();
  void run_control(const PlannedStep& step);
  void skip_control(const PlannedStep& step);
  void run_ending(Result<LevelsEnd> planned);
  void end_levels(const LevelsEnd& ending);
  Result<TransactionStack::Begun> push_level(const BeginOptions& options, LevelKind kind);
  void abort_transaction(const Error& reason);

  // session_sandbox.cpp
  std::uint32_t level_of_log() const { return stack_.empty() ? 0 : 1; }
  void say(std::string_view words) { said_.say(words, level_of_log(), now()); }
  std::string words_of(const Tx& tx) const;
  std::optional<Error> refusal_of_command(const Statement& statement) const;
  void run_sandbox(const PlannedStep& step);
  void sandbox_done(UnitOutcome& outcome);

  // session_rows.cpp: Sink
  void on_columns(std::size_t step, std::span<const Column> columns) override;
  Flow on_row(std::size_t step, std::span<const ValueView> row) override;
  void on_step_done(std::size_t step, const StepResult& result) override;
  void on_notice(std::string_view severity, const Error& notice) override;
  void on_done(UnitOutcome outcome) override;
  bool out_of_credit() const;
  bool send_row(std::uint32_t item, std::span<const ValueView> row);
  void flush_rows();
  void flush_at_end_of_turn();
  void give_up(std::uint32_t item, const char* why);
  void deliver_held();
  void go_on();
  ItemResult& item_of(std::size_t step);

  // SessionListener
  void on_lease_lost(const Error& reason) override;
  void on_enter_due() override;

  TimePoint now() { return host_.reactor().now(); }

  SessionHost& host_;
  const DatabaseDirectory::Use use_;
  const std::unique_ptr<JoinTicket> ticket_;
  Database& database_;
  const std::uint32_t number_;
  const std::uint64_t id_;
  const std::string label_;
  const bool read_only_;
  std::optional<BeginOptions> implicit_;  // a transaction that begins with the first statement
  Duration statement_timeout_;
  Duration statement_timeout_max_;
  Duration queue_timeout_;
  Duration idle_in_transaction_;

  TransactionStack stack_;
  EnvelopeMaker envelopes_;
  ProfileRef profile_;
  std::deque<WaitingRequest> waiting_;
  std::unique_ptr<Run> run_;
  bool previous_failed_ = false;  // for CHAIN
  bool pinned_ = false;
  std::optional<Error> state_lost_;  // told to the next request that runs something
  bool draining_ = false;
  bool pumping_ = false;
  bool closed_ = false;
  bool entering_ = false;  // the unit in flight enters levels, for others, and is no request's
  SaidStatement said_;     // what it does on the stack, or is refused

  // What was planned for the end of a turn finds the session through it.
  const std::shared_ptr<Session*> anchor_ = std::make_shared<Session*>(this);
  std::unique_ptr<BackendSession> backend_;  // last: it dies first, and then its sink hears nothing
};

BeginOptions to_begin_options(const LevelOptions& options);

}  // namespace based::native
