#include "backends/postgres/client_objects.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <utility>

#include "backends/postgres/startup_settings.h"
#include "backends/sql/session_calls.h"
#include "backends/sql/tokenizer.h"
#include "backends/sql/words.h"

namespace based::postgres {
namespace {

using Kind = ClientObject::Kind;
using OnCommit = ClientObject::OnCommit;

StatementRef made(std::string text, StatementKind kind) {
  auto statement = std::make_shared<Statement>();
  statement->kind = kind;
  statement->text = std::move(text);
  return statement;
}

std::string quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) text.append(c == '"' ? 2 : 1, c);
  return text += '"';
}

// As who the connection is, whatever role its client has: a session's end asks for no privilege.
StatementRef as_connection(std::string_view declared, const std::string& body) {
  return made("DO " + quote_literal(
                          "DECLARE was_user text := "
                          "pg_catalog.current_setting('session_authorization'); was_role text "
                          ":= pg_catalog.current_setting('role'); " +
                          std::string(declared) +
                          "BEGIN BEGIN EXECUTE 'SET LOCAL SESSION AUTHORIZATION DEFAULT'; " + body +
                          "EXECUTE pg_catalog.format('SET LOCAL SESSION AUTHORIZATION %I', "
                          "was_user); IF was_role OPERATOR(pg_catalog.<>) 'none' THEN EXECUTE "
                          "pg_catalog.format('SET LOCAL ROLE %I', was_role); END IF; EXCEPTION "
                          "WHEN OTHERS THEN NULL; END; END"),
              StatementKind::definition);
}

class Words {
 public:
  explicit Words(std::string_view text) : text_(text), tokens_(text, Dialect::postgres) { next(); }

  bool accept(std::string_view upper) {
    if (!sees(upper)) return false;
    next();
    return true;
  }
  bool sees(std::string_view upper) const {
    return token_.kind == sql::TokenKind::word && sql::is_word(token_.of(text_), upper);
  }
  bool accept(sql::TokenKind kind) {
    if (token_.kind != kind) return false;
    next();
    return true;
  }
  // Empty: there is none.
  std::string take_name() {
    const bool named = token_.kind == sql::TokenKind::word || token_.kind == sql::TokenKind::quoted;
    if (!named) return {};
    std::string name = sql::fold_name(token_, text_, Dialect::postgres);
    next();
    return name;
  }
  bool take_string(std::string& value) const {
    return token_.kind == sql::TokenKind::string &&
           sql::read_string_constant(token_.of(text_), value);
  }
  bool done() const {
    return token_.kind == sql::TokenKind::end || token_.kind == sql::TokenKind::invalid;
  }
  void next() { token_ = tokens_.next(); }

 private:
  std::string_view text_;
  sql::Tokenizer tokens_;
  sql::Token token_;
};

std::optional<ClientObject> declared(Words& words) {
  ClientObject object{.kind = Kind::cursor, .on_commit = OnCommit::keep, .name = words.take_name()};
  while (!words.done() && !words.accept("FOR")) {
    if (words.accept("WITH") && words.sees("HOLD")) object.kind = Kind::holdable;
    words.next();
  }
  if (object.name.empty()) return std::nullopt;
  return object;
}

std::optional<ClientObject> created(Words& words) {
  if (words.accept("OR")) words.next();
  if (!words.accept("LOCAL")) words.accept("GLOBAL");
  bool temporary = words.accept("TEMP") || words.accept("TEMPORARY");
  words.accept("RECURSIVE");
  ClientObject object;
  if (words.accept("VIEW")) {
    object.kind = Kind::view;
  } else if (words.accept("SEQUENCE")) {
    object.kind = Kind::sequence;
  } else if (!words.accept("TABLE")) {
    return std::nullopt;
  }
  if (words.accept("IF") && words.accept("NOT")) object.may_be_there = words.accept("EXISTS");
  object.name = words.take_name();
  if (words.accept(sql::TokenKind::dot)) {
    temporary = temporary || object.name == "pg_temp";
    object.name = words.take_name();
  }
  if (!temporary || object.name.empty()) return std::nullopt;
  while (!words.done()) {
    if (words.accept("ON") && words.accept("COMMIT")) {
      if (words.sees("DROP")) object.on_commit = OnCommit::drop;
      if (words.sees("DELETE")) object.on_commit = OnCommit::delete_rows;
    } else {
      words.next();
    }
  }
  return object;
}

}  // namespace

std::optional<ClientObject> object_made_by(const Statement& statement) {
  if (statement.kind != StatementKind::pinning && statement.kind != StatementKind::other &&
      statement.kind != StatementKind::definition) {
    return std::nullopt;
  }
  if (statement.makes_temporary) {  // SELECT INTO
    return ClientObject{.kind = Kind::table, .on_commit = OnCommit::keep, .name = statement.makes};
  }
  Words words(statement.text);
  if (words.accept("DECLARE")) return declared(words);
  if (words.accept("CREATE")) return created(words);
  return std::nullopt;
}

std::vector<std::string> tables_dropped_by(const Statement& statement) {
  std::vector<std::string> names;
  if (statement.kind != StatementKind::definition) return names;
  Words words(statement.text);
  if (!words.accept("DROP") || !words.accept("TABLE")) return names;
  if (words.accept("IF")) words.accept("EXISTS");
  do {
    std::string name = words.take_name();
    if (words.accept(sql::TokenKind::dot)) name = name == "pg_temp" ? words.take_name() : "";
    if (!name.empty()) names.push_back(std::move(name));
  } while (words.accept(sql::TokenKind::comma));
  return names;
}

std::optional<Renaming> renaming_by(const Statement& statement) {
  const bool may = statement.kind == StatementKind::definition ||
                   statement.kind == StatementKind::other ||
                   statement.kind == StatementKind::pinning;
  if (!may) return std::nullopt;
  Words words(statement.text);
  if (!words.accept("ALTER")) return std::nullopt;
  if (!words.accept("TABLE") && !words.accept("VIEW") && !words.accept("SEQUENCE")) {
    return std::nullopt;
  }
  if (words.accept("IF")) words.accept("EXISTS");
  words.accept("ONLY");
  Renaming renaming{.from = words.take_name(), .to = {}};
  if (words.accept(sql::TokenKind::dot)) {
    renaming.from = renaming.from == "pg_temp" ? words.take_name() : "";
  }
  if (!words.accept("RENAME") || !words.accept("TO")) return std::nullopt;
  renaming.to = words.take_name();
  if (renaming.from.empty() || renaming.to.empty()) return std::nullopt;
  return renaming;
}

std::string cursor_closed_by(const Statement& close) {
  Words words(close.text);
  words.next();
  return words.sees("ALL") ? "" : words.take_name();
}

std::optional<SaidNotify> read_notify(std::string_view text) {
  Words words(text);
  if (!words.accept("NOTIFY")) return std::nullopt;
  SaidNotify said{.channel = words.take_name(), .payload = {}};
  if (said.channel.empty()) return std::nullopt;
  if (words.accept(sql::TokenKind::comma) && !words.take_string(said.payload)) return std::nullopt;
  return said;
}

bool locks_for_session(const Statement& statement) {
  if (statement.kind != StatementKind::pinning) return false;
  const std::string text = sql::lower_ascii(statement.text);
  return text.find("advisory_lock") != text.npos;  // and not advisory_xact_lock, advisory_unlock
}

StatementRef unlock_session() {
  static const StatementRef statement =
      made("SELECT pg_catalog.pg_advisory_unlock_all()", StatementKind::other);
  return statement;
}

StatementRef close_transaction_cursors() {
  static const StatementRef statement = made(
      // Of an array, as a loop over rows would be a cursor among them.
      "DO $based$ DECLARE one text; BEGIN FOREACH one IN ARRAY ARRAY(SELECT name FROM "
      "pg_catalog.pg_cursors WHERE NOT is_holdable AND name <> '') LOOP EXECUTE "
      "pg_catalog.format('CLOSE %I', one); END LOOP; END $based$",
      StatementKind::other);
  return statement;
}

StatementRef close_cursors(const std::vector<ClientObject>& objects, bool of_transaction) {
  std::string names = "NULL";
  for (const ClientObject& object : objects) names += ", " + quote_literal(object.name);
  const std::string which = "name IN (" + names + ") AND name <> '_based_root'" +
                            (of_transaction ? " OR NOT is_holdable AND name <> ''" : "");
  return made("DO " + quote_literal("DECLARE one text; BEGIN FOREACH one IN ARRAY ARRAY(SELECT "
                                    "name FROM pg_catalog.pg_cursors WHERE " +
                                    which +
                                    ") LOOP EXECUTE pg_catalog.format('CLOSE %I', one); "
                                    "END LOOP; END"),
              StatementKind::other);
}

StatementRef drop_objects(const std::vector<ClientObject>& objects) {
  if (objects.empty()) return nullptr;
  std::string body;
  const auto add = [&body](const std::string& condition, const std::string& action) {
    body += "BEGIN IF " + condition + " THEN " + action +
            "; END IF; EXCEPTION WHEN OTHERS THEN "
            "NULL; END; ";
  };
  const auto is_cursor = [](const ClientObject& object) {
    return object.kind == Kind::cursor || object.kind == Kind::holdable;
  };
  // A cursor may be open on one of the tables.
  for (const ClientObject& object : objects) {
    if (!is_cursor(object)) continue;
    add("EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE name = " + quote_literal(object.name) +
            " AND name <> '_based_root')",
        "EXECUTE " + quote_literal("CLOSE " + quoted(object.name)));
  }
  // The newest first: it may be made of older ones.
  for (std::size_t i = objects.size(); i-- > 0;) {
    const ClientObject& object = objects[i];
    if (is_cursor(object)) continue;
    static constexpr std::array<const char*, 5> words{"", "", "TABLE ", "VIEW ", "SEQUENCE "};
    const std::string name = "pg_temp." + quoted(object.name);
    add("pg_catalog.to_regclass(" + quote_literal(name) + ") IS NOT NULL",
        std::string("DROP ") + words[static_cast<std::size_t>(object.kind)] + name + " CASCADE");
  }
  return as_connection("", body);
}

StatementRef delete_rows_of(const std::set<std::string, std::less<>>& tables) {
  if (tables.empty()) return nullptr;
  std::string body;
  for (const std::string& table : tables) {
    const std::string name = "pg_temp." + quoted(table);
    body += "BEGIN IF pg_catalog.to_regclass(" + quote_literal(name) +
            ") IS NULL THEN NULL; ELSIF read_only THEN DELETE FROM " + name + "; ELSE TRUNCATE " +
            name + "; END IF; EXCEPTION WHEN OTHERS THEN NULL; END; ";
  }
  return as_connection("read_only bool := pg_catalog.current_setting('transaction_read_only'); ",
                       body);
}

}  // namespace based::postgres
