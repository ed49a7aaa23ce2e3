// SessionCalls: which calls of set_config and pg_notify a PostgreSQL statement makes, as far as its
// text says it: what they are given may be a literal, a parameter, or something only the server
// knows. Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace based::sql {

struct Argument {
  enum class Kind : std::uint8_t { unknown, literal, parameter };
  Kind kind = Kind::unknown;
  std::string text;          // literal
  std::uint32_t number = 0;  // parameter, from 1
};

struct SessionCall {
  enum class Function : std::uint8_t { set_config, pg_notify };
  Function function = Function::set_config;
  std::vector<Argument> arguments;  // two or three
};

struct SessionCalls {
  std::vector<SessionCall> calls;
  // It has one of these names in it where no call can be read, or not each call is sure to be made
  // once: in a function's body, a condition, another call.
  bool unclear = false;
  bool empty() const { return calls.empty() && !unclear; }
};

// Cheap where neither name is in the text. More than 64 calls are unclear.
SessionCalls find_session_calls(std::string_view text);

// What a string constant says; false: it is none, or has escapes that only the server can read.
bool read_string_constant(std::string_view source, std::string& value);

// Is it anywhere in the text, a part of another word too? `upper` is written in capitals.
bool contains_word(std::string_view text, std::string_view upper);

}  // namespace based::sql
