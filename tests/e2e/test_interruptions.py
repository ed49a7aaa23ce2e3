"""What ends before its time: clients that go, cancelled requests, timeouts, locks, and the daemon's end."""

import pathlib
import signal
import socket
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client as client
from servers import Daemon, wait_until

SERIES = "with recursive n(i) as (select 1 union all select i + 1 from n where i < {}) "
ENDLESS = SERIES.format(10**10) + "select count(*) from n"
ENDLESS_WRITE = "insert into t " + SERIES.format(10**10) + "select i from n"


class Tester(unittest.TestCase):
    def daemon(self, database="", server="", **options):
        main = f'[databases.main]\nurl = "sqlite:///main.db"\n{database}\n'
        running = Daemon(config=f"[server]\n{server}\n{main}", **options)
        self.addCleanup(running.close)
        return running

    def connect(self, daemon):
        connection = client.connect(f"127.0.0.1:{daemon.port}")
        self.addCleanup(connection.__exit__)
        return connection

    def session(self, daemon, **options):
        """A session of a connection of its own."""
        return self.connect(daemon).session(**options).__enter__()

    def table(self, daemon):
        with client.connect(f"127.0.0.1:{daemon.port}") as db, db.session() as session:
            session.exec("create table if not exists t (a)")
        return daemon

    def rows(self, daemon):
        """What a client that comes now finds in t, after it wrote there itself."""
        with client.connect(f"127.0.0.1:{daemon.port}") as db, db.session() as session:
            session.exec("insert into t values ('new')")
            return [a for a, in session.exec("select a from t where a <> 'new' order by a")]

    def failure(self, code, action, *arguments, **options):
        with self.assertRaises(client.Error) as caught:
            action(*arguments, **options)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception

    def lane(self, session):
        return session.connection.status()["databases"][0]["lanes"][0]


class ClientsThatGo(Tester):
    def test_in_mid_statement_the_lane_is_free_at_once(self):
        daemon = self.table(self.daemon())
        for sql in (ENDLESS, ENDLESS_WRITE):
            with self.subTest(sql=sql[:20]):
                gone = self.session(daemon)
                gone.start(client.EXEC, sql)
                gone.connection.ping()
                gone.connection.__exit__()
                self.assertEqual(self.rows(daemon), [])

    def test_in_mid_transaction_it_is_rolled_back(self):
        daemon = self.table(self.daemon())
        for how in ("close", "reset"):
            gone = self.session(daemon)
            gone.tx("begin")
            gone.exec("insert into t values (1)")
            gone.tx("begin")
            gone.exec("insert into t values (2)")
            if how == "reset":
                linger = (1).to_bytes(4, sys.byteorder) + (0).to_bytes(4, sys.byteorder)
                gone.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            gone.connection.__exit__()
            self.assertEqual(self.rows(daemon), [])

    def test_while_they_wait_their_statements_never_run(self):
        daemon = self.table(self.daemon())
        holder = self.session(daemon)
        holder.tx("begin")
        holder.exec("insert into t values ('holder')")
        gone = self.session(daemon)
        gone.start(client.EXEC, "insert into t values ('gone')")
        wait_until(lambda: self.lane(holder)["waiting"] == 1, "the statement to wait")
        gone.connection.__exit__()
        wait_until(lambda: self.lane(holder)["waiting"] == 0, "the statement to be gone")
        holder.tx("commit")
        self.assertEqual(self.rows(daemon), ["holder"])

    def test_one_of_its_sessions_closed_leaves_the_others_alone(self):
        daemon = self.table(self.daemon())
        first = self.session(daemon)
        for commit in (False, True):
            second = first.connection.session().__enter__()
            second.tx("begin")
            second.exec("insert into t values (1)")
            if commit:
                self.failure("25001", second.close, commit=True)
            else:
                second.close()
            self.failure("08003", second.exec, "select 1")
        self.assertEqual(list(first.exec("select count(*) from t")), [[0]])
        self.assertEqual(self.rows(daemon), [])


class Cancelling(Tester):
    def test_what_waits_in_its_session_ends_at_once_and_was_not_executed(self):
        daemon = self.table(self.daemon())
        session = self.session(daemon)
        running = session.start(client.EXEC, ENDLESS)
        queued = session.start(client.EXEC, "insert into t values (1)")
        queued.cancel()
        error = self.failure("57014", queued.wait)
        self.assertEqual((error.executed, error.scope), ("no", "statement"))
        self.assertIsNone(running.end)
        running.cancel()
        self.failure("57014", running.wait)
        self.assertEqual(session.state, ["idle", 0])
        self.assertEqual(self.rows(daemon), [])

    def test_what_waits_for_the_lane_ends_at_once(self):
        daemon = self.table(self.daemon())
        holder, waiter = self.session(daemon), self.session(daemon)
        holder.tx("begin")
        holder.exec("insert into t values (1)")
        waiting = waiter.start(client.EXEC, "insert into t values (2)")
        wait_until(lambda: self.lane(holder)["waiting"] == 1, "the statement to wait")
        waiting.cancel()
        self.assertEqual(self.failure("57014", waiting.wait).executed, "no")
        holder.tx("commit")
        self.assertEqual(self.rows(daemon), [1])

    def test_a_cancelled_read_fails_the_level_only(self):
        daemon = self.table(self.daemon())
        session = self.session(daemon)
        session.tx("begin")
        session.exec("insert into t values (1)")
        session.tx("begin")
        running = session.start(client.EXEC, ENDLESS)
        session.connection.ping()
        running.cancel()
        self.failure("57014", running.wait)
        self.assertEqual(session.state, ["failed", 2])
        session.tx("rollback", depth=2)
        session.tx("commit", depth=1)
        self.assertEqual(self.rows(daemon), [1])

    def test_a_cancelled_write_ends_the_whole_stack(self):
        daemon = self.table(self.daemon("cache_size = '64KiB'"))
        session = self.session(daemon)
        session.tx("begin")
        session.exec("insert into t values (1)")
        session.tx("begin")
        running = session.start(client.EXEC, ENDLESS_WRITE)
        log = daemon.folder / "main.db-wal"
        wait_until(lambda: log.stat().st_size > 1_000_000, "the write to be at work")
        running.cancel()
        error = self.failure("57014", running.wait)
        self.assertEqual((error.scope, session.state), ("transaction", ["aborted", 2]), error.__dict__)
        self.failure("25P02", session.exec, "select 1")
        self.failure("25P02", session.tx, "commit")
        session.tx("rollback_all")
        self.assertEqual(list(session.exec("select count(*) from t")), [[0]])
        self.assertEqual(self.rows(daemon), [])

    def test_another_connection_cancels_with_the_key_and_only_with_it(self):
        daemon = self.table(self.daemon())
        session, other = self.session(daemon), self.connect(daemon)
        welcome = session.connection.welcome
        running = session.start(client.EXEC, ENDLESS)
        session.connection.ping()
        number, key = welcome["connection"], welcome["cancel_key"]
        for wrong in ((number, bytes(16)), (number, key[:15]), (number, key + b"x"), (number + 1000, key)):
            self.assertFalse(other.cancel(running.request, *wrong))
        self.assertFalse(other.cancel(running.request + 1000, number, key))
        self.assertFalse(other.start(client.CANCEL, running.request).wait().end["found"])
        self.assertIsNone(running.end)
        self.assertTrue(other.cancel(running.request, number, key))
        self.failure("57014", running.wait)
        self.assertFalse(other.cancel(running.request, number, key))
        self.assertEqual(self.rows(daemon), [])

    def test_request_0_cancels_all_of_the_session_that_came_before(self):
        daemon = self.table(self.daemon())
        session = self.session(daemon)
        before = [session.start(client.EXEC, sql) for sql in [ENDLESS] + ["select 1"] * 5]
        session.start(client.CANCEL, 0)
        after = session.start(client.EXEC, "select 2")
        for request in before:
            self.failure("57014", request.wait)
        self.assertEqual(list(after), [[2]])
        self.assertEqual(self.rows(daemon), [])


class Timeouts(Tester):
    def test_statement_timeout_of_the_database_of_the_session_and_of_the_statement(self):
        daemon = self.table(self.daemon("statement_timeout = '1500ms'"))
        day = 86_400_000
        for options, statement in (({}, {}), ({"statement_timeout_ms": 200}, {}), ({}, {"timeout_ms": 200}),
                                   ({"statement_timeout_ms": day}, {}), ({}, {"timeout_ms": day})):
            with self.subTest(options=options, statement=statement):
                session = self.session(daemon, **options)
                began = time.monotonic()
                error = self.failure("57014", session.start(client.EXEC, ENDLESS, None, statement).wait)
                short = 200 in (*options.values(), *statement.values())
                self.assertTrue((0.15 if short else 1.4) < time.monotonic() - began < (1.4 if short else 10))
                self.assertEqual(error.executed, "no")
                self.assertEqual(list(session.exec("select 1")), [[1]])
        self.assertEqual(self.rows(daemon), [])

    def test_a_write_that_takes_too_long_leaves_nothing(self):
        daemon = self.table(self.daemon("statement_timeout = '300ms'"))
        self.failure("57014", self.session(daemon).exec, ENDLESS_WRITE)
        self.assertEqual(self.rows(daemon), [])

    def test_who_waits_too_long_for_the_lane_is_told_who_holds_it(self):
        daemon = self.table(self.daemon("timeout = '400ms'\nidle_while_waited = '1h'"))
        holder, waiter = self.session(daemon, label="the nightly import"), self.session(daemon)
        holder.tx("begin")
        holder.exec("insert into t values (1)")
        error = self.failure("55P03", waiter.exec, "insert into t values (2)")
        self.assertEqual((error.executed, error.retry, error.scope), ("no", True, "statement"))
        self.assertIn("the nightly import", error.detail)
        error = self.failure("55P03", waiter.tx("begin") and waiter.exec, "insert into t values (2)")
        waiter.tx("rollback_all")
        holder.tx("commit")
        waiter.exec("insert into t values (3)")
        self.assertEqual(self.rows(daemon), [1, 3])

    def test_a_session_may_ask_for_a_shorter_wait(self):
        daemon = self.table(self.daemon("idle_while_waited = '1h'"))
        holder, waiter = self.session(daemon), self.session(daemon, queue_timeout_ms=200)
        holder.tx("begin")
        holder.exec("insert into t values (1)")
        began = time.monotonic()
        self.failure("55P03", waiter.exec, "insert into t values (2)")
        self.assertLess(time.monotonic() - began, 5)
        holder.tx("commit")
        self.assertEqual(self.rows(daemon), [1])

    def lost(self, session, state, reason="the transaction was idle for too long"):
        """The transaction of the session was lost: the notice, then 25P02 until it is acknowledged."""
        db = session.connection
        while not any(kind == "transaction_lost" for _, _, kind, _ in db.notices):
            db.read()
        number, request, _, fields = next(n for n in db.notices if n[2] == "transaction_lost")
        self.assertEqual((number, request, fields["code"], fields["tx"]), (session.number, 0, "25P03", state))
        error = self.failure("25P02", session.exec, "select 1")
        self.assertIn(f"25P03: {reason}", error.detail)
        self.failure("25P02", session.tx, "commit")
        session.tx("rollback_all")
        self.assertEqual(session.state, ["idle", 0])

    def test_a_transaction_that_rests_while_somebody_waits_is_lost(self):
        daemon = self.table(self.daemon("idle_while_waited = '300ms'"))
        resting, other = self.session(daemon), self.session(daemon)
        resting.tx("begin")
        resting.exec("insert into t values (1)")
        resting.tx("begin")
        resting.exec("insert into t values (2)")
        other.exec("insert into t values (3)")
        self.lost(resting, ["aborted", 2])
        resting.exec("insert into t values (4)")
        self.assertEqual(self.rows(daemon), [3, 4])

    def test_a_transaction_that_rests_too_long_is_lost_also_if_nobody_waits(self):
        daemon = self.table(self.daemon("idle_in_transaction = '300ms'"))
        resting = self.session(daemon)
        resting.tx("begin")
        resting.exec("insert into t values (1)")
        self.lost(resting, ["aborted", 1])
        self.assertEqual(self.rows(daemon), [])

    def test_a_transaction_at_work_is_not_resting(self):
        daemon = self.table(self.daemon("idle_while_waited = '500ms'"))
        busy, other = self.session(daemon), self.session(daemon)
        busy.tx("begin")
        busy.exec("insert into t values (1)")
        waiting = other.start(client.EXEC, "insert into t values (2)")
        began = time.monotonic()
        while time.monotonic() - began < 1.2:
            busy.exec(SERIES.format(100_000) + "select count(*) from n")
        busy.tx("commit")
        waiting.wait()
        self.assertEqual(self.rows(daemon), [1, 2])

    def test_a_transaction_that_lasts_too_long_is_lost(self):
        daemon = self.table(self.daemon("transaction_timeout = '500ms'"))
        session = self.session(daemon)
        session.tx("begin")
        session.exec("insert into t values (1)")
        with self.assertRaises(client.Error) as caught:
            for _ in range(1_000_000):
                session.exec("select 1")
        self.assertIn(caught.exception.code, ("25P02", "57014"))  # between two statements, or in one
        self.lost(session, ["aborted", 1], "the transaction has reached the time limit")
        self.assertEqual(self.rows(daemon), [])


class TheEnd(Tester):
    def goaway(self, db):
        while not any(kind == "goaway" for _, _, kind, _ in db.notices):
            db.read()
        return next(fields for _, _, kind, fields in db.notices if kind == "goaway")

    def ended(self, db):
        """The daemon closes, without anything unexpected before."""
        with self.assertRaises(ConnectionError):
            while True:
                db.read()

    def again(self, daemon):
        """What the file holds after the daemon's end, as a new daemon's clients see it."""
        other = Daemon(f"sqlite:///{daemon.folder}/main.db")
        self.addCleanup(other.close)
        return self.rows(other)

    def test_an_open_transaction_may_finish_and_nothing_new_begins(self):
        daemon = self.table(self.daemon())
        session, idle = self.session(daemon), self.connect(daemon)
        with session.connection.session() as neighbour:
            session.tx("begin")
            session.exec("insert into t values (1)")
            daemon.signal(signal.SIGTERM)
            notice = self.goaway(session.connection)
            self.assertEqual(notice["reason"], "shutdown")
            self.assertLessEqual(notice["deadline_ms"], 30_000)
            self.ended(idle)
            self.assertRaises(OSError, socket.create_connection, ("127.0.0.1", daemon.port))
            for action in (lambda: neighbour.exec("select 1"), lambda: neighbour.tx("begin"),
                           lambda: session.connection.session().__enter__()):
                self.assertTrue(self.failure("57P01", action).retry)
            session.exec("insert into t values (2)")
            session.tx("commit")
            self.ended(session.connection)
            neighbour.close = lambda commit: None
        self.assertEqual(daemon.wait(), 0)
        self.assertEqual(self.again(daemon), [1, 2])

    def test_a_statement_at_work_is_answered_before_the_end(self):
        daemon = self.table(self.daemon())
        session = self.session(daemon)
        result = session.start(client.EXEC, SERIES.format(2_000_000) + "select count(*) from n")
        session.connection.ping()
        daemon.signal(signal.SIGTERM)
        self.assertEqual(list(result), [[2_000_000]])
        self.assertEqual(daemon.wait(), 0)

    def test_at_the_deadline_what_is_open_is_rolled_back(self):
        daemon = self.table(self.daemon(server="shutdown_timeout = '500ms'"))
        session, busy = self.session(daemon), self.session(daemon)
        session.tx("begin")
        session.exec("insert into t values (1)")
        running = busy.start(client.EXEC, ENDLESS)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(10), 0)
        self.ended(session.connection)
        with self.assertRaises((client.Error, ConnectionError)):
            running.wait()
        daemon.wait_log("shutdown: 1 open transaction rolled back")
        self.assertEqual(self.again(daemon), [])

    def test_a_second_sigterm_does_not_wait(self):
        daemon = self.table(self.daemon())
        session = self.session(daemon)
        session.tx("begin")
        session.exec("insert into t values (1)")
        daemon.signal(signal.SIGTERM)
        self.goaway(session.connection)
        daemon.signal(signal.SIGTERM)
        daemon.wait(10)
        self.ended(session.connection)
        self.assertEqual(self.again(daemon), [])

    def test_killed_nothing_committed_is_lost(self):
        daemon = self.table(self.daemon())
        session = self.session(daemon)
        session.exec("insert into t values (1)")
        session.tx("begin")
        session.exec("insert into t values (2)")
        daemon.kill()
        self.ended(session.connection)
        self.assertEqual(self.again(daemon), [1])

    def test_sighup_and_sigusr1_are_logged_and_change_nothing(self):
        daemon = self.table(self.daemon())
        session = self.session(daemon, label="who is there")
        session.tx("begin")
        session.exec("insert into t values (1)")
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("SIGHUP: reloading the configuration is not there yet")
        daemon.signal(signal.SIGUSR1)
        daemon.wait_log("who is there")
        session.tx("commit")
        self.assertEqual(self.rows(daemon), [1])


class UnixSockets(Tester):
    def test_one_that_nobody_listens_on_is_replaced(self):
        first = self.daemon()
        path = first.folder / "own.sock"
        with Daemon("--listen", f"unix:{path}", listen=False) as killed:
            killed.kill()
            self.assertTrue(path.exists())
        with Daemon("--listen", f"unix:{path}", listen=False) as second:
            with client.connect(f"unix:{path}") as db:
                self.assertEqual(db.status()["pid"], second.pid)
            second.terminate()
        self.assertFalse(path.exists())

    def test_one_that_is_in_use_is_refused_and_stays(self):
        first = self.table(self.daemon())
        with self.assertRaises(RuntimeError) as caught:
            Daemon("--listen", f"unix:{first.socket_path}", listen=False)
        self.assertIn("ended at once with 69", str(caught.exception))
        self.assertIn(str(first.socket_path), str(caught.exception))
        with client.connect(f"unix:{first.socket_path}") as db:
            self.assertEqual(db.status()["pid"], first.pid)

    def test_a_file_that_is_no_socket_is_refused_and_stays(self):
        first = self.table(self.daemon())
        precious = first.folder / "precious"
        precious.write_text("data")
        with self.assertRaises(RuntimeError) as caught:
            Daemon("--listen", f"unix:{precious}", listen=False)
        self.assertIn("ended at once with 69", str(caught.exception))
        self.assertEqual(precious.read_text(), "data")
