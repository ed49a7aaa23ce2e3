"""Nothing of a session is seen by the next one on its link: while it stays, when it says goodbye, when it vanishes."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import bind, describe, execute, extended, parse, query, sync, terminate
from servers import wait_until
from wire_servers import Conversation, Servers, both

# What a session does, what another asks, and what it is told. Outside of PostgreSQL these stay with the connection.
SETTINGS = {
    "a setting": ("set work_mem = '7MB'", "show work_mem", "T:work_mem D:4MB C:SHOW Z:I"),
    "a setting by set_config": ("select set_config('work_mem', '7MB', false)", "show work_mem",
                                "T:work_mem D:4MB C:SHOW Z:I"),
    "a setting of its own": ("set my.x = 'secret'", "select coalesce(current_setting('my.x', true), '') as x",
                             "T:x D: C:SELECT 1 Z:I"),
    "the encoding": ("set client_encoding = latin1", "show client_encoding", "T:client_encoding D:UTF8 C:SHOW Z:I"),
    "the style of dates": ("set datestyle = german", "select date '2020-12-31' as d", "T:d D:2020-12-31 C:SELECT 1 Z:I"),
    "the order of dates": ("set datestyle = german; set datestyle = iso", "set datestyle = iso; select date '01/02/2020' as d",
                           "C:SET T:d D:2020-01-02 C:SELECT 1 Z:I"),
    "the path": ("set search_path = elsewhere", "select to_regclass('only_elsewhere') as r", "T:r D:NULL C:SELECT 1 Z:I"),
    "a timeout": ("set statement_timeout = 50", "select pg_sleep(0.1)", "T:pg_sleep D: C:SELECT 1 Z:I"),
    "read only": ("set session characteristics as transaction read only", "delete from t", "C:DELETE 0 Z:I"),
    "a role": ("set role other_role", "select current_user", "T:current_user D:postgres C:SELECT 1 Z:I"),
    "an authorization": ("set session authorization other_role", "select session_user",
                         "T:session_user D:postgres C:SELECT 1 Z:I"),
    "a prepared statement": ("prepare p as select 1", "execute p", "E:26000 Z:I"),
    "currval": ("select nextval('s')", "select currval('s')", "T:currval E:55000 Z:I"),
    "lastval": ("select nextval('s')", "select lastval()", "T:lastval E:55000 Z:I"),
}
NO_LOCK = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
OBJECTS = {
    "a temporary table": ("create temp table mine(n int)", "select * from mine", "E:42P01 Z:I"),
    "a table of pg_temp": ("create table pg_temp.mine(n int)", "select * from mine", "E:42P01 Z:I"),
    "a temporary view": ("create temp view mine as select 1", "select * from mine", "E:42P01 Z:I"),
    "a temporary sequence": ("create temp sequence mine", "select nextval('mine')", "E:42P01 Z:I"),
    "a function of pg_temp": ("create function pg_temp.f() returns int language sql as 'select 1'",
                              "select pg_temp.f()", "E:(3F000|42883) Z:I"),
    "a type of pg_temp": ("create type pg_temp.mood as enum ('sad')", "select 'sad'::pg_temp.mood",
                          "E:(3F000|42704) Z:I"),
    "a table made by a query": ("select 1 as n into temp mine", "select * from mine", "E:42P01 Z:I"),
    "a lock": ("select pg_advisory_lock(1)", NO_LOCK, "T:count D:0 C:SELECT 1 Z:I"),
    "a shared lock": ("select pg_try_advisory_lock_shared(1, 2)", NO_LOCK, "T:count D:0 C:SELECT 1 Z:I"),
    "a holdable cursor": ("begin; declare c cursor with hold for select 1; commit", "fetch c", "E:34000 Z:I"),
    "a channel": ("listen news", "select count(*) from pg_listening_channels()", "T:count D:0 C:SELECT 1 Z:I"),
}
FUNCTIONS = {  # by what a function does that no statement's text shows
    "a setting": ("perform set_config('work_mem', '7MB', false)", *SETTINGS["a setting"][1:]),
    "a setting of its own": ("perform set_config('my.x', 'secret', false)", *SETTINGS["a setting of its own"][1:]),
    "the style of dates": ("perform set_config('datestyle', 'german', false)", *SETTINGS["the style of dates"][1:]),
    "the path": ("perform set_config('search_path', 'elsewhere', false)", *SETTINGS["the path"][1:]),
    "a role": ("perform set_config('role', 'other_role', false)", *SETTINGS["a role"][1:]),
    "an authorization": ("execute 'set session authorization other_role'", *SETTINGS["an authorization"][1:]),
    "a temporary table": ("create temp table mine(n int)", *OBJECTS["a temporary table"][1:]),
    "a lock": ("perform pg_advisory_lock(2)", *OBJECTS["a lock"][1:]),
    "a holdable cursor": ("execute 'declare c cursor with hold for select 1'", *OBJECTS["a holdable cursor"][1:]),
    "a channel": ("execute 'listen hidden'", *OBJECTS["a channel"][1:]),
    "lastval": ("perform nextval('s')", *SETTINGS["lastval"][1:]),
}


def setUpModule():
    Conversation.servers = Servers(pools={"one": "max_size = 1", "few": "max_size = 3",
                                          "careful": "max_size = 1\nverify_release = true"})
    cluster = Conversation.servers.cluster
    cluster.query("create role other_role")
    for name in Conversation.servers.pools:
        cluster.query("create table t(n int); create sequence s; create schema elsewhere; "
                      "create table elsewhere.only_elsewhere(n int); "
                      "grant usage on schema elsewhere to public; grant all on t, s to public", name)
    for number, (does, _, _) in enumerate(FUNCTIONS.values()):
        cluster.query(f"create function f{number}() returns void language plpgsql as $$begin {does}; end$$", "careful")


class Sessions:
    def make(self, sql, database=None):
        client = self.connect(database)
        self.assertNotRegex(client.query(sql), "E:")
        return client

    def sees(self, look, wanted, database=None):
        second = self.connect(database)
        said = second.query(look)
        second.close()
        if wanted.startswith("E:"):
            self.assertRegex(said, f"^{wanted}$")
        else:
            self.assertEqual(said, wanted)

    def one_process(self):
        """Through Based, the link is still the same: it was made clean, and not closed."""
        if not self.directly:
            condition = "query !~* '^(un)?listen'"  # but for the one that listens for all
            self.assertEqual(self.wait_processes(condition), self.known.setdefault(self.pool, self.processes(condition)))

    known = {}  # by pool


class Leaving(Sessions):
    """Of `cases`, what one that leaves has made."""

    def test_of_one_that_leaves(self):
        for leave in ("close", "vanish", "goodbye"):
            for what, (make, look, wanted) in self.cases.items():
                with self.subTest(what, leave=leave):
                    first = self.make(make)
                    first.send(terminate()) if leave == "goodbye" else getattr(first, leave)()
                    self.sees(look, wanted)
                    self.one_process()
                    first.close()

    def test_of_one_that_leaves_within_a_transaction(self):
        for what, (make, look, wanted) in self.cases.items():
            if "begin" not in make:
                with self.subTest(what):
                    first = self.connect()
                    first.query("begin")
                    first.query(make)
                    first.vanish()
                    self.sees(look, wanted)
                    self.one_process()


@both
class Settings(Leaving):
    cases = SETTINGS

    def test_of_one_that_stays(self):
        for what, (make, look, wanted) in SETTINGS.items():
            with self.subTest(what):
                pool = "few" if "set_config" in make else None  # it keeps its link
                first = self.make(make, pool)
                self.sees(look, wanted, pool)
                first.close()


@both
class Objects(Leaving):
    cases = OBJECTS

    def test_made_by_execute_of_what_the_protocol_prepared(self):
        first = self.connect("few")
        first.ask(parse("b", "create temp table mine(n int)"), sync())
        self.assertEqual(first.query("execute b"), "C:CREATE TABLE Z:I")
        self.sees("select * from mine", "E:42P01 Z:I", "few")
        self.assertEqual(first.query("select * from mine"), "T:n C:SELECT 0 Z:I")
        first.close()

    def test_of_one_that_stays(self):
        for what, (make, look, wanted) in OBJECTS.items():
            with self.subTest(what):
                first = self.make(make, "few")
                for _ in range(3):  # whichever link it gets
                    self.sees(look, wanted, "few")
                first.close()

    def test_notifications_come_to_who_listens(self):
        first, second, third = (self.connect("few") for _ in range(3))
        first.query("listen news")
        self.assertEqual(third.query("notify news, 'one'"), "C:NOTIFY Z:I")
        wait_until(lambda: "A:news|one" in first.query("select 1") or first.notifications, "a notification")
        self.assertEqual(first.notifications, [("news", "one")])
        for client in (second, third):
            client.query("select 1")
            self.assertEqual(client.notifications, [])
        first.close()
        second.query("notify news, 'two'")
        for client in (second, third, second, third):
            client.query("select 1")
            self.assertEqual(client.notifications, [])


@both
class Names(Sessions):
    """Of prepared statements and portals: each session has its own, whatever the link knows."""

    def test_of_statements(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.ask(parse("s", "select 'first'"), sync()), "1 Z:I")
        self.assertEqual(second.ask(bind("", "s"), execute(), sync()), "E:26000 Z:I")
        self.assertEqual(second.ask(describe("S", "s"), sync()), "E:26000 Z:I")
        self.assertEqual(second.ask(parse("s", "select 'second'"), sync()), "1 Z:I")
        for client, name in ((first, "first"), (second, "second")) * 2:
            self.assertEqual(client.ask(bind("", "s"), execute(), sync()), f"2 D:{name} C:SELECT 1 Z:I")
        first.close()
        third = self.connect()
        self.assertEqual(third.ask(bind("", "s"), execute(), sync()), "E:26000 Z:I")
        self.assertEqual(second.ask(bind("", "s"), execute(), sync()), "2 D:second C:SELECT 1 Z:I")

    def test_of_those_of_sql(self):
        first, second = self.connect(), self.connect()
        for client, name in ((first, "first"), (second, "second")):
            self.assertEqual(client.query("execute p"), "E:26000 Z:I")
            self.assertEqual(client.query(f"prepare p as select '{name}' as n"), "C:PREPARE Z:I")
        for client, name in ((first, "first"), (second, "second")) * 2:
            self.assertEqual(client.query("execute p"), f"T:n D:{name} C:SELECT 1 Z:I")
        second.query("deallocate p")
        self.assertEqual(second.query("execute p"), "E:26000 Z:I")
        self.assertEqual(first.query("execute p"), "T:n D:first C:SELECT 1 Z:I")

    def test_of_the_unnamed_statement(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.ask(parse("", "select 'first'"), sync()), "1 Z:I")
        self.assertEqual(second.ask(bind(), execute(), sync()), "E:26000 Z:I")
        self.assertEqual(first.ask(bind(), execute(), sync()), "2 D:first C:SELECT 1 Z:I")

    def test_of_portals(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.ask(parse("", "select 1"), bind("p"), sync()), "1 2 Z:I")
        self.assertEqual(second.ask(execute("p"), sync()), "E:34000 Z:I")


class Functions(Sessions, Conversation):
    """With verify_release, also of what a function does that no statement's text shows."""

    pool = "careful"

    def each(self, session):
        for number, (what, (_, look, wanted)) in enumerate(FUNCTIONS.items()):
            with self.subTest(what):
                session(f"select f{number}()", look, wanted)
                self.assertEqual(self.server("select * from pg_locks where locktype = 'advisory'"), [])
                self.one_process()

    def test_of_one_that_stays(self):
        def session(make, look, wanted):
            first = self.make(make)
            self.sees(look, wanted)
            first.close()
        self.each(session)

    def test_of_one_that_leaves(self):
        def session(make, look, wanted):
            self.make(make).close()
            self.sees(look, wanted)
        self.each(session)

    def test_of_one_that_leaves_before_its_answer(self):
        def session(make, look, wanted):
            for part in (query(make), extended(make) + sync(), extended(make) + extended("select pg_sleep(60)")):
                first = self.connect()
                first.send(part, terminate())
                first.close()
                self.sees(look, wanted)
        self.each(session)

    def test_a_session_keeps_what_it_has_said_itself(self):
        first = self.connect(application_name="first")
        first.query("set work_mem = '5MB'; set my.x = 'mine'; set role other_role")
        settings = ("select current_setting('work_mem'), current_setting('my.x'), current_user, "
                    "current_setting('application_name')")
        mine = [["5MB", "mine", "other_role", "first"]]
        told = dict(first.parameters)
        for number in range(5):
            self.assertEqual(first.rows(settings), mine)
            first.query(f"select f{number}()")
            self.assertEqual(self.connect().value("select current_user"), "postgres")
        self.assertEqual(first.rows(settings), mine)
        self.assertEqual(first.parameters, told)

    def test_a_setting_that_two_sessions_have_alike(self):
        first, second = self.connect(), self.connect()
        for client in (first, second):
            client.query("set work_mem = '5MB'")
        first.query("select f0()")
        self.assertEqual(second.value("show work_mem"), "5MB")


if __name__ == "__main__":
    unittest.main()
