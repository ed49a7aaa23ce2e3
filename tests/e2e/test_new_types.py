"""What was prepared for types that have since been made anew, taken back or changed: nobody meets the old ones."""

import itertools
import pathlib
import sys
import unittest

import psycopg

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import bind, close, describe, execute, extended, parse, query, sync
from wire_servers import Conversation, Servers, both

MAKE = "create type mood as enum ('{0}'); create table felt (id int, moods mood[])"
DROP = "drop table felt; drop type mood"
INSERT = "insert into felt (moods) values ($1::mood[])"
DONE = "1 2 C:INSERT 0 1"


def setUpModule():
    Conversation.servers = Servers(pools={"one": "max_size = 1", "two": "max_size = 2",
                                          "nested": "max_size = 1\nnested_transactions = true",
                                          "sandbox": "force_rollback = true"})


class Anew:
    """Of one client, as it is everywhere."""

    def setUp(self):
        self.clear()
        self.client = self.connect()

    def clear(self):
        self.server("drop table if exists felt, numbers; drop type if exists mood")

    def make(self, value, client=None):
        self.say(MAKE.format(value), client)

    def say(self, sql, client=None):
        said = (client or self.client).query(sql)
        self.assertNotIn("E:", said)

    def inserts(self, value, status="T", client=None):
        """In every way: without a name often enough to be prepared unasked, with one, described first, and by psycopg's."""
        client = client or self.client
        value = "{" + value + "}"
        for _ in range(3):
            self.assertEqual(client.ask(extended(INSERT, [value]), sync()), f"{DONE} Z:{status}")
        for _ in range(2):
            self.assertEqual(client.ask(parse("s", INSERT), bind("", "s", [value]), execute(), close("S", "s"), sync()),
                             f"{DONE} 3 Z:{status}")
        self.describes(status, client)

    def describes(self, status="T", client=None):
        """As the server knows the type now."""
        client = client or self.client
        oid = client.value("select 'mood[]'::regtype::oid")
        for name in ("", "d"):
            self.assertEqual(client.ask(parse(name, INSERT), describe("S", name), sync()), f"1 t:{oid} n Z:{status}")
        self.assertEqual(client.ask(close("S", "d"), sync()), f"3 Z:{status}")

    def test_in_a_transaction(self):
        self.say("begin")
        for value in ("glad", "sad", "mad"):
            self.make(value)
            self.inserts(value)
            self.say(DROP)
        self.say("commit")

    def test_outside_of_one(self):
        for value in ("glad", "sad", "mad"):
            self.make(value)
            self.inserts(value, "I")
            for text in DROP.split("; "):
                self.assertIn("C:DROP", self.client.ask(extended(text), sync()))

    def test_where_the_transaction_that_made_them_is_rolled_back(self):
        for value in ("glad", "sad"):
            self.say("begin")
            self.make(value)
            self.inserts(value)
            self.say("rollback")

    def test_where_it_fails(self):
        for value in ("glad", "sad"):
            self.say("begin")
            self.make(value)
            self.inserts(value)
            self.assertEqual(self.client.query("select 1/0"), "E:22012 Z:E")
            self.say("commit")

    def test_where_a_text_that_made_them_fails(self):
        for value in ("glad", "sad"):
            self.assertIn("E:22012", self.client.query(MAKE.format(value) + "; select 1/0"))
            self.make(value)
            self.inserts(value, "I")
            self.say(DROP)

    def test_behind_a_rollback_to_a_savepoint(self):
        self.say("begin")
        for value in ("glad", "sad"):
            self.say("savepoint a")
            self.make(value)
            self.inserts(value)
            self.say("rollback to a")
        self.say("commit")

    def test_where_a_rollback_brings_the_dropped_ones_back(self):
        self.make("glad")
        self.inserts("glad", "I")
        self.say("begin; " + DROP)
        self.make("sad")
        self.inserts("sad")
        self.say("rollback")
        self.say("begin")
        self.inserts("glad")
        self.say("commit")

    def test_in_one_batch_with_what_makes_them(self):
        self.make("glad")
        self.inserts("glad", "I")
        texts = (DROP + "; " + MAKE.format("sad")).split("; ")
        batch = b"".join(extended(text) for text in texts)
        for ending in (b"", sync()):
            said = self.client.ask(batch, ending, extended(INSERT, ["{sad}"]), parse("s", INSERT),
                                   bind("", "s", ["{sad}"]), execute(), close("S", "s"), sync())
            self.assertNotIn("E:", said)

    def test_a_column_with_another_type(self):
        insert, many = "insert into numbers values ($1)", "3000000000"
        self.say("create table numbers (n int)")
        for _ in range(3):
            self.assertEqual(self.client.ask(extended(insert, ["1"]), sync()), f"{DONE} Z:I")
        self.assertEqual(self.client.ask(extended(insert, [many]), sync()), "1 E:22003 Z:I")
        self.say("begin; alter table numbers alter n type bigint")
        self.assertEqual(self.client.ask(extended(insert, [many]), sync()), f"{DONE} Z:T")
        self.assertEqual(self.client.ask(parse("n", insert), bind("", "n", [many]), execute(), sync()), f"{DONE} Z:T")
        self.say("commit; drop table numbers")
        self.say("begin; create table numbers (n text)")
        self.assertEqual(self.client.ask(extended(insert, ["007"]), sync()), f"{DONE} Z:T")
        self.assertEqual(self.client.rows("select n from numbers"), [["007"]])
        self.say("commit")

    def test_a_result_with_other_columns(self):
        self.say("begin")
        for columns in ("n int", "n text", "n text, m int"):
            self.say(f"create table numbers ({columns}); insert into numbers values (1)")
            for name in ("", "", "", "n"):
                said = self.client.ask(parse(name, "select * from numbers"), bind("", name), execute(), sync())
                self.assertRegex(said, r"^1 2 D:1\S* C:SELECT 1 Z:T$")
            self.assertEqual(self.client.ask(close("S", "n"), sync()), "3 Z:T")
            self.say("drop table numbers")
        self.say("commit")

    def test_what_the_client_has_prepared_before_is_what_it_was(self):
        for made, text, value, changed, code in (
                (MAKE.format("glad"), INSERT, ["{glad}"], DROP + "; " + MAKE.format("sad"), "XX000"),
                ("create table numbers (n int)", "select * from numbers", [], "alter table numbers add m int", "0A000")):
            self.say("begin; " + made)
            self.assertRegex(self.client.ask(parse("n", text), bind("", "n", value), execute(), sync()), r"^1 2 C:\w+ [0 1]+ Z:T$")
            self.say(changed)
            self.assertEqual(self.client.ask(bind("", "n", value), execute(), sync()), f"E:{code} Z:E")
            self.say("rollback")
            self.assertEqual(self.client.ask(close("S", "n"), sync()), "3 Z:I")

    def test_of_psycopg(self):
        self.client.close()
        host, _, port = self.address.rpartition(":")
        for value in ("glad", "sad", "mad"):
            with psycopg.connect(host=host, port=port, user="postgres", dbname=self.pool) as session:
                session.prepare_threshold = 0
                for text in ("drop table if exists felt", "drop type if exists mood", *MAKE.format(value).split("; ")):
                    session.execute(text, prepare=False)  # it deallocates all that it has prepared behind a DROP
                self.assertEqual(session.execute("select %s::mood", (value,)).fetchall(), [(value,)])
            session.close()


@both
class NewTypes(Anew):
    pass


@both
class NewTypesNested(Anew):
    pool = "nested"


class InASandbox(Anew, Conversation):
    """What turns and resets take back."""

    pool = "sandbox"

    def clear(self):
        with self.connect() as client:
            client.query("sandbox reset")

    def test_behind_a_reset(self):
        for reset in ("sandbox reset", "sandbox reset to here", "sandbox reset to here", "sandbox reset"):
            self.make("glad")
            self.inserts("glad", "I")
            self.say(reset)
            self.make("sad")
            self.inserts("sad", "I")
            self.say("begin")
            self.inserts("sad")
            self.say("commit")
            self.say("sandbox reset")
            self.say("sandbox mark here")

    def test_behind_a_reset_to_a_mark_that_has_others(self):
        self.make("glad")
        self.say("sandbox mark glad")
        self.inserts("glad", "I")
        self.say(DROP)
        self.make("sad")
        self.inserts("sad", "I")
        for _ in range(2):
            self.say("sandbox reset to glad")
            self.say("begin")
            self.inserts("glad")
            self.say("rollback")

    def test_behind_a_client_that_has_vanished(self):
        other = self.connect()
        self.say("begin", other)
        self.make("glad", other)
        self.inserts("glad", client=other)
        other.vanish()
        self.say("begin")
        self.make("sad")
        self.inserts("sad")
        self.say("commit")

    def test_a_rollback_does_not_take_what_was_prepared_before_its_turn(self):
        self.make("glad")
        self.inserts("glad", "I")
        count = "select count(*) from pg_prepared_statements where statement like 'insert into felt%'"
        self.assertEqual(self.client.value(count), "1")
        for text in ("begin; create table numbers (n int); rollback", "begin", "create table numbers (n int)", "rollback"):
            self.say(text)
            self.assertEqual(self.client.value(count), "1")


class Kept(Conversation):
    """What is prepared on the link and stays."""

    def setUp(self):
        self.server("drop table if exists numbers; create table numbers (n int)")
        self.client = self.connect()
        for _ in range(3):
            self.assertEqual(self.client.ask(extended("insert into numbers values ($1)", ["1"]), sync()), f"{DONE} Z:I")
        self.number = self.prepared()

    def prepared(self):
        """The name that the link has it under for who prepares it now; the next unit closes what was there before."""
        self.client.ask(parse("k", "insert into numbers values ($1)"), close("S", "k"), sync())
        self.client.query("select 1")
        rows = self.client.rows("select name from pg_prepared_statements where statement like 'insert into numbers%'")
        self.assertLessEqual(len(rows), 1)
        return rows[0][0] if rows else None

    def test_what_no_statement_depends_on(self):
        for text in ("create table other (n int)", "create index on numbers (n)", "drop index numbers_n_idx",
                     "create role somebody", "alter role somebody set work_mem = '5MB'", "drop role somebody",
                     "begin; rollback", "begin; update numbers set n = 2; rollback", "select 1/0"):
            self.client.query(text)
            self.assertEqual((text, self.prepared()), (text, self.number))
        self.client.query("drop table other")
        self.assertNotEqual(self.prepared(), self.number)

    def test_temporary_tables_of_every_transaction(self):
        work = "insert into work values ($1)"
        ends = {"": ("drop table if exists work", "commit"), " on commit drop": ("commit",)}
        for column, value in (("n int", "7"), ("t text", "seven"), ("t text", "eight")):
            for ways, (option, ending) in itertools.product((query, extended), ends.items()):
                with self.subTest(column=column, ways=ways.__name__, option=option):
                    for text in ("begin", f"CREATE TEMP TABLE Work ({column}){option}"):
                        self.assertNotIn("E:", self.client.ask(ways(text), *(() if ways is query else (sync(),))))
                    for _ in range(2):
                        self.assertEqual(self.client.ask(parse("w", work), bind("", "w", [value]), execute(), close("S", "w"),
                                                         sync()), f"{DONE} 3 Z:T")
                    for text in ending:
                        self.assertNotIn("E:", self.client.ask(ways(text), *(() if ways is query else (sync(),))))
                    self.assertEqual(self.prepared(), self.number)

    def test_a_table_that_is_no_temporary_one(self):
        for text in ("create temp table work (n int); drop table work, numbers", "drop table numbers cascade"):
            with self.subTest(text):
                self.setUp()
                self.client.query(text)
                self.assertIsNone(self.prepared())


class TwoLinks(Conversation):
    pool = "two"

    def setUp(self):
        self.first, self.second = self.connect(), self.connect()
        self.first.query("drop table if exists felt; drop type if exists mood; create type mood as enum ('glad')")
        self.text = "select $1::mood"
        for client in (self.first, self.second):  # both in transactions: each has a link
            client.query("begin")
        self.assertNotEqual(*[client.value("select pg_backend_pid()") for client in (self.first, self.second)])
        for client in (self.first, self.second):
            self.assertEqual(self.ask(client, "glad"), "1 2 D:glad C:SELECT 1 3 Z:T")
        for client in (self.second, self.first):
            client.query("commit")

    def ask(self, client, value):
        return client.ask(parse("m", self.text), bind("", "m", [value]), execute(), close("S", "m"), sync())

    def test_the_other_link_hears_of_what_was_committed(self):
        self.first.query("begin; drop type mood; create type mood as enum ('sad')")
        self.second.query("begin")
        self.assertEqual(self.ask(self.second, "glad"), "1 2 D:glad C:SELECT 1 3 Z:T")
        self.first.query("commit")
        self.second.query("select count(*) from pg_authid")  # the server looks at what others have done when it takes a lock
        self.assertEqual(self.ask(self.second, "sad"), "1 2 D:sad C:SELECT 1 3 Z:T")
        self.second.query("commit")

    def test_of_a_native_session(self):
        with based_client.connect(self.address).session(database="two") as session:
            session.exec("drop type mood")
            session.exec("create type mood as enum ('sad')")
        for client in (self.first, self.second):
            client.query("begin")
            self.assertEqual(self.ask(client, "sad"), "1 2 D:sad C:SELECT 1 3 Z:T")
        for client in (self.first, self.second):
            client.query("commit")


class Unseen(Conversation):
    """What another program has done shows itself by an error only."""

    def setUp(self):
        self.server("drop table if exists felt; drop type if exists mood")
        self.server(MAKE.format("glad"))
        self.client = self.connect()
        for _ in range(3):
            self.assertEqual(self.client.ask(extended(INSERT, ["{glad}"]), sync()), f"{DONE} Z:I")
        self.assertEqual(self.client.ask(parse("s", INSERT), bind("", "s", ["{glad}"]), execute(), sync()), f"{DONE} Z:I")

    def changed(self):
        self.server(DROP)
        self.server(MAKE.format("sad"))

    def test_it_is_healed_outside_of_a_transaction(self):
        self.changed()
        self.assertEqual(self.client.ask(extended(INSERT, ["{sad}"]), sync()), f"{DONE} Z:I")
        self.assertEqual(self.client.ask(bind("", "s", ["{sad}"]), execute(), sync()), "2 C:INSERT 0 1 Z:I")
        self.assertEqual(self.server("select count(*) from felt"), [["2"]])

    def test_in_a_transaction_it_is_told_once(self):
        self.changed()
        self.client.query("begin")
        self.assertEqual(self.client.ask(bind("", "s", ["{sad}"]), execute(), sync()), "E:XX000 Z:E")
        self.client.query("rollback; begin")
        self.assertEqual(self.client.ask(bind("", "s", ["{sad}"]), execute(), sync()), "2 C:INSERT 0 1 Z:T")
        self.client.query("commit")

    def test_what_is_really_wrong_is_the_servers_to_say(self):
        for _ in range(3):
            for unit in (extended(INSERT, ["{nothing}"]), bind("", "s", ["{nothing}"]) + execute()):
                error = self.client.error(unit, sync())
                self.assertEqual((error["C"], error["M"]), ("22P02", 'invalid input value for enum mood: "nothing"'))
                self.assertEqual(self.client.ask(extended(INSERT, ["{glad}"]), sync()), f"{DONE} Z:I")

    def test_nothing_runs_twice(self):
        said = self.client.ask(extended("insert into felt (id) values (1)"), bind("", "s", ["{nothing}"]), execute(), sync())
        self.assertEqual(said, "1 2 C:INSERT 0 1 E:22P02 Z:I")
        self.assertEqual(self.server("select count(*) from felt where id = 1"), [["0"]])


class Native(Conversation):
    def setUp(self):
        self.server("drop table if exists felt, numbers; drop type if exists mood")

    def session(self, pool):
        return based_client.connect(self.address).session(database=pool)

    def make(self, session, value):
        for text in MAKE.format(value).split("; "):
            session.exec(text)

    def inserts(self, session, value):
        for _ in range(4):
            session.exec(INSERT, ["{" + value + "}"])

    def drop(self, session):
        for text in DROP.split("; "):
            session.exec(text)

    def test_in_transactions(self):
        for pool in ("one", "sandbox"):
            with self.subTest(pool), self.session(pool) as session, session.transaction():
                for value in ("glad", "sad"):
                    self.make(session, value)
                    self.inserts(session, value)
                    self.drop(session)

    def test_behind_rollbacks(self):
        for pool in ("one", "sandbox"):
            with self.subTest(pool), self.session(pool) as session:
                for value in ("glad", "sad"):
                    session.tx("begin")
                    session.tx("begin")
                    self.make(session, value)
                    self.inserts(session, value)
                    session.tx("rollback")
                    self.make(session, value + "dest")
                    self.inserts(session, value + "dest")
                    session.tx("rollback")

    def test_behind_a_reset(self):
        with self.session("sandbox") as session:
            for value in ("glad", "sad"):
                self.make(session, value)
                session.tx("begin")
                self.inserts(session, value)
                session.tx("rollback")
                session.exec("sandbox reset")

    def test_in_one_batch(self):
        for pool in ("one", "sandbox"):
            with self.subTest(pool), self.session(pool) as session:
                session.tx("begin")
                self.make(session, "glad")
                self.inserts(session, "glad")
                texts = (DROP + "; " + MAKE.format("sad")).split("; ")
                session.batch([*([text] for text in texts), [INSERT, ["{sad}"]]])
                session.tx("rollback")
