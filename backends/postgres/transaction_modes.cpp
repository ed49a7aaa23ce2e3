#include "backends/postgres/transaction_modes.h"

#include <array>
#include <cstddef>
#include <memory>
#include <utility>

#include "backends/sql/control.h"
#include "backends/sql/setting_value.h"

namespace based::postgres {
namespace {

using Isolation = BeginOptions::Isolation;
using Access = BeginOptions::Access;
using Deferrable = BeginOptions::Deferrable;

const char* refusal(const TransactionModes& modes, const BeginOptions& asked, ModesPlace place) {
  if (asked.isolation != Isolation::unset && asked.isolation != modes.isolation) {
    if (place.queried) return "SET TRANSACTION ISOLATION LEVEL must be called before any query";
    if (place.in_savepoint) {
      return "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction";
    }
  }
  if (asked.access == Access::read_write && modes.read_only) {
    if (place.in_savepoint) {
      return "cannot set transaction read-write mode inside a read-only transaction";
    }
    if (place.queried) return "transaction read-write mode must be set before any query";
  }
  if (asked.deferrable != Deferrable::unset) {
    if (place.in_savepoint) {
      return "SET TRANSACTION [NOT] DEFERRABLE cannot be called within a subtransaction";
    }
    if (place.queried) return "SET TRANSACTION [NOT] DEFERRABLE must be called before any query";
  }
  return nullptr;
}

std::string_view name_of(Isolation level) {
  static constexpr std::array<std::string_view, 5> names{"", "read uncommitted", "read committed",
                                                         "repeatable read", "serializable"};
  return names[static_cast<std::size_t>(level)];
}

}  // namespace

std::optional<Error> change_modes(TransactionModes& modes, std::span<const BeginOptions> asked,
                                  ModesPlace place) {
  for (const BeginOptions& mode : asked) {
    if (const char* message = refusal(modes, mode, place)) {
      return Error::make(sqlstate::active_sql_transaction, message);
    }
    if (mode.isolation != Isolation::unset) modes.isolation = mode.isolation;
    if (mode.access != Access::unset) modes.read_only = mode.access == Access::read_only;
    if (mode.deferrable != Deferrable::unset) {
      modes.deferrable = mode.deferrable == Deferrable::deferrable;
    }
  }
  return std::nullopt;
}

void reset_mode(TransactionModes& modes, std::string_view setting) {
  const TransactionModes initial;
  if (setting == "transaction_isolation") modes.isolation = initial.isolation;
  if (setting == "transaction_read_only") modes.read_only = initial.read_only;
  if (setting == "transaction_deferrable") modes.deferrable = initial.deferrable;
}

TransactionModes default_modes(const Settings& settings, std::string_view read_only,
                               const TransactionModes& servers) {
  TransactionModes modes = servers;
  modes.read_only = sql::bool_of(read_only).value_or(false);
  const auto level = settings.find("default_transaction_isolation");
  if (level != settings.end()) {
    const Isolation own = sql::isolation_named(sql::plain_value(level->second));
    if (own != Isolation::unset) modes.isolation = own;
  }
  const auto deferrable = settings.find("default_transaction_deferrable");
  if (deferrable != settings.end()) {
    modes.deferrable = sql::bool_of(deferrable->second).value_or(modes.deferrable);
  }
  return modes;
}

std::vector<StatementRef> local_defaults(const BeginOptions& modes) {
  std::vector<StatementRef> statements;
  const auto set = [&statements](std::string_view mode, std::string value) {
    auto statement = std::make_shared<Statement>();
    statement->kind = StatementKind::set_transaction;
    statement->name = "default_transaction_" + std::string(mode);
    statement->setting = std::move(value);
    statement->text = "SET LOCAL " + statement->name + " TO " + statement->setting;
    statements.push_back(std::move(statement));
  };
  if (modes.isolation != Isolation::unset) {
    set("isolation", "'" + std::string(name_of(modes.isolation)) + "'");
  }
  if (modes.access != Access::unset) {
    set("read_only", modes.access == Access::read_only ? "on" : "off");
  }
  if (modes.deferrable != Deferrable::unset) {
    set("deferrable", modes.deferrable == Deferrable::deferrable ? "on" : "off");
  }
  return statements;
}

std::optional<std::string> shown_mode(const TransactionModes& modes, std::string_view setting) {
  if (setting == "transaction_isolation") return std::string(name_of(modes.isolation));
  if (setting == "transaction_read_only") return modes.read_only ? "on" : "off";
  if (setting == "transaction_deferrable") return modes.deferrable ? "on" : "off";
  return std::nullopt;
}

}  // namespace based::postgres
