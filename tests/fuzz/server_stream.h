// A server that says what a fuzzer makes up: its bytes, and links that read them.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "backends/postgres/channel.h"
#include "protocol/postgres/backend.h"
#include "tests/support/fake_reactor.h"

namespace based::postgres {

// The server's bytes, which all links of one opener read one after another.
struct Stream {
  std::string_view left;
  std::size_t ready = 0;  // bytes that have arrived
  bool waits = false;     // message by message, and only to who has asked for something
};

// What a message says of its length.
inline std::size_t length_of(std::string_view message) {
  std::size_t length = 0;
  for (std::size_t i = 1; i <= 4; ++i)
    length = length << 8 | static_cast<unsigned char>(message[i]);
  return length;
}

// Of the first message of these, or of all of them where there is none.
inline std::size_t message_bytes(std::string_view bytes) {
  if (bytes.size() < message_header_bytes) return bytes.size();
  const std::size_t length = length_of(bytes);
  return length < 4 || length >= bytes.size() ? bytes.size() : length + 1;
}

class FuzzChannel final : public Channel {
 public:
  FuzzChannel(Stream& stream, FakeReactor& reactor, int fd)
      : stream_(stream), reactor_(reactor), fd_(fd) {}
  ~FuzzChannel() override {
    if (cancelled_) *cancelled_ = nullptr;
  }

  int fd() const override { return fd_; }
  IoResult read(std::span<char> space) override {
    if (greeting_.empty() && stream_.left.empty()) return {Io::ended, 0};
    std::string_view& from = greeting_.empty() ? stream_.left : greeting_;
    const bool waits = stream_.waits && greeting_.empty();
    if (waits && asked_ == 0) return {Io::wants_read, 0};
    const std::size_t most = waits               ? message_bytes(from)
                             : greeting_.empty() ? stream_.ready
                                                 : greeting_.size();
    const std::size_t n = std::min({space.size(), from.size(), most});
    if (n == 0) return {Io::wants_read, 0};
    if (waits && from[0] == reply::ready) --asked_;
    std::memcpy(space.data(), from.data(), n);
    if (greeting_.empty() && !waits) stream_.ready -= n;
    from.remove_prefix(n);
    return {Io::done, n};
  }
  bool keeps_bytes() const override { return false; }
  IoResult write(std::string_view bytes) override {
    for (std::string_view left = bytes; !left.empty(); left.remove_prefix(message_bytes(left))) {
      asked_ += left[0] == 'Q' || left[0] == 'S' || left[0] == 'F' ? 1 : 0;
    }
    return {Io::done, bytes.size()};
  }
  std::string last_error() const override { return "failed"; }
  std::int32_t process_id() const override { return fd_; }
  std::string parameter(const std::string& name) const override {
    return name == "server_encoding" || name == "client_encoding" ? "UTF8" : "";
  }
  void cancel(std::function<void(bool)> done) override {
    cancelled_ = std::make_shared<std::function<void(bool)>>(std::move(done));
    reactor_.post([told = cancelled_] {
      if (const auto then = std::exchange(*told, nullptr)) then(true);
    });
  }

 private:
  Stream& stream_;
  FakeReactor& reactor_;
  const int fd_;
  std::string_view greeting_{"Z\0\0\0\5I", 6};  // the answer to a link's first Sync
  int asked_ = -1;                              // requests; the first Sync is answered
  std::shared_ptr<std::function<void(bool)>> cancelled_;
};

class FuzzAttempt final : public OpenAttempt {
 public:
  explicit FuzzAttempt(std::shared_ptr<Opener::Done> done) : done_(std::move(done)) {}
  ~FuzzAttempt() override { *done_ = nullptr; }

 private:
  std::shared_ptr<Opener::Done> done_;
};

class FuzzOpener final : public Opener {
 public:
  FuzzOpener(Stream& stream, FakeReactor& reactor, int first_fd)
      : fd(first_fd), stream_(stream), reactor_(reactor) {}
  std::unique_ptr<OpenAttempt> open(Done done) override {
    auto waiting = std::make_shared<Done>(std::move(done));
    reactor_.post([this, waiting] {
      const Done tell = std::exchange(*waiting, nullptr);
      if (!tell) return;
      if (stream_.left.empty()) {
        return tell(Error::make(Sqlstate("28000"), "the server has said everything"));
      }
      tell(std::unique_ptr<Channel>(std::make_unique<FuzzChannel>(stream_, reactor_, ++fd)));
    });
    return std::make_unique<FuzzAttempt>(std::move(waiting));
  }

  int fd;  // of the newest link: nothing is ever done with it

 private:
  Stream& stream_;
  FakeReactor& reactor_;
};

}  // namespace based::postgres
