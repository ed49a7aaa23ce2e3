#include "protocol/native/messages.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "protocol/native/frame.h"
#include "tests/protocol/native/recode.h"

namespace based::native {
namespace {

using Write = std::function<void(MessagePackWriter&)>;

std::string payload(const Write& write) {
  std::string out;
  MessagePackWriter writer(out);
  write(writer);
  return out;
}

std::string exec(const Write& write_rest, std::size_t elements) {
  return payload([&](MessagePackWriter& w) {
    w.array(elements);
    w.text("select 1");
    write_rest(w);
  });
}

std::string_view refusal(MessageType type, const std::string& bytes) {
  static std::string code;
  const Result<std::string> again = recode(type, bytes);
  code = again ? "" : std::string(again.error().sqlstate.text());
  return code;
}

// A payload of one option map with one pair.
std::string option(std::string_view key, const Write& write_value) {
  return payload([&](MessagePackWriter& w) {
    w.array(1);
    w.map(1);
    w.text(key);
    write_value(w);
  });
}

}  // namespace

TEST_CASE("parameters by position and by name are walked in the order they were sent") {
  const std::string bytes = exec(
      [](MessagePackWriter& w) {
        w.map(3);
        w.text("b");
        w.integer(1);
        w.text(":a");  // a leading colon is dropped
        w.text("x");
        w.text("c");
        w.null();
      },
      2);
  const Result<Exec> decoded = decode_exec(bytes);
  REQUIRE(decoded.ok());
  CHECK_EQ(decoded->sql, "select 1");
  CHECK_EQ(decoded->parameters.count(), 3);
  ParameterCursor cursor(decoded->parameters);
  std::string_view name;
  ValueView value;
  REQUIRE(cursor.next(name, value));
  CHECK_EQ(name, "b");
  CHECK_EQ(value.int64, 1);
  REQUIRE(cursor.next(name, value));
  CHECK_EQ(name, "a");
  CHECK_EQ(value.data, "x");
  REQUIRE(cursor.next(name, value));
  CHECK(value.is_null());
  CHECK_FALSE(cursor.next(name, value));
}

TEST_CASE("a name given twice is refused, among few and among many") {
  for (const std::size_t count : {2, 16, 17, 400}) {
    for (const bool twice : {false, true}) {
      const std::string bytes = exec(
          [&](MessagePackWriter& w) {
            w.map(count);
            for (std::size_t i = 0; i < count; ++i) {
              const bool repeat = twice && i + 1 == count;
              w.text(repeat ? ":p0" : "p" + std::to_string(i));
              w.integer(1);
            }
          },
          2);
      CAPTURE(count);
      CHECK_EQ(refusal(MessageType::exec, bytes), twice ? "22023" : "");
    }
  }
}

TEST_CASE("65535 parameters pass, one more is refused, by position and by name") {
  for (const bool named : {false, true}) {
    for (const std::size_t count : {65'535, 65'536}) {
      const std::string bytes = exec(
          [&](MessagePackWriter& w) {
            if (named) {
              w.map(count);
            } else {
              w.array(count);
            }
            for (std::size_t i = 0; i < count; ++i) {
              if (named) w.text("p" + std::to_string(i));
              w.null();
            }
          },
          2);
      CHECK_EQ(refusal(MessageType::exec, bytes), count == 65'535 ? "" : "54000");
    }
  }
}

TEST_CASE("what is not a value is no parameter") {
  CHECK_EQ(refusal(MessageType::exec, exec([](MessagePackWriter& w) { w.integer(1); }, 2)),
           "22023");
  const auto nested = [](MessagePackWriter& w) {
    w.array(1);
    w.array(0);
  };
  CHECK_EQ(refusal(MessageType::exec, exec(nested, 2)), "22023");
  const auto number_as_name = [](MessagePackWriter& w) {
    w.map(1);
    w.integer(1);
    w.integer(1);
  };
  CHECK_EQ(refusal(MessageType::exec, exec(number_as_name, 2)), "22023");
  const auto no_name = [](MessagePackWriter& w) {
    w.map(1);
    w.text(":");
    w.integer(1);
  };
  CHECK_EQ(refusal(MessageType::exec, exec(no_name, 2)), "22023");
}

TEST_CASE("NUL is allowed in a parameter's text, and in no SQL text or name") {
  const std::string_view nul("a\0b", 3);
  const auto parameter = [&](MessagePackWriter& w) {
    w.array(1);
    w.text(nul);
  };
  CHECK_EQ(refusal(MessageType::exec, exec(parameter, 2)), "");
  const std::string sql = payload([&](MessagePackWriter& w) {
    w.array(1);
    w.text(nul);
  });
  CHECK_EQ(refusal(MessageType::exec, sql), "22021");
  CHECK_EQ(refusal(MessageType::open, option("label", [&](MessagePackWriter& w) { w.text(nul); })),
           "22021");
}

TEST_CASE("elements and keys that this version does not know are skipped, nil is absent") {
  const std::string bytes = payload([](MessagePackWriter& w) {
    w.array(5);
    w.text("select 1");
    w.null();
    w.map(3);
    w.text("grease");
    w.array(2);
    w.map(0);
    w.bytes("x");
    w.text("credit");
    w.null();
    w.text("max_rows");
    w.integer(5);
    w.array(0);
    w.text("later");
  });
  const Result<Exec> decoded = decode_exec(bytes);
  REQUIRE(decoded.ok());
  CHECK_FALSE(decoded->options.credit.has_value());
  CHECK_EQ(decoded->options.max_rows, 5);
  CHECK_EQ(decoded->parameters.count(), 0);
}

TEST_CASE("an option given twice, of the wrong kind or out of range is refused and named") {
  const std::string twice = payload([](MessagePackWriter& w) {
    w.array(1);
    w.map(2);
    w.text("read_only");
    w.boolean(true);
    w.text("read_only");
    w.boolean(true);
  });
  CHECK_EQ(refusal(MessageType::open, twice), "22023");
  const auto wrong = option("statement_timeout_ms", [](MessagePackWriter& w) { w.text("5s"); });
  const Result<Open> open = decode_open(wrong);
  REQUIRE_FALSE(open.ok());
  CHECK_EQ(open.error().message, "OPEN: option statement_timeout_ms: an integer is expected");
  CHECK_EQ(open.error().sqlstate, sqlstate::invalid_parameter_value);
  const auto minus = [](MessagePackWriter& w) { w.integer(-1); };
  CHECK_EQ(refusal(MessageType::open, option("queue_timeout_ms", minus)), "22023");
  const auto small = [](MessagePackWriter& w) { w.integer(65'535); };
  CHECK_EQ(refusal(MessageType::hello, option("frame_bytes_max", small)), "22023");
  const auto long_name = [](MessagePackWriter& w) { w.text(std::string(256, 'x')); };
  CHECK_EQ(refusal(MessageType::open, option("label", long_name)), "54000");
  const auto snapshot = [](MessagePackWriter& w) {
    w.map(1);
    w.text("isolation");
    w.text("snapshot");
  };
  CHECK_EQ(refusal(MessageType::open, option("transaction", snapshot)), "22023");
}

TEST_CASE("a batch counts its statements, walks its sets and does not mix them with parameters") {
  const auto batch = [](std::size_t count, const Write& item) {
    return payload([&](MessagePackWriter& w) {
      w.array(1);
      w.array(count);
      for (std::size_t i = 0; i < count; ++i) item(w);
    });
  };
  const auto plain = [](MessagePackWriter& w) {
    w.array(1);
    w.text("select 1");
  };
  CHECK_EQ(refusal(MessageType::batch, batch(0, plain)), "");
  CHECK_EQ(refusal(MessageType::batch, batch(statements_max, plain)), "");
  CHECK_EQ(refusal(MessageType::batch, batch(statements_max + 1, plain)), "54000");
  const auto both = [](MessagePackWriter& w) {
    w.array(3);
    w.text("select $1");
    w.array(1);
    w.integer(1);
    w.array(0);
  };
  CHECK_EQ(refusal(MessageType::batch, batch(1, both)), "22023");
  const auto no_sets = [](MessagePackWriter& w) {
    w.array(3);
    w.text("select $1");
    w.null();
    w.array(0);
  };
  const std::string bytes = batch(1, no_sets);
  const Result<Batch> decoded = decode_batch(bytes);
  REQUIRE(decoded.ok());
  BatchCursor cursor(*decoded);
  BatchItem item;
  REQUIRE(cursor.next(item));
  REQUIRE(item.sets.has_value());
  CHECK_EQ(item.sets->count(), 0);
  CHECK_EQ(refusal(MessageType::batch, batch(1, [](MessagePackWriter& w) { w.array(0); })),
           "08P01");
}

TEST_CASE("an atomic batch that does not stop is refused") {
  const std::string bytes = payload([](MessagePackWriter& w) {
    w.array(2);
    w.array(0);
    w.map(2);
    w.text("atomic");
    w.boolean(true);
    w.text("stop");
    w.boolean(false);
  });
  CHECK_EQ(refusal(MessageType::batch, bytes), "22023");
}

TEST_CASE("a PING value may be anything of at most 1024 bytes") {
  const auto ping = [](std::size_t bytes) {
    return payload([&](MessagePackWriter& w) {
      w.array(1);
      w.bytes(std::string(bytes - 3, 'x'));
    });
  };
  CHECK_EQ(refusal(MessageType::ping, ping(1024)), "");
  CHECK_EQ(refusal(MessageType::ping, ping(1025)), "54000");
}

TEST_CASE("more than 64 features are refused") {
  for (const std::size_t count : {64, 65}) {
    const auto features = [&](MessagePackWriter& w) {
      w.array(count);
      for (std::size_t i = 0; i < count; ++i) w.text("x");
    };
    CHECK_EQ(refusal(MessageType::hello, option("features", features)), count == 64 ? "" : "54000");
  }
}

TEST_CASE("an error's texts reach the client as valid UTF-8, whatever the database sent") {
  Error error = Error::make(sqlstate::unique_violation, "bad \xFF byte");
  error.constraint = "t\xC3";
  Failure failure;
  failure.error = &error;
  std::string out;
  encode(failure, out);
  const Result<DecodedFailure> decoded = decode_failure(out);
  REQUIRE(decoded.ok());
  CHECK_EQ(decoded->error.message, "bad \xEF\xBF\xBD byte");
  CHECK_EQ(decoded->error.constraint, "t\xEF\xBF\xBD");
}

}  // namespace based::native
