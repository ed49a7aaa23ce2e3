// SessionJournal: a client's own settings through its transactions and savepoints. Pure.
//
// PostgreSQL undoes a SET that was rolled back; so does the journal, by keeping the settings as
// they were when the transaction and each savepoint began. It hears of statements when the server
// has said that they are done.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backends/postgres/link_settings.h"
#include "backends/profile.h"
#include "backends/statement.h"

namespace based::postgres {

class SessionJournal {
 public:
  // `start` is what RESET goes back to.
  explicit SessionJournal(Settings start);

  const Settings& settings() const { return profile_->settings; }
  const ProfileRef& profile() const { return profile_; }
  // The settings as a part of a prepared statement's key.
  const std::string& fingerprint() const { return fingerprint_; }

  // A statement has succeeded; `tag` is its command tag ("ROLLBACK" for the COMMIT of a failed
  // transaction).
  void done(const Statement& statement, std::string_view tag);
  // The server is ready again. 'I': the transaction, implicit or not, is over; `failed`: by an
  // error.
  void ready(char status, bool failed);
  // DISCARD ALL, or a link that was lost in a transaction.
  void reset() { become(start_); }
  void roll_back();

 private:
  struct Savepoint {
    std::string name;
    ProfileRef profile;
  };
  void set(const Statement& statement);
  void become(ProfileRef profile);
  std::vector<Savepoint>::iterator find(std::string_view name);

  ProfileRef start_;
  ProfileRef profile_;
  ProfileRef committed_;  // as of the last moment outside a transaction
  std::vector<Savepoint> savepoints_;
  std::string fingerprint_;
};

}  // namespace based::postgres
