// Users: who may be a client, and how they show that they are. Loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/wire.h"
#include "protocol/result.h"
#include "protocol/scram.h"

namespace based {

// How clients of one kind of address show who they are.
enum class AuthMethod : std::uint8_t {
  trust,  // they are believed
  peer,   // by the user of their process, which the kernel tells
  scram,  // by a password: SCRAM-SHA-256
};

// What a user may do beside logging in.
struct UserRights {
  std::vector<std::string> databases;  // empty: every one
  PoolMode pool_mode = PoolMode::of_database;
};

class Users {
 public:
  Users(AuthMethod over_tcp, AuthMethod over_unix);

  void add(std::string name, const ScramVerifier& verifier, UserRights rights = {});

  // `peer` is a Transport's.
  AuthMethod method(std::string_view peer) const;
  // trust and peer: 28000 where there are users and this is none of them, or where the process
  // behind a unix socket is another user's. `peer_user`: that one's name; empty: not known.
  Result<void> check(AuthMethod method, std::string_view user, std::string_view peer_user) const;
  // scram: of an unknown user one that nobody can pass, always the same for the same name.
  ScramVerifier verifier(std::string_view user) const;
  // Of a user who is known by now; whoever is none of the users may do everything.
  bool may_use(std::string_view user, std::string_view database) const;
  PoolMode pool_mode(std::string_view user) const;
  // Random and printable, of 24 characters.
  static std::string make_nonce();

 private:
  AuthMethod over_tcp_;
  AuthMethod over_unix_;
  struct User {
    ScramVerifier verifier;
    UserRights rights;
  };
  std::map<std::string, User, std::less<>> users_;
  std::string mock_secret_;
};

// 28000: what a client is told that may_use() denies a database.
Error not_permitted(std::string_view user, std::string_view database);

// What a refused client is told, for a wrong password as for a name that does not exist.
Error wrong_password(std::string_view user);

}  // namespace based
