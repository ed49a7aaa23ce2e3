"""Cancel requests where Based has to know more than the server: of who waits, and between two units."""

import os
import pathlib
import signal
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import PgClient, copy_data, copy_done, extended, flush, query, sync
from wire_servers import Conversation, Servers, TwoClients


def setUpModule():
    Conversation.servers = Servers(pools={"one": "max_size = 1", "few": "max_size = 3",
                                          "careful": "max_size = 1\nverify_release = true"})
    for name in Conversation.servers.pools:
        Conversation.servers.cluster.query("create table t(n int primary key)", name)


class Queued(TwoClients, Conversation):
    """One that waits for a link is answered at once, and the server never hears of it."""

    def setUp(self):
        super().setUp()
        self.third = self.connect()
        self.other.query("begin; select 1")

    def test_a_simple_query(self):
        links = self.processes()
        self.client.send(query("insert into t values (1)"), query("insert into t values (2)"))
        self.third.send(query("insert into t values (3)"))
        self.client.cancel()
        self.assertEqual(self.client.answers(), "E:57014 Z:I")
        self.assertEqual(self.other.query("select 'mine'"), "T:?column? D:mine C:SELECT 1 Z:T")
        self.assertEqual(self.processes(), links)
        self.other.query("commit")
        self.assertEqual(self.third.answers(), "C:INSERT 0 1 Z:I")
        self.assertEqual(self.client.answers(), "C:INSERT 0 1 Z:I")
        self.assertEqual(self.server("select * from t order by n"), [["2"], ["3"]])
        self.nobody_was_hurt()
        self.assertEqual(self.processes(), links)

    def test_an_extended_unit_up_to_its_sync(self):
        links = self.processes()
        self.client.send(extended("insert into t values (1)"), extended("insert into t values (2)"), flush())
        self.client.cancel()
        self.assertEqual(self.client.take(1), "E:57014")
        self.assertTrue(self.client.quiet(0.1))
        self.client.send(extended("insert into t values (3)"), sync(), extended("insert into t values (4)"), sync())
        self.assertEqual(self.client.answers(), "Z:I")
        self.other.query("commit")
        self.assertEqual(self.client.answers(), "1 2 C:INSERT 0 1 Z:I")
        self.assertEqual(self.server("select * from t"), [["4"]])
        self.nobody_was_hurt()
        self.assertEqual(self.processes(), links)

    def test_a_copy_with_its_data(self):
        self.client.send(query("copy t from stdin"), copy_data("1\n") * 100)
        self.client.cancel()
        self.assertEqual(self.client.answers(), "E:57014 Z:I")
        self.client.send(copy_data("2\n"), copy_done(), query("select 'well'"))
        self.other.query("commit")
        self.assertEqual(self.client.answers(), self.WELL)
        self.assertEqual(self.server("select * from t"), [])

    def test_in_the_middle_of_a_queue(self):
        waiting = [self.connect() for _ in range(5)]
        for number, client in enumerate(waiting):
            client.send(query(f"insert into t values ({number})"))
        for client in waiting[1::2]:
            client.cancel()
            self.assertEqual(client.answers(), "E:57014 Z:I")
        self.other.query("commit")
        for client in waiting[::2]:
            self.assertEqual(client.answers(), "C:INSERT 0 1 Z:I")
        self.assertEqual(self.server("select * from t order by n"), [["0"], ["2"], ["4"]])


class BehindABegin(TwoClients, Conversation):
    pool = "one"

    def test_the_transaction_fails_with_it(self):
        """Else what was sent behind it would be done without it."""
        process = int(self.client.value("select pg_backend_pid()"))
        os.kill(process, signal.SIGSTOP)
        self.addCleanup(os.kill, process, signal.SIGCONT)
        self.client.send(query("begin"), query("savepoint a; select pg_sleep(60)"),
                         query("insert into t values (1)"), query("commit"))
        self.assertEqual(self.client.answers(), "C:BEGIN Z:T")
        self.client.cancel()
        os.kill(process, signal.SIGCONT)
        self.assertRegex(self.client.answers(), "E:57014 Z:E$")
        self.assertEqual(self.client.answers(2), "E:25P02 Z:E C:ROLLBACK Z:I")
        self.assertEqual(self.server("select * from t where n = 1"), [])


class BetweenTwoUnits(TwoClients, Conversation):
    """Where Based itself says something to the server about a session whose unit is over."""

    def blocked(self, relation, client, database):
        """The client's unit is answered, and what Based says behind it waits for a lock."""
        holder = PgClient(self.servers.direct, database=database)
        self.addCleanup(holder.close)
        self.processes()  # the observer has read what it needs before
        holder.query(f"begin; lock table pg_catalog.{relation}")
        self.assertEqual(client.query("select 'well'"), self.WELL)
        self.wait_processes("wait_event_type = 'Lock'", database=database)
        return holder

    def careful(self):
        """A client whose link's process has not looked into pg_proc for how to forget."""
        with self.connect("careful") as client:
            process = client.value("select pg_backend_pid()")
        self.servers.observer.query(f"select pg_terminate_backend({process})")
        self.wait_processes("true", 0, "careful")
        return self.connect("careful")

    def test_a_cancel_while_a_link_is_made_clean_strikes_nothing_later(self):
        client = self.careful()
        holder = self.blocked("pg_proc", client, "careful")
        client.cancel()
        holder.query("rollback")
        self.assertEqual(client.query("select 'well'"), self.WELL)
        self.start_and_cancel(client, "careful")

    def test_a_cancel_while_pins_are_looked_for_strikes_nothing_later(self):
        client = self.connect("few")
        client.query("create temp table mine(n int)")
        holder = self.blocked("pg_cursors", client, "few")
        client.cancel()
        holder.query("rollback")
        self.assertEqual(client.query("select 'well'"), self.WELL)
        self.start_and_cancel(client, "few")

    def start_and_cancel(self, client, database):
        """Nor is the next cancel forgotten."""
        client.send(query(self.SLEEP))
        self.wait_processes(self.ASLEEP, database=database)
        client.cancel()
        self.assertEqual(client.answers(), "T:pg_sleep E:57014 Z:I")
        self.assertEqual(client.query("select 'well'"), self.WELL)

    def test_a_statement_that_came_meanwhile_is_cancelled(self):
        client = self.careful()
        holder = self.blocked("pg_proc", client, "careful")
        client.send(query("insert into t values (1)"))
        client.cancel()
        holder.query("rollback")
        self.assertEqual(client.answers(), "E:57014 Z:I")
        self.assertEqual(self.server("select * from t", "careful"), [])
        self.start_and_cancel(client, "careful")

    def test_a_link_that_is_lost_while_it_is_made_clean_is_nobodys_error(self):
        client, other = self.careful(), self.connect("careful")
        holder = self.blocked("pg_proc", client, "careful")
        process = self.processes("wait_event_type = 'Lock'", "careful")[0]
        self.servers.observer.query(f"select pg_terminate_backend({process})")
        self.servers.daemon.wait_log(f"server process {process}.*closed")
        holder.query("rollback")
        for one in (other, client, other):
            self.assertEqual(one.query("select 'well'"), self.WELL)


class Storm(Conversation):
    pool = "few"
    CLIENTS, ROUNDS = 8, 13

    def test_a_hundred_cancels_strike_only_what_they_were_meant_for(self):
        wrong = []

        def run(client):
            for number in range(self.ROUNDS):
                client.send(query("select pg_sleep(60)"))
                client.cancel()
                said = [client.answers()]
                client.cancel()  # too late
                said.append(client.query(f"select {number}, pg_sleep(0.01)"))
                said.append(client.ask(extended(f"select {number}"), sync()))
                # Before its row description or behind it.
                if said[0] not in ("E:57014 Z:I", "T:pg_sleep E:57014 Z:I") or said[1:] != [
                        f"T:?column?,pg_sleep D:{number}| C:SELECT 1 Z:I", f"1 2 D:{number} C:SELECT 1 Z:I"]:
                    wrong.append(said)

        threads = [threading.Thread(target=run, args=(self.connect(),)) for _ in range(self.CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertGreaterEqual(self.CLIENTS * self.ROUNDS, 100)
        self.assertEqual(wrong, [])
        self.wait_processes("state = 'active'", 0)
        self.assertLessEqual(len(self.processes()), 3)
        lost = [line for line in self.log().splitlines() if "warning pool few" in line]
        self.assertEqual(lost, [])


if __name__ == "__main__":
    unittest.main()
