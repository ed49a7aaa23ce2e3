// SessionJournal: a client's own settings through its transactions and savepoints. Pure.
//
// PostgreSQL undoes a SET that was rolled back; so does the journal, by keeping the settings as
// they were when the transaction and each savepoint began. It hears of statements when the server
// has said that they are done.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/postgres/link_settings.h"
#include "backends/postgres/savepoints.h"
#include "backends/postgres/session_call.h"
#include "backends/statement.h"
#include "protocol/result.h"

namespace based::postgres {

class SessionJournal {
 public:
  // `start` is what RESET goes back to. `withholds`: in a sandbox, some settings stay here
  // (sandbox_settings.h).
  SessionJournal(Settings start, ProfileTable& profiles, bool withholds = false);

  const Settings& settings() const { return profile_->settings; }
  // As who they are given to a link; empty: who has logged in.
  std::string_view user() const { return user_of(start_->settings); }
  const SessionProfileRef& profile() const { return profile_; }
  // The settings as a part of a prepared statement's key.
  const std::string& fingerprint() const { return profile_->fingerprint; }

  // The text of one that is not the link's; empty: its default.
  std::string_view withheld(std::string_view name) const;

  // 22023: one of those that it begins with is nothing that the server would take.
  std::optional<Error> refuse_withheld() const;

  // Has the transaction changed a setting, which its end may undo?
  bool in_doubt() const { return profile_ != committed_; }

  // 54000: with these it would keep more than a session may (session_limits.h).
  std::optional<Error> refuse_more(std::span<const StatementRef> statements) const;
  std::optional<Error> refuse_more(const std::vector<CallMade>& calls) const;

  // A statement has succeeded; `tag` is its command tag ("ROLLBACK" for the COMMIT of a failed
  // transaction).
  void done(const Statement& statement, std::string_view tag);
  // The server is ready again. 'I': the transaction, implicit or not, is over; `failed`: by an
  // error.
  void ready(char status, bool failed);
  // A COMMIT has ended the transaction, before the unit is over.
  void committed();
  // DISCARD ALL, or a link that was lost in a transaction.
  void reset();
  void roll_back();

 private:
  struct AtSavepoint {
    SessionProfileRef profile;
    Settings withheld, local;
    std::size_t bytes = 0;  // of what it keeps, and those before it

    bool operator==(const AtSavepoint& other) const {
      return profile == other.profile && withheld == other.withheld && local == other.local;
    }
  };
  void add_savepoint(const std::string& name);
  void set(const Statement& statement);
  void set_local(const Statement& statement);
  void set_characteristics(const BeginOptions& modes, Settings& settings);
  bool withholds(std::string_view name) const;
  void become(SessionProfileRef profile) { profile_ = std::move(profile); }

  ProfileTable& profiles_;
  SessionProfileRef start_;
  SessionProfileRef profile_;
  SessionProfileRef committed_;  // as of the last moment outside a transaction
  const bool withholds_;
  Settings start_withheld_, withheld_, committed_withheld_;  // as the three above
  Settings local_;                                           // withheld, until the transaction ends
  Savepoints<AtSavepoint> savepoints_;
};

}  // namespace based::postgres
