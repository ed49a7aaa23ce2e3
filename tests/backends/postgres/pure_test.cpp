#include <doctest/doctest.h>

#include <limits>

#include "backends/postgres/date_style.h"
#include "backends/postgres/link_settings.h"
#include "backends/postgres/opener.h"
#include "backends/postgres/parameters.h"
#include "backends/postgres/row_reader.h"
#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/sandbox_sequences.h"
#include "backends/postgres/server_error.h"
#include "backends/postgres/split_text.h"
#include "backends/postgres/statement_cache.h"
#include "backends/postgres/wire_error.h"
#include "backends/sql/script.h"
#include "protocol/postgres/type_names.h"

namespace based::postgres {
namespace {

using namespace std::string_literals;

Statement setting(std::string name, std::string value,
                  StatementKind kind = StatementKind::setting) {
  Statement statement;
  statement.kind = kind;
  statement.name = std::move(name);
  statement.setting = std::move(value);
  return statement;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += text + ";";
  return out;
}

std::string be32(std::uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
  return out;
}

// One column of this type, then one row with this text.
bool read_one(RowReader& reader, std::uint32_t type, std::string_view text,
              bool check_utf8 = false) {
  const auto unnamed = [](std::uint32_t) { return std::string_view(); };
  const std::string description =
      "\0\1c\0"s + be32(0) + "\0\0"s + be32(type) + "\0\0"s + be32(0) + "\0\0"s;
  REQUIRE(reader.describe(description, unnamed));
  return reader.read("\0\1"s + be32(static_cast<std::uint32_t>(text.size())) + std::string(text),
                     check_utf8);
}

}  // namespace

TEST_CASE("the difference of settings is exactly what the link lacks or has too much") {
  LinkSettings settings;
  CHECK(joined(settings.difference({{"a", "1"}, {"b.c", "'x'"}}, {})) ==
        "SET a TO 1;SET \"b\".\"c\" TO 'x';");
  settings.became({{"a", "1"}, {"b.c", "'x'"}}, false);
  CHECK(settings.has({{"a", "1"}, {"b.c", "'x'"}}));
  CHECK(joined(settings.difference({{"a", "2"}}, {})) == "RESET \"b\".\"c\";SET a TO 2;");
  CHECK(joined(settings.difference({{"A\"b.C", "1"}, {"a", "1"}, {"b.c", "'x'"}}, {})) ==
        "SET \"A\"\"b\".\"C\" TO 1;");
}

TEST_CASE("settings are given as who may give them, and the role and the user behind them") {
  LinkSettings settings;
  const Settings wanted{{"a", "1"}, {"role", "r"}, {"session_authorization", "'u'"}};
  CHECK(joined(settings.difference(wanted, {})) ==
        "SET a TO 1;SET session_authorization TO 'u';SET role TO r;");
  CHECK(joined(settings.difference(wanted, "'base'")) ==
        "SET session_authorization TO 'base';SET a TO 1;SET session_authorization TO 'u';"
        "SET role TO r;");
  settings.became(wanted, false);
  CHECK(settings.difference(wanted, {}).empty());
  CHECK(joined(settings.difference({}, {})) == "RESET session_authorization;RESET role;RESET a;");
  CHECK(joined(settings.difference({{"a", "1"}, {"role", "s"}}, {})) ==
        "RESET session_authorization;SET role TO s;");
  settings.became({{"a", "1"}, {"role", "r"}}, false);
  CHECK(joined(settings.difference({{"a", "2"}, {"role", "r"}}, {})) ==
        "RESET role;SET a TO 2;SET role TO r;");
  CHECK(joined(settings.difference({{"a", "1"}, {"work_mem", "9"}, {"role", "r"}}, {})) ==
        "SET work_mem TO 9;");
}

TEST_CASE("a link tells whether it has settings that are not a session's") {
  LinkSettings settings;
  settings.became({{"a", "1"}}, false);
  CHECK(settings.has_foreign({{"b", "1"}}));
  CHECK_FALSE(settings.has_foreign({{"a", "2"}}));
  settings.may_become({{"c", "1"}});
  CHECK(settings.has_foreign({{"a", "1"}}));
}

TEST_CASE("what was set in a transaction is in doubt after a rollback, until it is set again") {
  LinkSettings settings;
  settings.became({{"a", "1"}}, false);
  settings.became({{"a", "2"}, {"b", "1"}}, true);
  CHECK(settings.has({{"a", "2"}, {"b", "1"}}));
  settings.rolled_back();
  CHECK_FALSE(settings.has({{"a", "2"}, {"b", "1"}}));
  CHECK(joined(settings.difference({{"a", "2"}}, {})) == "RESET b;SET a TO 2;");
  settings.became({{"a", "2"}}, false);
  CHECK(settings.difference({{"a", "2"}}, {}).empty());
  settings.became({{"a", "3"}}, true);
  settings.committed(false);
  settings.rolled_back();
  CHECK(settings.has({{"a", "3"}}));
}

TEST_CASE("what SET TRANSACTION sets ends with it, and newer servers do not reset it") {
  LinkSettings settings;
  Statement statement = setting("transaction_isolation", "");
  statement.kind = StatementKind::set_transaction;
  settings.executed(statement, true);
  settings.committed(true);
  CHECK(settings.difference({}, {}).empty());
}

TEST_CASE("a client's own SET and RESET are known; RESET ALL forgets everything") {
  LinkSettings settings;
  settings.executed(setting("a", "1"), false);
  CHECK(settings.has({{"a", "1"}}));
  settings.executed(setting("a", ""), false);
  CHECK(settings.has({}));
  settings.became({{"a", "1"}, {"b", "1"}}, false);
  settings.executed(setting("all", ""), true);
  CHECK(settings.has({}));
  settings.rolled_back();
  CHECK(joined(settings.difference({}, {})) == "RESET a;RESET b;");
  settings.became({}, false);
  settings.executed(setting("a", "9", StatementKind::set_transaction), true);
  CHECK(settings.has({}));
  settings.committed(true);  // in a root transaction SET LOCAL outlives its savepoint
  CHECK(joined(settings.difference({}, {})) == "RESET a;");
}

TEST_CASE("fingerprints are equal for equal settings only") {
  CHECK(fingerprint({}) == "");
  CHECK(fingerprint({{"a", "1"}}) != fingerprint({{"a", "11"}}));
  CHECK(fingerprint({{"a", "1"}, {"b", "2"}}) != fingerprint({{"a", "1b2"}}));
}

TEST_CASE("a statement is its text, its parameter types and the settings it was parsed under") {
  StatementCache cache(10);
  const std::vector<std::uint32_t> int4{23}, int8{20};
  StatementCache::Entry* entry = cache.add("SELECT $1", int4, "");
  REQUIRE(entry != nullptr);
  CHECK(cache.find("SELECT $1", int4, "") == entry);
  CHECK(cache.find("SELECT $1", int8, "") == nullptr);
  CHECK(cache.find("SELECT $1", int4, "x") == nullptr);
  CHECK(cache.find("SELECT $2", int4, "") == nullptr);
  CHECK(cache.add("SELECT $1", int8, "")->name != entry->name);
}

TEST_CASE("statement cache: what is parsed again is in the place of what was there") {
  StatementCache cache(10);
  cache.begin_group();
  const std::string first = cache.add("SELECT 1", {}, "")->name;
  cache.begin_group();
  const std::string second = cache.add("SELECT 1", {}, "")->name;
  CHECK(cache.take_closable() == std::vector<std::string>{first});
  CHECK(cache.peek("SELECT 1", {}, "")->name == second);
  CHECK(cache.named(first) == nullptr);
  cache.forget(second);
  CHECK(cache.peek("SELECT 1", {}, "") == nullptr);
}

TEST_CASE("the least recently used statement is evicted, never one of the group being written") {
  StatementCache cache(2);
  cache.begin_group();
  const std::string a = cache.add("a", {}, "")->name, b = cache.add("b", {}, "")->name;
  cache.parsed(a);
  cache.parsed(b);
  CHECK(cache.full());
  CHECK(cache.add("c", {}, "") == nullptr);
  CHECK(cache.evict() == std::nullopt);
  cache.begin_group();
  CHECK(cache.find("a", {}, "") != nullptr);
  CHECK(cache.evict() == b);
  CHECK(cache.evict() == std::nullopt);
}

TEST_CASE("a Parse that was not confirmed is not relied on, and its name is closed") {
  StatementCache cache(5);
  const std::string kept = cache.add("a", {}, "")->name, lost = cache.add("b", {}, "")->name;
  cache.parsed(kept);
  cache.forget_unconfirmed();
  CHECK(cache.find("a", {}, "") != nullptr);
  CHECK(cache.find("b", {}, "") == nullptr);
  CHECK(cache.take_closable() == std::vector{lost});
  CHECK(cache.take_closable().empty());
  cache.forget_all(false);
  CHECK(cache.take_closable() == std::vector{kept});
  cache.add("a", {}, "");
  cache.forget_all(true);
  CHECK(cache.take_closable().empty());
  CHECK(cache.size() == 0);
}

TEST_CASE("a group does not rely on what an earlier one was to prepare and is not answered") {
  StatementCache cache(5);
  cache.begin_group();
  const std::string first = cache.add("a", {}, "")->name;
  CHECK(cache.find("a", {}, "") != nullptr);
  cache.begin_group();
  REQUIRE(cache.peek("a", {}, "") != nullptr);
  CHECK(cache.peek("a", {}, "")->name == first);
  CHECK(cache.find("a", {}, "") == nullptr);
  CHECK(cache.take_closable() == std::vector{first});
  const std::string second = cache.add("a", {}, "")->name;
  CHECK(second != first);
  cache.parsed(second);
  cache.begin_group();
  CHECK(cache.find("a", {}, "") != nullptr);
}

TEST_CASE("a text is seen from its second time on") {
  SeenTexts seen;
  CHECK_FALSE(seen.seen("SELECT 1"));
  CHECK(seen.seen("SELECT 1"));
  CHECK_FALSE(seen.seen("SELECT 2"));
}

TEST_CASE("a position is a byte of the text, or nothing") {
  CHECK(byte_position("1", "abc") == 0);
  CHECK(byte_position("3", "\xc3\xbc\xf0\x9f\x98\x80x") == 6);
  CHECK(byte_position("4", "abc") == 3);  // behind the end
  CHECK(byte_position("5", "abc") == std::nullopt);
  for (const char* bad : {"", "0", "x", "-1", "99999999999"}) {
    CHECK(byte_position(bad, "abc") == std::nullopt);
  }
}

TEST_CASE("libpq's failure is one line with the server's SQLSTATE where it says one") {
  const Error wrong = connect_error(
      "connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  28P01: password "
      "authentication failed for user \"x\"\nLOCATION:  auth_failed, auth.c:338\n");
  CHECK(wrong.sqlstate.text() == "28P01");
  CHECK(wrong.message == "password authentication failed for user \"x\"");
  CHECK(is_permanent(wrong));
  const Error several = connect_error(
      "connection to server at \"a\" failed: FATAL:  28000: first\nLOCATION:  x, y.c:1\n"
      "connection to server at \"b\" failed: FATAL:  3D000: database \"x: y\" does not exist\n"
      "DETAIL:  It seems to have just been dropped.\nHINT:  one\ntwo\nLOCATION:  x, y.c:2\n");
  CHECK(several.sqlstate.text() == "3D000");
  CHECK(several.message == "database \"x: y\" does not exist");
  CHECK(several.detail == "It seems to have just been dropped.");
  CHECK(several.hint == "one / two");
  const Error refused = connect_error("connection failed: Connection refused\n\tIs it running?\n");
  CHECK(refused.sqlstate.text() == "08001");
  CHECK(refused.message == "connection failed: Connection refused / Is it running?");
  CHECK_FALSE(is_permanent(refused));
  CHECK_FALSE(is_permanent(connect_error("FATAL:  53300: sorry, too many clients already\n")));
  CHECK(connect_error("").message != "");
}

TEST_CASE("values become parameters of declared types") {
  using Int4 = std::numeric_limits<std::int32_t>;
  const std::vector<ValueView> values{ValueView::null(),
                                      ValueView::of(std::int64_t{Int4::max()}),
                                      ValueView::of(std::int64_t{Int4::max()} + 1),
                                      ValueView::of(std::int64_t{Int4::min()}),
                                      ValueView::of(1.5),
                                      ValueView::of(true),
                                      ValueView::text(""),
                                      ValueView::bytes("")};
  CHECK(parameter_types(values) == std::vector<std::uint32_t>{0, 23, 20, 23, 701, 16, 0, 17});
}

TEST_CASE("a unit that cannot be sent is refused with the right code") {
  const auto check = [](Statement statement, std::vector<ValueView> values) {
    Unit unit;
    unit.steps.push_back({.statement = std::make_shared<const Statement>(std::move(statement)),
                          .parameters = ValueList::copy_of(values)});
    const Result<void> checked = check_unit(unit);
    return checked ? std::string() : std::string(checked.error().sqlstate.text());
  };
  CHECK(check({.text = "SELECT 1"}, {}) == "");
  CHECK(check({.text = "SELECT '\0'"s}, {}) == "22021");
  CHECK(check({.text = "SELECT $1"}, {ValueView::text("\0"s)}) == "22021");
  CHECK(check({.text = "SELECT $1"}, {ValueView::bytes("\0"s)}) == "");
  CHECK(check({.text = "x"}, std::vector<ValueView>(65535)) == "");
  CHECK(check({.text = "x"}, std::vector<ValueView>(65536)) == "54000");
  CHECK(check({.text = "COPY", .kind = StatementKind::copy}, {}) == "0A000");
  CHECK(check({.text = "LISTEN", .kind = StatementKind::listen}, {}) == "0A000");
}

TEST_CASE("cells become exact values, and what is not one is refused") {
  RowReader reader;
  REQUIRE(read_one(reader, type_oid::int8, "-9223372036854775808"));
  CHECK(reader.row()[0].int64 == std::numeric_limits<std::int64_t>::min());
  CHECK_FALSE(read_one(reader, type_oid::int8, "9223372036854775808"));
  CHECK_FALSE(read_one(reader, type_oid::int4, "12x"));
  CHECK_FALSE(read_one(reader, type_oid::boolean, "true"));
  REQUIRE(read_one(reader, type_oid::float4, "0.1"));
  CHECK(reader.row()[0].float64 == 0.1);
  REQUIRE(read_one(reader, type_oid::float8, "-Infinity"));
  CHECK(reader.row()[0].float64 == -std::numeric_limits<double>::infinity());
  REQUIRE(read_one(reader, type_oid::bytea, "\\x00ff5c"));
  CHECK(reader.row()[0].data == "\0\xff\\"s);
  REQUIRE(read_one(reader, type_oid::bytea, "a\\\\\\000\\377"));
  CHECK(reader.row()[0].data == "a\\\0\xff"s);
  for (const char* bad : {"\\x0", "\\xgg", "\\1", "\\999", "\\"}) {
    CHECK_FALSE(read_one(reader, type_oid::bytea, bad));
  }
  REQUIRE(read_one(reader, 1700, "1.10"));
  CHECK(reader.row()[0].kind == ValueKind::text);
  CHECK(reader.columns()[0].type == "numeric");
  REQUIRE(read_one(reader, 99999, "x"));
  CHECK(reader.columns()[0].type == "oid:99999");
  CHECK(reader.met_unknown_type());
}

TEST_CASE("text of a server without an encoding is bytes where it is not UTF-8") {
  RowReader reader;
  REQUIRE(read_one(reader, type_oid::text, "\xff", true));
  CHECK(reader.row()[0].kind == ValueKind::bytes);
  REQUIRE(read_one(reader, type_oid::text, "\xc3\xbc", true));
  CHECK(reader.row()[0].kind == ValueKind::text);
}

TEST_CASE("connection keywords: ours where conninfo is silent, the forced ones always") {
  OpenerOptions options{.conninfo = "postgresql://u:p%20w@h:1/db?client_encoding=LATIN1",
                        .password = "other",
                        .application_name = "based",
                        .forced = {{"client_encoding", "UTF8"}},
                        .connect_timeout = std::chrono::seconds(7)};
  const Result<ConnectionKeywords> keywords = connection_keywords(options);
  REQUIRE(keywords.ok());
  std::string text;
  for (const auto& [name, value] : *keywords) text += name + "=" + value + ";";
  CHECK(text.starts_with("client_encoding=UTF8;"));
  CHECK(text.find("LATIN1") == std::string::npos);
  CHECK(text.find("password=p w;") != std::string::npos);
  CHECK(text.find("connect_timeout=7;") != std::string::npos);
  options.conninfo = "host = 'unterminated";
  CHECK(connection_keywords(options).error().sqlstate.text() == "22023");
}

TEST_CASE("what would close the sandbox's cursor is seen in any spelling") {
  for (const char* text :
       {"CLOSE ALL", "close/**/all", "Close _based_root;", "CLOSE \"_based_root\"",
        "CLOSE U&\"\\005fbased_root\"", "-- x\nCLOSE _BASED_ROOT"}) {
    CHECK(closes_root_cursor(text));
  }
  for (const char* text : {"CLOSE mine", "SELECT 'CLOSE ALL'", "CLOSE", "CLOSE \"ALL\"", ""}) {
    CHECK_FALSE(closes_root_cursor(text));
  }
}

TEST_CASE("SET datestyle changes what it names") {
  CHECK(changed_date_style("", "iso") == "iso");
  CHECK(changed_date_style("", "'German'") == "german, dmy");
  CHECK(changed_date_style("german, dmy", "ISO") == "iso, dmy");
  CHECK(changed_date_style("iso, dmy", "'us'") == "iso, mdy");
  CHECK(changed_date_style("iso", "'SQL, YMD'") == "sql, ymd");
  CHECK(changed_date_style("", "PostgreSQL, European") == "postgres, dmy");
  CHECK(changed_date_style("sql", "dmy") == "sql, dmy");
  CHECK(changed_date_style("iso, dmy", "default") == "default");
  CHECK(changed_date_style("iso, dmy", "$1") == "$1");
}

TEST_CASE("characters are the server's: of a text that is not UTF-8, bytes") {
  CHECK(characters_before("'\xC3\xA4' x", 0, true) == 0);
  CHECK(characters_before("'\xC3\xA4' x", 5, true) == 4);
  CHECK(characters_before("'\xC3\xA4' x", 5, false) == 5);
}

TEST_CASE("what is not read here of a text is one statement that the server can parse") {
  const auto body = [](std::string_view text) {
    return as_one_body(
        *sql::parse_script(text, Dialect::postgres, ParameterStyle::verbatim).value());
  };
  CHECK(body("begin; savepoint a; release a; rollback to a; sandbox status; commit") == "");
  CHECK(body("select 1; ; begin; select $1 ;commit") ==
        "CREATE FUNCTION pg_temp._based() BEGIN ATOMIC select 1;select $1;END");
  CHECK(body("begin; Return 1") == "CREATE FUNCTION pg_temp._based() BEGIN ATOMIC Return 1);END");
}

TEST_CASE("for a SANDBOX command the server reads something as long") {
  const std::string text = "begin; sandbox status; selec";
  const auto script = sql::parse_script(text, Dialect::postgres, ParameterStyle::verbatim).value();
  CHECK(without_commands(text, *script) == "begin; SELECT        ; selec");
}

TEST_CASE("an error's position in a part is moved into the whole, and nothing else of it") {
  std::string out;
  append_rewritten_error(out, "SERROR\0P15\0p15\0MP15\0\0"s, {.before = 7});
  CHECK(out == "E"s + be32(25) + "SERROR\0P22\0p15\0MP15\0\0"s);
  out.clear();
  append_rewritten_error(out, "Pnone\0\0"s, {.before = 7});
  CHECK(out == "E"s + be32(11) + "Pnone\0\0"s);
}

TEST_CASE("what is remembered of sequences becomes a literal only if nothing else can be in it") {
  for (const auto place : {SequencePlace::outside, SequencePlace::rooted}) {
    CHECK(restore_sequences("", place).empty());
    CHECK(restore_sequences("16384:1:t 16390:-5:f", place).size() > 0);
    CHECK(restore_sequences("16384:1:t'; DROP TABLE x; --", place).empty());
    CHECK(restore_sequences("16384:1:t$based$", place).empty());
  }
  for (const std::string& text : restore_sequences("16384:1:t", SequencePlace::outside)) {
    CHECK(text.find("COMMIT") == std::string::npos);
  }
}

}  // namespace based::postgres
