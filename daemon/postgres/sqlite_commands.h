// The commands of PostgreSQL that are answered for a SQLite database without asking it: SHOW, SET,
// RESET, DISCARD, DEALLOCATE, UNLISTEN, CLOSE; and those that SQLite cannot do, each with a hint.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "backends/statement.h"
#include "protocol/result.h"

namespace based {

// Does a statement that begins with this word belong here? BEGIN, COMMIT and their like do not.
bool is_session_command(std::string_view first_word);

struct SessionCommand {
  enum class Kind : std::uint8_t {
    none,  // SQLite's
    show,
    set,
    reset,
    set_transaction,
    discard,
    deallocate,
    unlisten,
    close,
  };
  Kind kind = Kind::none;
  std::string name;   // of the setting in lower case; of the statement or cursor; empty: ALL
  std::string value;  // set: nothing: DEFAULT
  bool to_default = false;
  bool local = false;
  bool session_characteristics = false;
  BeginOptions modes;  // set_transaction, SET SESSION CHARACTERISTICS
  std::string tag;
};

// 42601 for what cannot be read, 0A000 for what SQLite cannot do.
Result<SessionCommand> read_session_command(std::string_view text);

}  // namespace based
