// Descriptor: a file descriptor with one owner, who closes it.
#pragma once

#include <unistd.h>

#include <utility>

namespace based {

class Descriptor {
 public:
  Descriptor() = default;
  // Of one that is open, or what a call has returned in place of one, below 0.
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (const int old = std::exchange(fd_, std::exchange(other.fd_, -1)); old >= 0) ::close(old);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

}  // namespace based
