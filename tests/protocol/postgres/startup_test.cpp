#include "protocol/postgres/startup.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

using namespace based::postgres;

namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

std::string body(const Settings& pairs) {
  std::string out;
  for (const auto& pair : pairs) out += pair.first + '\0' + pair.second + '\0';
  return out + '\0';
}

std::string code_of(std::string_view packet_body) {
  const auto startup = decode_startup(packet_body);
  return startup ? "" : std::string(startup.error().sqlstate.text());
}

// What `options` sets, as "name=value;"; the SQLSTATE where it cannot be read.
std::string options(std::string_view text) {
  const auto startup = decode_startup(body({{"user", "u"}, {"options", std::string(text)}}));
  if (!startup) return std::string(startup.error().sqlstate.text());
  std::string shown;
  for (const auto& setting : startup->settings) {
    shown += setting.first + "=" + setting.second + ";";
  }
  return shown;
}

}  // namespace

TEST_CASE("a start-up packet says user, database and settings in any order") {
  const auto startup = decode_startup(body({{"DateStyle", "ISO"},
                                            {"database", "d"},
                                            {"_pq_.x", "1"},
                                            {"user", "u"},
                                            {"replication", "true"}}));
  REQUIRE(startup.ok());
  CHECK(startup->user == "u");
  CHECK(startup->database == "d");
  CHECK(startup->replication == "true");
  CHECK(startup->settings == Settings{{"datestyle", "ISO"}});
  CHECK(startup->protocol_options == std::vector<std::string>{"_pq_.x"});
}

TEST_CASE("every truncation of a start-up packet is refused, and so is every byte behind it") {
  const std::string whole = body({{"user", "u"}, {"database", "d"}, {"options", "-c a=b"}});
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CAPTURE(length);
    // An own copy, so that a sanitizer sees a read beyond it.
    CHECK(code_of(std::string(whole, 0, length)) == "08P01");
  }
  CHECK(code_of(whole) == "");
  CHECK(code_of(whole + 'x') == "08P01");
  CHECK(code_of(whole + '\0') == "08P01");
}

TEST_CASE("without a user nobody starts") {
  CHECK(code_of(body({{"database", "d"}})) == "28000");
  CHECK(code_of(body({{"user", ""}})) == "28000");
  CHECK(code_of(std::string(1, '\0')) == "28000");
}

TEST_CASE("what options set gives way to what has a name of its own, wherever they stand") {
  const auto startup = decode_startup(
      body({{"work_mem", "2MB"}, {"user", "u"}, {"options", "-c work_mem=1MB"}, {"a", "b"}}));
  REQUIRE(startup);
  CHECK(startup->settings == std::vector<std::pair<std::string, std::string>>{
                                 {"work_mem", "1MB"}, {"work_mem", "2MB"}, {"a", "b"}});
}

TEST_CASE("options are words, and a backslash takes the next character as it is") {
  CHECK(options("-c a=b") == "a=b;");
  CHECK(options("-ca=b --c-d=e") == "a=b;c_d=e;");
  CHECK(options(" \t-c  a=b\n") == "a=b;");
  CHECK(options("-c a=b=c") == "a=b=c;");
  CHECK(options("-c a=") == "a=;");
  CHECK(options("-c a=one\\ two") == "a=one two;");
  CHECK(options("-c a=\\\\") == "a=\\;");
  CHECK(options("-c A=b -c a=c") == "a=b;a=c;");
  CHECK(options("-nTfh -tpl") == "enable_hashjoin=false;log_planner_stats=true;");
  CHECK(options("-S 5 -S6 -es") ==
        "work_mem=5;work_mem=6;datestyle=euro;log_statement_stats=true;");
  CHECK(
      options("-d0 -d 3") ==
      "log_min_messages=notice;log_min_messages=debug3;log_statement=all;debug_print_parse=true;");
  CHECK(options("") == "");
  CHECK(options("   ") == "");
}

TEST_CASE("options that cannot be read are refused, whatever they begin like") {
  for (const char* text : {"-c", "-c=", "-c =", "-c a", "-ca", "--", "--=", "--a", "a=b", "-", "\\",
                           "-d 9", "-S", "-fx", "-tx", "-sz", "-D /", "-E", "-c a=b x"}) {
    CAPTURE(text);
    CHECK(options(text) == "42601");
  }
}

TEST_CASE("the head of a packet has a length that PostgreSQL would read") {
  const auto head = [](std::string_view bytes) { return decode_startup_head(bytes); };
  CHECK_FALSE(head(std::string("\0\0\0\7\0\3\0\0", 8)).ok());
  CHECK(head(std::string("\0\0\0\10\0\3\0\0", 8)).ok());
  CHECK(head(std::string("\0\0\x27\x10\0\3\0\0", 8)).ok());
  CHECK_FALSE(head(std::string("\0\0\x27\x11\0\3\0\0", 8)).ok());
  CHECK_FALSE(head(std::string("\xff\xff\xff\xff\0\3\0\0", 8)).ok());
}

TEST_CASE("a packet's code says what it is") {
  const auto kind = [](std::uint32_t code) { return startup_kind({.length = 8, .code = code}); };
  CHECK(*kind(3 << 16) == StartupKind::start);
  CHECK(*kind(3 << 16 | 2) == StartupKind::start);
  CHECK(*kind(3 << 16 | 9999) == StartupKind::start);
  CHECK(*kind(80877102) == StartupKind::cancel);
  CHECK(*kind(80877103) == StartupKind::ssl);
  CHECK(*kind(80877104) == StartupKind::gss_encryption);
  for (const std::uint32_t code : {0u, 2u << 16, 4u << 16, 80877105u, 0xFFFFFFFFu}) {
    CAPTURE(code);
    CHECK_FALSE(kind(code).ok());
  }
}

TEST_CASE("a cancel request has a key of 4 to 256 bytes") {
  for (std::size_t size = 0; size < 300; ++size) {
    CAPTURE(size);
    CancelKey key;
    const std::string packet = std::string("\0\0\0\5", 4) + std::string(size, 'k');
    CHECK(decode_cancel(packet, key) == (size >= 4 && size <= 256));
  }
  CancelKey key;
  const std::string packet(
      "\xff\xff\xff\xff"
      "key!",
      8);
  REQUIRE(decode_cancel(packet, key));
  CHECK(key.process_id == -1);
  CHECK(key.secret == "key!");
  CHECK_FALSE(decode_cancel("abc", key));
}
