// ChoreRun: one Chore on its way through a link. See link.h.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backends/postgres/link.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {

class Link::ChoreRun final : public Requester {
 public:
  ChoreRun(Link& link, Chore chore) : link_(link), chore_(std::move(chore)) {}

  // Appends its messages, and says what they must bring.
  Request write(std::string& out);
  void cut_holder();
  bool may_fail() const { return chore_.may_fail; }
  const std::function<void(const std::optional<Error>&)>& then() const { return chore_.then; }

  Flow on_reply(const Reply& reply) override;
  void on_ready(char status) override;

 private:
  bool take(const Reply& reply);

  Link& link_;
  Chore chore_;
  std::optional<Error> error_;
  std::vector<Field> fields_;
  std::vector<Cell> cells_;
};

}  // namespace based::postgres
