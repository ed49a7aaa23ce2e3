"""Who has been told a statement's columns, and reads its rows by them, never gets rows of other columns.

Each conversation is held with PostgreSQL itself, in a pool of one link and of two, and in a sandbox.
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import bind, close, describe, execute, fields, flush, parse, query, sync
from wire_servers import Conversation, Servers

CHANGED = "E:0A000 Z:I"


def setUpModule():
    Conversation.servers = Servers(pools={"one": "max_size = 1", "two": "max_size = 2",
                                          "box": "force_rollback = true",
                                          "nested": "max_size = 2\nnested_transactions = true",
                                          "forgetful": "max_size = 2\nstatement_cache = 0"})


class Told(Conversation):
    directly = True

    def setUp(self):
        self.client, self.other = self.connect(), self.connect()
        self.other.query("drop table if exists c; create table c (n int); insert into c values (1)")

    def prepares(self, text="select * from c"):
        self.assertEqual(self.client.ask(parse("s", text), describe("S", "s"), sync()), "1 t: T:n Z:I")

    def on_another(self, *messages):
        """Where there is another link, on that."""
        return self.client.ask(*messages)

    def runs(self, *more):
        return self.on_another(bind("", "s"), *more, execute(), sync())

    def widens(self):
        self.assertEqual(self.other.query("alter table c add m text default 'x'"), "C:ALTER TABLE Z:I")

    def test_rows_of_other_columns_are_an_error(self):
        self.prepares()
        self.assertEqual(self.runs(), "2 D:1 C:SELECT 1 Z:I")
        self.widens()
        for _ in range(2):
            self.assertEqual(self.runs(), CHANGED)
        self.assertEqual(self.client.ask(close("S", "s"), parse("s", "select * from c"), describe("S", "s"), sync()),
                         "3 1 t: T:n,m Z:I")
        self.assertEqual(self.runs(), "2 D:1|x C:SELECT 1 Z:I")

    def test_under_another_name_they_are_right(self):
        self.prepares()
        self.widens()
        self.assertEqual(self.runs(), CHANGED)
        self.assertEqual(self.client.ask(parse("s2", "select * from c"), describe("S", "s2"), flush(), bind("", "s2"),
                                         execute(), sync()), "1 t: T:n,m 2 D:1|x C:SELECT 1 Z:I")
        self.assertEqual(self.runs(), CHANGED)

    def test_who_was_told_of_a_portal_once_counts_on_it(self):
        self.assertEqual(self.client.ask(parse("s", "select * from c"), bind("", "s"), describe("P"), execute(), sync()),
                         "1 2 T:n D:1 C:SELECT 1 Z:I")
        self.assertEqual(self.runs(), "2 D:1 C:SELECT 1 Z:I")
        self.widens()
        self.assertEqual(self.runs(), CHANGED)

    def describes(self, portal=""):
        self.assertEqual(self.client.ask(parse("s", "select * from c"), bind(portal, "s"), describe("P", portal),
                                         execute(portal), sync()), "1 2 T:n D:1 C:SELECT 1 Z:I")

    def test_who_was_told_of_a_portal_only_counts_on_it_when_it_does_not_ask_again(self):
        for portal in ("", "p"):
            with self.subTest(portal):
                self.setUp()
                self.describes(portal)
                self.widens()
                for _ in range(2):
                    self.assertEqual(self.on_another(bind(portal, "s"), execute(portal), sync()), CHANGED)
                self.client.ask(close("S", "s"), sync())

    def test_a_bind_that_comes_by_itself(self):
        self.describes()
        self.client.send(bind("", "s"))
        self.assertTrue(self.client.quiet(0.05))
        self.client.send(flush())
        self.assertEqual(self.client.take(1), "2")
        self.assertEqual(self.client.ask(execute(), sync()), "D:1 C:SELECT 1 Z:I")
        self.widens()
        self.client.send(bind("", "s"))
        self.assertEqual(self.on_another(execute(), sync()), CHANGED)

    def test_what_fails_in_front_of_it_says_nothing_of_them(self):
        self.prepares()
        self.assertEqual(self.client.ask(parse("t", "values (1, 2)"), describe("S", "t"), sync()), "1 t: T:column1,column2 Z:I")
        for path in ("public, pg_catalog", "pg_catalog, public"):  # both are prepared anew
            self.client.query(f"set search_path = {path}")
            self.assertEqual(self.client.ask(execute("none"), sync(), bind("", "s"), sync(), bind("", "t"), execute(), sync()),
                             "E:34000 Z:I 2 Z:I 2 D:1|2 C:SELECT 1 Z:I")
            self.client.query(f"set search_path = {path}, public")
            self.assertEqual(self.client.ask(execute("none"), query("select 3"), bind("", "s"), execute(), sync(), ready=1),
                             "E:34000 Z:I")
            self.assertEqual(self.client.ask(bind("", "t"), execute(), sync()), "2 D:1|2 C:SELECT 1 Z:I")

    def test_one_of_many_bytes(self):
        self.other.query("drop table c; create table c (n text); insert into c values ('1')")
        big = "x" * 300_000
        self.assertEqual(self.client.ask(parse("s", "select * from c where n <> $1"), bind("", "s", (big,)), describe("P"),
                                         execute(), sync()), "1 2 T:n D:1 C:SELECT 1 Z:I")
        self.assertEqual(self.on_another(bind("", "s", (big,)), execute(), sync()), "2 D:1 C:SELECT 1 Z:I")
        self.widens()
        self.assertEqual(self.on_another(bind("", "s", (big,)), execute(), sync()), CHANGED)

    def test_who_asks_each_time_is_told_each_time(self):
        self.describes()
        for _ in range(3):
            self.assertEqual(self.runs(describe("P")), "2 T:n D:1 C:SELECT 1 Z:I")
        self.assertEqual(self.runs(), "2 D:1 C:SELECT 1 Z:I")

    def test_nothing_is_written(self):
        self.prepares("insert into c (n) values (2) returning *")
        self.widens()
        self.assertEqual(self.runs(), CHANGED)
        self.assertEqual(self.client.rows("select count(*) from c"), [["1"]])

    def test_drivers_know_the_error(self):
        self.prepares()
        self.widens()
        self.client.send(bind("", "s"), execute(), sync())
        errors = [fields(body) for kind, body in self.client.messages() if kind == "E"]
        self.assertEqual([(e["C"], e["R"], e["M"]) for e in errors],
                         [("0A000", "RevalidateCachedQuery", "cached plan must not change result type")])

    def test_of_another_type(self):
        self.prepares()
        self.other.query("alter table c alter n type text using n::text")
        self.assertEqual(self.runs(), CHANGED)

    def test_of_a_table_that_was_made_anew(self):
        self.prepares()
        self.other.query("drop table c; create table c (n text); insert into c values ('y')")
        self.assertEqual(self.runs(), CHANGED)
        self.other.query("drop table c; create table c (n int); insert into c values (3)")
        self.assertEqual(self.runs(), "2 D:3 C:SELECT 1 Z:I")

    def test_what_does_not_concern_it_is_no_error(self):
        self.prepares()
        self.other.query("alter table c alter n set default 5; create table d (n int); alter table d add m int; drop table d")
        for _ in range(2):
            self.assertEqual(self.runs(), "2 D:1 C:SELECT 1 Z:I")

    def test_in_a_transaction_it_fails_with_it(self):
        self.prepares()
        self.widens()
        self.client.query("begin")
        self.assertEqual(self.runs(), "E:0A000 Z:E")
        self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")

    def test_a_table_that_is_gone_is_told_as_such(self):
        self.prepares()
        self.other.query("drop table c")
        self.assertEqual(self.runs(), "E:42P01 Z:I")
        self.other.query("create table c (n int)")
        self.assertEqual(self.runs(), "2 C:SELECT 0 Z:I")


class ThroughOneLink(Told):
    directly = False
    pool = "one"


class InASandbox(Told):
    directly = False
    pool = "box"


class ThroughTwoLinks(Told):
    directly = False
    pool = "two"

    def on_another(self, *messages):
        """On the link that has not seen the statement yet."""
        self.taken.append(self.connect())
        self.taken[0].query("begin; select 1")
        try:
            return super().on_another(*messages)
        finally:
            self.taken.pop().query("rollback")

    def again(self, *more):
        """On whichever link."""
        return Told.on_another(self, bind("", "s"), *more, execute(), sync())

    def setUp(self):
        self.taken = []
        super().setUp()

    def test_an_answer_is_waited_for_once(self):
        self.prepares()
        keeper = self.connect()
        self.assertEqual(keeper.query("begin; select 1"), "C:BEGIN T:?column? D:1 C:SELECT 1 Z:T")
        for _ in range(3):
            self.assertEqual(self.again(), "2 D:1 C:SELECT 1 Z:I")
            self.assertEqual(self.again(describe("P")), "2 T:n D:1 C:SELECT 1 Z:I")
        self.assertEqual(self.client.ask(*[bind("", "s"), execute(), sync()] * 5), " ".join(["2 D:1 C:SELECT 1 Z:I"] * 5))
        keeper.query("rollback")


class ThroughLinksThatKeepNone(ThroughTwoLinks):
    pool = "forgetful"


class Nested(ThroughTwoLinks):
    pool = "nested"

    def test_inside_of_a_nested_transaction(self):
        self.client.query("begin; begin")
        self.prepares_inside()
        self.assertEqual(self.client.query("alter table c add m text default 'x'"), "C:ALTER TABLE Z:T")
        self.assertEqual(self.again(), "E:0A000 Z:E")
        self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:T")
        self.assertEqual(self.again(), "2 D:1 C:SELECT 1 Z:T")
        self.assertEqual(self.client.query("commit"), "C:COMMIT Z:I")

    def prepares_inside(self):
        self.assertEqual(self.client.ask(parse("s", "select * from c"), describe("S", "s"), sync()), "1 t: T:n Z:T")

    def test_in_a_nested_transaction_it_fails_with_it(self):
        self.prepares()
        self.widens()
        self.client.query("begin; begin")
        self.assertEqual(self.again(), "E:0A000 Z:E")
        self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:T")
        self.assertEqual(self.again(), "E:0A000 Z:E")
        self.assertEqual(self.client.query("commit"), "C:ROLLBACK Z:I")

    def test_in_the_request_that_begins(self):
        self.prepares()
        self.widens()
        begins = [parse("", "begin"), bind("", ""), execute()]
        self.assertEqual(self.client.ask(*begins, *begins, bind("", "s"), execute(), sync()),
                         "1 2 C:BEGIN 1 2 C:BEGIN E:0A000 Z:E")
        self.assertEqual(self.client.query("rollback; rollback"), "C:ROLLBACK C:ROLLBACK Z:I")


if __name__ == "__main__":
    unittest.main()
