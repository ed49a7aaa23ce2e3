// Authorizer: what a client's SQL may not do on a handle that all sessions share.
//
// SQLite asks it while it compiles a statement, so no spelling gets past it. It is the second net
// behind the classification of the text, and the only one for pragmas, ATTACH and TEMP objects.
// Lane thread.
#pragma once

#include <sqlite3.h>

#include <optional>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace based::sqlite {

// Whose statement is being compiled.
enum class Author : std::uint8_t {
  based,        // our own: settings, transaction control, init SQL
  client,       // a client's text
  client_asks,  // the same, compiled to be described and not to run
  client_out,   // the same, to run outside of a transaction of the client's own
  internal,     // SQLite's own, compiled while a client's statement runs: VACUUM, FTS, ALTER TABLE
};

// What the compiled statement does, as far as the session's rules need it.
struct StatementFacts {
  bool inserts = false, updates = false, deletes = false;  // by the statement itself, not a trigger
  std::string insert_database, insert_table;
  bool writes_pragma = false;      // changes the database: a read-only session may not
  bool needs_transaction = false;  // PRAGMA defer_foreign_keys = ...: ends with the transaction
  bool is_pragma = false;
  bool defines = false;  // changes the schema
};

class Authorizer {
 public:
  // `sandboxed`: the file's own format may be changed too, since nobody else sees it.
  explicit Authorizer(bool sandboxed) : sandboxed_(sandboxed) {}

  // Installs itself; must outlive the handle's last use.
  void install(sqlite3* db);

  void begin(Author author) {
    author_ = author;
    facts_ = {};
    denial_.reset();
  }
  // Between step calls: what SQLite compiles now is its own.
  void set_author(Author author) { author_ = author; }

  const StatementFacts& facts() const { return facts_; }
  // The refusal that made the last compilation fail, if that was the reason.
  std::optional<Error> take_denial();

 private:
  static int callback(void* self, int action, const char* a, const char* b, const char* database,
                      const char* trigger);
  int decide(int action, std::string_view a, std::string_view b, std::string_view database,
             bool in_trigger);
  int decide_pragma(std::string_view name, bool with_value, std::string_view value);
  int deny_temp(std::string_view object);
  int deny(std::string message, std::string reason);

  bool sandboxed_;
  Author author_ = Author::based;
  StatementFacts facts_;
  std::optional<Error> denial_;
};

}  // namespace based::sqlite
