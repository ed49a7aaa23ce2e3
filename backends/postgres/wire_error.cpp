#include "backends/postgres/wire_error.h"

#include <algorithm>
#include <charconv>

namespace based::postgres {
namespace {

// Writes one ErrorResponse, field by field; the destructor completes it.
class ErrorWriter {
 public:
  explicit ErrorWriter(std::string& out) : out_(out), begin_(out.size()) {
    out_.append(5, '\0');
    out_[begin_] = 'E';
  }
  ErrorWriter(const ErrorWriter&) = delete;
  ErrorWriter& operator=(const ErrorWriter&) = delete;
  ~ErrorWriter() {
    out_ += '\0';
    const std::size_t length = out_.size() - begin_ - 1;
    for (std::size_t i = 0; i < 4; ++i) {
      out_[begin_ + 1 + i] = static_cast<char>(length >> (24 - 8 * i) & 0xFF);
    }
  }

  void field(char code, std::string_view text) {
    if (text.empty()) return;
    out_ += code;
    out_ += text.substr(0, text.find('\0'));
    out_ += '\0';
  }

 private:
  std::string& out_;
  std::size_t begin_;
};

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result(text);
  for (std::size_t at = result.find(from); at != std::string::npos;
       at = result.find(from, at + to.size())) {
    result.replace(at, from.size(), to);
  }
  return result;
}

// A position in a part, in the whole.
std::string moved(std::string_view digits, std::int32_t before) {
  std::uint32_t position = 0;
  const char* end = digits.data() + digits.size();
  const auto read = std::from_chars(digits.data(), end, position);
  if (read.ec != std::errc() || read.ptr != end) return std::string(digits);
  return std::to_string(std::max<std::int64_t>(std::int64_t{position} + before, 1));
}

}  // namespace

void append_rewritten_error(std::string& out, std::string_view body, const ErrorRewrite& rewrite) {
  ErrorWriter writer(out);
  bool hinted = false;
  bool detailed = rewrite.detail.empty();
  while (!body.empty() && body.front() != '\0') {
    const char code = body.front();
    const std::size_t end = body.find('\0', 1);
    if (end == std::string_view::npos) return;
    const std::string_view text = body.substr(1, end - 1);
    if (rewrite.soften && (code == 'S' || code == 'V')) {
      writer.field(code, "ERROR");
    } else if (code == 'C' && !rewrite.sqlstate.empty()) {
      writer.field(code, rewrite.sqlstate);
    } else if (code == 'M' && !rewrite.message.empty()) {
      writer.field(code, rewrite.message);
    } else if (code == 'M' && !rewrite.from.empty()) {
      writer.field(code, replaced(text, rewrite.from, rewrite.to));
    } else if (code == 'P') {
      writer.field(code, moved(text, rewrite.before));
    } else if (code == 'D' && !detailed) {
      detailed = true;
      writer.field(code, std::string(text).append(" ").append(rewrite.detail));
    } else if (code == 'H' && !rewrite.hint.empty()) {
      hinted = true;
      writer.field(code, std::string(text).append(" ").append(rewrite.hint));
    } else {
      writer.field(code, text);
    }
    body.remove_prefix(end + 1);
  }
  if (!detailed) writer.field('D', rewrite.detail);
  if (!hinted) writer.field('H', rewrite.hint);
}

}  // namespace based::postgres
