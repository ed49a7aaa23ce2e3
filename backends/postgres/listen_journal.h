// ListenJournal: the LISTENs and UNLISTENs of a session's transaction, and in a sandbox its
// NOTIFYs. Pure.
//
// PostgreSQL makes them effective at the COMMIT, in order, and forgets those of a rolled-back
// transaction or savepoint. It hears of statements when the server has said that they are done.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/statement.h"

namespace based::postgres {

class ListenJournal {
 public:
  struct Action {
    bool listen = false;                                // false: UNLISTEN
    std::string channel;                                // empty: all of them
    std::optional<std::string> payload = std::nullopt;  // of a NOTIFY
  };

  // A statement has succeeded; `tag` is its command tag.
  void done(const Statement& statement, std::string_view tag);
  void notify(std::string channel, std::string payload);
  // The server is ready again. 'I': the transaction, implicit or not, is over.
  void ready(char status, bool failed);
  void roll_back();
  // What was committed and has not been taken yet.
  std::vector<Action> take();
  bool has_committed() const { return !committed_.empty(); }

 private:
  struct Savepoint {
    std::string name;
    std::size_t actions = 0;  // that there were then
  };
  std::vector<Savepoint>::iterator find(std::string_view name);
  void commit();

  std::vector<Action> actions_, committed_;
  std::vector<Savepoint> savepoints_;
};

}  // namespace based::postgres
