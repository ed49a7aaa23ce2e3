"""A constraint is checked when it is declared to be, whatever a sandbox's COMMIT knows of the constraints there are.

A COMMIT sets them all deferred, and those declared INITIALLY IMMEDIATE back: the server is asked for these under a
prepared name, which may be gone, and looks for them again only where there may be new ones, which it may not be told of.
"""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import based_client
from pg_client import PgClient, extended, sync
from servers import Daemon, PostgresCluster, wait_until

UNIQUE = "constraint only_once unique deferrable initially immediate"
MAKE = f"create table once (n int {UNIQUE})"
TWICE = "insert into once values (1), (1)"


def setUpModule():
    global cluster
    cluster = PostgresCluster(log_statement="all", log_min_messages="log")
    cluster.query("create table t (n int); create table keyed (n int primary key); "
                  "create table parts (n int constraint of_keyed references keyed); "
                  "create function drop_all() returns int language plpgsql as $$ begin execute 'deallocate all'; return 1; end $$; "
                  "create function make() returns int language plpgsql as "
                  f"$$ begin execute '{MAKE}'; return 1; end $$; "
                  "create function left_open() returns int language plpgsql as "
                  "$$ declare c refcursor = 'left_open'; begin open c for select 1; return 1; end $$")


def tearDownModule():
    cluster.close()


class Wire:
    """A client of PostgreSQL's protocol; each answer is its tags and SQLSTATEs."""

    def __init__(self, port):
        self.client = PgClient(f"127.0.0.1:{port}", database="app#s")
        self.close = self.client.close

    def answer(self, sql):
        return self.client.query(sql)

    def run(self, sql):
        return " ".join(tag or code for tag, code in re.findall(r"(?:^| )(?:C:([A-Z]+)|E:(\w+))", self.answer(sql)))

    def value(self, sql):
        return self.client.value(sql)


class Extended(Wire):
    def answer(self, sql):
        return self.client.ask(extended(sql), sync())


class Native:
    def __init__(self, port):
        self.connection = based_client.connect(f"127.0.0.1:{port}")
        self.session = self.connection.session(database="app#s")
        self.session.opened.wait()

    def close(self):
        self.connection.__exit__()

    def run(self, sql):
        try:
            if sql in ("begin", "commit", "rollback"):
                self.session.tx(sql)
                return sql.upper()
            return self.session.exec(sql).tag.partition(" ")[0]
        except based_client.Error as error:
            return error.code

    def value(self, sql):
        return str(list(self.session.exec(sql).rows)[0][0])


class Deferred:
    def setUp(self):
        self.daemon = Daemon(config=f'[databases.app]\nurl = "{cluster.url()}"\nforce_rollback = true\n')
        self.addCleanup(self.daemon.close)
        self.client = self.client_of(self.daemon.port)
        self.addCleanup(self.client.close)
        self.other = Wire(self.daemon.port)
        self.addCleanup(self.other.close)

    def all(self, *texts):
        for sql in texts:
            answer = self.client.run(sql)
            self.assertTrue(answer.isupper() or answer == "", f"{sql}: {answer}")

    def commit(self, *texts):
        self.all("begin", "insert into t values (1)", *texts, "commit")

    def is_immediate(self, code="23505", sql=TWICE):
        """By itself, and in a transaction, where a deferred one would wait for the COMMIT."""
        self.assertEqual(self.client.run(sql), code)
        self.all("begin")
        self.assertEqual(self.client.run(sql), code)
        self.client.run("rollback")

    def server_said(self, what):
        return (cluster.folder / "log").read_text().count(what)

    def test_one_that_is_made_later(self):
        self.commit()
        for make in ([MAKE], ["select make()"], ["do $$ begin perform make(); end $$"],
                     ["create table once (n int)", f"alter table once add {UNIQUE.replace('unique', 'unique (n)')}"]):
            with self.subTest(make):
                self.commit(*make)
                self.is_immediate()
                self.commit("drop table once")
                self.commit()

    def test_one_that_is_made_deferrable(self):
        self.commit()
        self.commit("alter table parts alter constraint of_keyed deferrable initially immediate")
        self.is_immediate("23503", "insert into parts values (9)")

    def test_one_that_is_made_by_itself(self):
        self.commit()
        self.all(MAKE)
        self.is_immediate()

    def test_one_that_comes_back_with_a_reset(self):
        self.commit(MAKE)
        self.assertEqual(self.other.run("sandbox mark here"), "SANDBOX")
        self.commit("drop table once")
        self.commit()
        for _ in range(2):
            self.assertEqual(self.other.run("sandbox reset to here"), "SANDBOX")
            self.is_immediate()
            self.commit()
            self.is_immediate()
            self.commit("drop table once")
            self.commit()

    def test_one_of_another_process(self):
        self.commit()
        self.addCleanup(cluster.query, "drop table if exists once")
        for _ in range(2):
            cluster.query(MAKE)
            self.commit()
            self.is_immediate()
            self.assertEqual(self.other.run("sandbox reset"), "SANDBOX")
            cluster.query("drop table once")
            self.commit()

    def test_one_that_is_made_while_nothing_is_counted(self):
        self.commit()
        self.commit("set track_counts = off", MAKE)
        self.is_immediate()

    def test_the_question_is_planned_once_and_looks_once(self):
        self.commit()
        before = self.server_said("_based.none_immediate"), self.server_said("DO $based$")
        for _ in range(5):
            self.commit()
        wait_until(lambda: self.server_said("_based.none_immediate") - before[0] >= 5, "the log")
        self.assertEqual(self.server_said("DO $based$"), before[1])
        names = re.findall(r"execute (\S+): SELECT FROM \(SELECT pg_catalog.pg_current_snapshot",
                           (cluster.folder / "log").read_text())[-5:]
        self.assertEqual(len(set(names)), 1)
        self.assertRegex(names[0], "^based_s")

    def test_a_name_that_is_gone(self):
        self.commit(MAKE)
        for drop in ("deallocate all", "discard all"):
            with self.subTest(drop):
                self.commit()
                self.client.run(drop)
                self.commit()
                self.is_immediate()
                self.assertEqual(self.other.run(drop), " ".join(drop.upper().split()[:1]))
                self.commit()
                self.is_immediate()

    def test_a_name_that_is_gone_with_the_root(self):
        self.commit(MAKE)
        for _ in range(2):
            self.assertEqual(self.other.run("sandbox reset"), "SANDBOX")
            self.commit()
            self.commit(MAKE)
            self.is_immediate()
        process = self.client.value("select pg_backend_pid()")
        cluster.query(f"select pg_terminate_backend({process})")
        wait_until(lambda: self.client.run("select 1") == "SELECT", "another root")
        self.commit(MAKE)
        self.commit()
        self.is_immediate()

    def test_behind_a_transaction_that_has_failed(self):
        self.commit(MAKE)
        self.all("begin")
        self.assertEqual(self.client.run("select 1 / 0"), "22012")
        self.client.run("rollback")
        self.is_immediate()
        self.commit()
        self.is_immediate()

    def test_what_was_set_in_a_savepoint_goes_with_its_transaction(self):
        self.commit(MAKE)
        for end in ("rollback", "select 1 / 0"):
            self.all("begin", "savepoint s", "set constraints all deferred", "release s")
            self.client.run(end)
            self.client.run("rollback")
            self.is_immediate()

    def test_what_was_set_outside_of_a_transaction_ends_at_once(self):
        self.commit(MAKE)
        for texts in (["set constraints all deferred"], ["prepare p as select 1", "set constraints all deferred", "deallocate p"]):
            for text in texts:
                self.client.run(text)
            self.is_immediate()

    def test_a_cursor_that_a_function_has_left_ends_with_its_transaction(self):
        for _ in range(2):
            self.commit("select left_open()")
            self.assertEqual(self.client.value("select count(*) from pg_cursors where name = 'left_open'"), "0")

    def drops(self):
        """Another text each time: what native clients say twice is prepared for them, and dropped as well."""
        self.dropped = getattr(self, "dropped", 0) + 1
        return f"select drop_all() as time_{self.dropped}"

    def test_a_function_that_drops_every_prepared_statement(self):
        for made in ([], [MAKE]):
            self.commit(*made)
            for _ in range(2):
                self.all("begin", "insert into t values (7)", self.drops(), "commit")
                self.assertEqual(self.client.value("select count(*) from t where n = 7"), "1")
                self.all("delete from t where n = 7")
                if made:
                    self.is_immediate()
                self.commit(self.drops(), "select left_open()")
                self.assertEqual(self.client.value("select count(*) from pg_cursors where name = 'left_open'"), "0")

    def test_a_function_that_drops_them_by_itself(self):
        self.commit(MAKE)
        for _ in range(2):
            self.all("insert into t select 8 where drop_all() = 1")
            self.assertEqual(self.client.value("select count(*) from t where n = 8"), "1")
            self.all("delete from t where n = 8")
            self.is_immediate()

    def test_what_it_has_set_is_kept_where_they_are_dropped(self):
        for _ in range(2):
            self.commit("set work_mem = '5MB'", self.drops())
            self.assertEqual(self.client.value("show work_mem"), "5MB")
            self.client.run("reset work_mem")


class InQueries(Deferred, unittest.TestCase):
    client_of = Wire

    def test_one_that_comes_back_with_a_savepoint(self):
        self.commit(MAKE)
        self.commit("savepoint s", "drop table once", "rollback to s")
        self.is_immediate()


class InTheExtendedProtocol(InQueries):
    client_of = Extended


class InNativeSessions(Deferred, unittest.TestCase):
    client_of = Native


if __name__ == "__main__":
    unittest.main()
