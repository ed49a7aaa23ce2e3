"""A client's own time limits in a sandbox: as in PostgreSQL, and never of Based's own statements on the root."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import Refused, bind, close, describe, execute, extended, parse, query, sync
from wire_servers import Conversation, Servers, both

WELL = "T:?column? D:well C:SELECT 1 Z:I"
SHOW = "select current_setting('statement_timeout')"
SAID = "canceling statement due to statement timeout"


def setUpModule():
    Conversation.servers = Servers(pools={"one": "force_rollback = true", "limited": "force_rollback = true"})
    cluster = Conversation.servers.cluster
    cluster.query("alter database limited set statement_timeout = '300ms'", "one")
    for name in ("one", "limited"):
        cluster.query("""
            create table t (n int);
            create table slow (n int);
            create function sleeps() returns trigger language plpgsql as
                'begin perform pg_sleep(0.6); return null; end';
            create constraint trigger sleeps after insert on slow deferrable initially deferred
                for each row execute function sleeps()""", name)


@both
class OfAStatement:
    def setUp(self):
        self.client, self.other = self.connect(), self.connect()
        self.assertEqual(self.client.query("set statement_timeout = '300ms'"), "C:SET Z:I")

    def shows(self, value):
        self.assertEqual(self.client.rows(SHOW), [[value]])
        self.assertEqual(self.client.query("show statement_timeout"), f"T:statement_timeout D:{value} C:SHOW Z:" +
                         self.client.query("select 1")[-1])

    def test_who_takes_longer_is_told_and_nobody_else(self):
        for parts, answer in ((query("select pg_sleep(60)"), "T:pg_sleep E:57014 Z:I"),
                              (extended("select pg_sleep(60)") + sync(), "1 2 E:57014 Z:I")):
            self.assertEqual(self.client.ask(parts), answer)
            self.assertEqual(self.client.query("select 'well'"), WELL)
        self.assertEqual(self.client.error(query("do 'begin perform pg_sleep(60); end'"))["M"], SAID)
        self.assertEqual(self.other.query("select 'well' from pg_sleep(0.6)"), WELL)

    def test_it_limits_what_comes_behind_it_in_the_same_batch(self):
        for before in ((), ("select 1",), ("begin", "select 1")):
            for sets in ("set statement_timeout = '150ms'", "set session statement_timeout to 150"):
                with self.subTest(before=before):
                    self.client = self.connect()
                    texts = (*before, sets, "select pg_sleep(60)", "select 2")
                    said = self.client.ask(b"".join(map(extended, texts)) + sync())
                    self.assertTrue(said.endswith("C:SET 1 2 E:57014 Z:" + ("E" if "begin" in before else "I")), said)
        self.client = self.connect()
        texts = ("set statement_timeout = '150ms'", "set statement_timeout = 0", "select 'well' from pg_sleep(0.4)")
        self.assertIn("D:well", self.client.ask(b"".join(map(extended, texts)) + sync()))

    def test_a_transaction_fails_with_its_statement(self):
        self.client.query("begin; savepoint s")
        self.assertEqual(self.client.query("select pg_sleep(60)"), "T:pg_sleep E:57014 Z:E")
        self.assertEqual(self.client.query("rollback to s; select 'well'; commit"),
                         "C:ROLLBACK T:?column? D:well C:SELECT 1 C:COMMIT Z:I")

    def test_each_statement_has_the_whole_of_it(self):
        one, slept = "select pg_sleep(0.4)", "T:pg_sleep D: C:SELECT 1 "
        self.client.query("set statement_timeout = '1s'")
        self.assertEqual(self.client.query(f"{one}; {one}; {one}"), slept * 3 + "Z:I")
        self.assertEqual(self.client.query(f"begin; {one}; {one}; {one}; commit"), "C:BEGIN " + slept * 3 + "C:COMMIT Z:I")
        self.assertEqual(self.client.ask(extended(one) * 3 + sync()), "1 2 D: C:SELECT 1 " * 3 + "Z:I")
        self.assertEqual(self.client.query(f"insert into t values (7); {one}; select pg_sleep(60); select 1"),
                         f"C:INSERT 0 1 {slept}T:pg_sleep E:57014 Z:I")
        self.assertEqual(self.client.query("select n from t where n = 7"), "T:n C:SELECT 0 Z:I")
        self.assertEqual(self.client.query(f"set statement_timeout = '1100ms'; {one}; {one}; {one}"),
                         f"C:SET {slept * 3}Z:I")

    def test_a_rest_is_no_statement(self):
        self.client.query("begin")
        self.assertTrue(self.client.quiet(0.5))
        self.assertEqual(self.client.query("commit"), "C:COMMIT Z:I")

    def test_the_end_of_a_transaction_has_no_limit(self):
        for text, answer in (("insert into slow values (1)", "C:INSERT 0 1 Z:I"),
                             ("begin; insert into slow values (1); commit", "C:BEGIN C:INSERT 0 1 C:COMMIT Z:I")):
            self.assertEqual(self.client.query(text), answer)

    def test_it_ends_as_every_setting(self):
        self.client.query("begin; set local statement_timeout = '5s'")
        self.shows("5s")
        self.client.query("savepoint s; set local statement_timeout = '6s'; set statement_timeout = '7s'")
        self.shows("7s")
        self.client.query("rollback to s")
        self.shows("5s")
        self.assertEqual(self.client.query("select 'well' from pg_sleep(0.6)"), WELL[:-1] + "T")
        self.client.query("set local statement_timeout to default")
        self.shows("0")
        self.client.query("commit")
        self.shows("300ms")
        self.client.query("begin; set statement_timeout = '8s'; rollback")
        self.shows("300ms")
        for text in ("reset all", "discard all", "reset statement_timeout", "set statement_timeout to default"):
            with self.subTest(text):
                self.client.query("set statement_timeout = '9s'")
                self.client.query(text)
                self.shows("0")
        self.assertEqual(self.other.rows(SHOW), [["0"]])

    def test_it_may_be_set_by_a_function(self):
        self.client.query("select set_config('statement_timeout', '200ms', false)")
        self.shows("200ms")
        self.assertEqual(self.client.query("select pg_sleep(60)"), "T:pg_sleep E:57014 Z:I")
        self.client.query("begin; select set_config('statement_timeout', '100ms', true)")
        self.shows("100ms")
        self.assertEqual(self.client.query("select pg_sleep(60)"), "T:pg_sleep E:57014 Z:E")
        self.client.query("rollback")
        self.shows("200ms")

    def test_it_may_come_with_the_start(self):
        for options in ({"options": "-c statement_timeout=300"}, {"statement_timeout": "300ms"}):
            client = self.connect(**options)
            self.assertEqual(client.rows(SHOW), [["300ms"]])
            self.assertEqual(client.query("select pg_sleep(60)"), "T:pg_sleep E:57014 Z:I")
            client.query("set statement_timeout = 0; reset statement_timeout")
            self.assertEqual(client.rows(SHOW), [["300ms"]])
        with self.assertRaises(Refused) as raised:
            self.connect(options="-c statement_timeout=never")
        self.assertEqual(raised.exception.code, "22023")

    def test_it_may_be_the_databases(self):
        client = self.connect("limited")
        self.assertEqual(client.rows(SHOW), [["300ms"]])
        self.assertEqual(client.query("select pg_sleep(60)"), "T:pg_sleep E:57014 Z:I")
        client.query("set statement_timeout = 0")
        self.assertEqual(client.query("select 'well' from pg_sleep(0.6)"), WELL)
        client.query("reset all")
        self.assertEqual(client.query("select pg_sleep(60)"), "T:pg_sleep E:57014 Z:I")


@both
class Rows:
    """Of a portal, as far as its Execute asks for them."""

    TEXTS = ("show statement_timeout", "show idle_in_transaction_session_timeout", "show idle_session_timeout",
             "show default_transaction_read_only", "show transaction isolation level", "execute p",
             "select current_setting('statement_timeout')", "select pg_advisory_unlock_all()")

    def setUp(self):
        self.client = self.connect()
        self.client.query("prepare p as select current_setting('statement_timeout')")
        self.cases = []
        for text in self.TEXTS:
            answer = self.client.ask(extended(text, describing=True) + sync())
            columns, row, first = re.fullmatch("1 2 (T:.*) (D:.*) (C:.*) Z:I", answer).groups()
            self.cases.append((text, columns, row, first, "C:SHOW" if text.startswith("show") else "C:SELECT 0"))

    def test_one_row_is_not_all_of_it_before_there_is_no_other(self):
        for text, _, row, first, rest in self.cases:
            with self.subTest(text):
                self.assertEqual(self.client.ask(extended(text, rows=1) + execute("") * 2 + sync()),
                                 f"1 2 {row} s {rest} {rest} Z:I")
                self.assertEqual(self.client.ask(extended(text, rows=1) + execute("", 1) + execute("", 2) + sync()),
                                 f"1 2 {row} s {rest} {rest} Z:I")
                for rows in (0, 0xFFFFFFFF, 2):
                    self.assertEqual(self.client.ask(extended(text, rows=rows) + execute("", 1) + sync()),
                                     f"1 2 {row} {first} {rest} Z:I")

    def test_the_next_request_has_the_rest(self):
        for text, _, row, _, rest in self.cases:
            with self.subTest(text):
                self.client.query("begin; savepoint s")
                self.assertEqual(self.client.ask(parse("", text) + bind("q", "") + execute("q", 1) + sync()),
                                 f"1 2 {row} s Z:T")
                self.assertEqual(self.client.ask(execute("q", 1) + sync()), f"{rest} Z:T")
                self.assertEqual(self.client.query("selec"), "E:42601 Z:E")
                self.assertEqual(self.client.ask(execute("q", 1) + sync()), "E:25P02 Z:E")
                self.client.query("rollback")
                self.assertEqual(self.client.ask(execute("q", 1) + sync()), "E:34000 Z:I")

    def test_a_portal_stays_until_its_failed_transaction_ends(self):
        other = self.connect()
        for text in ("execute p", "select generate_series(1, 3)"):
            with self.subTest(text):
                self.client.query("begin")
                self.assertEqual(self.client.ask(parse("", text) + bind("q", "") + execute("q", 1) + sync())[:4], "1 2 ")
                self.assertEqual(self.client.query("selec"), "E:42601 Z:E")
                self.assertEqual(other.query("begin; select 'well'"), "C:BEGIN " + WELL[:-1] + "T")
                for parts, answer in ((describe("P", "q"), "E:25P02"), (execute("q", 1), "E:25P02"),
                                      (execute("none"), "E:34000"), (describe("P", "none"), "E:34000"),
                                      (close("P", "q") + describe("P", "q"), "3 E:34000"),
                                      (close("P", "q"), "3"), (execute("q", 1), "E:34000"),
                                      (close("S", "") + extended("select 1"), "3 E:25P02"),
                                      (close("S", "") + parse("", "select 1") + describe("S", ""), "3 E:25P02")):
                    self.assertEqual(self.client.ask(parts + sync()), answer + " Z:E")
                self.assertEqual(self.client.ask(close("P", "q") + extended("rollback", describing=True) + sync()),
                                 "3 1 2 n C:ROLLBACK Z:I")
                self.assertEqual(other.query("select 'well'; commit"), WELL[:-4] + " C:COMMIT Z:I")
                self.assertEqual(self.client.ask(execute("q", 1) + sync()), "E:34000 Z:I")

    def test_the_portal_is_described_before_and_behind_it(self):
        for text, columns, row, _, rest in self.cases:
            with self.subTest(text):
                self.assertEqual(self.client.ask(extended(text, rows=1, describing=True) + describe("P", "") +
                                                 execute("") + sync()),
                                 f"1 2 {columns} {row} s {columns} {rest} Z:I")


@both
class Alone:
    def test_what_cannot_be_parsed_is_so_in_a_failed_transaction_however_fast_it_comes(self):
        if not self.directly:
            self.connect().query("sandbox reset")
        parts = query("begin"), query("insert into t values (1)"), query("select 1/0"), *[query("selec")] * 5, query("end")
        said = "C:BEGIN Z:T C:INSERT 0 1 Z:T E:22012 Z:E" + " E:42601 Z:E" * 5 + " C:ROLLBACK Z:I"
        client = self.connect()
        for _ in range(3):
            self.assertEqual(client.ask(*parts), said)
            client.query("insert into t values (1)")  # the root is one that stays


@both
class OfATransaction:
    def test_the_server_is_too_old_to_have_one(self):
        client = self.connect()
        if client.rows("select count(*) from pg_settings where name = 'transaction_timeout'") != [["0"]]:
            self.skipTest("this server has transaction_timeout")
        for text in ("set transaction_timeout = '1s'", "show transaction_timeout"):
            self.assertEqual(client.query(text), "E:42704 Z:I")
        self.assertEqual(client.query("select 'well'"), WELL)


class Native(Conversation):
    def session(self, database="one"):
        connection = based_client.connect(self.address)
        self.addCleanup(connection.__exit__)
        session = connection.session(database=database)
        session.opened.wait()
        return session

    def setUp(self):
        self.one, self.other = self.session(), self.session()

    def shows(self, value, session=None):
        (row,) = (session or self.one).exec("show statement_timeout").rows
        self.assertEqual(row[0], value)

    def times_out(self, session, *texts):
        with self.assertRaises(based_client.Error) as raised:
            session.exec("; ".join((*texts, "select pg_sleep(60)")))
        self.assertEqual((raised.exception.code, raised.exception.message), ("57014", SAID))

    def test_who_takes_longer_is_told_and_nobody_else(self):
        self.one.exec("set statement_timeout = '300ms'")
        self.shows("300ms")
        self.times_out(self.one)
        self.other.exec("select pg_sleep(0.6)")
        self.one.exec("select pg_sleep(0.2); select pg_sleep(0.2)")
        self.one.exec("set statement_timeout = 0")
        self.one.exec("select pg_sleep(0.6)")
        self.times_out(self.one, "set statement_timeout = '300ms'")

    def test_for_a_transaction(self):
        self.one.exec("begin; set local statement_timeout = '300ms'")
        self.shows("300ms")
        self.one.exec("begin; set local statement_timeout = '5s'")
        self.shows("5s")
        self.one.exec("rollback")
        self.shows("300ms")
        self.times_out(self.one)
        self.one.exec("rollback")
        self.shows("0")
        self.one.exec("select pg_sleep(0.6)")

    def test_it_may_be_the_databases(self):
        session = self.session("limited")
        self.shows("300ms", session)
        self.times_out(session)

    def test_one_that_the_server_has_not(self):
        for text in ("set transaction_timeout = '1s'", "show transaction_timeout"):
            with self.assertRaises(based_client.Error) as raised:
                self.one.exec(text)
            self.assertEqual(raised.exception.code, "42704")


if __name__ == "__main__":
    unittest.main()
