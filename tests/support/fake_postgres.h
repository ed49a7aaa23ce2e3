// FakePostgres: scripted PostgreSQL servers for a pool under a FakeReactor: an Opener whose links
// are socket pairs, and what answers at their other ends.
//
// The server understands just enough of the extended protocol: it keeps transaction state, counts
// statements, and can be told to die, to stay silent, or to answer nonsense. Off-loop work
// (opening, cancelling) is done only when the reactor's jobs are run.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backends/postgres/channel.h"
#include "tests/support/fake_reactor.h"

namespace based::postgres {

// One server process and its end of the socket pair.
class FakeServer {
 public:
  FakeServer(int fd, int number) : fd_(fd), number_(number) {}
  ~FakeServer() { die(); }
  FakeServer(const FakeServer&) = delete;

  // Reads what came and answers it. Returns whether anything happened.
  bool step() {
    if (fd_ < 0) return false;
    char bytes[4096];
    const ssize_t n = ::recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n == 0) {
      closed_by_peer = true;
      die();
      return true;
    }
    if (n > 0) in_.append(bytes, static_cast<std::size_t>(n));
    bool acted = n > 0;
    while (fd_ >= 0 && !silent && take_message()) acted = true;
    return acted;
  }

  void die(std::string_view last_words = {}) {
    if (fd_ < 0) return;
    if (!last_words.empty()) {
      error("FATAL", "57P01", last_words);
      flush();
    }
    ::close(fd_);
    fd_ = -1;
    status = 'I';
  }
  bool alive() const { return fd_ >= 0; }
  int number() const { return number_; }

  // A cancel request reaches the server: what runs ends with 57014.
  void cancel() {
    ++cancels;
    if (!sleeping_ || fd_ < 0) return;
    sleeping_ = false;
    error("ERROR", "57014", "canceling statement due to user request");
    fail();
    if (std::exchange(in_query_, false)) {
      skipping_ = false;
      message('Z', std::string(1, status));
    }
    flush();
  }
  // What runs is done after all.
  void wake() {
    sleeping_ = false;
    complete();
    if (std::exchange(in_query_, false)) message('Z', std::string(1, status));
    flush();
  }
  void notify(std::string_view channel, std::string_view payload) {
    std::string body("\0\0\0\7", 4);
    body.append(channel).append(1, '\0').append(payload).append(1, '\0');
    message('A', body);
    flush();
  }
  void garble() {
    out_ += std::string("\x01\0\0\0\0", 5);
    flush();
  }

  std::size_t unanswered() const { return in_.size(); }  // in bytes

  char status = 'I';
  bool silent = false;          // reads and does not answer
  bool fails_silently = false;  // COMMIT finds the transaction failed, though nothing told so
  bool closed_by_peer = false;
  int no_room = 0;  // so many writes to it find its socket full
  int statements = 0;
  int cancels = 0;
  std::vector<std::string> texts;  // executed
  std::function<void(const std::string&)> on_execute;
  std::string sleeps_at;  // a text that runs until it is cancelled or woken, beside "sleep"

 private:
  bool take_message() {
    if (sleeping_ || in_.size() < 5) return false;
    std::uint32_t length = 0;
    for (int i = 1; i <= 4; ++i)
      length = length << 8 | static_cast<unsigned char>(in_[static_cast<std::size_t>(i)]);
    if (in_.size() < 1 + length) return false;
    const char type = in_[0];
    const std::string body = in_.substr(5, length - 4);
    in_.erase(0, 1 + length);
    answer(type, body);
    flush();
    return true;
  }

  void answer(char type, const std::string& body) {
    if (type == 'S') {
      skipping_ = false;
      return message('Z', std::string(1, status));
    }
    if (skipping_) return;
    switch (type) {
      case 'P': {
        const std::size_t name_end = body.find('\0');
        const std::string text =
            body.substr(name_end + 1, body.find('\0', name_end + 1) - name_end - 1);
        if (text.find("syntax error") != std::string::npos) {
          error("ERROR", "42601", "syntax error");
          return fail();
        }
        prepared_[body.substr(0, name_end)] = text;
        return message('1', "");
      }
      case 'B': {
        const std::size_t portal_end = body.find('\0');
        const std::string name =
            body.substr(portal_end + 1, body.find('\0', portal_end + 1) - portal_end - 1);
        REQUIRE(prepared_.contains(name));
        bound_ = prepared_[name];
        return message('2', "");
      }
      case 'C':
        prepared_.erase(body.substr(1, body.size() - 2));
        return message('3', "");
      case 'D':
        return message('n', "");
      case 'E':
        return execute();
      case 'Q':  // one statement
        in_query_ = true;
        bound_ = body.substr(0, body.find_first_of(std::string(";\0", 2)));
        execute();
        skipping_ = false;
        if (!sleeping_ && std::exchange(in_query_, false)) message('Z', std::string(1, status));
        return;
      case 'H':  // every answer is sent at once
        return;
      case 'X':
        return die();
      default:
        FAIL("the fake server does not know message " << type);
    }
  }

  void execute() {
    ++statements;
    texts.push_back(bound_);
    if (on_execute) on_execute(bound_);
    if (fd_ < 0) return;
    const bool ends = bound_ == "COMMIT" || bound_.starts_with("ROLLBACK");
    if (status == 'E' && !ends) {
      error("ERROR", "25P02", "current transaction is aborted");
      return fail();
    }
    if (bound_ == "sleep" || (!sleeps_at.empty() && bound_ == sleeps_at)) {
      sleeping_ = true;
      return;
    }
    if (bound_ == "error") {
      error("ERROR", "22012", "division by zero");
      return fail();
    }
    complete();
  }

  void complete() {
    const bool back = bound_.starts_with("ROLLBACK TO");
    const bool ends = bound_ == "COMMIT" || (bound_.starts_with("ROLLBACK") && !back);
    if (bound_.starts_with("BEGIN") || back) status = 'T';
    const bool undone = bound_ == "COMMIT" && (status == 'E' || fails_silently);
    if (ends) status = 'I';
    if (bound_.empty()) return message('I', "");
    message('C', (undone ? "ROLLBACK" : bound_.substr(0, 20)) + std::string(1, '\0'));
  }

  void fail() {
    skipping_ = true;
    if (status == 'T') status = 'E';
  }
  void error(std::string_view severity, std::string_view code, std::string_view text) {
    std::string body;
    for (const auto& [field, value] :
         {std::pair{'S', severity}, {'V', severity}, {'C', code}, {'M', text}}) {
      body.append(1, field).append(value).append(1, '\0');
    }
    message('E', body + std::string(1, '\0'));
  }
  void message(char type, const std::string& body) {
    out_.push_back(type);
    const auto length = static_cast<std::uint32_t>(body.size() + 4);
    for (int shift = 24; shift >= 0; shift -= 8) out_.push_back(static_cast<char>(length >> shift));
    out_ += body;
  }
  void flush() {
    if (fd_ >= 0) {
      const ssize_t sent = ::send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL);
      static_cast<void>(sent);  // the other end may be closed already
    }
    out_.clear();
  }

  int fd_;
  int number_;
  std::string in_, out_, bound_;
  std::map<std::string, std::string> prepared_;
  bool skipping_ = false;
  bool sleeping_ = false;
  bool in_query_ = false;
};

class FakeChannel final : public Channel {
 public:
  FakeChannel(int fd, std::shared_ptr<FakeServer> server, FakeReactor& reactor)
      : fd_(fd), server_(std::move(server)), reactor_(reactor) {}
  ~FakeChannel() override {
    if (job_) *job_ = nullptr;
    ::close(fd_);
  }
  int fd() const override { return fd_; }
  bool keeps_bytes() const override { return true; }  // a read leaves some where it is
  IoResult read(std::span<char> space) override {
    // A few bytes at a time: every split point of a message is met.
    const std::size_t most = std::min<std::size_t>(space.size(), 1 + chunk_++ % 7);
    const ssize_t n = ::recv(fd_, space.data(), most, MSG_DONTWAIT);
    if (n > 0) return {Io::done, static_cast<std::size_t>(n)};
    if (n == 0) return {Io::ended};
    return {errno == EAGAIN ? Io::wants_read : Io::failed};
  }
  IoResult write(std::string_view bytes) override {
    if (server_->no_room > 0) {
      --server_->no_room;
      return {Io::wants_write};
    }
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) return {Io::done, static_cast<std::size_t>(n)};
    return {errno == EAGAIN ? Io::wants_write : Io::failed};
  }
  std::string last_error() const override { return "broken"; }
  std::int32_t process_id() const override { return server_->number(); }
  std::string parameter(const std::string&) const override { return "UTF8"; }
  void cancel(std::function<void(bool)> done) override {
    job_ = std::make_shared<std::function<void(bool)>>(std::move(done));
    auto sent = std::make_shared<bool>(false);
    reactor_.run_off_loop(
        [sent, server = server_] {
          *sent = server->alive();
          server->cancel();
        },
        [sent, job = job_] {
          const auto tell = std::exchange(*job, nullptr);
          if (tell) tell(*sent);
        });
  }

 private:
  int fd_;
  std::shared_ptr<FakeServer> server_;
  FakeReactor& reactor_;
  std::shared_ptr<std::function<void(bool)>> job_;
  std::size_t chunk_ = 0;
};

// Opens links to fake servers; what the next attempt meets is decided when its job is run.
class FakeCluster final : public Opener {
 public:
  explicit FakeCluster(FakeReactor& reactor) : reactor_(reactor) {}

  std::unique_ptr<OpenAttempt> open(Done done) override {
    ++attempts;
    auto told = std::make_shared<Done>(std::move(done));
    auto result = std::make_shared<std::optional<Result<std::unique_ptr<Channel>>>>();
    reactor_.run_off_loop([this, result] { result->emplace(connect()); },
                          [told, result] {
                            const auto tell = std::exchange(*told, nullptr);
                            if (tell) tell(*std::move(*result));
                          });
    return std::make_unique<Attempt>(std::move(told));
  }

  // Lets servers and loop run until neither has anything to do. Jobs wait.
  void settle() {
    bool acted = true;
    for (int round = 0; acted; ++round) {
      REQUIRE(round < 100'000);
      REQUIRE(reactor_.settle());
      acted = false;
      for (std::size_t i = 0; i < servers.size(); ++i) acted = servers[i]->step() || acted;
    }
  }
  // The same, with every off-loop job.
  void settle_all() {
    settle();
    while (reactor_.off_loop_jobs() > 0) {
      reactor_.run_off_loop_job();
      settle();
    }
  }
  std::size_t alive() const {
    std::size_t count = 0;
    for (const auto& server : servers) count += server->alive() ? 1 : 0;
    return count;
  }

  std::optional<Error> refusal;  // of the next attempts
  std::vector<std::shared_ptr<FakeServer>> servers;
  std::size_t attempts = 0;
  std::size_t servers_max = 1000;  // more: 53300

 private:
  struct Attempt final : OpenAttempt {
    explicit Attempt(std::shared_ptr<Done> done) : done_(std::move(done)) {}
    ~Attempt() override { *done_ = nullptr; }
    std::shared_ptr<Done> done_;
  };

  Result<std::unique_ptr<Channel>> connect() {
    if (refusal) return *refusal;
    if (alive() >= servers_max) {
      return Error::make(sqlstate::too_many_connections, "sorry, too many clients already");
    }
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    const int room = 1 << 20;  // as much as the kernel gives
    REQUIRE(::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
    auto server = std::make_shared<FakeServer>(ends[1], static_cast<int>(servers.size()) + 1);
    servers.push_back(server);
    return std::unique_ptr<Channel>(std::make_unique<FakeChannel>(ends[0], server, reactor_));
  }

  FakeReactor& reactor_;
};

}  // namespace based::postgres
