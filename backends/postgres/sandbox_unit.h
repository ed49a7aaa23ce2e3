// SandboxUnit: what a Relay keeps of a unit that it answers without a link: of SANDBOX commands, or
// the end of a transaction that has failed and gave its turn back.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "backends/statement.h"
#include "backends/wire.h"

namespace based::postgres {

class Relay;

struct SandboxUnit {
  bool simple = false;
  bool running = false;
  bool failed = false;
  bool ends = false;                                // a failed transaction
  const WireMessage* taken = nullptr;               // of that: the newest one, while it is answered
  StatementRef statement;                           // that runs
  std::map<std::string, bool, std::less<>> binary;  // portals: the result's format
  // Finds who has asked; null inside: it is gone.
  std::shared_ptr<Relay*> anchor = std::make_shared<Relay*>(nullptr);
};

}  // namespace based::postgres
