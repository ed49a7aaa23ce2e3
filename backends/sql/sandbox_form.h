// Sandbox form: what is run in a sandbox of PostgreSQL in the place of a statement that refuses to
// run in a transaction. Pure, any thread.
//
// CONCURRENTLY goes, with blanks in its place, so that every position stays; VACUUM becomes ANALYZE
// where it says so, else a warning; COPY loses FREEZE. What acts on more than one database has no
// such form: CREATE DATABASE, ALTER SYSTEM, REINDEX DATABASE, CLUSTER of all tables.
#pragma once

#include <string>
#include <string_view>

#include "backends/statement.h"
#include "protocol/result.h"

namespace based::sql {

// Null: it has none, or needs none. Only for kinds standalone and copy.
StatementRef sandbox_form(const Statement& statement);

// The same script with Statement::in_sandbox where there is one; the script itself, where nowhere.
ScriptRef with_sandbox_forms(const ScriptRef& script);

// Puts the forms of COPYs, which have their length, in their places in the script's text.
void use_sandbox_forms(const Script& script, std::string& text);

// 25001 in PostgreSQL's words: "VACUUM cannot run inside a transaction block".
Error alone_error(const Statement& statement,
                  std::string_view why = "cannot run inside a transaction block");

// VACUUM without ANALYZE: 01000, "VACUUM does nothing in a sandbox".
Error vacuum_warning();

}  // namespace based::sql
