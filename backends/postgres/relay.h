// Relay: a PostgreSQL client's session behind PostgreSQL: its messages go to a leased link as they
// are, the server's bytes come back, and between two transactions the link is somebody else's.
//
//   idle -> waiting -> preparing -> flowing -> [listening] -> [settling] -> idle
//   commanding: a SANDBOX command is answered without a link. listening: a LISTEN was committed;
//   the client hears of it when it is effective. skipping: a unit was refused; what is left of it
//   is answered here. ended: the client was told.
//
// What a session keeps while it has no link: its settings (SessionJournal) and its prepared
// statements. Before a unit the link is brought to these settings, in a Sync group of its own; a
// prepared statement that it lacks is parsed in front of the message that needs it. A session whose
// state cannot be moved keeps its link: it is pinned.
// In PgBouncer's words this is transaction pooling. PostgreSQL's manual, "Message Flow", has the
// rules of the protocol. Loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backends/log.h"
#include "backends/postgres/client_objects.h"
#include "backends/postgres/control_batch.h"
#include "backends/postgres/held_messages.h"
#include "backends/postgres/lease_source.h"
#include "backends/postgres/relay_context.h"
#include "backends/postgres/relay_items.h"
#include "backends/postgres/relay_parts.h"
#include "backends/postgres/sandbox_unit.h"
#include "backends/postgres/session_journal.h"
#include "backends/postgres/wire_stack.h"
#include "backends/sandbox.h"
#include "backends/sql/statement_table.h"
#include "backends/wire.h"
#include "protocol/postgres/requests.h"

namespace based::postgres {

class Relay : public WireSession,
              public LeaseWaiter,
              public LinkHolder,
              public Requester,
              public Subscriber {
 public:
  using State = RelayState;
  Relay(RelayContext& context, WireOptions options, WireClient& client);
  ~Relay() override;
  // WireSession
  void start() override;
  void on_message(const WireMessage& message) override;
  void on_batch_end() override;
  void cancel(std::string_view reason, std::shared_ptr<const void> until_sent = {}) override;
  void on_drained() override;
  bool at_rest() const override;
  void tell_when_at_rest() override { tell_rest_ = true; }
  bool in_mid_message() const override { return in_part_; }

 private:
  // LeaseWaiter
  void on_lease(Link& link) override;
  void on_lease_refused(const Error& reason) override;
  std::optional<TimePoint> rests_since() const override;
  void on_lease_revoked(const Error& reason) override;
  bool in_transaction() const override;
  void on_parked() override;
  LinkHolder& holder() override { return *this; }
  bool fits(const LinkSettings& settings) const override;
  std::string describe() const override;
  std::uint64_t session_id() const override { return options_.session_id; }
  std::uint64_t group() const override { return options_.group; }
  OuterTransaction as_outer() const override;
  void take_over(LeftToOuter left) override;
  // LinkHolder
  void on_link_lost(const Error& reason) override;
  void on_cancel_over() override;
  void on_reported() override;
  void on_notification(std::string_view raw) override;
  void on_delivered() override { pump(); }
  // Requester
  Flow on_reply(const Reply& reply) override;
  void on_ready(char status) override;
  void on_skipped() override { ++skipped_; }
  // Subscriber
  void on_notification_heard(std::string_view message) override;
  void on_notifications_missed() override;
  void on_listening(const std::optional<Error>& error) override;
  bool is_rollback(const WireMessage& message);
  bool has_nothing_open() const { return status_ == 'I' || begin_due_ == BeginDue::due; }
  // relay_begin.cpp: BEGIN and DEALLOCATE by themselves, and the end of what no server has heard of
  bool keeps_control(const WireMessage& message);
  void end_unheard(const ControlBatch& batch);
  void forget_statements(const ControlBatch& batch);
  bool takes_begin(const WireMessage& message) const;
  bool begins_first();
  PreparedRef unnamed_begin() const;
  void send_begin();
  void forward_query(const WireMessage& message, std::uint32_t number);
  bool note_begun(const Reply& reply, Item& made);
  bool only_begun();
  void fail_begin();
  // relay_listen.cpp: LISTEN through the shared listener
  bool listens_here(const Statement& statement) const;
  bool keeps_no_more() const;
  bool refuse_listen(const Script* script, std::string_view text = {});
  void note_listen(const Statement& statement, std::string_view tag);
  bool may_listen() const { return context_.listener != nullptr || context_.channels != nullptr; }
  void notify(const std::string& channel, const std::string& payload);
  void settle_sandbox_channels();
  void make_listening();
  bool settle_listening();
  void note_notifying(std::string_view text);
  void go_on_listening();
  void forget_listens();
  bool may_be_notified() const;
  void tell_notifications();
  void hear_on_link(std::string_view message);
  // relay_lease.cpp: getting, preparing and giving back the link
  void transition(State to);
  void arm(Duration from_now);
  Duration silence_most() const;
  void watch_silence();
  void on_silence();
  void on_timer();
  void acquire();
  void prepare();
  bool are_accepted(const std::vector<std::string>& texts) const;
  void apply_unawaited(const std::vector<std::string>& texts);
  void note_accepted(const Settings& wanted);
  bool needs_own_link() const;
  void forget_unseen();
  TransactionModes default_modes() const;
  std::string shown(const WireStack::Plan& plan) const;
  void enter_failed_transaction();
  void strike_parked();
  void try_settings(Settings wanted);
  void on_settings_tried(const Settings& wanted, const std::optional<Error>& error);
  bool try_to_heal(const Error& refusal);
  ScriptRef script_of(const WireMessage& message) const;
  bool heals(const WireMessage& message) const;
  bool refuse_unhealed(const WireMessage& message);
  void on_prepared();
  bool refuse_cancelled();
  void welcome(const ReportedRef& reported);
  void welcome_from_memory(const Error& reason);
  void tell_reported();
  void release();
  void give_back();
  void watch_rest();
  bool is_transaction_over() const;
  void end_rest();
  void leave_failed();
  void let_go();
  void end_unit(char status);
  void rest();
  void go_on();
  void end(const Error& error);
  Error lost_error(const Error& reason) const;
  void run_elsewhere();
  void lose(const Error& error, bool state_lost);
  void answer_lost(const Error& error);
  void refuse_unit(Error error);
  void skip(const WireMessage& message);
  void finish_skipping();
  // relay_requests.cpp: from the client to the link
  void pump();
  bool must_wait(const WireMessage& message);
  bool needs_preparing() const;
  bool awaits_any_name(std::size_t earlier) const;
  bool awaits_name(const WireMessage& message) const;
  bool awaits_unnamed(std::size_t earlier) const;
  void hold(const WireMessage& message);
  void take(const WireMessage& message);
  void take_part(const WireMessage& message);
  void begin_repeatable();
  void take_query(const WireMessage& message);
  void take_function_call(const WireMessage& message);
  bool awaits_batch(const WireMessage& message);
  bool awaits_replies();
  void take_parse(const WireMessage& message);
  bool is_unnamed(const ParseRequest& parse) const;
  bool prepare_unasked(const ParseRequest& parse);
  PreparedRef text_to_prepare(const ParseRequest& parse);
  std::uint32_t replace_unnamed(ItemKind by, PreparedRef text);
  void restore_unnamed(std::size_t from, const PreparedRef& text);
  void take_named_parse(const ParseRequest& parse, const std::shared_ptr<PreparedText>& text);
  void take_bind(const WireMessage& message);
  // relay_columns.cpp: what clients count on
  bool awaits_columns(const WireMessage& message);
  void refuse_columns();
  void describe_named(const PreparedRef& text, std::string_view on_server, bool of_ours);
  void note_bound(std::string_view portal, const PreparedRef* named);
  std::uint32_t note_described(std::string_view portal);
  void note_executed(std::string_view portal);
  bool note_columns(const Reply& reply, const Item& made);
  void go_on_without_columns();
  void bind_renamed(const WireMessage& message, const BindNames& names, std::string_view portal,
                    std::string_view statement, Fate fate, std::uint32_t number = 0);
  void take_named(const WireMessage& message);
  void take_close_statement(const WireMessage& message, std::string_view name);
  void take_execute(const WireMessage& message);
  void take_sync();
  void take_copy(const WireMessage& message);
  void fail_copy(char misplaced = 0);
  bool end_misplaced(const Reply& reply, const ErrorFields& fields);
  void forward(const WireMessage& message);
  void begin_request();
  void close_request(bool by_sync);
  void expect(Expect what, Fate fate = Fate::forward, std::uint32_t item = 0);
  void expect_swallowed(Expect what) { expect(what, Fate::swallow); }
  std::uint32_t add_item(Item&& added);
  void refuse_here(const Error& error, bool in_failed = false, std::string_view said = {});
  ScriptRef look_at(std::string_view text) const;
  const PreparedRef* find_prepared(std::string_view name) const;
  std::string_view name_for(const PreparedRef& prepared, std::string_view settings);
  std::string_view name_on_link(const PreparedRef& prepared, std::string_view settings);
  std::string settings_key();
  void erase_portal(std::string_view name);
  bool refuse_portal(std::string_view name);
  std::string_view name_to_describe(const PreparedRef& text);
  std::string name_told_for(std::string_view on_server) const;
  bool has_unnamed() const;
  void doubt_statements();
  void inject_unnamed();
  PreparedRef executed_by(const Script& script) const;
  void parse_unnamed();
  bool is_in_failed() const;
  void own_name(std::string_view name);
  void take_name(std::string_view name);
  bool refuse_in_failed(std::string_view name, const PreparedRef* prepared);
  bool describe_without_rows(const PreparedRef* prepared);
  bool own_names(const Script& script);
  void own_names_ahead(const Script& script);
  void close_left_names();
  bool refuse_more(const Script& script);
  bool may_run(const Script& script);
  ScriptRef seen_through(const ScriptRef& script) const;
  PreparedRef seen_through(const PreparedRef& text) const;
  bool pin(const Script& script);
  void keep_link(std::string_view reason, bool lasts);
  void forget_sequences(const Script& script);
  bool may_copy(const Script& script) const;
  void note_copy(const Reply& reply);
  bool is_skipped() const;
  void run_swallowed(std::string_view text);
  // relay_nested.cpp: from the server's own transaction to one inside of it, and back
  ScriptRef script_begun_by(const WireMessage& message) const;
  bool awaits_nesting(const WireMessage& message);
  void begin_nesting(const WireMessage& message);
  void forget_begun(const WireMessage& message);
  // relay_stack.cpp: transactions that are not the server's own
  bool stacked() const { return rules_.rooted || nesting_; }
  void run_inside(bool inside);
  void inject(const StatementRef& step, std::uint32_t number);
  void inject_question(const StatementRef& question, std::uint32_t number);
  std::uint32_t inject_steps(WireStack::Plan plan);
  void reply_here(std::string bytes);
  void take_control(const StatementRef& statement, Showing showing, bool in_script);
  void take_executed(const StatementRef& statement, Showing showing, bool last = false);
  bool refuse_in_failed_transaction();
  bool refuse_what_cannot(const ScriptRef& script, std::string_view text, bool in_script = false);
  void note_control(Item& made);
  void tell_control(const Item& made);
  void end_request();
  void on_stack_ready();
  bool recover_unit();
  // relay_portals.cpp: of these, what the extended protocol has prepared and bound
  void note_control_text(PreparedText& text) const;
  bool answer_for_control(const NamedRequest& named, bool closes);
  void execute_control(const ExecuteRequest& execute, const PreparedRef& text);
  void execute_again(const StatementRef& statement, std::string_view portal);
  void close_own_portal();
  bool refuse_failed_control(const PreparedText& text);
  bool is_control(const PreparedText& text) const;
  bool is_taken(const BindNames& names, bool controls) const;
  void bind_control(const BindNames& names, const PreparedRef& text);
  void try_bind(const WireMessage& message, const BindNames& names, std::string_view statement);
  // relay_guard.cpp: around a unit
  void guard_unit(bool undoes);
  bool awaits_guard(const WireMessage& message);
  bool run_behind(bool undoes = false);
  bool begins_at_once(const QueryPart& part);
  void let_guard_go();
  bool guard_goes_freely();
  void close_portals();
  bool note_own(const Reply& reply, Item& item);
  // relay_limits.cpp: a client's own, in a sandbox
  std::string_view own_limit(std::string_view setting) const;
  Duration limit_of(std::string_view setting) const;
  std::optional<Error> refuse_unknown(const Statement& statement) const;
  void begin_limits();
  void watch_statement();
  void note_statement_end();
  void on_statement_due();
  bool is_limited(const Script& script) const;
  // relay_script.cpp: simple queries among them, in parts
  ScriptRef script_to_cut(std::string_view text) const;
  void begin_query(std::string_view text);
  void begin_parts();
  void cut_query(std::string_view text);
  void advance_query();
  void send_part(QueryPart part);
  std::vector<std::string> undo_local_settings();
  void expect_check(std::string_view text);
  void check_in_front();
  void check_whole();
  bool note_check(const ErrorFields& fields);
  bool settle_check();
  // relay_session_calls.cpp: what a client of a sandbox sets by functions
  void note_taint(const sql::SessionCalls& calls, const std::vector<CallMade>& made);
  void note_taint(const Script& script);
  void apply_calls(Item& made, std::string_view tag);
  void apply_setting(const CallMade& call);
  std::vector<StatementRef> settings_ending() const;
  // relay_objects.cpp: what a client of a sandbox has made that ends with it
  void note_sent(const Script& script);
  void note_object(const Statement& statement, std::string_view tag);
  void commit_objects();
  std::vector<StatementRef> ending(bool commits = false);
  std::vector<StatementRef> ended_by(const Statement& control);
  std::vector<StatementRef> left_by_others();
  void forget_objects();
  void leave_objects();
  // relay_failed.cpp: a failed transaction that has no link
  bool answers_failed(const WireMessage& message);
  bool is_end(const WireMessage& message) const;
  void go_on_behind_end(const WireMessage& message);
  void take_end(const WireMessage& message);
  void end_parse(const WireMessage& message);
  void end_bind(const WireMessage& message);
  void end_execute(const WireMessage& message);
  void end_failed(std::string_view text);
  // relay_sandbox.cpp: SANDBOX
  void begin_unit(const WireMessage& message);
  bool begins_command(const WireMessage& message) const;
  StatementRef command_of(std::string_view text) const;
  void take_command(const WireMessage& message);
  void command_query(const WireMessage& message);
  void command_parse(const WireMessage& message);
  void command_bind(const WireMessage& message);
  void command_describe(const WireMessage& message);
  void command_execute(const WireMessage& message);
  void command_close(const WireMessage& message);
  void run_command(const StatementRef& statement);
  void on_command_done(const std::optional<Error>& error);
  void fail_command(const Error& error);
  void end_command();
  void pump_commands();
  void take_sandbox(const StatementRef& statement);
  void log_done(std::string_view text, std::string_view tag);
  void log_error(const Item& made, const ErrorFields& fields);
  void log_refused(const WireMessage& message, const Error& error);
  void log_statement(SandboxLogEntry entry);
  // relay_replies.cpp: from the link to the client
  bool may_yet_fail(const Reply& reply) const;
  Flow send_part_of(const Reply& reply);
  void on_synthesised(const Reply& reply);
  void on_error(const Reply& reply);
  bool stale_and_unheard(const Reply& reply, const ErrorFields& fields);
  void send_error(const Reply& reply, const ErrorFields& fields);
  void note_done(const Reply& reply, Item& item);
  void note_statement(const StatementRef& statement, std::string_view tag);
  void note_prepare(const StatementRef& statement, std::string_view tag);
  void note_all_dropped();
  void drop_items();
  void drop_items_before(std::uint32_t number);
  void note_statements_lost(const Reply& reply, const ErrorFields& fields);
  void forget_plans();
  void run_again();
  void check_pin();
  void unpin();
  void arm_pin_idle();
  bool end_if_pinned_for_long();
  Item& item(std::uint32_t number) { return items_[number - first_item_]; }
  Flow to_client(std::string_view bytes);
  void keep_back(std::string_view bytes);
  void tell_kept();
  bool may_keep_back() const;
  void send_ready(char status);

  RelayContext& context_;
  const WireOptions options_;
  WireClient& client_;
  const bool session_mode_;
  State state_ = State::idle;
  Link* link_ = nullptr;
  // Of the state; of a limit; of a client that has begun a unit and not ended it.
  std::unique_ptr<Reactor::Timer> timer_, statement_due_, silence_;
  SessionJournal journal_;
  std::unique_ptr<Listening> listening_;  // null: it never did
  ReportedRef told_;                      // what the client knows of its settings
  HeldMessages held_, unit_;              // unit_: the one in flight, while it could be run again
  NameMap prepared_, portals_;            // portals: of statements that are not ordinary
  PreparedRef unnamed_;
  std::set<std::string, std::less<>> open_portals_;  // in a sandbox: those with names
  bool own_portal_ = false;  // what is in the portal without a name was Based's own
  std::vector<Item> items_;  // passed_items_: so many of the first decide over no setting
  std::uint32_t passed_items_ = 0, first_item_ = 1;  // the number of items_.front()
  std::vector<Sent> sent_;
  std::size_t skipped_ = 0;            // requests that the next ReadyForQuery answers too
  char status_ = 'I', misplaced_ = 0;  // as the client knows it; the held message that ended a COPY
  bool extended_ = false, repeatable_ = false;  // a unit's Sync is to come; unit_ is all of it
  bool failed_ = false, answered_ = false;  // of it: an error came; the client was told something
  std::string kept_back_;  // goes in front of what it is told next, unless that is run_again_
  bool run_again_ = false, run_elsewhere_ = false;  // its error, its link's last words: kept back
  bool flushed_ = false, in_part_ = false;  // its newest message is a Flush; the link's is half
  std::size_t part_left_ = 0;               // bytes of its newest message that are to come
  std::uint32_t copy_awaited_ = 0;  // the item behind which nothing goes before its answer, or 0
  bool copying_in_ = false, settings_under_way_ = false;  // the link's report is not yet of them
  bool pinned_ = false, pin_lasts_ = false, pin_listens_ = false;  // to DISCARD ALL; so silent
  TimePoint transaction_due_, rests_since_, said_at_;  // outside of a transaction; its last bytes
  bool tell_rest_ = false, taking_ = true, has_reset_ = false;  // a RESET has run on the link
  bool welcomed_ = false, lost_ = false;  // on_started was told; its transaction, with its link
  BeginDue begin_due_ = BeginDue::no;
  ControlBatch control_batch_;
  Parked parked_ = Parked::no;
  std::unique_ptr<Error> loss_, refusal_;  // not told yet; skipping: to be told
  std::unique_ptr<Error> unsettled_;       // why a unit that is to change settings lacks its own
  std::string cancel_reason_;
  bool recovering_ = false, breaking_ = false;  // nothing of the client's runs; its batch waits
  Recovery recovery_;
  TimePoint since_, sent_at_;  // the statement that runs began; the oldest unit in flight was sent
  bool retried_ = false, link_is_new_ = false;  // nothing was sent since it was leased
  std::unique_ptr<SandboxUnit> command_;        // of the unit, while commanding
  WireStackRules rules_;       // those of the context, and while it has joined: rooted
  WireStack stack_, reached_;  // as it will be when everything sent is done; as it is
  bool nesting_ = false;       // in a nested transaction, or in a unit that begins or ends one
  std::vector<QueryPart> parts_;
  std::string held_tag_, last_tag_;  // what may be a Query's last one; it was: told when committed
  Check check_ = Check::none;
  std::string split_text_, one_body_;  // of parts_, where there are several; what is parsed for it
  bool unnamed_dropped_ = false, unnamed_stays_ = false;  // on the link, where something has failed
  // A simple Query in parts; what makes the unnamed statement the link's may yet be skipped;
  // what is sent next in the unit has the whole of its limit; what may be refused is a Query.
  bool querying_ = false, unnamed_sent_ = false, between_statements_ = false, in_query_ = false;
  // Stack: an error was told in it; perhaps; by what ends the transaction.
  bool unit_failed_ = false, unit_wrote_ = false, ending_failed_ = false;
  // Sandbox: it is where its turn began; the unit has set a limit; or what is not all known.
  bool at_turn_begin_ = false, limit_set_ = false, settings_tainted_ = false;
  std::unique_ptr<Restoring> restoring_;
  std::uint64_t losses_seen_ = 0;
  bool local_set_ = false, local_over_ = false;  // by a transaction, which has ended in its unit
  ClientObjects objects_;
  PortalCalls portal_calls_;
  ColumnsTold columns_;
};

}  // namespace based::postgres
