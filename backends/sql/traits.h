// Traits: what the tokens of a whole statement say, gathered in one pass without keeping them.
//
// Conservative: a word in the wrong place may set a trait, none is missed for lack of a parser.
// Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "backends/sql/tokenizer.h"

namespace based::sql {

struct Traits {
  bool modifies = false;  // INSERT, UPDATE, DELETE, MERGE; SQLite's REPLACE INTO
  bool into = false;      // SELECT ... INTO
  bool into_temporary = false;
  std::string into_name;    // without its schema's, folded
  bool locks_rows = false;  // FOR [NO KEY] UPDATE, FOR [KEY] SHARE
  bool concurrently = false;
  bool with_hold = false;
  bool copies = false;  // the word COPY
  bool pins = false;    // calls a function that leaves state on its connection; names pg_temp
  bool impure = false;  // calls one that writes, locks, notifies or asks about the connection
  // Calls set_config for the transaction, maybe of a setting that decides what a literal means.
  bool sets_local = false;
  // The prepared statement that AS EXECUTE names, folded; empty: none.
  std::string executes;
};

// Does what a literal of a text means depend on this setting of PostgreSQL's (a date without a time
// zone)? The server decides it when it parses the text. `name` in lower case.
bool decides_literals(std::string_view name);

class TraitCollector {
 public:
  TraitCollector(std::string_view text, Dialect dialect) : text_(text), dialect_(dialect) {}

  void observe(const Token& token);
  const Traits& traits() const { return traits_; }
  // May this word make a PostgreSQL statement pin, copy, set a setting or select into a table?
  // Without one none of those traits is set, wherever the words stand.
  static bool may_tell(std::string_view word);
  void restart() { *this = TraitCollector(text_, dialect_); }

 private:
  // set_config(name, value, is_local): only a literal true in the third place ends with the
  // transaction.
  struct ConfigCall {
    bool open = false;
    std::uint32_t depth = 0;  // of its arguments
    std::uint32_t commas = 0;
    std::uint32_t tokens = 0;  // of the current argument
    bool literal_true = false;
    bool harmless = false;  // the setting is named, and decides over no literal
  };

  void observe_word(std::string_view word);
  void observe_target(const Token& token);
  void observe_call();
  void observe_config_argument(const Token& token);
  bool previous_is(std::string_view upper) const;

  std::string_view text_;
  Dialect dialect_;
  Traits traits_;
  Token previous_;
  enum class Target : std::uint8_t { none, next, named, qualified };
  Target target_ = Target::none;     // of SELECT INTO: what the next token may be
  bool names_executed_ = false;      // the next token, after AS EXECUTE
  bool previous_qualified_ = false;  // the previous token stood behind a dot
  std::uint32_t depth_ = 0;
  ConfigCall config_;
};

}  // namespace based::sql
