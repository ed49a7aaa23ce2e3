#include "backends/sql/sandbox_form.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backends/sql/tokenizer.h"
#include "backends/sql/words.h"

namespace based::sql {
namespace {

constexpr const char* vacuum_message = "VACUUM does nothing in a sandbox";
constexpr const char* vacuum_text =
    "DO $based$ BEGIN RAISE WARNING 'VACUUM does nothing in a sandbox'; END $based$";

// The tokens of one statement, and its text to be changed in place.
class Words {
 public:
  explicit Words(std::string_view text) : text_(text), changed_(text) {
    Tokenizer tokens(text, Dialect::postgres);
    for (Token token = tokens.next(); token.kind != TokenKind::end; token = tokens.next()) {
      all_.push_back(token);
    }
  }

  std::size_t count() const { return all_.size(); }
  TokenKind kind(std::size_t at) const { return at < all_.size() ? all_[at].kind : TokenKind::end; }
  std::string_view source(std::size_t at) const {
    return at < all_.size() ? all_[at].of(text_) : std::string_view();
  }
  bool is(std::size_t at, std::string_view upper) const {
    return kind(at) == TokenKind::word && is_word(source(at), upper);
  }
  // Behind the group that opens there, or `at` where none does.
  std::size_t behind_group(std::size_t at) const {
    if (kind(at) != TokenKind::open_paren) return at;
    std::size_t depth = 0;
    for (; at < all_.size(); ++at) {
      if (kind(at) == TokenKind::open_paren) ++depth;
      if (kind(at) == TokenKind::close_paren && --depth == 0) return at + 1;
    }
    return at;
  }
  // The end of a group's option: the comma or parenthesis behind it.
  std::size_t option_end(std::size_t at) const {
    while (at < all_.size() && kind(at) != TokenKind::comma && kind(at) != TokenKind::close_paren) {
      ++at;
    }
    return at;
  }
  // Is an option on that begins there?
  bool is_on(std::size_t at) const {
    static constexpr std::array<std::string_view, 5> off{"FALSE", "OFF", "0", "'FALSE'", "'OFF'"};
    return option_end(at) == at + 1 || !is_one_of(source(at + 1), off);
  }
  // Blanks for the tokens [from, to) and what is between them.
  void blank(std::size_t from, std::size_t to) {
    if (from >= to) return;
    std::fill(changed_.begin() + all_[from].begin, changed_.begin() + all_[to - 1].end, ' ');
  }
  // Instead of the tokens [from, to). REQUIRES that it is no longer than they.
  void put(std::size_t from, std::size_t to, std::string_view text) {
    blank(from, to);
    changed_.replace(all_[from].begin, text.size(), text);
  }

  std::string take() { return std::move(changed_); }

 private:
  std::string_view text_;
  std::string changed_;
  std::vector<Token> all_;
};

// REINDEX (CONCURRENTLY, ...): another option, that changes nothing, in its place.
void drop_concurrent_option(Words& words, std::size_t open) {
  const std::size_t end = words.behind_group(open);
  for (std::size_t at = open + 1; at < end; at = words.option_end(at) + 1) {
    if (words.is(at, "CONCURRENTLY")) words.put(at, words.option_end(at), "VERBOSE OFF");
  }
}

bool drop_concurrently(Words& words) {
  std::size_t at = 1;
  if (words.is(0, "REINDEX")) {
    if (words.kind(at) == TokenKind::open_paren) drop_concurrent_option(words, at);
    at = words.behind_group(at);
    if (!words.is(at, "INDEX") && !words.is(at, "TABLE")) return false;
  } else if (words.is(0, "CREATE") || words.is(0, "DROP")) {
    if (words.is(at, "UNIQUE")) ++at;
    if (!words.is(at, "INDEX")) return false;
  } else if (words.is(0, "ALTER") && words.is(1, "TABLE")) {  // ... DETACH PARTITION p CONCURRENTLY
    const std::size_t last = words.count() - 1;
    if (words.is(last, "CONCURRENTLY")) words.blank(last, last + 1);
    return true;
  } else {
    return false;
  }
  if (words.is(at + 1, "CONCURRENTLY")) words.blank(at + 1, at + 2);
  return true;
}

bool is_analyze(const Words& words, std::size_t at) {
  return words.is(at, "ANALYZE") || words.is(at, "ANALYSE");
}

// VACUUM ANALYZE as ANALYZE of the same tables. False: it does not analyze.
bool leave_analyze(Words& words) {
  static constexpr std::array<std::string_view, 3> before{"FULL", "FREEZE", "VERBOSE"};
  if (words.kind(1) == TokenKind::open_paren) {
    const std::size_t end = words.behind_group(1);
    bool analyzes = false;
    for (std::size_t at = 2; at < end; at = words.option_end(at) + 1) {
      if (is_analyze(words, at)) analyzes = words.is_on(at);
    }
    if (analyzes) words.put(0, end, "ANALYZE");
    return analyzes;
  }
  std::size_t at = 1;
  while (words.kind(at) == TokenKind::word && is_one_of(words.source(at), before)) ++at;
  if (!is_analyze(words, at)) return false;
  words.blank(0, at);
  return true;
}

// The item of an option list, with a comma; where it is the only one, the list too.
void drop_option(Words& words, std::size_t open, std::size_t at) {
  const std::size_t end = words.option_end(at);
  const bool first = at == open + 1;
  if (!first) return words.blank(at - 1, end);
  if (words.kind(end) == TokenKind::comma) return words.blank(at, end + 1);
  words.blank(words.is(open - 1, "WITH") ? open - 1 : open, end + 1);
}

bool drop_freeze(Words& words) {
  std::size_t at = 1;
  while (at < words.count() && !words.is(at, "FROM")) {
    at = words.kind(at) == TokenKind::open_paren ? words.behind_group(at) : at + 1;
  }
  at += words.is(at + 1, "PROGRAM") ? 3 : 2;
  if (words.is(at, "WITH")) ++at;
  if (words.kind(at) == TokenKind::open_paren) {
    const std::size_t end = words.behind_group(at);
    std::size_t freeze = 0;
    for (std::size_t option = at + 1; option < end; option = words.option_end(option) + 1) {
      if (!words.is(option, "FREEZE")) continue;
      if (freeze != 0) return false;  // the server refuses two
      freeze = option;
    }
    if (freeze != 0) drop_option(words, at, freeze);
    return freeze != 0;
  }
  for (; at < words.count() && !words.is(at, "WHERE"); ++at) {
    if (!words.is(at, "FREEZE")) continue;
    words.blank(at, at + 1);
    return true;
  }
  return false;
}

// How PostgreSQL names it where it refuses it.
std::string name_of(const Words& words) {
  const auto word = [&words](std::size_t at) {
    std::string upper(words.source(at));
    for (char& c : upper) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return upper;
  };
  const std::string first = word(0);
  if (first == "VACUUM" || first == "CLUSTER") return first;
  if (first == "REINDEX") {
    const std::string what = word(words.behind_group(1));
    return what == "INDEX" || what == "TABLE" ? "REINDEX CONCURRENTLY" : "REINDEX " + what;
  }
  if (first == "ALTER") {
    if (word(1) == "DATABASE") return "ALTER DATABASE SET TABLESPACE";
    return word(1) == "SYSTEM" ? "ALTER SYSTEM" : "ALTER TABLE ... DETACH CONCURRENTLY";
  }
  const std::string what = word(words.is(1, "UNIQUE") ? 2 : 1);
  return first + " " + what + (what == "INDEX" ? " CONCURRENTLY" : "");
}

}  // namespace

StatementRef sandbox_form(const Statement& statement) {
  Words words(statement.text);
  auto form = std::make_shared<Statement>(statement);
  if (statement.kind == StatementKind::copy) {
    if (!drop_freeze(words)) return nullptr;
  } else if (statement.kind != StatementKind::standalone) {
    return nullptr;
  } else if (words.is(0, "VACUUM")) {
    form->kind = StatementKind::definition;
    form->told_as = "VACUUM";
    if (!leave_analyze(words)) {
      form->text = vacuum_text;
      return form;
    }
  } else {
    form->kind = StatementKind::definition;
    if (!drop_concurrently(words)) return nullptr;
  }
  form->text = words.take();
  return form;
}

ScriptRef with_sandbox_forms(const ScriptRef& script) {
  std::shared_ptr<Script> changed;
  for (std::size_t i = 0; i < script->statements.size(); ++i) {
    const Statement& statement = *script->statements[i];
    StatementRef form = sandbox_form(statement);
    if (!form) continue;
    if (!changed) changed = std::make_shared<Script>(*script);
    auto with_form = std::make_shared<Statement>(statement);
    with_form->in_sandbox = std::move(form);
    changed->statements[i] = std::move(with_form);
  }
  return changed ? ScriptRef(std::move(changed)) : script;
}

Error alone_error(const Statement& statement, std::string_view why) {
  return Error::make(sqlstate::active_sql_transaction,
                     name_of(Words(statement.text)).append(" ").append(why));
}

Error vacuum_warning() { return Error::make(Sqlstate("01000"), vacuum_message); }

void use_sandbox_forms(const Script& script, std::string& text) {
  for (const StatementRef& statement : script.statements) {
    const StatementRef& form = statement->in_sandbox;
    if (!form || form->kind != StatementKind::copy) continue;
    text.replace(statement->offset, form->text.size(), form->text);
  }
}

}  // namespace based::sql
