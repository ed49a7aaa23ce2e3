// TransactionModes: the modes of a client's transaction that is a savepoint in a sandbox's root,
// and how PostgreSQL lets them be changed. Pure.
//
// The server knows of read only alone: a savepoint has it, too. Which isolation level it is, and
// whether it is deferrable, Based keeps; either is true where sessions run one after another.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/postgres/link_settings.h"
#include "backends/statement.h"
#include "protocol/result.h"

namespace based::postgres {

struct TransactionModes {
  BeginOptions::Isolation isolation = BeginOptions::Isolation::read_committed;
  bool read_only = false;
  bool deferrable = false;

  bool operator==(const TransactionModes&) const = default;
};

// The transaction that another is a part of (LeaseSource::outer).
struct OuterTransaction {
  TransactionModes modes;
  bool queried = false;  // something in it needed a snapshot
  bool full = false;     // no more NOTIFYs are kept of it
};

// Where in its transaction a change comes.
struct ModesPlace {
  bool queried = false;       // behind something that needs a snapshot
  bool in_savepoint = false;  // of the client's, or in another session's transaction
};

// One after the other, each of `asked` with one mode; 25001 for the first that comes too late.
std::optional<Error> change_modes(TransactionModes& modes, std::span<const BeginOptions> asked,
                                  ModesPlace place);
// RESET, and SET ... TO DEFAULT, of one of them: it never comes too late, and is not the session's
// default. REQUIRES sql::is_mode_of_transaction(setting).
void reset_mode(TransactionModes& modes, std::string_view setting);

// What a transaction begins with: the session's settings, or else what the root's server has.
// `read_only`: default_transaction_read_only, which the root never gets, as SET takes it.
TransactionModes default_modes(const Settings& settings, std::string_view read_only,
                               const TransactionModes& servers);

// SET LOCAL SESSION CHARACTERISTICS: the defaults that are set until the transaction ends, each as
// a SET LOCAL.
std::vector<StatementRef> local_defaults(const BeginOptions& modes);

// What SHOW says of it; nullopt: it is none of them.
std::optional<std::string> shown_mode(const TransactionModes& modes, std::string_view setting);

}  // namespace based::postgres
