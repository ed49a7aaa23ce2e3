// A unit's envelope where the session has joined the transaction of another (SharedLinks): its own
// transaction is a savepoint there, and what would commit by itself has a guard. Pure.
#pragma once

#include "backends/unit.h"
#include "protocol/result.h"

namespace based::postgres {

// 25001: its transaction has an isolation level of its own.
Result<void> check_nested(const Unit& unit);

// SET TRANSACTION and SET CONSTRAINTS by itself: it would be of the other session's transaction.
StatementRef without_effect(const StatementRef& set);

// With its steps: RESET ALL is not to reset what is kept for the others. `in_transaction`: the unit
// is a part of the session's own transaction, or begins one that goes on.
void nest(Unit& unit, bool in_transaction);

}  // namespace based::postgres
