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

// Kept of one client. What is above it stays until the sandbox is reset.
constexpr std::size_t objects_max = 1000;
// Of clients that have gone, until the next unit.
constexpr std::size_t left_max = 10'000;
constexpr std::size_t emptied_max = 256;

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

// The newest of a name is what it is.
void put(std::vector<ClientObject>& tables, ClientObject table) {
  std::erase_if(tables, [&](const ClientObject& other) { return other.name == table.name; });
  if (tables.size() < objects_max) tables.push_back(std::move(table));
}

void note_on_commit(const ClientObject& table, std::set<std::string, std::less<>>& emptied) {
  if (table.on_commit == OnCommit::delete_rows) {
    emptied.insert(table.name);
  } else if (!table.may_be_there) {
    emptied.erase(table.name);
  }
}

// DROP TABLE: of which temporary ones, as far as the text shows it.
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

void SandboxObjects::leave(ClientObject object) {
  if (left.size() < left_max) left.push_back(std::move(object));
}

void SandboxObjects::forget(std::string_view name) {
  const auto named = [name](const ClientObject& object) { return object.name == name; };
  std::erase_if(left, named);
  std::erase_if(cleared_in_turn, named);
}

std::vector<ClientObject> SandboxObjects::clear() {
  for (const ClientObject& object : left) {
    if (cleared.size() < left_max) cleared.push_back(object);
    if (cleared_in_turn.size() < left_max) cleared_in_turn.push_back(object);
  }
  return std::exchange(left, {});
}

void SandboxObjects::clearing_stays() { cleared_in_turn.clear(); }

void SandboxObjects::clearing_undone() {
  for (ClientObject& object : std::exchange(cleared_in_turn, {})) leave(std::move(object));
}

std::size_t SandboxObjects::mark(bool is_oldest) {
  if (is_oldest) cleared.clear();
  return cleared.size();
}

void SandboxObjects::go_back(std::size_t marked) {
  const std::size_t from = std::min(marked, cleared.size());
  for (std::size_t i = from; i < cleared.size(); ++i) leave(std::move(cleared[i]));
  cleared.resize(from);
}

void SandboxObjects::begin_anew() {
  left.clear();
  cleared.clear();
  cleared_in_turn.clear();
  emptied_tables.clear();
}

void SandboxObjects::add_lock_holder() {
  if (++lock_holders == 1 && unlock) unlock(false);
}

void SandboxObjects::drop_lock_holder() {
  if (--lock_holders == 0 && unlock) unlock(true);
}

void SandboxObjects::empty_at_commit(const std::string& table) {
  if (emptied_tables.size() < emptied_max) emptied_tables.insert(table);
}

void ClientObjects::sent(const Statement& statement) {
  std::optional<ClientObject> object = object_made_by(statement);
  if (!object) return;
  if (object->kind == Kind::cursor) declares_ = true;
  if (object->kind != Kind::table || (object->may_be_there && has(object->name))) return;
  put(making_, std::move(*object));
}

void ClientObjects::failed() { making_.clear(); }

std::vector<ClientObject> ClientObjects::ending() const {
  std::vector<ClientObject> tables = made_;
  for (const ClientObject& table : making_) put(tables, table);
  std::erase_if(tables, [](const ClientObject& t) { return t.on_commit != OnCommit::drop; });
  return tables;
}

std::set<std::string, std::less<>> ClientObjects::emptied(const SandboxObjects& shared) const {
  std::set<std::string, std::less<>> names = shared.emptied_tables;
  for (const std::vector<ClientObject>* tables : {&made_, &making_}) {
    for (const ClientObject& table : *tables) note_on_commit(table, names);
  }
  return names;
}

void ClientObjects::done(const Statement& statement, std::string_view tag, SandboxObjects& shared) {
  if (locks_for_session(statement) && !std::exchange(holds_locks_, true)) shared.add_lock_holder();
  if (tag == "CLOSE CURSOR") {
    Words words(statement.text);
    words.next();
    if (words.sees("ALL")) return closed_cursors();
    const std::string name = words.take_name();
    std::erase_if(owned_, [&](const ClientObject& object) {
      return object.kind == Kind::holdable && object.name == name;
    });
    committed_ = std::min(committed_, owned_.size());
    return;
  }
  std::ranges::move(tables_dropped_by(statement), std::back_inserter(gone_));
  std::optional<ClientObject> object = object_made_by(statement);
  if (!object || object->kind == Kind::cursor) return;
  shared.forget(object->name);
  if (object->kind == Kind::table) note_made(*object, shared);
  std::erase(gone_, object->name);
  std::erase_if(dropped_, [&](const ClientObject& gone) { return gone.name == object->name; });
  if (object->on_commit == OnCommit::drop || owned_.size() >= objects_max) return;
  if (std::ranges::find(owned_, *object) == owned_.end()) owned_.push_back(std::move(*object));
}

// Where it was there before (IF NOT EXISTS), it is what it was.
void ClientObjects::note_made(const ClientObject& table, const SandboxObjects& shared) {
  std::erase_if(making_, [&table](const ClientObject& other) { return other.name == table.name; });
  const bool known = shared.emptied_tables.contains(table.name) || has(table.name);
  if (!table.may_be_there || !known) put(made_, table);
}

bool ClientObjects::has(std::string_view name) const {
  const auto same = [name](const ClientObject& object) { return object.name == name; };
  return std::ranges::any_of(made_, same) || std::ranges::any_of(owned_, same);
}

void ClientObjects::closed_cursors() {
  const auto closed = [](const ClientObject& object) { return object.kind == Kind::holdable; };
  const auto before = owned_.begin() + static_cast<std::ptrdiff_t>(committed_);
  committed_ -= static_cast<std::size_t>(std::count_if(owned_.begin(), before, closed));
  std::erase_if(owned_, closed);
}

void ClientObjects::committed(SandboxObjects& shared) {
  for (ClientObject& table : ending()) shared.leave(std::move(table));
  for (ClientObject& object : dropped_) shared.leave(std::move(object));
  for (const ClientObject& table : made_) {
    if (table.on_commit == OnCommit::delete_rows) {
      shared.empty_at_commit(table.name);
    } else {
      shared.emptied_tables.erase(table.name);
    }
  }
  for (const std::string& name : gone_) {
    shared.emptied_tables.erase(name);
    std::erase_if(owned_, [&](const ClientObject& object) { return object.name == name; });
  }
  end_transaction();
}

ClientObjects::OfTransaction ClientObjects::leave() {
  OfTransaction left{.made = std::move(made_),
                     .dropped = std::move(dropped_),
                     .gone = std::move(gone_),
                     .declares = declares_};
  end_transaction();
  return left;
}

void ClientObjects::take_over(OfTransaction left) {
  for (ClientObject& table : left.made) put(made_, std::move(table));
  std::ranges::move(left.dropped, std::back_inserter(dropped_));
  std::ranges::move(left.gone, std::back_inserter(gone_));
  declares_ = declares_ || left.declares;
}

void ClientObjects::end_transaction() {
  making_.clear();
  made_.clear();
  dropped_.clear();
  gone_.clear();
  declares_ = false;
  committed_ = owned_.size();
}

void ClientObjects::rolled_back() {
  owned_.resize(std::min(committed_, owned_.size()));
  end_transaction();
}

std::vector<ClientObject> ClientObjects::owned_cursors() const {
  std::vector<ClientObject> cursors;
  std::ranges::copy_if(owned_, std::back_inserter(cursors),
                       [](const ClientObject& object) { return object.kind == Kind::holdable; });
  return cursors;
}

std::vector<ClientObject> ClientObjects::owned_temporary() const {
  std::vector<ClientObject> temporary;
  std::ranges::copy_if(owned_, std::back_inserter(temporary),
                       [](const ClientObject& object) { return object.kind != Kind::holdable; });
  return temporary;
}

}  // namespace based::postgres
