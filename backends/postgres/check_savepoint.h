// The savepoint around what may fail of Based's own, where there is no guard: going back to it
// takes nothing of the client's.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "backends/statement.h"

namespace based::postgres {

inline StatementRef check_step(StatementKind kind, std::string text) {
  auto made = std::make_shared<Statement>();
  made->kind = kind;
  made->text = std::move(text);
  made->name = "_based_check";
  return made;
}

inline const StatementRef& enter_check() {
  static const StatementRef made = check_step(StatementKind::savepoint, "SAVEPOINT _based_check");
  return made;
}

inline const StatementRef& back_to_check() {
  static const StatementRef made =
      check_step(StatementKind::rollback_to, "ROLLBACK TO SAVEPOINT _based_check");
  return made;
}

inline const StatementRef& leave_check() {
  static const StatementRef made =
      check_step(StatementKind::release, "RELEASE SAVEPOINT _based_check");
  return made;
}

}  // namespace based::postgres
