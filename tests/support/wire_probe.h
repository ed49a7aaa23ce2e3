// WireProbe: a PostgreSQL client without a socket: it sends messages into a WireSession and keeps
// what comes back, as types and texts.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/database.h"
#include "protocol/postgres/backend.h"
#include "protocol/postgres/frontend.h"

namespace based {

class WireProbe final : public WireClient {
 public:
  explicit WireProbe(Database& database,
                     std::vector<std::pair<std::string, std::string>> settings = {},
                     std::string user = "tester") {
    static std::uint64_t last_id = 0;
    session = database.open_wire_session({.session_id = ++last_id,
                                          .client = "probe",
                                          .user = std::move(user),
                                          .settings = std::move(settings)},
                                         *this);
    session->start();
  }

  // The session of a database that does not speak the protocol itself.
  explicit WireProbe(const std::function<std::unique_ptr<WireSession>(WireClient&)>& open)
      : session(open(*this)) {
    session->start();
  }

  // Messages written by a FrontendWriter, delivered one by one.
  void send_messages(std::string_view bytes) {
    while (!bytes.empty()) {
      std::size_t length = 0;
      for (std::size_t i = 1; i <= 4; ++i)
        length = length << 8 | static_cast<unsigned char>(bytes[i]);
      const std::string_view body = bytes.substr(5, length - 4);
      session->on_message(
          {.type = bytes[0], .body = body, .body_bytes = static_cast<std::uint32_t>(body.size())});
      bytes.remove_prefix(length + 1);
    }
    session->on_batch_end();
  }
  void query(std::string_view text) {
    std::string bytes;
    postgres::FrontendWriter(bytes).query(text);
    send_messages(bytes);
  }

  // The replies so far: "T D:1|x C:SELECT 1 Z:I", errors as "E:42601", and forgets them.
  std::string take() {
    std::string shown;
    std::string_view left = received;
    while (!left.empty()) {
      std::size_t length = 0;
      for (std::size_t i = 1; i <= 4; ++i)
        length = length << 8 | static_cast<unsigned char>(left[i]);
      shown += (shown.empty() ? "" : " ") + show(left[0], left.substr(5, length - 4));
      left.remove_prefix(length + 1);
    }
    received.clear();
    return shown;
  }
  // How many requests are answered.
  int ready() const {
    int count = 0;
    std::string_view left = received;
    while (left.size() >= 5) {
      std::size_t length = 0;
      for (std::size_t i = 1; i <= 4; ++i)
        length = length << 8 | static_cast<unsigned char>(left[i]);
      if (left.size() < length + 1) break;
      count += left[0] == postgres::reply::ready ? 1 : 0;
      left.remove_prefix(length + 1);
    }
    return count;
  }

  std::string received;
  bool started = false;
  std::vector<std::pair<std::string, std::string>> parameters;
  std::unique_ptr<Error> ended;
  bool taking = true;
  std::unique_ptr<WireSession> session;

 private:
  static std::string show(char type, std::string_view body) {
    namespace reply = postgres::reply;
    std::string text(1, type);
    if (type == reply::ready) return text + ":" + std::string(body);
    if (type == reply::command_complete)
      return text + ":" + std::string(body.substr(0, body.size() - 1));
    postgres::ErrorFields fields;
    if ((type == reply::error || type == reply::notice) && postgres::decode_error(body, fields)) {
      return text + ":" + std::string(fields.sqlstate);
    }
    postgres::ParameterStatus status;
    if (type == reply::parameter_status && postgres::decode_parameter_status(body, status)) {
      return text + ":" + std::string(status.name) + "=" + std::string(status.value);
    }
    if (type == reply::data_row) {
      std::size_t count =
          static_cast<unsigned char>(body[0]) * 256u + static_cast<unsigned char>(body[1]);
      std::vector<postgres::Cell> cells;
      if (!postgres::decode_data_row(body, count, cells)) return text + ":broken";
      for (std::size_t i = 0; i < cells.size(); ++i) {
        text += (i == 0 ? ":" : "|") + (cells[i].is_null ? "NULL" : std::string(cells[i].bytes));
      }
    }
    return text;
  }

  void on_started(std::span<const std::pair<std::string, std::string>> reported) override {
    started = true;
    parameters.assign(reported.begin(), reported.end());
  }
  void send(std::string_view bytes) override { received += bytes; }
  void flush() override {}
  std::size_t unsent() const override { return 0; }
  void notify_when_drained(std::size_t) override {}
  void set_taking(bool on) override { taking = on; }
  void end(const Error& error) override { ended = std::make_unique<Error>(error); }
  void on_at_rest() override {}
};

}  // namespace based
