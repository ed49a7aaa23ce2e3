#include "daemon/hash_password.h"

#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "config/command_line.h"
#include "protocol/scram.h"

namespace based {
namespace {

constexpr std::size_t salt_bytes = 16;  // PostgreSQL's
constexpr std::size_t password_bytes_max = 1024;

// Echo is off for as long as it lives.
class Unseen {
 public:
  Unseen() {
    is_terminal_ = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before_) == 0;
    if (!is_terminal_) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    std::fputs("password: ", stderr);
  }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;
  ~Unseen() {
    if (!is_terminal_) return;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    std::fputs("\n", stderr);
  }

 private:
  termios before_{};
  bool is_terminal_ = false;
};

int refuse(const std::string& why) {
  std::fprintf(stderr, "based: hash-password: %s\n", why.c_str());
  return static_cast<int>(ExitCode::usage);
}

std::string read_line() {
  const Unseen unseen;
  std::string line;
  for (int c = std::getchar(); c != EOF && c != '\n' && line.size() <= password_bytes_max;
       c = std::getchar()) {
    line += static_cast<char>(c);
  }
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

}  // namespace

int hash_password(std::uint32_t iterations) {
  const std::string password = read_line();
  if (password.size() > password_bytes_max) return refuse("the password is too long");
  std::string salt(salt_bytes, '\0');
  if (::getrandom(salt.data(), salt.size(), 0) != static_cast<ssize_t>(salt.size())) {
    return refuse("the system gives no random bytes");
  }
  const Result<ScramVerifier> verifier = make_scram_verifier(password, salt, iterations);
  if (!verifier) return refuse(verifier.error().message);
  std::printf("%s\n", format_scram_verifier(*verifier).c_str());
  return std::fflush(stdout) == 0 ? 0 : static_cast<int>(ExitCode::internal);
}

}  // namespace based
