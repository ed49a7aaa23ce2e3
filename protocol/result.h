// Error and Result<T>: how everything in Based reports what a peer or the environment did wrong.
//
// Errors are values; nothing of ours throws. What is *our* fault is an INVARIANT, not an Error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "protocol/check.h"
#include "protocol/sqlstate.h"

namespace based {

// What an error ends. A wider scope includes the narrower ones; only `connection` is followed by a
// close.
enum class ErrorScope : std::uint8_t { statement, transaction, session, connection };

// Whether the statement that failed can have had an effect. `unknown` only where an answer was
// lost.
enum class Executed : std::uint8_t { no, yes, unknown };

// One error, from any layer. Only sqlstate and message are always there; an empty string means "not
// given".
struct Error {
  Sqlstate sqlstate;
  std::string message;
  std::string detail;
  std::string hint;
  std::string constraint;
  std::string schema;
  std::string table;
  std::string column;
  std::string native_name;  // the backend's own name, "SQLITE_CONSTRAINT_UNIQUE"; may be empty
  std::int32_t native_code = 0;
  std::optional<std::uint32_t> position;  // 0-based *byte* offset into the statement's text
  ErrorScope scope = ErrorScope::statement;
  Executed executed = Executed::no;
  bool retryable = false;  // the same request may be sent again as it is; implies executed == no

  static Error make(Sqlstate code, std::string text) {
    Error error;
    error.sqlstate = code;
    error.message = std::move(text);
    return error;
  }
  Error&& with_detail(std::string text) && { return detail = std::move(text), std::move(*this); }
  Error&& with_hint(std::string text) && { return hint = std::move(text), std::move(*this); }
  Error&& with_scope(ErrorScope value) && { return scope = value, std::move(*this); }
  Error&& with_executed(Executed value) && { return executed = value, std::move(*this); }
  Error&& as_retryable() && { return retryable = true, std::move(*this); }
};

// A T, or the Error that prevented it.
template <typename T>
class [[nodiscard("an Error may be inside")]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value()& { return INVARIANT(ok()), *std::get_if<0>(&state_); }
  const T& value() const& { return INVARIANT(ok()), *std::get_if<0>(&state_); }
  T&& value()&& { return INVARIANT(ok()), std::move(*std::get_if<0>(&state_)); }
  T& operator*()& { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*()&& { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Error& error()& { return INVARIANT(!ok()), *std::get_if<1>(&state_); }
  const Error& error() const& { return INVARIANT(!ok()), *std::get_if<1>(&state_); }
  Error&& error()&& { return INVARIANT(!ok()), std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard("an Error may be inside")]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  Error& error()& { return INVARIANT(!ok()), *error_; }
  const Error& error() const& { return INVARIANT(!ok()), *error_; }
  Error&& error()&& { return INVARIANT(!ok()), std::move(*error_); }

 private:
  std::optional<Error> error_;
};

}  // namespace based
