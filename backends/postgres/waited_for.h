// Who held the lock that a statement has waited for in vain, where that was a sandbox: the server
// knows its own processes only. Pure.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/postgres/lease_source.h"
#include "backends/status.h"

namespace based::postgres {

using Siblings = std::function<std::vector<SandboxStatus>()>;  // the sandboxes of a database

// With who has its turn: sandbox "app#worker3" (session 7 has its turn).
std::string named(const SandboxStatus& sandbox);

// What belongs behind the detail of such an error: of a lock_timeout as the lease knows it, of the
// server's deadlock detector for each sandbox that the server's `detail` names by its process.
// Empty: nothing is known, or the error is another one. `siblings` may be.
std::string waited_for(std::string_view sqlstate, std::string_view detail,
                       const LeaseSource& leases, const Siblings& siblings);

}  // namespace based::postgres
