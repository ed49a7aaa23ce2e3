// LinkSettings: which settings a link has, as far as we know, and how to give it others. Pure.
//
// What is set inside a transaction is undone with it. So names that were set since the transaction
// began are kept apart, and after a rollback they are in doubt: the next difference sets them again
// whatever they are.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "backends/postgres/reported.h"
#include "backends/statement.h"

namespace based::postgres {

// Setting name (lower case) -> value as the text that follows SET name TO.
using Settings = std::map<std::string, std::string, std::less<>>;

// The SET SESSION AUTHORIZATION among them; empty: none.
std::string_view user_of(const Settings& settings);

// A session's settings, interned: equal ones are one object as long as somebody holds it.
struct SessionProfile {
  Settings settings;
  std::string fingerprint;
};
using SessionProfileRef = std::shared_ptr<const SessionProfile>;

class ProfileTable {
 public:
  SessionProfileRef intern(Settings settings);

 private:
  std::unordered_map<std::string, std::weak_ptr<const SessionProfile>> known_;
  std::size_t sweep_at_ = 256;  // entries at which those that nobody holds are looked for
};

// RESET, and DISCARD ALL: settings go back to what the link began with.
bool is_reset(const StatementRef& statement);

class LinkSettings {
 public:
  LinkSettings() = default;
  // `guard`: what the link was started with on, and its sessions know as off; static.
  explicit LinkSettings(std::string_view guard) : guard_(guard) {}

  // Statements that give the link exactly these settings; none when it has them. `user`: as who
  // they are set, as the text that follows SET SESSION AUTHORIZATION; empty: who has logged in.
  std::vector<std::string> difference(const Settings& wanted, std::string_view user) const;
  // Has it any that are not among these, or may have?
  bool has_foreign(const Settings& wanted) const;
  // Has the server keep the values of what is SET LOCAL as a setting of this name, until the
  // transaction ends; may be empty. Only the server knows them: it has undone some in going back to
  // savepoints.
  std::string keeping(std::string_view name) const;
  // What brings the link back from these to those that it had, which were kept by that name. If
  // somebody has reset that, they stay as they are.
  std::vector<std::string> back_to(const LinkSettings& before, std::string_view name) const;
  bool has(const Settings& wanted) const { return doubtful_.empty() && wanted == believed_; }
  bool has_profile(const SessionProfileRef& wanted) const;
  // Are some of those that are sure others?
  bool differs(const Settings& wanted) const;

  // The statements of difference(wanted) are under way: until became() says so, nobody knows which
  // of both it has.
  void may_become(const Settings& wanted);
  // A statement of a client's that is under way will not be heard of.
  void may_have_executed(const Statement& statement);
  // The statements of difference(wanted) have succeeded.
  void became(const Settings& wanted, bool in_transaction);
  // A SET, SET LOCAL or RESET of a client's has succeeded.
  void executed(const Statement& statement, bool in_transaction);
  // Something was rolled back (the transaction, or to a savepoint), or failed.
  void rolled_back();
  // The transaction is over and nothing of it was rolled back. Where it was a savepoint of a root
  // transaction, what was SET LOCAL is still there.
  void committed(bool rooted);
  // Is one of these still as a committed transaction has SET LOCAL it?
  bool has_left_of(const Reported& reported) const;
  // DISCARD ALL, RESET ALL.
  void all_reset();

  // A setting that is not known has been set for the transaction.
  void doubt_literals() { literals_doubted_ = true; }
  // What of SET LOCAL decides over the literals of a text that is parsed now: empty outside of a
  // transaction. nullopt: not known.
  std::optional<std::string> literals_key() const;

 private:
  std::vector<std::string> others_differing(const Settings& wanted) const;
  std::string resetting(std::string_view name) const;
  std::vector<std::string> kept_names() const;
  void doubt(std::string_view name);

  std::string_view guard_;
  Settings believed_;
  std::set<std::string, std::less<>> in_transaction_;      // set since the transaction began
  std::map<std::string, std::string, std::less<>> local_;  // SET LOCAL since then, and the values
  std::set<std::string, std::less<>> left_;                // SET LOCAL, committed, still there
  bool literals_doubted_ = false;
  std::set<std::string, std::less<>> doubtful_;
  std::set<std::string, std::less<>> unsure_;  // of those: nobody has heard that there are such
  // The profile that the link has exactly, where that was found; null: not known.
  mutable SessionProfileRef exactly_;
};

// The settings as one text, the same for equal settings: a part of a prepared statement's key.
// RESET ALL leaves it as it is (GUC_NO_RESET_ALL).
bool survives_reset_all(std::string_view name);

std::string fingerprint(const Settings& settings);

}  // namespace based::postgres
