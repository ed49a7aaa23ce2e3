// PublicProcesses: by which process numbers the clients of one database know one another.
//
// A client knows itself by the number that its BackendKeyData said, and a notification says which
// process has notified: by the server's number of a link, no client would know itself. Loop thread
// only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace based::postgres {

class PublicProcesses {
 public:
  // The number of the client that has, or was the last to have, a link. 0: that is nobody's.
  using Client = std::shared_ptr<std::int32_t>;

  // Of the link that is this process of the server's, until it is removed.
  Client add(std::int32_t process);
  void remove(std::int32_t process, const Client& client);

  // The process itself where it is no client's.
  std::int32_t of(std::int32_t process) const;
  // A NotificationResponse as the server has sent it, and whole, by the public number.
  std::string renumbered(std::string_view message) const;

 private:
  std::unordered_map<std::int32_t, Client> clients_;
};

}  // namespace based::postgres
