// SessionJournal: a client's own settings through its transactions and savepoints. Pure.
//
// PostgreSQL undoes a SET that was rolled back; so does the journal, by keeping the settings as
// they were when the transaction and each savepoint began. It hears of statements when the server
// has said that they are done.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/postgres/link_settings.h"
#include "backends/statement.h"

namespace based::postgres {

class SessionJournal {
 public:
  // `start` is what RESET goes back to.
  SessionJournal(Settings start, ProfileTable& profiles);

  const Settings& settings() const { return profile_->settings; }
  const SessionProfileRef& profile() const { return profile_; }
  // The settings as a part of a prepared statement's key.
  const std::string& fingerprint() const { return profile_->fingerprint; }

  // Has the transaction changed a setting, which its end may undo?
  bool in_doubt() const { return profile_ != committed_; }

  // A statement has succeeded; `tag` is its command tag ("ROLLBACK" for the COMMIT of a failed
  // transaction).
  void done(const Statement& statement, std::string_view tag);
  // The server is ready again. 'I': the transaction, implicit or not, is over; `failed`: by an
  // error.
  void ready(char status, bool failed);
  // A COMMIT has ended the transaction, before the unit is over.
  void committed();
  // DISCARD ALL, or a link that was lost in a transaction.
  void reset() { become(start_); }
  void roll_back();

 private:
  struct Savepoint {
    std::string name;
    SessionProfileRef profile;
  };
  void set(const Statement& statement);
  void become(SessionProfileRef profile) { profile_ = std::move(profile); }
  std::vector<Savepoint>::iterator find(std::string_view name);

  ProfileTable& profiles_;
  SessionProfileRef start_;
  SessionProfileRef profile_;
  SessionProfileRef committed_;  // as of the last moment outside a transaction
  std::vector<Savepoint> savepoints_;
};

}  // namespace based::postgres
