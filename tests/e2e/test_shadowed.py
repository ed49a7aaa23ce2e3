"""A table in front of another of its name: who prepares a text anew, however often it was prepared before, means that."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import bind, close, describe, execute, extended, parse, sync, terminate
from wire_servers import Conversation, Servers, both

INSERT, DONE = "insert into foo (x) values ($1)", "1 2 C:INSERT 0 1"
TEXT, INT, TIMES, BOOLS = "25", "23", "1115", "1000"


def setUpModule():
    Conversation.servers = Servers(pools={"one": "max_size = 1", "two": "max_size = 2",
                                          "sandbox": "force_rollback = true"})


class Anew:
    def setUp(self):
        self.client = self.connect()

    def inserts(self, value, oid, client=None, status="I"):
        """With a name, and without one often enough to be prepared unasked."""
        client = client or self.client
        self.assertEqual(client.ask(parse("s", INSERT), describe("S", "s"), bind("", "s", [value]), execute(),
                                    close("S", "s"), sync()), f"1 t:{oid} n 2 C:INSERT 0 1 3 Z:{status}")
        for _ in range(3):
            self.assertEqual(client.ask(extended(INSERT, [value]), sync()), f"{DONE} Z:{status}")

    def counts(self, *tables):
        return [self.client.value(f"select count(*) from {table}") for table in tables]

    def test_by_a_temporary_one(self):
        self.client.query("create table foo (x int); create temp table another (y int)")
        self.inserts("1", INT)
        for ways in (lambda text: self.client.query(text), lambda text: self.client.ask(extended(text), sync())):
            self.assertIn("C:CREATE TABLE", ways("create temp table foo (x text)"))
            self.inserts("one", TEXT)
            self.assertEqual(self.counts("pg_temp.foo", "public.foo"), ["4", "4"])
            self.client.query("drop table pg_temp.foo")
        for ways in (lambda text: self.client.query(text), lambda text: self.client.ask(extended(text), sync())):
            self.assertIn("C:SELECT 0", ways("select ''::text as x into temp foo limit 0"))
            self.inserts("one", TEXT)
            self.assertEqual(self.counts("pg_temp.foo", "public.foo"), ["4", "4"])
            self.client.query("drop table pg_temp.foo")
        self.client.query("begin; create temp table foo (x int) on commit drop")
        self.inserts("1", INT, status="T")
        self.assertEqual(self.counts("pg_temp.foo", "public.foo"), ["4", "4"])
        self.client.query("commit; drop table foo; discard temp")

    def test_by_one_that_its_client_makes_again_and_again(self):
        self.client.query("create table foo (x int); create temp table another (y int)")
        self.client.ask(parse("make", "create temp table foo (x text) on commit drop"), sync())
        for _ in range(3):
            self.inserts("1", INT)
            self.client.query("begin")
            self.assertEqual(self.client.ask(bind("", "make"), execute(), sync()), "2 C:CREATE TABLE Z:T")
            self.inserts("one", TEXT, status="T")
            self.client.query("commit")
        self.assertEqual(self.counts("public.foo"), ["12"])
        self.client.query("drop table foo; discard temp")

    def test_by_another_clients_in_a_schema_that_comes_first(self):
        other = self.connect()
        self.client.query("create table foo (x int); create schema first")
        for client in (self.client, other):
            client.query("set search_path = first, public")
            self.inserts("1", INT, client)
        for make in ("create table first.foo (x int)", "select 1 as x into first.foo limit 0"):
            other.query(make)
            for client in (self.client, other):
                self.inserts("1", INT, client)
            self.assertEqual(self.counts("first.foo", "public.foo"), ["8", "8"])
            self.client.query("drop table first.foo; truncate public.foo")
            for client in (self.client, other):
                self.inserts("1", INT, client)
        self.client.query("drop table public.foo; drop schema first")

    def test_by_one_of_a_client_that_has_gone(self):
        for make, value, oid in (("create temp table foo (x timestamp[])", "{2020-01-01}", TIMES),
                                 ("create temp table foo as select array[true] as x", "{t}", BOOLS),
                                 ("select null::timestamp[] as x into temp foo", "{2020-01-01}", TIMES),
                                 ("select array[true] as x into temp foo", "{t}", BOOLS),
                                 ("create temp table foo (x timestamp[])", "{2020-01-01}", TIMES)):
            with self.connect() as client:
                client.query(make)
                self.inserts(value, oid, client)
                client.send(terminate())
                client.rest()

    def test_by_one_that_ends_with_its_transaction_or_is_discarded(self):
        for ending in ("commit", "discard temp", "discard all"):
            for columns, value, oid in (("x timestamp[]", "{2020-01-01}", TIMES), ("x bool[]", "{t}", BOOLS)):
                if ending == "commit":
                    self.client.query("begin")
                self.client.query(f"create temp table foo ({columns}) on commit {'drop' if ending == 'commit' else 'preserve rows'}")
                self.inserts(value, oid, status="T" if ending == "commit" else "I")
                self.client.query(ending)


@both
class Shadowed(Anew):
    pass


@both
class ShadowedOnTwoLinks(Anew):
    pool = "two"


class ShadowedInASandbox(Anew, Conversation):
    pool = "sandbox"

    def test_of_native_sessions(self):
        connection = self.enterContext(based_client.connect(self.address))
        for columns, value in (("x timestamp[]", "{2020-01-01}"), ("x bool[]", "{t}"), ("x timestamp[]", "{2020-01-01}")):
            with connection.session(database="sandbox") as session:
                session.exec(f"create temp table foo ({columns})")
                for _ in range(3):
                    session.exec(INSERT, [value]).wait()


if __name__ == "__main__":
    unittest.main()
