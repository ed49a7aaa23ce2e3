// The Relay's unnamed statement: the session's own, as the link has it, or has it no more.
#include <utility>

#include "backends/postgres/relay.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

// A text's last statement is done before its transaction is committed, and is not told of where
// that fails: a DEALLOCATE ALL has dropped what it drops all the same. Null: it is none.
StatementRef dropping_before_commit(const Item& made, const ErrorFields& fields) {
  if (made.kind != ItemKind::query || !made.script) return nullptr;
  const auto& statements = made.script->statements;
  if (made.at == 0 || made.at + 1 != statements.size()) return nullptr;
  if (fields.fatal() || fields.sqlstate == "57014") return nullptr;
  const StatementRef& last = statements.back();
  const bool drops_all =
      last->kind == StatementKind::prepare && last->setting == "deallocate" && last->name.empty();
  return drops_all ? last : nullptr;
}

}  // namespace

// The text that is the unnamed statement already, as drivers send it again and again; not one whose
// own Parse may be skipped.
bool Relay::is_unnamed(const ParseRequest& parse) const {
  return unnamed_ && !unnamed_->script && !unnamed_->control && !unnamed_->unasked &&
         unnamed_->text == parse.text && unnamed_->types == parse.types &&
         !awaits_unnamed(items_.size());
}

std::uint32_t Relay::replace_unnamed(ItemKind by, PreparedRef text) {
  const bool there = has_unnamed();
  Item made{.kind = by,
            .unnamed = true,
            .was_there = there,
            .prepared = text,
            .before = std::move(unnamed_)};
  unnamed_ = std::move(text);
  return add_item(std::move(made));
}

// The unnamed statement as it is before what has not been done from items_[from] on.
void Relay::restore_unnamed(std::size_t from, const PreparedRef& text) {
  for (std::size_t i = from; i < items_.size(); ++i) {
    if (!items_[i].unnamed || items_[i].done) continue;
    items_[i].before = text;
    return;
  }
  unnamed_ = text;
}

// The unnamed statement is what a request before items_[earlier] makes of it, if that is not
// skipped.
bool Relay::awaits_unnamed(std::size_t earlier) const {
  for (std::size_t i = items_.size(); i-- > 0;) {
    if (items_[i].unnamed) return i < earlier && !items_[i].done;
  }
  return false;
}

// Is the session's unnamed statement the link's?
bool Relay::has_unnamed() const {
  const auto& own = link_->own_statements();
  return unnamed_ && (own.unnamed == unnamed_ || (is_in_failed() && own.doubted == unnamed_));
}

// Before a message that uses the unnamed statement: the link has this session's, or none.
void Relay::inject_unnamed() {
  std::shared_ptr<const void>& there = link_->own_statements().unnamed;
  if (unnamed_ && (there == unnamed_ || unnamed_->unasked)) return;
  // Nothing can be parsed in a failed transaction.
  if (unnamed_ && is_in_failed() && link_->own_statements().doubted == unnamed_) return;
  FrontendWriter writer(link_->out());
  if (unnamed_) {
    parse_unnamed();
    unnamed_sent_ = true;
  } else {
    writer.close_statement("");
    expect_swallowed(Expect::close);
  }
  there = unnamed_;
}

// What it executes, if that is all that it does.
PreparedRef Relay::executed_by(const Script& script) const {
  if (script.statements.size() != 1 || !executes(*script.statements.front())) return nullptr;
  const PreparedRef* executed = find_prepared(script.statements.front()->name);
  return executed == nullptr ? nullptr : *executed;
}

// An EXECUTE has the columns of the statement that there was when it was parsed, or none.
void Relay::parse_unnamed() {
  const Script* script = unnamed_->script.get();
  const bool one = script != nullptr && script->statements.size() == 1;
  const bool execute = one && executes(*script->statements.front());
  const std::string name = execute ? script->statements.front()->name : std::string();
  const PreparedRef* found = execute ? find_prepared(name) : nullptr;
  const PreparedRef now = found == nullptr ? nullptr : *found;
  const bool differs = execute && now != unnamed_->executes;
  const auto put = [&](const PreparedRef& text) {
    if (text) {
      prepared_[name] = text;
    } else {
      prepared_.erase(name);
    }
    own_name(name);
  };
  if (differs) put(unnamed_->executes);
  FrontendWriter(link_->out()).parse("", unnamed_->text, unnamed_->types);
  expect_swallowed(Expect::parse);
  if (differs) put(now);
}

// A Parse without a name, or a Query, drops the unnamed statement and fails thereafter. A function
// may have dropped any.
void Relay::note_statements_lost(const Reply& reply, const ErrorFields& fields) {
  if (fields.sqlstate == "26000") link_->own_statements().doubt();
  if (reply.expectation == nullptr) return;
  const Expectation& failed = *reply.expectation;
  if (failed.what == Expect::parse && failed.fate == Fate::swallow) unnamed_dropped_ = true;
  if (failed.index != 0) {
    Item& made = item(failed.index);
    made.before.reset();
    if (const auto ran = dropping_before_commit(made, fields))
      note_statement(ran, "DEALLOCATE ALL");
  } else if (failed.what == Expect::parse && failed.fate == Fate::forward) {
    restore_unnamed(0, nullptr);
  }
}

// Something has failed, and what was sent behind it was skipped.
void Relay::doubt_statements() {
  auto& own = link_->own_statements();
  own.doubt_sent();
  const bool stays = std::exchange(unnamed_stays_, false);
  if (std::exchange(unnamed_dropped_, false) || unnamed_sent_) {
    own.doubted.reset();
  } else if (stays) {
    own.doubted = unnamed_;
  }
}

}  // namespace based::postgres
