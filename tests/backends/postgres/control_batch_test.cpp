#include "backends/postgres/control_batch.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "backends/sql/script.h"
#include "protocol/postgres/requests.h"

namespace based::postgres {
namespace {

using namespace std::string_literals;
using Kind = ControlBatch::Kind;

// Views `body`.
WireMessage message(char type, const std::string& body) {
  WireMessage made;
  made.type = type;
  made.body = body;
  made.body_bytes = static_cast<std::uint32_t>(body.size());
  made.first = made.last = true;
  return made;
}

ScriptRef script_of(std::string_view text) {
  const auto script = sql::parse_script(text, Dialect::postgres, ParameterStyle::verbatim);
  return script.ok() ? *script : nullptr;
}

const std::string no_values("\0\0\0\0\0\0", 6);
const std::string parse_body = "\0begin\0\0\0"s;
const std::string bind_body = "\0\0"s + no_values;
const std::string execute_body = "\0\0\0\0\0"s;

TEST_CASE("a Query of BEGIN without modes is one, in any spelling") {
  for (const char* text : {"begin", "BEGIN;", "Begin work", "start transaction", "begin -- now"}) {
    CAPTURE(text);
    const std::string body = text + "\0"s;
    CHECK(ControlBatch::may_be(Kind::begin, message(request::query, body)));
    ControlBatch batch;
    CHECK(batch.takes(Kind::begin, message(request::query, body), script_of(text)));
    CHECK(batch.simple());
    CHECK(batch.replies("BEGIN") == "C\0\0\0\x0A"s + "BEGIN\0"s);
  }
  for (const char* text :
       {"begin read only", "begin isolation level serializable", "begin; select 1",
        "start transaction not deferrable", "commit", "select 1", "be"}) {
    CAPTURE(text);
    ControlBatch batch;
    CHECK_FALSE(batch.takes(Kind::begin, message(request::query, text + "\0"s), script_of(text)));
    CHECK_FALSE(batch.has_begun());
  }
  CHECK_FALSE(ControlBatch::may_be(Kind::begin, message(request::query, "select 1\0"s)));
  CHECK_FALSE(ControlBatch::may_be(
      Kind::begin, message(request::query, "begin" + std::string(100, ' ') + "\0"s)));
  CHECK_FALSE(ControlBatch::may_be(Kind::begin, message(request::parse, "name\0begin\0\0\0"s)));
}

TEST_CASE("a batch is one from its Parse or Bind to its Sync, with nothing else in it") {
  const ScriptRef begin = script_of("begin");
  ControlBatch batch;
  CHECK(batch.takes(Kind::begin, message(request::parse, parse_body), begin));
  CHECK(batch.takes(Kind::begin, message(request::bind, bind_body), nullptr));
  CHECK(batch.takes(Kind::begin, message(request::describe, "P\0"s), nullptr));
  CHECK(batch.takes(Kind::begin, message(request::execute, execute_body), nullptr));
  CHECK(batch.takes(Kind::begin, message(request::sync, ""), nullptr));
  CHECK(batch.parses());
  CHECK(batch.replies("BEGIN") ==
        "1\0\0\0\4"
        "2\0\0\0\4n\0\0\0\4C\0\0\0\x0A"s +
            "BEGIN\0"s);

  ControlBatch named;  // prepared before
  CHECK(named.takes(Kind::begin, message(request::bind, "\0b\0"s + no_values), begin));
  CHECK(named.takes(Kind::begin, message(request::execute, execute_body), nullptr));
  CHECK(named.takes(Kind::begin, message(request::sync, ""), nullptr));
  CHECK_FALSE(named.parses());
}

TEST_CASE("whatever else comes in between makes it none") {
  const ScriptRef begin = script_of("begin");
  const std::vector<WireMessage> steps{message(request::parse, parse_body),
                                       message(request::bind, bind_body),
                                       message(request::execute, execute_body)};
  const std::vector<std::pair<char, std::string>> strangers{
      {request::query, "begin\0"s},
      {request::parse, parse_body},
      {request::bind, "\0\0\0\0\0\1\0\0\0\0\0\0"s},
      {request::bind, "p\0\0"s + no_values},
      {request::bind, "\0\0\0\0\0\0\0\1"s},
      {request::bind, "\0\0"s + no_values + "\0"s},
      {request::describe, "S\0"s},
      {request::close, "S\0"s},
      {request::execute, "p\0\0\0\0\0"s},
      {request::flush, ""},
      {request::function_call, "\0\0\0\0"s},
  };
  for (std::size_t taken = 1; taken <= steps.size(); ++taken) {
    for (const auto& stranger : strangers) {
      CAPTURE(taken);
      CAPTURE(stranger.first);
      ControlBatch batch;
      for (std::size_t i = 0; i < taken; ++i)
        REQUIRE(batch.takes(Kind::begin, steps[i], i == 0 ? begin : nullptr));
      CHECK_FALSE(batch.takes(Kind::begin, message(stranger.first, stranger.second), begin));
      CHECK_FALSE(batch.has_begun());
    }
  }
  ControlBatch early;
  CHECK(early.takes(Kind::begin, steps[0], begin));
  CHECK_FALSE(early.takes(Kind::begin, message(request::sync, ""), nullptr));
}

TEST_CASE("the end of a transaction is one without AND CHAIN") {
  for (const char* text : {"commit", "END;", "Rollback work", "abort", "end transaction"}) {
    CAPTURE(text);
    const std::string body = text + "\0"s;
    CHECK(ControlBatch::may_be(Kind::end, message(request::query, body)));
    CHECK_FALSE(ControlBatch::may_be(Kind::begin, message(request::query, body)));
    ControlBatch batch;
    CHECK(batch.takes(Kind::end, message(request::query, body), script_of(text)));
    CHECK(batch.simple());
  }
  for (const char* text : {"commit and chain", "rollback to a", "rollback; select 1", "begin",
                           "commit prepared 'a'", "release a"}) {
    CAPTURE(text);
    ControlBatch batch;
    CHECK_FALSE(batch.takes(Kind::end, message(request::query, text + "\0"s), script_of(text)));
  }
}

TEST_CASE("a DEALLOCATE is one where its name is read as the server reads it") {
  for (const char* text :
       {"deallocate q", "DEALLOCATE PREPARE \"Q q\";", "deallocate all",
        "Deallocate prepare All -- so", "deallocate prepare", "deallocate été"}) {
    CAPTURE(text);
    const std::string body = text + "\0"s;
    CHECK(ControlBatch::may_be(Kind::forget, message(request::query, body)));
    ControlBatch batch;
    CHECK(batch.takes(Kind::forget, message(request::query, body), script_of(text)));
    CHECK(batch.kind() == Kind::forget);
    CHECK(batch.simple());
  }
  for (const char* text :
       {"deallocate", "deallocate \"\"", "deallocate select", "deallocate a b",
        "deallocate U&\"q\"", "deallocate q; select 1", "deallocate prepare left", "deallocate $1",
        "deallocate 'q'", "execute q", "commit"}) {
    CAPTURE(text);
    ControlBatch batch;
    CHECK_FALSE(batch.takes(Kind::forget, message(request::query, text + "\0"s), script_of(text)));
  }
  for (const std::size_t bytes : {62U, 63U}) {
    const std::string text = "deallocate " + std::string(bytes, 'q');
    ControlBatch batch;
    CHECK(batch.takes(Kind::forget, message(request::query, text + "\0"s), script_of(text)) ==
          (bytes == 62));
  }
  CHECK_FALSE(ControlBatch::may_be(Kind::forget, message(request::query, "delete from t\0"s)));
  CHECK_FALSE(ControlBatch::may_be(Kind::forget, message(request::bind, bind_body)));
}

TEST_CASE("a batch that closes statements is one") {
  const WireMessage sync = message(request::sync, "");
  const std::string first = "Sfirst\0"s, unnamed = "S\0"s;
  CHECK(ControlBatch::may_be(Kind::forget, message(request::close, first)));
  CHECK_FALSE(ControlBatch::may_be(Kind::begin, message(request::close, first)));
  ControlBatch batch;
  CHECK(batch.takes(Kind::forget, message(request::close, first), nullptr));
  CHECK(batch.takes(Kind::forget, message(request::close, unnamed), nullptr));
  CHECK(batch.takes(Kind::forget, sync, nullptr));
  CHECK(batch.closes() == std::vector<std::string>{"first", ""});
  CHECK(batch.replies("") == "3\0\0\0\4"s + "3\0\0\0\4"s);

  const std::string portal = "Pfirst\0"s, deallocates = "\0deallocate q\0\0\0"s;
  CHECK_FALSE(ControlBatch::may_be(Kind::forget, message(request::close, portal)));
  for (const WireMessage& stranger :
       {message(request::close, portal), message(request::parse, deallocates),
        message(request::bind, bind_body), message(request::flush, "")}) {
    CAPTURE(stranger.type);
    ControlBatch mixed;
    CHECK(mixed.takes(Kind::forget, message(request::close, first), nullptr));
    CHECK_FALSE(mixed.takes(Kind::forget, stranger, script_of("deallocate q")));
    CHECK_FALSE(mixed.has_begun());
  }
  ControlBatch many;
  for (int i = 0; i < 16; ++i) {
    CHECK(many.takes(Kind::forget, message(request::close, first), nullptr));
  }
  CHECK_FALSE(many.takes(Kind::forget, message(request::close, first), nullptr));
}

}  // namespace
}  // namespace based::postgres
