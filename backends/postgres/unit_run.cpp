#include "backends/postgres/unit_run.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "backends/postgres/check_savepoint.h"
#include "backends/postgres/parameters.h"
#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/sandbox_session.h"

namespace based::postgres {
namespace {

// Execute's row limit is an int32; a larger one is as good as none. One row more is asked for,
// since the server does not say whether there is another one.
std::uint32_t row_limit(std::uint64_t max_rows) {
  constexpr std::uint64_t most = std::numeric_limits<std::int32_t>::max();
  return max_rows == 0 || max_rows >= most ? 0 : static_cast<std::uint32_t>(max_rows + 1);
}

// Worth a name on the server: what is planned, and the BEGIN that may be sent again. What else is
// Based's own has none: a function of the client's may have dropped every prepared statement, and a
// COMMIT that fails for that takes the client's work with it.
bool is_preparable(UnitPhase phase, const Statement& statement) {
  const StatementKind kind = statement.kind;
  if (phase == UnitPhase::step) return kind == StatementKind::read || kind == StatementKind::write;
  const bool begins = kind == StatementKind::begin && statement.name.empty();
  return begins || &statement == restore_question().get();
}

}  // namespace

UnitRun::UnitRun(Unit unit, TypeCatalogue& types, SeenTexts& seen, Owner& owner)
    : unit_(std::move(unit)), types_(types), seen_(seen), owner_(owner) {}

void UnitRun::add(UnitPhase phase, const std::vector<StatementRef>& statements) {
  for (std::uint32_t i = 0; i < statements.size(); ++i) {
    items_.push_back({.phase = phase, .index = i, .statement = statements[i].get()});
  }
}

void UnitRun::send_unit(Link& link, std::string_view settings) {
  items_.clear();
  error_.reset();
  local_error_.reset();
  phase_ = UnitPhase::done;
  stale_ = restores_ = lacks_question_ = false;
  add(UnitPhase::prologue, unit_.envelope.prologue);
  for (std::uint32_t i = 0; i < unit_.steps.size(); ++i) {
    const Step& step = unit_.steps[i];
    items_.push_back({.phase = UnitPhase::step,
                      .index = i,
                      .statement = step.statement.get(),
                      .parameters = step.parameters.views(),
                      .types = parameter_types(step.parameters.views()),
                      .max_rows = step.max_rows,
                      .describe = step.describe});
    if (const Error* refused = owner_.refused(i)) {
      refusal_ = raised(*refused);
      items_.back().refused = std::exchange(items_.back().statement, refusal_.get());
    }
  }
  add(UnitPhase::epilogue, unit_.envelope.epilogue);
  send(link, settings);
}

void UnitRun::send_recovery(Link& link, std::string_view settings) {
  items_.clear();
  add(UnitPhase::recovery, unit_.envelope.after_error(phase_, step_));
  send(link, settings);
}

void UnitRun::send_restoring(Link& link, std::string_view settings) {
  items_.clear();
  add(UnitPhase::recovery, {before_commit_statements().back()});
  send(link, settings);
}

void UnitRun::send_without_question(Link& link, std::string_view settings) {
  const std::vector<StatementRef>& epilogue = unit_.envelope.epilogue;
  const auto question = std::ranges::find(epilogue, restore_question());
  std::vector<StatementRef> rest{back_to_check(), before_commit_statements().back()};
  rest.insert(rest.end(), std::next(question), epilogue.end());
  lacks_question_ = false;
  items_.clear();
  add(UnitPhase::epilogue, rest);
  send(link, settings);
}

void UnitRun::send(Link& link, std::string_view settings) {
  link_ = &link;
  link.send_owed();
  answered_ = 0;
  group_failed_ = false;
  StatementCache& cache = link.statements();
  link.begin_group();
  std::vector<std::string> closes = cache.take_closable();
  bool defines = false;  // what comes behind it may mean other types than was prepared for
  for (Item& item : items_) {
    if (!defines || item.phase != UnitPhase::step) choose_name(item, cache, settings, closes);
    defines = link.note_sent(*item.statement) || defines;
  }
  Request request{.requester = this};
  FrontendWriter writer(link.out());
  for (const std::string& name : closes) {  // first: behind an error they would be skipped
    writer.close_statement(name);
    request.expected.push_back({.what = Expect::close, .fate = Fate::swallow});
  }
  for (std::uint32_t i = 0; i < items_.size(); ++i) write(items_[i], i, writer, request);
  writer.sync();
  link.submit(std::move(request));
}

void UnitRun::choose_name(Item& item, StatementCache& cache, std::string_view settings,
                          std::vector<std::string>& closes) {
  const std::string& text = item.statement->text;
  if (item.describe) return;  // its parameters' types are not known: others would be, when it runs
  if (cache.entries_max() == 0 || !is_preparable(item.phase, *item.statement)) return;
  if (StatementCache::Entry* entry = cache.find_current(text, item.types, settings)) {
    item.name = entry->name;
    item.parse = false;
    return;
  }
  if (item.phase == UnitPhase::step && !seen_.seen(text)) return;
  if (cache.full()) {
    const std::optional<std::string> evicted = cache.evict();
    if (!evicted) return;
    closes.push_back(*evicted);
  }
  if (StatementCache::Entry* entry = cache.add(text, item.types, settings)) item.name = entry->name;
}

void UnitRun::write(const Item& item, std::uint32_t number, FrontendWriter& writer,
                    Request& request) {
  const auto expect = [&](Expect what, Fate fate) {
    request.expected.push_back({.what = what, .fate = fate, .phase = item.phase, .index = number});
  };
  if (item.refused != nullptr) {
    writer.parse("", item.refused->text, item.types);
    expect(Expect::parse, Fate::swallow);
    write_bind(writer, "", item.parameters);
    expect(Expect::bind, Fate::swallow);
    writer.describe_portal("");
    expect(Expect::describe_portal, Fate::forward);
  }
  if (item.parse) {
    writer.parse(item.name, item.statement->text, item.types);
    expect(Expect::parse, item.name.empty() ? Fate::swallow : Fate::forward);
  }
  if (item.describe) {
    writer.describe_statement(item.name);
    expect(Expect::describe_statement, Fate::forward);
  } else {
    write_bind(writer, item.name, item.parameters);
    expect(Expect::bind, Fate::swallow);
    if (item.phase == UnitPhase::step && item.refused == nullptr) {
      writer.describe_portal("");
      expect(Expect::describe_portal, Fate::forward);
    }
    writer.execute("", row_limit(item.max_rows));
    expect(Expect::execute, Fate::forward);
  }
  // Otherwise the server keeps the answer until the group ends, and no step's start is known.
  const bool timed = item.phase == UnitPhase::step && unit_.steps.size() > 1 &&
                     owner_.step_limit(item.index) > Duration::zero();
  if (timed) writer.flush();
}

}  // namespace based::postgres
