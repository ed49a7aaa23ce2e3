// SqliteWire: the machine behind open_sqlite_wire_session().
//
// One unit is in flight at a time; while there is one, no messages are taken. An Execute waits for
// the message behind it: before a Sync it commits by itself, else it opens the implicit
// transaction, which the Sync commits.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/envelope.h"
#include "backends/transaction_stack.h"
#include "daemon/postgres/sqlite_commands.h"
#include "daemon/postgres/sqlite_session.h"
#include "daemon/postgres/sqlite_settings.h"
#include "daemon/postgres/sqlite_text.h"
#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/requests.h"

namespace based {

// One statement of a client, parsed.
struct WireStatement {
  std::string text;  // the client's, of which this is the statement of that number
  std::size_t index = 0;
  bool translated = false;
  StatementRef statement;  // null: empty
  StatementNotes notes;
  std::optional<SessionCommand> command;  // answered here
  std::vector<std::uint32_t> types;       // of the parameters; 0: not given
  struct Column {
    std::string name;
    std::uint32_t oid = 0;
  };
  // What the client has been told; none: nothing yet.
  std::optional<std::vector<Column>> columns;
};
using WireStatementRef = std::shared_ptr<WireStatement>;

bool is_control(StatementKind kind);
std::vector<WireStatement::Column> sandbox_columns_of(const Statement& statement);

struct WirePortal {
  WireStatementRef prepared;
  ValueList values;
  std::vector<std::int16_t> formats;
  enum class State : std::uint8_t { fresh, suspended, done } state = State::fresh;
  std::deque<std::string> rest;  // DataRow messages behind a row limit
  std::size_t rest_bytes = 0;
  std::string tag;  // of its end, without the count of rows
};

class SqliteWire final : public WireSession, private Sink, private SessionListener {
 public:
  SqliteWire(Database& database, WireOptions options, WireClient& client, Reactor& reactor,
             const SqliteWireRules& rules);
  ~SqliteWire() override;

  void start() override;
  void on_message(const WireMessage& message) override;
  void on_batch_end() override { flush(); }
  void cancel(std::string_view reason, std::shared_ptr<const void> until_sent) override;
  void on_drained() override;
  bool at_rest() const override;
  bool in_transaction() const override { return !stack_.empty(); }
  void tell_when_at_rest() override { tell_at_rest_ = true; }

 private:
  enum class Purpose : std::uint8_t { none, steps, entering, ending, describe, sandbox };
  enum class Reading : std::uint8_t { all, until_sync };
  // What a description is for. parse: only the types of columns that parameters meet.
  enum class Describing : std::uint8_t { parse, statement, portal };
  // What an error does to the transaction.
  enum class Fate : std::uint8_t { fails, stays };
  // One statement of the unit in flight.
  struct Running {
    WireStatementRef prepared;
    WirePortal* portal = nullptr;
    std::uint64_t rows_max = 0;
    std::uint64_t rows = 0;
    bool tells_columns = false;
    bool has_columns = false;
    std::vector<std::uint32_t> oids;
    std::vector<std::int16_t> formats;
  };
  // Describe and Execute of a portal, until the message behind them is there.
  struct Pending {
    std::string portal;
    bool describe = false;
    bool execute = false;
    std::uint64_t rows_max = 0;
  };
  struct Stored {
    char type = 0;
    std::string body;
  };
  struct TableColumn {
    std::string table;
    std::string name;
    std::string type;
    std::int64_t ordinal = 0;
  };
  // The end of levels under way.
  struct Ending {
    LevelsEnd plan;
    std::string tag;  // empty: the client has not asked for it
    std::optional<BeginOptions> chain;
  };

  // --- messages (sqlite_wire.cpp)
  void dispatch(char type, std::string_view body);
  void take(char type, std::string_view body);
  void take_query(std::string_view body);
  void protocol_error(std::string message);
  void advance();
  void finish_query();
  void sync();
  void ready();
  void flush();
  void resume_messages();
  void fail(Error error, const WireStatement* of = nullptr, Fate fate = Fate::fails);
  static Fate fate_of(const UnitOutcome& outcome);
  Result<WireStatementRef> as_of_now(const WireStatementRef& prepared);
  Result<std::vector<WireStatementRef>> parse(std::string_view text, ParameterStyle style);
  Result<WireStatementRef> make_statement(std::string_view text, const StatementRef& statement,
                                          const TranslatedText& translated);
  SessionFacts facts() const;

  // --- the extended protocol (sqlite_wire_extended.cpp)
  void take_parse(std::string_view body);
  void take_bind(std::string_view body);
  void take_describe(std::string_view body);
  void take_execute(std::string_view body);
  void take_close(std::string_view body);
  bool settle_pending(bool before_sync);
  Result<ValueList> read_values(const postgres::BindRequest& bind, const WireStatement& prepared);
  void describe_statement(const WireStatementRef& prepared, Describing what,
                          std::vector<std::int16_t> formats);
  void submit_description(const WireStatementRef& prepared, bool with_tables);
  void tell_description();
  void resolve_parameters(WireStatement& prepared) const;
  void resolve_columns(WireStatement& prepared) const;
  const TableColumn* find_column(const WireStatement& prepared, std::string_view name) const;
  void execute(const std::string& name, std::uint64_t rows_max, bool alone, bool describe);
  void give_rest(WirePortal& portal, std::uint64_t rows_max);
  WireStatementRef find_statement(std::string_view name, Error& error) const;

  // --- what is answered here (sqlite_wire_control.cpp)
  void run_here(const WireStatement& prepared, bool tells_columns,
                const std::vector<std::int16_t>& formats = {});
  void run_control(const Statement& statement);
  void begin_level(const Statement& statement);
  void begun(std::string_view tag);
  void end_transaction(const Statement& statement);
  void run_savepoint(const Statement& statement);
  void run_command(const SessionCommand& command, bool tells_columns);
  void run_set(const SessionCommand& command);
  void set_modes(const SessionCommand& command);
  void show(const SessionCommand& command, bool tells_columns);
  void discard(const SessionCommand& command);
  Result<void> apply_set_configs(const WireStatement& prepared);
  Result<void> set(std::string_view name, std::string_view value, bool local);
  void warn(Sqlstate code, std::string message);
  std::uint32_t level_of_log() const { return stack_.empty() || implicit_ ? 0 : 1; }
  void say(const WireStatement& prepared);
  void refuse(const WireStatement& prepared, Error error);
  void tell_said();

  // --- SANDBOX (sqlite_wire_sandbox.cpp)
  void run_sandbox(const WireStatement& prepared, bool tells_columns,
                   const std::vector<std::int16_t>& formats);
  void give_sandbox_rows(const Statement& statement, bool tells_columns,
                         const std::vector<std::int16_t>& formats);
  void sandbox_done(std::string_view tag, const std::optional<Error>& error);

  // --- units (sqlite_wire_units.cpp)
  std::optional<Error> refusal_of(const WireStatement& prepared) const;
  bool in_read_only() const;
  void run_group(std::size_t count, bool alone);
  void submit(Unit unit, Purpose purpose);
  void start_entering(std::string_view tag);
  void entering_done(UnitOutcome& outcome);
  void start_ending(Result<LevelsEnd> plan, std::string tag);
  void complete_ending();
  void end_levels(const LevelsEnd& plan);
  void ending_done(UnitOutcome& outcome);
  void steps_done(UnitOutcome& outcome);
  void describe_done(UnitOutcome& outcome);
  void note_failure(const UnitOutcome& outcome, const Error& error);
  void reset_backend();

  // --- Sink, SessionListener (sqlite_wire_rows.cpp)
  void on_columns(std::size_t step, std::span<const Column> columns) override;
  Flow on_row(std::size_t step, std::span<const ValueView> row) override;
  void on_step_done(std::size_t step, const StepResult& result) override;
  void on_notice(std::string_view severity, const Error& notice) override;
  void on_done(UnitOutcome outcome) override;
  void on_lease_lost(const Error& reason) override;
  void tell_columns(const WireStatement& prepared, const std::vector<std::int16_t>& formats);
  void release_tag();
  void give_up(Error error, std::size_t step);

  bool busy() const { return purpose_ != Purpose::none; }
  bool usable() const { return stack_.empty() || stack_.state() == StackState::sound; }

  Database& database_;
  WireOptions options_;
  WireClient& client_;
  Reactor& reactor_;
  SqliteWireRules rules_;
  SqliteSettings settings_;
  std::vector<std::pair<std::string, std::string>> set_locals_;  // with the values before
  TransactionStack stack_;
  EnvelopeMaker envelopes_;
  std::unique_ptr<BackendSession> backend_;
  std::string out_;
  postgres::BackendWriter writer_{out_};

  Purpose purpose_ = Purpose::none;
  Reading reading_ = Reading::all;
  bool querying_ = false;  // a simple query is under way
  bool implicit_ = false;  // the one level is not the client's: a query's or a pipeline's
  bool advancing_ = false;
  bool end_in_sync_ = false;  // behind the ending under way comes ReadyForQuery
  bool read_only_ = false;    // SET TRANSACTION READ ONLY
  bool tell_at_rest_ = false;
  bool paused_ = false;
  bool waited_in_vain_ = false;          // something of this unit, and its transaction is as it was
  std::deque<WireStatementRef> script_;  // of the simple query, to be run
  std::vector<Running> running_;         // the unit's steps
  std::vector<ValueList> values_;        // and their parameters
  Ending ending_;
  std::string held_tag_;       // of the last step: told when its unit has succeeded
  std::optional<Error> loss_;  // of the transaction; the client does not know yet
  SaidStatement said_;         // what is answered here, or refused
  std::optional<Error> own_error_;
  std::size_t own_error_step_ = 0;

  std::map<std::string, WireStatementRef, std::less<>> prepared_;
  std::map<std::string, std::unique_ptr<WirePortal>, std::less<>> portals_;
  std::optional<Pending> pending_;
  std::optional<Stored> stored_;
  std::string partial_;
  // A description under way.
  WireStatementRef described_;
  Describing describing_ = Describing::statement;
  std::vector<std::int16_t> described_formats_;
  std::vector<WireStatement::Column> found_columns_;
  std::vector<TableColumn> table_columns_;
  std::shared_ptr<SqliteWire*> anchor_;  // what comes later finds the session through it, or null
};

}  // namespace based
