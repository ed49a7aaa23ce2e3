// PqOpener: opens links with libpq on helper threads.
//
// libpq does what is hard (hosts, TLS, SCRAM, passfile, service file), bounded by connect_timeout;
// what comes out is a Channel whose socket the loop uses itself.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backends/postgres/channel.h"
#include "backends/reactor.h"

namespace based::postgres {

// libpq's keywords with their values.
using ConnectionKeywords = std::vector<std::pair<std::string, std::string>>;

struct OpenerOptions {
  std::string conninfo;
  std::string password;  // empty: as conninfo or the passfile says
  std::string application_name;
  ConnectionKeywords forced;  // before everything that conninfo says
  Duration connect_timeout{};
};

// The keywords for libpq: those of conninfo, and ours where it is silent; 22023 with libpq's own
// words where it cannot be parsed.
Result<ConnectionKeywords> connection_keywords(const OpenerOptions& options);

class PqOpener final : public Opener {
 public:
  PqOpener(ConnectionKeywords keywords, Duration connect_timeout, Reactor& reactor);
  std::unique_ptr<OpenAttempt> open(Done done) override;

 private:
  std::shared_ptr<const ConnectionKeywords> keywords_;
  Duration connect_timeout_;
  Reactor& reactor_;
};

}  // namespace based::postgres
