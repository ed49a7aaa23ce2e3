#include "backends/postgres/one_query.h"

#include <libpq-fe.h>

#include <memory>
#include <string_view>

#include "backends/postgres/server_error.h"

namespace based::postgres {
namespace {

struct Finish {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
struct Clear {
  void operator()(PGresult* result) const { PQclear(result); }
};

std::string trimmed(std::string_view message) {
  while (message.ends_with('\n')) message.remove_suffix(1);
  return std::string(message);
}

Error error_of(const PGconn* connection, const PGresult* result) {
  const auto field = [result](int code) {
    const char* value = PQresultErrorField(result, code);
    return std::string(value == nullptr ? "" : value);
  };
  const std::string code = field(PG_DIAG_SQLSTATE);
  if (code.empty())
    return Error::make(sqlstate::connection_failure, trimmed(PQerrorMessage(connection)));
  return Error::make(Sqlstate::from_peer(code), field(PG_DIAG_MESSAGE_PRIMARY))
      .with_detail(field(PG_DIAG_MESSAGE_DETAIL))
      .with_hint(field(PG_DIAG_MESSAGE_HINT));
}

// libpq tells the SQLSTATE of a refusal to whom has asked it to be verbose, and that can be asked
// of a connection only: so one that a server has refused ("FATAL:  ...") is tried once more.
void learn_sqlstate(PGconn* connection) {
  if (std::string_view(PQerrorMessage(connection)).find(":  ") == std::string_view::npos) return;
  PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
  PQreset(connection);
}

Error refusal_of(PGconn* connection) {
  Error error = connect_error(PQerrorMessage(connection));
  if (PQconnectionNeedsPassword(connection) != 0) error.sqlstate = sqlstate::invalid_password;
  return error;
}

}  // namespace

Result<QueryAnswer> run_one_query(const ConnectionKeywords& keywords, const std::string& sql) {
  std::vector<const char*> names, values;
  for (const auto& [name, value] : keywords) {
    names.push_back(name.c_str());
    values.push_back(value.c_str());
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  const std::unique_ptr<PGconn, Finish> connection(
      PQconnectdbParams(names.data(), values.data(), 0));
  if (PQstatus(connection.get()) != CONNECTION_OK) learn_sqlstate(connection.get());
  if (PQstatus(connection.get()) != CONNECTION_OK) return refusal_of(connection.get());
  const std::unique_ptr<PGresult, Clear> result(PQexec(connection.get(), sql.c_str()));
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
    return error_of(connection.get(), result.get());
  }
  QueryAnswer answer;
  const int columns = PQnfields(result.get());
  for (int column = 0; column < columns; ++column) {
    answer.columns.emplace_back(PQfname(result.get(), column));
  }
  for (int row = 0; row < PQntuples(result.get()); ++row) {
    auto& cells = answer.rows.emplace_back();
    for (int column = 0; column < columns; ++column) {
      if (PQgetisnull(result.get(), row, column) != 0) {
        cells.emplace_back();
      } else {
        cells.emplace_back(PQgetvalue(result.get(), row, column));
      }
    }
  }
  return answer;
}

}  // namespace based::postgres
