"""What a database's time limits are for a client of PostgreSQL's protocol: which error, and what goes on behind it."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import bind, describe, execute, extended, fields, flush, parse, query, sync
from wire_servers import Conversation, Servers

POOLS = {
    "statements": "max_size = 1\nstatement_timeout = '500ms'\ntimeout = '10s'",
    "waits": "max_size = 1\ntimeout = '300ms'",
    "idle": "max_size = 1\nidle_in_transaction = '300ms'\ntimeout = '10s'",
    "long": "max_size = 1\ntransaction_timeout = '1s'\ntimeout = '10s'",
}
WELL = "T:?column? D:well C:SELECT 1 Z:I"


def setUpModule():
    Conversation.servers = Servers(common="", pools=POOLS)


class Timeouts(Conversation):
    def setUp(self):
        self.client, self.other = self.connect(), self.connect()
        self.assertEqual(self.client.query("select 'well'"), WELL)

    def all_is_well(self, *clients):
        for client in clients or (self.client, self.other):
            self.assertEqual(client.query("select 'well'"), WELL)

    def last_words(self, client):
        """What it is told before it is closed."""
        found = client.messages(2)
        self.assertEqual([kind for kind, _ in found], ["E", "closed"])
        said = fields(found[0][1])
        self.assertEqual(said["S"], "FATAL")
        return said["C"]


class Statements(Timeouts):
    pool = "statements"

    def test_one_that_takes_too_long_is_57014_and_the_link_stays(self):
        process = self.client.value("select pg_backend_pid()")
        for parts, answer in ((query("select pg_sleep(60)"), "T:pg_sleep E:57014 Z:I"),
                              (extended("select pg_sleep(60)") + sync(), "1 2 E:57014 Z:I")):
            self.assertEqual(self.client.ask(parts), answer)
            self.all_is_well()
            self.assertEqual(self.other.value("select pg_backend_pid()"), process)

    def test_in_a_transaction_it_fails_the_transaction(self):
        self.client.query("begin")
        self.assertEqual(self.client.query("select pg_sleep(60)"), "T:pg_sleep E:57014 Z:E")
        self.assertEqual(self.client.query("select 1"), "E:25P02 Z:E")
        self.assertEqual(self.client.query("commit"), "C:ROLLBACK Z:I")
        self.all_is_well()

    def test_many_short_ones_and_a_rest_are_none_that_takes_long(self):
        self.client.query("begin")
        for _ in range(4):
            self.assertEqual(self.client.query("select pg_sleep(0.15)"), "T:pg_sleep D: C:SELECT 1 Z:T")
        self.assertTrue(self.client.quiet(0.6))
        self.assertEqual(self.client.query("commit"), "C:COMMIT Z:I")
        self.assertTrue(self.client.quiet(0.6))
        self.all_is_well()

    def test_the_servers_own_for_who_rests_in_a_transaction_is_told_as_it_is(self):
        self.client.query("set idle_in_transaction_session_timeout = '100ms'")
        process = int(self.client.value("select pg_backend_pid()"))
        self.client.query("begin")
        self.wait_processes(f"pid = {process}", 0)
        error = self.client.error(query("select 1"))
        self.assertEqual((error["C"], error["S"]), ("25P03", "ERROR"))
        self.assertEqual(self.client.query("select 1"), "E:25P02 Z:E")
        self.assertEqual(self.client.query("commit"), "C:ROLLBACK Z:I")
        self.all_is_well()


class Waits(Timeouts):
    pool = "waits"

    def test_who_waits_too_long_for_a_link_gets_53300_and_may_try_again(self):
        self.assertEqual(self.client.query("begin; select 1"), "C:BEGIN T:?column? D:1 C:SELECT 1 Z:T")
        self.assertEqual(self.other.query("select 1"), "E:53300 Z:I")
        self.assertEqual(self.other.ask(extended("select 1"), extended("select 2"), sync(), query("select 3")),
                         "E:53300 Z:I E:53300 Z:I")
        self.assertEqual(self.client.query("commit"), "C:COMMIT Z:I")
        self.all_is_well()


    def test_it_is_told_who_keeps_a_link_for_itself(self):
        self.client.query("create temp table mine(a int)")
        error = self.other.error(query("select 1"))
        self.assertEqual(error["C"], "53300")
        self.assertRegex(error["D"], r"1 of 1 connections are open, 1 requests wait\. Connections are kept by 1 session: "
                                     r"session \d+ of postgres at .*: create temp table mine\(a int\)\.")
        self.assertIn("max_pinned", error["H"])
        self.client.query("discard all")
        self.all_is_well()


class Idle(Timeouts):
    pool = "idle"

    def test_who_rests_too_long_in_a_transaction_is_ended_with_25P03_and_rolled_back(self):
        self.server("create table if not exists t (n int)")
        for begin in ("begin; insert into t values (1)", "begin; select 1/0"):
            client = self.connect()
            client.query(begin)
            self.assertEqual(self.last_words(client), "25P03")
            self.all_is_well()
        self.assertEqual(self.server("select * from t"), [])

    def test_in_the_middle_of_a_unit_too(self):
        self.client.send(parse("", "select 1"), bind(), execute(), flush())
        self.assertEqual(self.client.take(4), "1 2 D:1 C:SELECT 1")
        self.assertEqual(self.last_words(self.client), "25P03")
        self.all_is_well(self.other)

    def test_behind_a_bind_alone(self):
        """Prepared anew for other settings: whether it asks for its columns again is seen of what comes next."""
        self.client.ask(parse("s", "select 1"), bind("", "s"), describe("P"), sync(),
                        query("set search_path = public, pg_catalog"))
        self.client.send(bind("", "s"))
        self.assertEqual(self.last_words(self.client), "25P03")
        self.all_is_well(self.other)

    def test_who_rests_outside_of_one_is_left_alone(self):
        self.assertTrue(self.client.quiet(0.6))
        self.all_is_well()


class Long(Timeouts):
    pool = "long"

    def test_a_transaction_that_lasts_too_long_is_ended_with_25P04(self):
        for sql in ("select 1", "select pg_sleep(60)"):
            client = self.connect()
            client.query("begin")
            client.send(query(sql))
            if sql == "select 1":
                self.assertEqual(client.answers(), "T:?column? D:1 C:SELECT 1 Z:T")
            found = client.messages(2)
            said = [fields(body) for kind, body in found if kind == "E"]
            self.assertEqual((said[-1]["S"], said[-1]["C"]), ("FATAL", "25P04"))
            self.assertEqual(found[-1][0], "closed")
            self.all_is_well()


if __name__ == "__main__":
    unittest.main()
