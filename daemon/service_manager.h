// ServiceManager: sd_notify(3) without its library: READY=1, STOPPING=1, STATUS=... to
// $NOTIFY_SOCKET.
//
// Without $NOTIFY_SOCKET nothing happens. A datagram that cannot be sent is dropped: the manager is
// no peer to wait for.
#pragma once

#include <string>
#include <string_view>

namespace based {

class ServiceManager {
 public:
  // Reads $NOTIFY_SOCKET: a path, or an abstract name that begins with '@'.
  ServiceManager();
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  void ready() { notify("READY=1"); }
  void stopping() { notify("STOPPING=1"); }
  void status(std::string_view text) { notify("STATUS=" + std::string(text)); }

 private:
  void notify(std::string_view message);

  int socket_ = -1;
  std::string address_;
};

}  // namespace based
