#include "config/address.h"

#include <doctest/doctest.h>

#include <string>

using namespace based;

namespace {

ListenAddress address(const std::string& text) {
  auto parsed = parse_address(text);
  REQUIRE_MESSAGE(parsed.ok(), text);
  return *parsed;
}

}  // namespace

TEST_CASE("an address is host:port, :port, [IPv6]:port or unix:/path") {
  CHECK(address("127.0.0.1:6432") == ListenAddress{"127.0.0.1", 6432, ""});
  CHECK(address("localhost:0") == ListenAddress{"localhost", 0, ""});
  CHECK(address("db-1.example.org:65535") == ListenAddress{"db-1.example.org", 65535, ""});
  CHECK(address("[::1]:6432") == ListenAddress{"::1", 6432, ""});
  CHECK(address("[::]:1") == ListenAddress{"::", 1, ""});
  CHECK(address("unix:/run/based/based.sock") == ListenAddress{"", 0, "/run/based/based.sock"});
}

TEST_CASE("an address without a host is this machine only") {
  CHECK(address(":6432") == ListenAddress{"127.0.0.1", 6432, ""});
  CHECK(is_local(address(":6432")));
}

TEST_CASE("what is not an address is refused with the forms it may have") {
  for (const std::string text : {"",
                                 "6432",
                                 "localhost",
                                 "localhost:",
                                 "localhost:65536",
                                 "localhost:-1",
                                 "localhost:+1",
                                 "localhost:1x",
                                 "localhost: 1",
                                 "::1:6432",
                                 "[::1]",
                                 "[::1]6432",
                                 "[]:1",
                                 "[::g]:1",
                                 "[127.0.0.1]:1",
                                 "127.0.0.999:1",
                                 "127.1:1",
                                 "a b:1",
                                 "http://localhost:80",
                                 "*:6432",
                                 "unix:",
                                 "unix:relative",
                                 "unix"}) {
    auto parsed = parse_address(text);
    CHECK_MESSAGE(!parsed.ok(), text);
    if (!parsed.ok()) CHECK(parsed.error().message.size() > 10);
  }
}

TEST_CASE("a unix path may be as long as the kernel takes, and no longer") {
  CHECK(parse_address("unix:/" + std::string(106, 'x')).ok());
  CHECK_FALSE(parse_address("unix:/" + std::string(107, 'x')).ok());
}

TEST_CASE("a formatted address reads back as the same address") {
  for (const char* text : {"127.0.0.1:6432", "[::1]:0", "unix:/a/b", "host.example:1"}) {
    CHECK(format_address(address(text)) == text);
  }
}

TEST_CASE("only loopback addresses, localhost and unix sockets are local") {
  for (const char* text : {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "unix:/a"}) {
    CHECK_MESSAGE(is_local(address(text)), text);
  }
  for (const char* text : {"0.0.0.0:1", "[::]:1", "192.168.0.1:1", "128.0.0.1:1", "example.org:1",
                           "localhost.example.org:1", "[fe80::1]:1"}) {
    CHECK_MESSAGE(!is_local(address(text)), text);
  }
}
