"""What ends before its time on PostgreSQL: the server's connection is free again, nothing stays behind."""

import pathlib
import re
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client as client
from pg_client import PgClient
from raw_client import RawClient
from servers import Daemon, Gate, PostgresCluster, wait_until

cluster = None


def setUpModule():
    global cluster
    cluster = PostgresCluster()
    unittest.addModuleCleanup(cluster.close)


class Tester(unittest.TestCase):
    def setUp(self):
        cluster.query("drop table if exists t; create table t (a int)")

    def daemon(self, database="", server=""):
        """One connection to the server, so that who holds it too long is noticed."""
        main = f'[databases.main]\nurl = "{cluster.url()}"\nmax_size = 1\n{database}\n'
        running = Daemon(config=f"[server]\n{server}\n{main}")
        self.addCleanup(running.close)
        return running

    def session(self, daemon, **options):
        """A session of a connection of its own."""
        connection = client.connect(f"127.0.0.1:{daemon.port}")
        self.addCleanup(connection.__exit__)
        return connection.session(**options).__enter__()

    def rows(self, daemon):
        """What a client that comes now finds in t, after it wrote there itself."""
        with client.connect(f"127.0.0.1:{daemon.port}") as db, db.session() as session:
            session.exec("insert into t values (0)")
            return [a for a, in session.exec("select a from t where a <> 0 order by a")]

    def failure(self, code, action, *arguments, **options):
        with self.assertRaises(client.Error) as caught:
            action(*arguments, **options)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception

    def at_work(self, text="pg_sleep"):
        """Waits until the server runs a statement with this text."""
        sql = "select 1 from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()"
        wait_until(lambda: cluster.query(f"{sql} and query ~ '{text}'"), "the statement to run")

    def nothing_runs(self):
        sql = "select 1 from pg_stat_activity where state <> 'idle' and pid <> pg_backend_pid()"
        wait_until(lambda: not cluster.query(sql), "the server to have nothing to do")


class ClientsThatGo(Tester):
    def test_in_mid_statement_it_is_cancelled_and_the_connection_free(self):
        daemon = self.daemon()
        gone = self.session(daemon)
        gone.start(client.EXEC, "insert into t select 1 from pg_sleep(600)")
        self.at_work()
        gone.connection.__exit__()
        self.assertEqual(self.rows(daemon), [])
        self.nothing_runs()

    def test_in_mid_transaction_it_is_rolled_back(self):
        daemon = self.daemon()
        gone = self.session(daemon)
        gone.tx("begin")
        gone.exec("insert into t values (1)")
        gone.tx("begin")
        gone.exec("insert into t values (2)")
        gone.connection.__exit__()
        self.assertEqual(self.rows(daemon), [])
        self.nothing_runs()

    def test_who_does_not_read_costs_little_memory_and_is_closed(self):
        daemon = self.daemon(server="write_timeout = '2s'\noutput_buffer = '256KiB'")
        before = daemon.rss_kib()
        deaf = RawClient(f"127.0.0.1:{daemon.port}", receive_buffer=4096)
        self.addCleanup(deaf.close)
        deaf.ask(client.OPEN, [], 1)
        deaf.frame(client.EXEC, ["select i, repeat('x', 1000) from generate_series(1, 10000000) as i"], 1)
        sizes = []

        def closed():
            sizes.append(daemon.rss_kib())
            return "output was not taken for too long" in daemon.log()
        wait_until(closed, "the write timeout")
        self.assertLess(max(sizes) - before, 32 * 1024)
        self.assertEqual(self.rows(daemon), [])
        self.nothing_runs()


class Cancelling(Tester):
    def test_what_runs_is_cancelled_in_the_server(self):
        daemon = self.daemon()
        session = self.session(daemon)
        session.tx("begin")
        session.exec("insert into t values (1)")
        session.tx("begin")
        running = session.start(client.EXEC, "select pg_sleep(600)")
        self.at_work()
        running.cancel()
        self.assertEqual(self.failure("57014", running.wait).executed, "no")
        self.assertEqual(session.state, ["failed", 2])
        session.tx("rollback", depth=2)
        session.tx("commit", depth=1)
        self.assertEqual(self.rows(daemon), [1])

    def test_what_waits_is_cancelled_at_once_and_was_not_executed(self):
        daemon = self.daemon()
        holder, waiter = self.session(daemon), self.session(daemon)
        running = holder.start(client.EXEC, "select pg_sleep(600)")
        self.at_work()
        for_connection = waiter.start(client.EXEC, "insert into t values (1)")
        in_session = holder.start(client.EXEC, "insert into t values (2)")
        for queued in (for_connection, in_session):
            queued.cancel()
            self.assertEqual(self.failure("57014", queued.wait).executed, "no")
        self.assertIsNone(running.end)
        running.cancel()
        self.failure("57014", running.wait)
        self.assertEqual(self.rows(daemon), [])

    def test_another_connection_cancels_with_the_key(self):
        daemon = self.daemon()
        session, other = self.session(daemon), self.session(daemon).connection
        running = session.start(client.EXEC, "select pg_sleep(600)")
        self.at_work()
        number, key = (session.connection.welcome[name] for name in ("connection", "cancel_key"))
        self.assertFalse(other.cancel(running.request, number, bytes(16)))
        self.assertTrue(other.cancel(running.request, number, key))
        self.failure("57014", running.wait)
        self.assertEqual(self.rows(daemon), [])

    def test_a_cancel_never_hits_the_next_statement(self):
        daemon = self.daemon()
        session = self.session(daemon)
        for _ in range(100):
            first = session.start(client.EXEC, "select 1")
            first.cancel()
            second = session.start(client.EXEC, "select 2 from pg_sleep(0.001)")
            try:
                first.wait()
            except client.Error as error:
                self.assertEqual(error.code, "57014")
            self.assertEqual(list(second), [[2]])


class Timeouts(Tester):
    def test_a_statement_that_takes_too_long_is_57014(self):
        daemon = self.daemon("statement_timeout = '2s'")
        for options, statement in (({}, {}), ({"statement_timeout_ms": 200}, {}), ({}, {"timeout_ms": 200})):
            with self.subTest(options=options, statement=statement):
                began = time.monotonic()
                session = self.session(daemon, **options)
                running = session.start(client.EXEC, "select pg_sleep(600)", None, statement)
                self.failure("57014", running.wait)
                self.assertLess(time.monotonic() - began, 1.8 if options or statement else 20)
        self.assertEqual(self.rows(daemon), [])

    def test_who_waits_too_long_for_a_connection_gets_53300(self):
        daemon = self.daemon("timeout = '400ms'")
        holder, waiter = self.session(daemon, label="the nightly import"), self.session(daemon)
        holder.tx("begin")
        holder.exec("insert into t values (1)")
        error = self.failure("53300", waiter.exec, "insert into t values (2)")
        self.assertEqual((error.executed, error.retry), ("no", True))
        holder.tx("commit")
        waiter.exec("insert into t values (3)")
        self.assertEqual(self.rows(daemon), [1, 3])

    def test_a_transaction_that_rests_too_long_is_lost(self):
        daemon = self.daemon("idle_in_transaction = '300ms'")
        resting = self.session(daemon)
        resting.tx("begin")
        resting.exec("insert into t values (1)")
        while not any(kind == "transaction_lost" for _, _, kind, _ in resting.connection.notices):
            resting.connection.read()
        fields = resting.connection.notices[-1][3]
        self.assertEqual((fields["code"], fields["tx"]), ("25P03", ["aborted", 1]))
        self.failure("25P02", resting.exec, "select 1")
        resting.tx("rollback_all")
        self.assertEqual(self.rows(daemon), [])

    def test_a_transaction_that_lasts_too_long_is_lost(self):
        daemon = self.daemon("transaction_timeout = '500ms'")
        session = self.session(daemon)
        session.tx("begin")
        session.exec("insert into t values (1)")
        with self.assertRaises(client.Error) as caught:
            for _ in range(1_000_000):
                session.exec("select pg_sleep(0.01)")
        self.assertIn(caught.exception.code, ("25P02", "57014"))  # between two statements, or in one
        while not any(kind == "transaction_lost" for _, _, kind, _ in session.connection.notices):
            session.connection.read()
        fields = session.connection.notices[-1][3]
        self.assertEqual((fields["code"], fields["tx"]), ("25P03", ["aborted", 1]))
        self.assertIn("the transaction has reached the time limit", fields["message"])
        session.tx("rollback_all")
        self.assertEqual(self.rows(daemon), [])
        session.tx("begin")  # a new transaction has its whole time again
        session.exec("insert into t values (2)")
        session.tx("commit")
        self.assertEqual(self.rows(daemon), [2])


class TheEnd(Tester):
    def test_an_open_transaction_may_finish(self):
        daemon = self.daemon()
        session = self.session(daemon)
        session.tx("begin")
        session.exec("insert into t values (1)")
        daemon.signal(signal.SIGTERM)
        session.exec("insert into t values (2)")
        session.tx("commit")
        self.assertEqual(daemon.wait(), 0)
        self.assertEqual(cluster.query("select a from t order by a"), [["1"], ["2"]])

    def test_at_the_deadline_what_is_open_is_rolled_back_and_what_runs_is_cancelled(self):
        daemon = self.daemon(server="shutdown_timeout = '500ms'")
        session = self.session(daemon)
        session.tx("begin")
        session.exec("insert into t values (1)")
        session.start(client.EXEC, "select pg_sleep(600)")
        self.at_work()
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(20), 0)
        daemon.wait_log("shutdown: 1 open transaction rolled back")
        self.nothing_runs()
        self.assertEqual(cluster.query("select a from t"), [])

    def test_the_log_counts_the_open_transactions_of_both_protocols(self):
        daemon = Daemon(config=f"[server]\nshutdown_timeout = '500ms'\n[databases.postgres]\nurl = '{cluster.url()}'\n")
        self.addCleanup(daemon.close)
        session = self.session(daemon, database="postgres")
        session.tx("begin")
        session.exec("select 1")
        wires = [PgClient(f"127.0.0.1:{daemon.port}") for _ in range(3)]
        for wire, text in zip(wires, ("begin; insert into t values (1)", "begin; select 1/0", "select 1")):
            self.addCleanup(wire.close)
            wire.query(text)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(20), 0)
        self.assertEqual(re.findall("shutdown: .* rolled back", daemon.log()),
                         ["shutdown: 3 open transactions rolled back"])

    def test_a_signal_while_it_ends_does_not_wait_for_the_database(self):
        gate = Gate(cluster.port)
        self.addCleanup(gate.close)
        running = Daemon(cluster.url(port=gate.port))
        self.addCleanup(running.close)
        session = self.session(running)
        session.tx("begin")
        session.exec("insert into t values (1)").wait()
        gate.stall()  # so that its rollback is not answered
        running.signal(signal.SIGTERM)
        running.wait_log("serving -> draining")
        running.signal(signal.SIGTERM)
        running.wait_log("closing -> ending")
        running.signal(signal.SIGTERM)
        self.assertEqual(running.wait(), 1)
        running.wait_log("SIGTERM while ending: gone without waiting")
        gate.cut()
        self.nothing_runs()
        self.assertEqual(cluster.query("select a from t"), [])
