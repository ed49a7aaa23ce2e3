// Profile: a session's settings, interned, so that "the same settings" is one pointer comparison.
#pragma once

#include <map>
#include <memory>
#include <string>

namespace based {

// Setting name (lower case) -> value as the text that follows SET name TO. The empty profile is the
// database's default.
struct Profile {
  std::map<std::string, std::string, std::less<>> settings;
};
using ProfileRef = std::shared_ptr<const Profile>;

}  // namespace based
