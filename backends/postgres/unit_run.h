// UnitRun: one unit on its way through a link: what is sent for it, and what came of it.
//
// Prologue, steps and epilogue travel in one Sync group, one round trip; the recovery, after an
// error, in a second. Columns, rows and step results go straight to the unit's sink; the outcome is
// left to the owner, who is told when a group is over. Loop thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/postgres/link.h"
#include "backends/postgres/request_queue.h"
#include "backends/postgres/row_reader.h"
#include "backends/postgres/statement_cache.h"
#include "backends/postgres/type_catalogue.h"
#include "backends/unit.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {

class UnitRun final : public Requester {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void on_group_over() = 0;  // the last thing that the run does: it may be destroyed
    // The next step has begun. `rows`: returned or changed by this one.
    virtual void on_step_over(std::size_t step, std::uint64_t rows) = 0;
    // In a sandbox's root transactions are savepoints, and steps may set what no SET shows.
    virtual bool rooted() const { return false; }
    virtual Duration step_limit(std::size_t step) const = 0;  // zero: none
    // What the client is told of the unit's only step, as it is alone.
    virtual std::span<const Error> warned() const { return {}; }
    // What a step fails with in the place of being executed, if it can be bound; null: nothing.
    virtual const Error* refused(std::size_t step) const = 0;
    virtual std::span<const StatementRef> settings_made(std::size_t) const { return {}; }
  };

  UnitRun(Unit unit, TypeCatalogue& types, SeenTexts& seen, Owner& owner);

  // Writes the unit, or its recovery, and submits it. `settings` is the fingerprint of the link's
  // settings. The link outlives the run, or forgets it.
  void send_unit(Link& link, std::string_view settings);
  void send_recovery(Link& link, std::string_view settings);
  // What a commit in a sandbox has found to be due behind it (sandbox_rules.h).
  bool restores() const { return restores_ && !error_; }
  void send_restoring(Link& link, std::string_view settings);
  // Its question has lost its name, and nothing else has failed: what is behind it is yet to run.
  bool lacks_question() const { return lacks_question_; }
  void send_without_question(Link& link, std::string_view settings);
  // Is there anything to be run after the error?
  bool needs_recovery() const {
    return error_ && !unit_.envelope.after_error(phase_, step_).empty();
  }

  // Nobody will hear of the answers to what is in flight.
  void doubt_settings(LinkSettings& settings) const;

  const Unit& unit() const { return unit_; }
  Unit& unit() { return unit_; }

  // The statement that runs was asked to end; the server's 57014 is then told in these words.
  void note_cancel(std::string_view reason) { cancel_reason_ = reason; }
  bool cancelled() const { return !cancel_reason_.empty(); }
  // The last group failed because a prepared statement is of no use any more, and nobody has heard
  // anything of the unit: it may be sent again.
  bool may_run_again() const { return stale_ && !told_; }

  // --- the outcome so far
  const std::optional<Error>& error() const { return error_; }
  UnitPhase phase() const { return phase_; }
  std::size_t step() const { return step_; }
  // COMMIT was sent and not answered: nobody knows whether it happened.
  bool commit_unanswered() const;
  // Every statement was answered.
  bool all_answered() const { return answered_ == items_.size(); }
  bool fatal() const { return fatal_; }                  // the server's error was its last words
  bool discarded_all() const { return discarded_all_; }  // its last statement was DISCARD ALL

  // Requester
  Flow on_reply(const Reply& reply) override;
  void on_ready(char status) override;

 private:
  struct Item {
    UnitPhase phase = UnitPhase::step;
    std::uint32_t index = 0;  // in its phase
    const Statement* statement = nullptr;
    const Statement* refused = nullptr;  // the client's, in whose place that is executed
    std::span<const ValueView> parameters;
    std::vector<std::uint32_t> types;
    std::uint64_t max_rows = 0;
    std::string name;  // of the prepared statement; empty: unnamed
    bool parse = true;
    bool describe = false;  // nothing is run
    bool done = false;
  };

  void add(UnitPhase phase, const std::vector<StatementRef>& statements);
  void send(Link& link, std::string_view settings);
  void choose_name(Item& item, StatementCache& cache, std::string_view settings,
                   std::vector<std::string>& closes);
  void write(const Item& item, std::uint32_t number, FrontendWriter& writer, Request& request);

  Flow on_row(const Reply& reply, const Item& item);
  bool on_description(const Reply& reply, Item& item);
  bool on_complete(const Reply& reply, Item& item);
  void on_described(Item& item);
  void complete(Item& item, StepResult result);
  void warn();
  bool on_error(const Reply& reply);
  bool finds_no_question(const Reply& reply, const ErrorFields& fields);
  void on_commit_undone(const Item& item);
  bool on_notice(const Reply& reply);
  void on_tag(std::string_view command);
  void fail_locally(Error error, const Item& item);
  void unreadable(std::string_view what);
  void settle_settings(char status);

  Unit unit_;
  StatementRef refusal_;
  TypeCatalogue& types_;
  SeenTexts& seen_;
  Owner& owner_;
  Link* link_ = nullptr;
  std::vector<Item> items_;  // of the group under way
  std::size_t answered_ = 0;
  RowReader reader_;
  std::uint64_t rows_ = 0;
  bool truncated_ = false;  // this step had more rows than were asked for
  std::string cancel_reason_;
  std::optional<Error> error_;
  std::optional<Error> local_error_;  // ours; the server's answer to our cancel is not told
  UnitPhase phase_ = UnitPhase::done;
  std::size_t step_ = 0;
  bool told_ = false;  // the sink has heard something
  bool stale_ = false;
  bool fatal_ = false;
  bool discarded_all_ = false;
  bool group_failed_ = false;
  bool restores_ = false;
  bool lacks_question_ = false;
};

}  // namespace based::postgres
