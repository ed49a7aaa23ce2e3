// ListenJournal: the LISTENs and UNLISTENs of a session's transaction, and in a sandbox its
// NOTIFYs. Pure.
//
// PostgreSQL makes them effective at the COMMIT, in order, and forgets those of a rolled-back
// transaction or savepoint. It hears of statements when the server has said that they are done.
//
// Nothing in it pushes anything out: where it is full, its session is to refuse the statement that
// would add to it (full_error()). What was sent before that is still taken. Of savepoints there are
// as many as a SessionJournal takes.
#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/postgres/savepoints.h"
#include "backends/statement.h"
#include "protocol/result.h"

namespace based::postgres {

class ListenJournal {
 public:
  struct Action {
    bool listen = false;                                // false: UNLISTEN
    std::string channel;                                // empty: all of them
    std::optional<std::string> payload = std::nullopt;  // of a NOTIFY
  };

  static constexpr std::size_t actions_max = 100'000;
  static constexpr std::size_t bytes_max = 8 * 1024 * 1024;  // of channels and payloads
  bool full() const;
  static Error full_error();  // 54000

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
  void add(Action action);
  void undo_to(std::size_t actions);
  void commit();

  std::vector<Action> actions_, committed_;
  std::set<std::pair<std::string, std::string>> notified_;  // those of actions_
  std::size_t bytes_ = 0;                                   // of all actions
  Savepoints<std::size_t> savepoints_;                      // how many actions there were then
};

}  // namespace based::postgres
