// The Relay's settings: bringing the link to them, and telling the client what is true.
#include <algorithm>
#include <array>
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/sandbox_settings.h"
#include "backends/postgres/server_error.h"
#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

constexpr std::size_t accepted_max = 4096;
// DISCARD ALL but for the prepared statements.
constexpr std::array<std::string_view, 7> forgetting_texts{
    "CLOSE ALL",         "SET SESSION AUTHORIZATION DEFAULT",          "RESET ALL",
    "UNLISTEN *",        "SELECT pg_catalog.pg_advisory_unlock_all()", "DISCARD TEMP",
    "DISCARD SEQUENCES",
};

bool changes_settings(const StatementRef& statement) {
  if (statement->kind == StatementKind::discard) return statement->name == "all";
  return statement->kind == StatementKind::setting && !statement->name.empty();
}

// Those settings that no statement of the script gives another value. REQUIRES changes_settings()
// of each.
Settings settings_kept_by(const Script& script, Settings settings) {
  for (const StatementRef& statement : script.statements) {
    const std::string& name = statement->name;
    if (statement->kind == StatementKind::discard) {
      settings.clear();
    } else if (name == "all") {
      std::erase_if(settings, [](const auto& entry) { return !survives_reset_all(entry.first); });
    } else if (name == "session characteristics") {
      std::erase_if(settings, [](const auto& entry) {
        return entry.first.starts_with("default_transaction");
      });
    } else {
      settings.erase(name);
      if (name == "session_authorization") settings.erase("role");
    }
  }
  return settings;
}

// Where strings end is not what Based's own reader thinks.
bool reads_otherwise(const Reported& reported) {
  static constexpr std::array<std::string_view, 8> encodings{
      "SJIS", "BIG5", "GBK", "GB18030", "UHC", "JOHAB", "SHIFT_JIS_2004", "MULE_INTERNAL"};
  const auto strings = reported.find("standard_conforming_strings");
  if (strings != reported.end() && strings->second == "off") return true;
  const auto encoding = reported.find("client_encoding");
  return encoding != reported.end() &&
         std::ranges::find(encodings, encoding->second) != encodings.end();
}

}  // namespace

bool is_reset_ahead(const std::vector<Item>& items) {
  const auto resets = [](const Item& item) {
    const ScriptRef& script = item.prepared ? item.prepared->script : item.script;
    return !item.done && script && std::ranges::any_of(script->statements, is_reset);
  };
  return std::ranges::any_of(items, resets);
}

// Settings that this server has taken before need no waiting for, except those that change what the
// next statement may do or means.
bool Relay::are_accepted(const std::vector<std::string>& texts) const {
  if (link_->status() != 'I' || !welcomed_) return false;
  return std::ranges::all_of(texts, [this](const std::string& text) {
    static constexpr std::array<std::string_view, 4> awaited{"role", "session_authorization",
                                                             "search_path", "row_security"};
    const auto names = [&text](std::string_view name) { return text.find(name) != text.npos; };
    return std::ranges::none_of(awaited, names) &&
           (text.starts_with("RESET ") || context_.accepted_texts.contains(text));
  });
}

// In a Sync group ahead of the unit. Against all expectation refused, they close the link.
void Relay::apply_unawaited(const std::vector<std::string>& texts) {
  settings_under_way_ = true;
  link_->settings().became(journal_.settings(), false);
  link_->run_chore({.texts = texts,
                    .then =
                        [this](const std::optional<Error>& error) {
                          settings_under_way_ = false;
                          if (error) {
                            context_.accepted_texts.clear();  // the next time it is awaited
                            return link_->close(*error);
                          }
                          if (state_ == State::flowing) tell_reported();
                        },
                    .of_holder = true});
  on_prepared();
}

void Relay::on_settings_tried(const Settings& wanted, const std::optional<Error>& error) {
  if (!error) {
    note_accepted(wanted);
    link_->settings().became(wanted, link_->status() != 'I');
    return on_prepared();
  }
  Error reason = context_.acts_as_user ? user_error(*error, options_.user) : *error;
  reason.position.reset();
  // It may be what another session has left: DISCARD ALL takes that away, or the link is closed.
  if (link_->settings().has_foreign(wanted)) context_.leases.pin(*link_, {});
  link_->settings().rolled_back();
  if (rules_.rooted) {
    link_->run_chore(
        {.texts = {"ROLLBACK TO SAVEPOINT _based_settings", "RELEASE SAVEPOINT _based_settings"}});
  }
  if (!welcomed_) {
    let_go();
    return end(reason);
  }
  if (reason.detail.empty()) reason.detail = "The session's settings could not be applied again.";
  if (try_to_heal(reason)) return;
  if (has_nothing_open() && !pinned_ && !session_mode_) let_go();
  refuse_unit(std::move(reason));
}

// What waits may be the statement that is to change the setting, or to drop it: a link with all the
// others of them will do.
bool Relay::try_to_heal(const Error& refusal) {
  if (unsettled_ || held_.empty()) return false;
  WireMessage message;
  held_.peek(message);
  if (!heals(message)) return false;
  unsettled_ = std::make_unique<Error>(refusal);
  try_settings(settings_kept_by(*script_of(message), journal_.settings()));
  return true;
}

// The script that a message brings, or that it binds; null: none that Based has to know.
ScriptRef Relay::script_of(const WireMessage& message) const {
  std::string_view text;
  ParseRequest parse;
  BindNames names;
  if (message.type == request::query && decode_text(message.body, text)) return look_at(text);
  if (message.type == request::parse && decode_parse(message.body, parse)) {
    return look_at(parse.text);
  }
  if (message.type != request::bind || !decode_bind_names(message.body, names)) return nullptr;
  const PreparedRef* prepared =
      names.statement.empty() ? &unnamed_ : find_prepared(names.statement);
  return prepared == nullptr || !*prepared ? nullptr : (*prepared)->script;
}

bool Relay::heals(const WireMessage& message) const {
  const ScriptRef script = script_of(message);
  return script != nullptr && std::ranges::all_of(script->statements, changes_settings);
}

// Of a unit that runs without some of the session's settings, whatever else there is in it.
bool Relay::refuse_unhealed(const WireMessage& message) {
  const bool runs = message.type == request::query || message.type == request::parse ||
                    message.type == request::bind || message.type == request::function_call;
  if (!unsettled_ || !runs || heals(message)) return false;
  const bool at_once = message.type == request::query || message.type == request::function_call;
  if (at_once && stacked() && extended_ && is_skipped()) return true;
  if (stacked()) guard_unit(false);
  begin_request();
  in_query_ = at_once && !stacked();
  refuse_here(*unsettled_);
  if (at_once && stacked()) {
    take_sync();
  } else if (at_once) {
    sent_.back().extended = sent_.back().extended || extended_;
    extended_ = false;
    close_request(false);
  } else {
    extended_ = true;
  }
  in_query_ = false;
  return true;
}

void Relay::note_accepted(const Settings& wanted) {
  auto& texts = context_.accepted_texts;
  if (texts.size() >= accepted_max) texts.clear();
  for (std::string& text : link_->settings().difference(wanted, journal_.user())) {
    texts.insert(std::move(text));
  }
}

bool Relay::needs_own_link() const {
  if (context_.judged == link_->reported()) return context_.judged_to_need;
  context_.judged = link_->reported();
  return context_.judged_to_need = reads_otherwise(*context_.judged);
}

// The server cannot be asked. A client whose like was served before may wait inside, but not where
// the server has said that it serves no such client.
void Relay::welcome_from_memory(const Error& reason) {
  if (!context_.known || is_permanent(reason)) {
    Error error = reason;
    if (!is_permanent(error) && error.sqlstate.klass() != "53")
      error.sqlstate = sqlstate::cannot_connect_now;
    return end(error);
  }
  ReportedRef reported = context_.known;
  for (const auto& [name, value] : options_.settings) {
    for (const auto& [known, old] : *context_.known) {
      const bool same = std::ranges::equal(known, name, [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b;
      });
      if (same) reported = with_reported(reported, known, value);
    }
  }
  welcome(reported);
}

// What the client believes of its settings and what is true now.
void Relay::tell_reported() {
  if (settings_under_way_) return;
  ReportedRef now = link_->reported();
  if (rules_.rooted && !rules_.inside && now->contains(sandbox_guard)) {
    const bool only = is_on(journal_.withheld(sandbox_guard));
    now = with_reported(now, sandbox_guard, only ? "on" : "off");
  }
  if (now == told_) return;
  std::string bytes;
  for (const auto& [name, value] : *now) {
    const auto old = told_->find(name);
    if (old != told_->end() && old->second == value) continue;
    BackendWriter(bytes).parameter_status(name, value);
  }
  if (bytes.empty()) {  // equal: from now on they are one object
    if (now == link_->reported()) link_->adopt_reported(told_);
    return;
  }
  told_ = now;
  client_.send(bytes);
}

TransactionModes Relay::default_modes() const {
  return postgres::default_modes(journal_.settings(), journal_.withheld(sandbox_guard),
                                 context_.leases.server_modes());
}

std::string Relay::shown(const WireStack::Plan& plan) const {
  const std::string& name = plan.shows->setting;
  if (name.empty()) return {};
  if (const auto mode = shown_mode(plan.modes, name)) return *mode;
  const std::string_view own = own_limit(name);
  const Result<std::string> value = shown_withheld(name, own);
  return value ? *value : std::string(own);
}

void Relay::on_reported() {
  if (state_ == State::flowing || state_ == State::settling) tell_reported();
}

// What a function has left behind, no text has shown: the next session must not have it. The
// catalogue cannot be asked for all of it (settings with a dot are in no view), so all of it goes.
void Relay::forget_unseen() {
  transition(State::preparing);
  arm(context_.settings_timeout);
  link_->run_chore({.texts = {forgetting_texts.begin(), forgetting_texts.end()},
                    .then =
                        [this](const std::optional<Error>& error) {
                          if (error) return link_->close(*error);
                          link_->settings().all_reset();
                          give_back();
                          go_on();
                        },
                    .of_holder = true});
}

}  // namespace based::postgres
