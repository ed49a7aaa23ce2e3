// LoginWatch: has a client changed what PostgreSQL makes of a connection when it is opened? Pure.
//
// Who its user is, whether that may log in, and the settings of ALTER ROLE and ALTER DATABASE are
// looked up then, and never again. So a session that begins behind such a change, committed, gets
// no link that was opened before it. Not seen is what a function or another program has changed.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

namespace based::postgres {

class LoginWatch {
 public:
  // `changes` is shared by everything of the daemon: how many were seen. Null: nobody asks.
  explicit LoginWatch(std::uint64_t* changes) : changes_(changes) {}

  void note_tag(std::string_view tag) {
    changed_ = changed_ || tag == "ALTER ROLE" || tag == "DROP ROLE" || tag == "ALTER DATABASE";
  }
  void note_ready(char status) {
    if (status == 'I') tell();
  }
  // The link is lost, perhaps behind a commit.
  void note_lost() { tell(); }

 private:
  void tell() {
    if (std::exchange(changed_, false) && changes_ != nullptr) ++*changes_;
  }

  std::uint64_t* changes_;
  bool changed_ = false;
};

}  // namespace based::postgres
