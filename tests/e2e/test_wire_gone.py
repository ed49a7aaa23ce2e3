"""Clients that go in the middle of something: it is stopped and undone, and their link is the next one's."""

import contextlib
import pathlib
import random
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import PgClient, bind, copy_data, execute, extended, flush, parse, query, sync
from servers import wait_until
from wire_servers import Conversation, Servers, TwoClients

ROWS = "select repeat('x', 1000) from generate_series(1, 200000)"


def setUpModule():
    Conversation.servers = Servers(pools={"one": "max_size = 1", "few": "max_size = 3"})
    for name in Conversation.servers.pools:
        Conversation.servers.cluster.query("create table t(n int primary key); create table locked()", name)


class Gone(TwoClients, Conversation):
    LEAVE = ("close", "vanish")

    def each(self, session):
        """Of the client that `session` returns nothing is left once it has gone, and its link is the next one's."""
        for leave in self.LEAVE:
            with self.subTest(leave=leave):
                process = self.other.value("select pg_backend_pid()")
                getattr(session(), leave)()
                self.assertEqual(self.other.value("select pg_backend_pid()"), process)
                self.assertEqual(self.other.query("select n from t"), "T:n C:SELECT 0 Z:I")
                left = (f"select count(*) from pg_locks where pid = {process} and (locktype = 'advisory' or "
                        "relation in ('t'::regclass, 'locked'::regclass))")
                self.assertEqual(self.server(left), [["0"]])
                self.assertEqual(self.server("select count(*) from pg_class where relpersistence = 't'"), [["0"]])

    def test_in_a_simple_query(self):
        def session():
            client = self.connect()
            self.start(query("insert into t values (1); " + self.SLEEP), client=client)
            return client
        self.each(session)

    def test_behind_more_than_is_read_ahead(self):
        """Its statement is cancelled long before it would end, over TCP and a unix socket."""
        for megabytes in (1, 8):
            for address in (self.address, f"unix:{self.servers.daemon.socket_path}"):
                def session():
                    client = PgClient(address, database=self.pool)
                    self.start(query("insert into t values (1); " + self.SLEEP), client=client)
                    client.socket.settimeout(1)
                    with contextlib.suppress(TimeoutError):  # where nobody takes more
                        client.send(query("select '" + 1000 * "x" + "'") * (1024 * megabytes))
                    return client
                if megabytes == 1 or address.startswith("unix"):
                    with self.subTest(address=address, megabytes=megabytes):
                        self.each(session)

    def test_in_a_query_that_waits_for_a_lock(self):
        holder = PgClient(self.servers.direct, database=self.pool)
        self.addCleanup(holder.close)
        holder.query("begin; lock table locked")

        def session():
            client = self.connect()
            self.start(query("insert into t values (1); lock table locked"), client=client,
                       active="wait_event_type = 'Lock'")
            return client
        self.each(session)

    def test_half_of_an_extended_pipeline_sent(self):
        """What was not ended with a Sync is not committed."""
        def session():
            client = self.connect()
            client.send(extended("insert into t values (1)"), extended("insert into t values (2)"), flush())
            self.assertEqual(client.take(6), "1 2 C:INSERT 0 1 1 2 C:INSERT 0 1")
            client.send(parse("", "insert into t values ($1)"), bind("", "", ["3"])[:-5])
            return client
        self.each(session)

    def test_in_an_extended_pipeline(self):
        def session():
            client = self.connect()
            self.start(extended("begin"), extended("insert into t values (1)"), extended(self.SLEEP),
                       extended("commit"), sync(), client=client)
            return client
        self.each(session)

    def test_in_an_extended_statement_with_a_query_behind_it(self):
        """Behind its error the server waits for a Sync, which nobody will send."""
        def session():
            client = self.connect()
            self.start(extended("insert into t values (1)"), extended(self.SLEEP), query("select 1"), client=client)
            return client
        self.each(session)

    def test_half_of_a_copy_in_sent(self):
        def session():
            client = self.connect()
            client.send(query("copy t from stdin"), *(copy_data(f"{n}\n") for n in range(1000)))
            self.assertEqual(client.take(1), "G:1")
            return client
        self.each(session)

    def test_before_a_copy_in_has_begun(self):
        copy = "copy t from stdin"
        for asked in (query(copy), extended(copy) + sync(), extended(copy) + flush(), extended(copy)):
            def session(asked=asked):
                client = self.connect()
                client.send(asked)
                return client
            for _ in range(5):
                self.each(session)

    def test_half_of_a_copy_out_read(self):
        def session():
            client = self.connect()
            client.send(query(f"copy ({ROWS}) to stdout"))
            client.take(1000)
            return client
        self.each(session)

    def test_half_of_a_large_result_read(self):
        def session():
            client = self.connect()
            client.send(query(ROWS))
            client.take(1000)
            return client
        self.each(session)

    def test_nothing_of_a_large_result_read(self):
        def session():
            client = self.connect(receive_buffer=4096)
            client.send(query("insert into t values (1); " + ROWS))
            self.wait_processes("wait_event = 'ClientWrite'")
            return client
        self.each(session)

    def test_in_an_open_transaction(self):
        def session():
            client = self.connect()
            client.query("begin; insert into t values (1); lock table t; savepoint a; set local work_mem = '7MB'; "
                         "create temp table mine(n int); select pg_advisory_lock(1); listen news; "
                         "declare c cursor for select 1")
            return client
        self.each(session)

    def test_in_a_failed_transaction(self):
        def session():
            client = self.connect()
            client.query("begin; insert into t values (1)")
            client.query("select nothing")
            return client
        self.each(session)

    def test_with_a_link_of_its_own(self):
        def session():
            client = self.connect()
            client.query("create temp table mine(n int); select pg_advisory_lock(1)")
            return client
        self.each(session)

    def test_in_a_suspended_portal(self):
        def session():
            client = self.connect()
            client.send(parse("", "select generate_series(1, 1000)"), bind(), execute("", 10), flush())
            self.assertTrue(client.take(13).endswith("s"))
            return client
        self.each(session)

    def test_while_it_waits_for_a_link(self):
        self.other.query("begin; select 1")
        for leave in self.LEAVE:
            client = self.connect()
            client.send(query("insert into t values (1)"))
            getattr(client, leave)()
        self.assertEqual(self.other.query("commit"), "C:COMMIT Z:I")
        self.nobody_was_hurt()
        self.assertEqual(self.server("select * from t"), [])


class Crowd(Conversation):
    pool = "few"

    def test_clients_that_go_at_any_moment_leave_the_same_links(self):
        chance = random.Random(7)
        links = [self.connect() for _ in range(3)]
        for client in links:
            client.query("begin; select 1")
        processes = self.processes()
        for client in links:
            client.query("commit")
        parts = (query("insert into t values (1)"), extended("select 1") + sync(), query(ROWS),
                 extended("insert into t values (2)") + flush(), query("select pg_sleep(0.01)"), query("nonsense"))
        for _ in range(60):
            client = self.connect()
            client.send(query("begin"), *chance.choices(parts, k=chance.randrange(6)))
            if chance.random() < 0.5:
                client.more(time.monotonic() + 10)
            client.vanish() if chance.random() < 0.5 else client.close()
        self.assertEqual(self.connect().query("select n from t"), "T:n C:SELECT 0 Z:I")
        wait_until(lambda: not self.processes("state <> 'idle'"), "all at rest")
        self.assertEqual(self.processes(), processes)
        self.assertEqual(self.server("select count(*) from pg_locks where relation = 't'::regclass"), [["0"]])


if __name__ == "__main__":
    unittest.main()
