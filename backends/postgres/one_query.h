// One query over a connection of its own, for commands of the command line. Blocks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backends/postgres/opener.h"

namespace based::postgres {

struct QueryAnswer {
  std::vector<std::string> columns;  // none: there is only the tag
  std::vector<std::vector<std::optional<std::string>>> rows;
};

// libpq's environment variables count, and its passfile. 08001 where no server answers, 28P01 where
// it wants a password and there is none; else what the server says, of the connection or the query.
Result<QueryAnswer> run_one_query(const ConnectionKeywords& keywords, const std::string& sql);

}  // namespace based::postgres
