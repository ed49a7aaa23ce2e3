// SCRAM-SHA-256 with RFC 7677's own example, and with what must not pass.
#include "protocol/scram.h"

#include <doctest/doctest.h>

using namespace based;

namespace {

// RFC 7677, section 3: user "user", password "pencil".
const std::string salt("\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81", 16);
constexpr std::string_view client_first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view server_nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr std::string_view client_final =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

ScramVerifier pencil() { return make_scram_verifier("pencil", salt, 4096).value(); }

}  // namespace

TEST_CASE("the example of RFC 7677 comes out to the letter") {
  ScramExchange exchange(pencil(), std::string(server_nonce));
  CHECK(exchange.first(client_first).value() ==
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
  CHECK(exchange.final(client_final).value() == "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

TEST_CASE("a wrong password, a changed nonce and a changed binding do not pass") {
  const auto answer = [](const ScramVerifier& verifier, std::string_view final) {
    ScramExchange exchange(verifier, std::string(server_nonce));
    REQUIRE(exchange.first(client_first));
    const auto result = exchange.final(final);
    return result ? std::string() : std::string(result.error().sqlstate.text());
  };
  CHECK(answer(make_scram_verifier("pencil2", salt, 4096).value(), client_final) == "28P01");
  CHECK(answer(mock_scram_verifier("user", "secret"), client_final) == "28P01");
  std::string other(client_final);
  other[8] = 'X';
  CHECK(answer(pencil(), other) == "08P01");
  CHECK(answer(pencil(), "c=eSws" + std::string(client_final.substr(6))) == "08P01");
  CHECK(answer(pencil(), std::string(client_final) + ",x=1") == "08P01");
  for (std::size_t cut = 0; cut < client_final.size(); ++cut) {
    CHECK(answer(pencil(), client_final.substr(0, cut)) == "08P01");
  }
}

TEST_CASE("a first message that is none is refused, and so is channel binding") {
  const auto code = [](std::string_view first) {
    ScramExchange exchange(pencil(), std::string(server_nonce));
    const auto result = exchange.first(first);
    return result ? std::string() : std::string(result.error().sqlstate.text());
  };
  CHECK(code("y,,n=user,r=abc") == "");
  CHECK(code("p=tls-server-end-point,,n=user,r=abc") == "0A000");
  for (const char* bad : {"", "n", "n,", "n,,", "n,a=other,n=user,r=abc", "n,,n=user", "n,,r=abc",
                          "n,,n=user,r=", "n,,n=user,r=a b", "n,,n=user,r=abc,x=1", "x,,n=u,r=a"}) {
    CAPTURE(bad);
    CHECK(code(bad) == "08P01");
  }
}

TEST_CASE("a verifier is read as PostgreSQL writes it, and nothing else is one") {
  const std::string text = format_scram_verifier(pencil());
  CHECK(text.starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"));
  const auto read = parse_scram_verifier(text);
  REQUIRE(read);
  CHECK(format_scram_verifier(*read) == text);
  for (std::size_t cut = 0; cut < text.size(); ++cut) {
    CHECK_FALSE(parse_scram_verifier(text.substr(0, cut)));
  }
  CHECK_FALSE(parse_scram_verifier("md5" + text));
  CHECK_FALSE(parse_scram_verifier("SCRAM-SHA-256$0" + text.substr(18)));
  CHECK_FALSE(parse_scram_verifier("SCRAM-SHA-256$99999999" + text.substr(18)));
  CHECK_FALSE(make_scram_verifier("", salt, 4096));
  CHECK_FALSE(make_scram_verifier("p\xc3\xa4ss", salt, 4096));
}
