// The Relay's statements that have no name and come again and again: prepared unasked.
//
// Most drivers send a text without a name each time, and the server parses and plans it each time.
// From its second time on, it is on the link under a name of ours, as a named one is. Only at the
// beginning of a unit outside of a transaction: there a plan that has become of no use is made
// again unseen, and no statement of the session's own transaction can have changed what the text
// means.
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/sql/ordinary.h"
#include "protocol/postgres/backend.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

// What a Bind is refused with where a type is gone, or another one. Not what has to do with locks
// and limits.
bool may_be_of_types(std::string_view sqlstate) {
  return sqlstate == "XX000" || sqlstate.starts_with("22") || sqlstate.starts_with("42");
}

}  // namespace

// What it may be run as, or nothing. A session that is pinned may have tables of its own, which a
// text that others have prepared does not mean.
PreparedRef Relay::text_to_prepare(const ParseRequest& parse) {
  const bool begins = status_ == 'I' && !pinned_ && sent_.size() == 1 && repeatable_;
  if (context_.seen == nullptr || !begins || stacked()) return nullptr;
  if (unnamed_ && unnamed_->unasked && unnamed_->text == parse.text &&
      unnamed_->types == parse.types) {
    return unnamed_;
  }
  const bool fixed = sql::is_ordinary(parse.text) && !sql::names_moving_time(parse.text);
  if (!fixed || !context_.seen->seen(parse.text)) return nullptr;
  return std::make_shared<const PreparedText>(
      PreparedText{.text = std::string(parse.text),
                   .types = parse.types,
                   .reads = sql::begins_with_select(parse.text),
                   .unasked = true});
}

bool Relay::prepare_unasked(const ParseRequest& parse) {
  PreparedRef text = text_to_prepare(parse);
  if (!text) return false;
  const std::string settings = settings_key();
  const bool there = link_->statements().find_current(text->text, text->types, settings) != nullptr;
  Item made{.kind = ItemKind::parse, .unnamed = true, .prepared = text};
  if (!there) {
    const std::string_view on_server = made.details().on_server = name_for(text, settings);
    if (on_server.empty()) return false;  // no room
    FrontendWriter(link_->out()).parse(on_server, text->text, text->types);
  }
  made.before = std::exchange(unnamed_, std::move(text));
  expect(Expect::parse, there ? Fate::synthesise : Fate::forward, add_item(std::move(made)));
  return true;
}

// A plan of this session's cannot be used any more; which one, the error does not say.
void Relay::forget_plans() {
  for (const auto& [name, text] : prepared_) {
    const auto* entry = link_->statements().peek(text->text, text->types, journal_.fingerprint());
    if (entry != nullptr) link_->statements().forget(std::string(entry->name));
  }
  if (!unnamed_ || !unnamed_->unasked) return;
  const auto* entry =
      link_->statements().peek(unnamed_->text, unnamed_->types, journal_.fingerprint());
  if (entry != nullptr) link_->statements().forget(std::string(entry->name));
}

// A plan is of no use any more, and nobody has heard anything of the unit: it may run once more.
// So may one whose parameters were not taken: when it was parsed, their types may have been others.
bool Relay::stale_and_unheard(const Reply& reply, const ErrorFields& fields) {
  const Expectation* failed = reply.expectation;
  if (fields.routine == "RevalidateCachedQuery") {
    forget_plans();
  } else if (failed == nullptr || failed->statement == 0 || !may_be_of_types(fields.sqlstate) ||
             !link_->statements().forget_older(failed->statement)) {
    return false;
  }
  return repeatable_ && !answered_ && !retried_ && status_ == 'I' && sent_.size() == 1 &&
         !link_->queue().is_open();
}

// What comes is of a unit that may run once more. What was sent ahead of it is none of it, and may
// have run.
void Relay::begin_repeatable() {
  if (extended_) return;  // it has begun
  unit_.clear();
  repeatable_ = has_nothing_open() && !retried_;
}

// The same messages once more, on the same link: the plans that were of no use are forgotten.
void Relay::run_again() {
  run_again_ = false;
  kept_back_.clear();
  retried_ = true;
  repeatable_ = false;
  extended_ = false;
  HeldMessages again = std::exchange(unit_, {});
  WireMessage message;
  for (; !held_.empty(); held_.pop()) {
    held_.peek(message);
    again.add(message);
  }
  held_ = std::move(again);
  pump();
}

// A plan shows itself to be of no use when it is described or bound: until then the client is not
// told that its statement is prepared, and what its parameters are.
bool Relay::may_keep_back() const {
  return repeatable_ && !answered_ && !retried_ && !flushed_ && sent_.size() == 1;
}

void Relay::keep_back(std::string_view bytes) { kept_back_ += bytes; }

void Relay::tell_kept() {
  if (kept_back_.empty()) return;
  for (Item& made : items_) {
    made.done = made.done || made.kept;
    made.kept = false;
  }
  answered_ = true;
  client_.send(kept_back_);
  kept_back_.clear();
}

}  // namespace based::postgres
