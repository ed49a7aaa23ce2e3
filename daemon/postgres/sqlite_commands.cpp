#include "daemon/postgres/sqlite_commands.h"

#include <algorithm>
#include <array>
#include <span>

#include "daemon/postgres/sqlite_impossible.h"
#include "daemon/postgres/sqlite_tokens.h"

namespace based {
namespace {

using sql::TokenKind;
using Kind = SessionCommand::Kind;

constexpr std::array<std::string_view, 7> answered{"show",       "set",      "reset", "discard",
                                                   "deallocate", "unlisten", "close"};

class Words {
 public:
  explicit Words(std::string_view text) : tokens_(tokens_of(text)) {
    while (!tokens_.empty() && tokens_.back().kind == TokenKind::semicolon) tokens_.pop_back();
  }
  std::span<const ClientToken> all() const { return tokens_; }
  bool done() const { return next_ >= tokens_.size(); }
  const ClientToken& token() const { return done() ? none_ : tokens_[next_]; }
  bool accept(std::string_view word) {
    const bool found = token().is(word);
    next_ += found ? 1 : 0;
    return found;
  }
  std::string take() {
    std::string value = value_of(token());
    next_ += done() ? 0 : 1;
    return value;
  }
  // A setting's name, which may have a dot in it.
  std::string take_name() {
    std::string name = lower_case(take());
    while (token().kind == TokenKind::dot) {
      ++next_;
      name += '.' + lower_case(take());
    }
    return name;
  }
  Error unexpected() const {
    if (done()) return Error::make(sqlstate::syntax_error, "syntax error at end of input");
    Error error = Error::make(sqlstate::syntax_error,
                              "syntax error at or near \"" + std::string(token().text) + "\"");
    error.position = static_cast<std::uint32_t>(token().begin);
    return error;
  }

 private:
  std::vector<ClientToken> tokens_;
  std::size_t next_ = 0;
  ClientToken none_;
};

std::optional<Error> read_modes(Words& words, BeginOptions& modes) {
  using Access = BeginOptions::Access;
  using Isolation = BeginOptions::Isolation;
  while (!words.done()) {
    if (words.accept("isolation")) {
      if (!words.accept("level")) return words.unexpected();
      if (words.accept("serializable")) {
        modes.isolation = Isolation::serializable;
      } else if (words.accept("repeatable") && words.accept("read")) {
        modes.isolation = Isolation::repeatable_read;
      } else if (words.accept("read") &&
                 (words.accept("committed") || words.accept("uncommitted"))) {
        modes.isolation = Isolation::read_committed;
      } else {
        return words.unexpected();
      }
    } else if (words.accept("read")) {
      const bool only = words.accept("only");
      if (!only && !words.accept("write")) return words.unexpected();
      modes.access = only ? Access::read_only : Access::read_write;
    } else if (words.accept("not")) {
      if (!words.accept("deferrable")) return words.unexpected();
    } else if (!words.accept("deferrable")) {
      if (words.token().kind != TokenKind::comma) return words.unexpected();
      words.take();
    }
  }
  return std::nullopt;
}

// The value as PostgreSQL shows it: several, separated by commas.
Result<SessionCommand> read_value(Words& words, SessionCommand command) {
  if (words.done()) return words.unexpected();
  if (words.accept("default")) {
    command.to_default = true;
    if (!words.done()) return words.unexpected();
    return command;
  }
  while (!words.done()) {
    if (words.token().kind == TokenKind::comma) {
      words.take();
      command.value += ", ";
    } else {
      command.value += words.take();
    }
  }
  return command;
}

Result<SessionCommand> read_set(Words& words) {
  SessionCommand command;
  command.kind = Kind::set;
  command.tag = "SET";
  const bool session = words.accept("session");
  if (!session) command.local = words.accept("local");
  if (session && words.accept("characteristics")) {
    if (!words.accept("as") || !words.accept("transaction")) return words.unexpected();
    command.kind = Kind::set_transaction;
    command.session_characteristics = true;
  } else if (words.accept("transaction")) {
    command.kind = Kind::set_transaction;
  }
  if (command.kind == Kind::set_transaction) {
    if (auto error = read_modes(words, command.modes)) return std::move(*error);
    return command;
  }
  if (words.accept("constraints")) {
    return Error::make(sqlstate::feature_not_supported, "SET CONSTRAINTS is not supported")
        .with_hint("Use PRAGMA defer_foreign_keys in the transaction.");
  }
  if (words.accept("time")) {
    if (!words.accept("zone")) return words.unexpected();
    command.name = "timezone";
  } else {
    command.name = words.accept("names") ? "client_encoding" : words.take_name();
    const bool names = command.name == "client_encoding" && !words.accept("to");
    if (words.token().text == "=") words.take();
    if (names && words.done()) return words.unexpected();
  }
  words.accept("to");
  return read_value(words, std::move(command));
}

Result<SessionCommand> read_named(Words& words, SessionCommand command, std::string_view tag,
                                  std::string_view tag_of_all) {
  if (words.token().text == "*")
    words.take();
  else if (!words.accept("all"))
    command.name = words.take_name();
  command.tag = command.name.empty() ? tag_of_all : tag;
  if (!words.done()) return words.unexpected();
  return command;
}

}  // namespace

bool is_session_command(std::string_view first_word) {
  const std::string word = lower_case(first_word);
  return std::ranges::find(answered, word) != answered.end() || is_impossible(word);
}

Result<SessionCommand> read_session_command(std::string_view text) {
  Words words(text);
  const std::string first = lower_case(words.token().text);
  if (auto error = impossible_error(words.all())) return std::move(*error);
  if (!is_session_command(first)) return SessionCommand{};
  words.take();
  if (words.done()) return words.unexpected();
  SessionCommand command;
  if (first == "set") return read_set(words);
  if (first == "show") {
    command.kind = Kind::show;
    if (words.accept("time")) {
      if (!words.accept("zone")) return words.unexpected();
      command.name = "timezone";
    } else if (words.accept("transaction")) {
      if (!words.accept("isolation") || !words.accept("level")) return words.unexpected();
      command.name = "transaction_isolation";
    }
    command.tag = "SHOW";
    if (!command.name.empty()) return command;
    return read_named(words, std::move(command), "SHOW", "SHOW");
  }
  if (first == "reset") {
    command.kind = Kind::reset;
    return read_named(words, std::move(command), "RESET", "RESET");
  }
  if (first == "discard") {
    command.kind = Kind::discard;
    command.name = words.take_name();
    command.tag = "DISCARD " + command.name;
    std::ranges::transform(command.tag, command.tag.begin(), [](char c) {
      return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    });
    constexpr std::array<std::string_view, 5> whats{"all", "plans", "sequences", "temp",
                                                    "temporary"};
    if (std::ranges::find(whats, command.name) == whats.end()) return words.unexpected();
    return command;
  }
  if (first == "deallocate") {
    words.accept("prepare");
    command.kind = Kind::deallocate;
    return read_named(words, std::move(command), "DEALLOCATE", "DEALLOCATE ALL");
  }
  command.kind = first == "unlisten" ? Kind::unlisten : Kind::close;
  if (command.kind == Kind::unlisten)
    return read_named(words, std::move(command), "UNLISTEN", "UNLISTEN");
  return read_named(words, std::move(command), "CLOSE CURSOR", "CLOSE CURSOR ALL");
}

}  // namespace based
