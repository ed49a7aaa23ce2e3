"""The pool in front of PostgreSQL when servers, backends and networks fail, and when clients are many."""

import contextlib
import unittest

from based_client import EXEC, TX, Error, connect
from servers import Daemon, Gate, PostgresCluster, wait_until

cluster = None


def setUpModule():
    global cluster
    cluster = PostgresCluster()


def tearDownModule():
    cluster.close()


class Pool(unittest.TestCase):
    def start(self, port=None, user="postgres", **settings):
        """A daemon with one database whose backends can be told from all others."""
        name = self.id().rsplit(".", 1)[1][5:60]
        lines = [f'url = "{cluster.url(port=port, user=user)}"', f'application_name = "{name}"']
        for key, value in settings.items():
            lines.append(f"{key} = {value}" if isinstance(value, int) else f'{key} = "{value}"')
        self.name = name
        self.daemon = Daemon(config="[databases.app]\n" + "\n".join(lines) + "\n")
        self.addCleanup(self.daemon.close)
        return self.daemon

    def gated(self, **settings):
        self.gate = Gate(cluster.port)
        self.addCleanup(self.gate.close)
        return self.start(port=self.gate.port, **settings)

    def connect(self):
        database = connect(f"unix:{self.daemon.socket_path}")
        self.addCleanup(database.__exit__)
        return database

    def session(self, **options):
        session = self.connect().session(**options)
        session.opened.wait()
        return session

    def one(self, session, sql, parameters=None):
        return session.exec(sql, parameters).rows[0][0]

    def fails(self, code, action, *arguments):
        with self.assertRaises(Error) as caught:
            action(*arguments)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception

    def backends(self):
        found = cluster.query(f"select pid from pg_stat_activity where application_name = '{self.name}'")
        return [int(pid) for (pid,) in found]

    def terminate(self, pid):
        cluster.query(f"select pg_terminate_backend({pid})")
        wait_until(lambda: pid not in self.backends(), "the backend to end")

    def table(self, name="t"):
        cluster.query(f"drop table if exists {name}; create table {name} (id int primary key)")

    def waiting(self):
        with connect(f"unix:{self.daemon.socket_path}") as database:
            return database.status()["databases"][0]["pools"][0]["requests_waiting"]

    def check_recovered(self):
        """Another client works, in a transaction too."""
        session = self.session()
        with session.transaction():
            self.assertEqual(self.one(session, "select 40 + 2"), 42)


class Server(Pool):
    def test_a_restart_between_two_statements_is_not_noticed(self):
        self.start()
        session = self.session()
        before = self.one(session, "select pg_backend_pid()")
        cluster.restart()
        self.assertNotEqual(self.one(session, "select pg_backend_pid()"), before)
        self.check_recovered()

    def test_a_restart_within_a_transaction_is_told_and_the_session_goes_on_after_its_rollback(self):
        self.table()
        self.start()
        session = self.session()
        session.tx("begin")
        session.exec("insert into t values (1)")
        cluster.restart()
        wait_until(lambda: (session.connection.ping(), session.connection.notices)[1], "the notice")
        number, request, kind, fields = session.connection.notices[-1]
        self.assertEqual((number, request, kind, fields["tx"]),
                         (session.number, 0, "transaction_lost", ["aborted", 1]))
        error = self.fails("25P02", session.exec, "insert into t values (2)")
        self.assertEqual((error.executed, error.tx), ("no", ["aborted", 1]))
        self.assertEqual(session.tx("rollback_all")["tx"], ["idle", 0])
        self.assertEqual(self.one(session, "select count(*) from t"), 0)
        self.check_recovered()

    def test_while_the_server_is_down_statements_wait_and_are_served_when_it_comes_back(self):
        self.start()
        session = self.session()
        session.exec("select 1")
        cluster.stop()
        try:
            waiters = [self.session().start(EXEC, "select $1", [i], {}) for i in range(5)]
            wait_until(lambda: self.waiting() == 5, "five that wait")
            impatient = self.session(queue_timeout_ms=100)
            error = self.fails("08001", impatient.exec, "select 1")
            self.assertEqual((error.executed, error.retry), ("no", True))
        finally:
            cluster.start()
        self.assertEqual([waiter.wait().rows[0][0] for waiter in waiters], list(range(5)))
        self.check_recovered()

    def test_a_server_that_refuses_is_asked_again_until_it_accepts(self):
        self.gated()
        self.gate.refuse()
        waiter = self.session().start(EXEC, "select 7", None, {})
        wait_until(lambda: self.waiting() == 1, "one that waits")
        self.gate.refuse(False)
        self.assertEqual(waiter.wait().rows[0][0], 7)
        self.check_recovered()

    def test_the_servers_own_limit_of_connections_is_a_wait_and_not_an_error(self):
        cluster.query("drop role if exists narrow; create role narrow login connection limit 2")
        self.start(user="narrow", max_size=10)
        sessions = [self.session() for _ in range(8)]
        slow = "select $1 from pg_sleep(0.05)"
        requests = [session.start(EXEC, slow, [i], {}) for i, session in enumerate(sessions)]
        self.assertEqual([request.wait().rows[0][0] for request in requests], list(range(8)))
        for holder in sessions[:2]:
            holder.tx("begin")
            holder.exec("select 1")
        error = self.fails("53300", self.session(queue_timeout_ms=100).exec, "select 1")
        self.assertEqual((error.executed, error.retry), ("no", True))
        for holder in sessions[:2]:
            holder.tx("rollback")
        self.check_recovered()


class Backend(Pool):
    def test_one_that_ends_while_it_is_idle_is_replaced_unnoticed(self):
        self.start()
        session = self.session()
        for _ in range(5):
            pid = self.one(session, "select pg_backend_pid()")
            self.terminate(pid)
            self.assertNotEqual(self.one(session, "select pg_backend_pid()"), pid)
        self.check_recovered()

    def test_one_that_ends_within_a_transaction_aborts_that_transaction_only(self):
        self.table()
        self.start()
        struck, other = self.session(), self.session()
        for session, number in ((struck, 1), (other, 2)):
            session.tx("begin")
            session.exec("insert into t values ($1)", [number])
        self.terminate(self.one(struck, "select pg_backend_pid()"))
        wait_until(lambda: (struck.connection.ping(), struck.connection.notices)[1], "the notice")
        self.fails("25P02", struck.exec, "select 1")
        struck.tx("rollback_all")
        other.tx("commit")
        self.assertEqual(self.one(struck, "select array_agg(id)::text from t"), "{2}")
        self.check_recovered()

    def test_one_that_ends_within_a_statement_is_08006_and_says_whether_it_was_executed(self):
        self.start()
        session = self.session()
        for transaction, state in ((False, ["idle", 0]), (True, ["aborted", 1])):
            with self.subTest(transaction=transaction):
                if transaction:
                    session.tx("begin")
                running = session.start(EXEC, "select pg_sleep(60)", None, {})
                active = ("select pid from pg_stat_activity where state = 'active'"
                          f" and application_name = '{self.name}'")
                ((pid,),) = wait_until(lambda: cluster.query(active), "the statement to run")
                self.terminate(int(pid))
                error = self.fails("08006", running.wait)
                # Its last word, the FATAL, says that the statement was ended.
                self.assertEqual((error.executed, error.tx), ("no", state))
                if transaction:
                    session.tx("rollback_all")
        self.check_recovered()

    def test_one_that_ends_within_a_result_is_08006_after_the_rows_that_came(self):
        self.start()
        session = self.session()
        sql = "select i, repeat('x', 99), pg_backend_pid() from generate_series(1, 999999) i"
        result = session.start(EXEC, sql, None, {"credit": 100})
        while len(result.rows) < 100:
            session.connection.read()
        self.terminate(result.rows[0][2])
        result.fetch(10_000_000)
        result.credit = None
        self.fails("08006", result.wait)
        self.assertEqual([row[0] for row in result.rows], list(range(1, len(result.rows) + 1)))
        self.assertLess(len(result.rows), 999_999)
        self.check_recovered()


class Network(Pool):
    LONG = "select i, repeat('x', 1000) from generate_series(1, 100000) i"

    def test_a_cut_in_the_middle_of_a_result_is_08006_and_the_next_statement_works(self):
        self.gated()
        session = self.session()
        session.exec("select 1")
        self.gate.bytes_left = 1_000_000
        error = self.fails("08006", session.exec, self.LONG)
        self.assertEqual((error.executed, error.tx), ("unknown", ["idle", 0]))  # no last word
        self.gate.bytes_left = None
        self.assertEqual(self.one(session, "select 2"), 2)
        self.check_recovered()

    def test_a_cut_at_any_byte_of_a_conversation_is_an_error_or_a_retry_and_never_a_wrong_row(self):
        self.gated()
        for left in (1, 4, 5, 6, 13, 40, 100, 333, 400, 420, 450):
            with self.subTest(bytes=left):
                session = self.session()
                session.exec("select 1")
                self.gate.bytes_left = left
                with contextlib.suppress(Error):
                    self.assertEqual(session.exec("select 'abc', $1", [5]).rows[0], ["abc", 5])
                self.gate.bytes_left = None
                if session.state[0] != "idle":
                    session.tx("rollback_all")
                self.assertEqual(list(session.exec("select 'abc', $1", [6]).rows), [["abc", 6]])
        self.check_recovered()

    def test_a_commit_whose_answer_is_lost_is_unknown_and_says_so(self):
        self.table()
        self.gated()
        session = self.session()
        session.tx("begin")
        session.exec("insert into t values (1)")
        self.gate.stall()
        commit = session.start(TX, "commit", {})
        self.assertEqual(session.connection.ping("read"), "read")  # the commit was read
        self.gate.cut()
        self.gate.resume()
        error = self.fails("08007", commit.wait)
        self.assertEqual(error.executed, "unknown")
        if session.state[0] != "idle":
            session.tx("rollback_all")
        self.assertIn(self.one(session, "select count(*) from t"), (0, 1))
        self.check_recovered()

    def test_a_stalled_result_ends_with_its_timeout_and_others_are_served(self):
        self.gated(max_size=2)
        session = self.session()
        session.exec("select 1")
        self.gate.stall()
        running = session.start(EXEC, self.LONG, None, {"timeout_ms": 200})
        self.assertEqual(session.connection.ping("alive"), "alive")
        self.gate.resume()
        with contextlib.suppress(Error):  # it may have been faster than its cancel
            running.wait()
        if running.error:
            self.assertEqual(running.error.code, "57014")
        self.check_recovered()


class Crowd(Pool):
    def test_more_clients_than_links_are_all_served_in_the_order_they_came(self):
        self.start(max_size=2)
        cluster.query("drop table if exists served; create table served (n serial, who int)")
        holders = [self.session() for _ in range(2)]
        for holder in holders:
            holder.tx("begin")
            holder.exec("select 1")
        requests = []
        for i in range(40):
            requests.append(self.session().start(EXEC, "insert into served (who) values ($1) returning n",
                                                 [i], {}))
            wait_until(lambda: self.waiting() == len(requests), "one more that waits")
        holders[0].tx("rollback")  # one link is enough for all
        numbers = [request.wait().rows[0][0] for request in requests]
        self.assertEqual(numbers, sorted(numbers))
        holders[1].tx("rollback")
        self.assertLessEqual(len(self.backends()), 2)
        self.check_recovered()

    def test_many_short_transactions_on_few_links_all_commit(self):
        self.table()
        self.start(max_size=3)
        sessions = [self.session() for _ in range(30)]
        finals = []
        for i, session in enumerate(sessions):
            session.start(TX, "begin", {})
            session.start(EXEC, "insert into t values ($1)", [i], {}, chain=True)
            finals.append(session.start(TX, "commit", {"depth": 1}, chain=True))
        for final in finals:
            final.wait()
        self.assertEqual(self.one(self.session(), "select count(*) from t"), 30)
        self.assertLessEqual(len(self.backends()), 3)

    def test_who_waits_too_long_for_a_link_gets_53300_and_may_retry(self):
        self.start(max_size=1)
        holder = self.session(label="the holder")
        holder.tx("begin")
        holder.exec("select 1")
        error = self.fails("53300", self.session(queue_timeout_ms=100).exec, "select 1")
        self.assertEqual((error.executed, error.retry), ("no", True))
        holder.tx("rollback")
        self.check_recovered()

    def test_too_many_waiters_are_refused_at_once(self):
        self.start(max_size=1, max_waiting=2)
        holder = self.session()
        holder.tx("begin")
        holder.exec("select 1")
        waiters = [self.session().start(EXEC, "select 1", None, {}) for _ in range(2)]
        wait_until(lambda: self.waiting() == 2, "two that wait")
        self.fails("53300", self.session().exec, "select 1")
        holder.tx("rollback")
        for waiter in waiters:
            waiter.wait()
        self.check_recovered()

    def test_a_cancel_strikes_its_own_statement_and_no_other(self):
        self.start(max_size=2)
        session, other = self.session(), self.session()
        for _ in range(20):
            slow = session.start(EXEC, "select pg_sleep(60)", None, {})
            neighbour = other.start(EXEC, "select 5 from pg_sleep(0.01)", None, {})
            slow.cancel()
            follower = session.start(EXEC, "select 6 from pg_sleep(0.01)", None, {})
            self.assertEqual(self.fails("57014", slow.wait).executed, "no")
            self.assertEqual((neighbour.wait().rows[0][0], follower.wait().rows[0][0]), (5, 6))
            quick = session.start(EXEC, "select 7", None, {})
            quick.cancel()
            with contextlib.suppress(Error):
                quick.wait()
            self.assertEqual(self.one(session, "select 8 from pg_sleep(0.005)"), 8)
        self.check_recovered()


class HandBack(Pool):
    """One link, used by one session after the other."""

    def pair(self):
        self.start(max_size=1)
        return self.session(), self.session()

    def test_settings_stay_with_their_session(self):
        one, two = self.pair()
        one.exec("set work_mem = '7MB'")
        one.exec("set search_path = pg_catalog")
        one.exec("set time zone 'Asia/Tokyo'")
        self.assertEqual((self.one(two, "show work_mem"), self.one(two, "show time zone")),
                         ("4MB", self.one(self.session(), "show time zone")))
        self.assertNotEqual(self.one(two, "show time zone"), "Asia/Tokyo")
        self.assertEqual((self.one(one, "show work_mem"), self.one(one, "show time zone")),
                         ("7MB", "Asia/Tokyo"))
        one.connection.__exit__()
        self.assertEqual(self.one(two, "show work_mem"), "4MB")

    def test_temporary_tables_and_advisory_locks_end_with_their_session(self):
        self.start(max_size=2)
        one, two = self.session(), self.session()
        one.exec("create temp table mine (a int)")
        one.exec("insert into mine values (1)")
        one.exec("select pg_advisory_lock(77)")
        self.assertEqual(self.one(one, "select a from mine"), 1)
        self.fails("42P01", two.exec, "select * from mine")
        self.assertFalse(self.one(two, "select pg_try_advisory_lock(77)"))
        one.close()
        locks = "select count(*) from pg_locks where locktype = 'advisory'"
        wait_until(lambda: cluster.query(locks) == [["0"]], "the lock's end")
        for session in (self.session(), self.session()):
            self.fails("42P01", session.exec, "select * from mine")
            session.exec("create temp table mine (b int)")
            session.close()
        self.check_recovered()

    def test_a_lock_of_a_client_that_vanishes_is_free_again(self):
        self.start(max_size=1)
        one = self.session()
        one.exec("select pg_advisory_lock(78)")
        one.tx("begin")
        one.connection.__exit__()
        two = self.session()
        self.assertTrue(self.one(two, "select pg_try_advisory_lock(78)"))
        two.close()
        self.check_recovered()

    def test_an_open_transaction_of_a_client_that_vanishes_is_rolled_back(self):
        self.table()
        one, two = self.pair()
        one.tx("begin")
        one.exec("insert into t values (1)")
        one.exec("set local work_mem = '9MB'")
        one.start(EXEC, "select pg_sleep(60)", None, {})
        one.connection.__exit__()
        self.assertEqual((self.one(two, "select count(*) from t"), self.one(two, "show work_mem")),
                         (0, "4MB"))
        two.exec("insert into t values (1)")
        self.check_recovered()

    def test_a_prepared_statement_follows_a_changed_table_without_an_error(self):
        self.table("shape")
        one, two = self.pair()
        one.exec("insert into shape values (1)")
        for session in (one, two, one, two):
            self.assertEqual(list(session.exec("select * from shape").rows), [[1]])
        for column, row in (("add column a text", [1, None]), ("alter column a type int using 5", [1, 5]),
                            ("drop column a", [1]), ("rename column id to key", [1])):
            cluster.query(f"alter table shape {column}")
            for session in (one, two):
                self.assertEqual(list(session.exec("select * from shape").rows), [row])
        one.tx("begin")
        one.exec("select 1")
        cluster.query("alter table shape add column b int")
        with contextlib.suppress(Error):  # within a transaction it may show: nothing can be repeated
            one.exec("select * from shape")
        one.tx("rollback_all")
        self.assertEqual(list(one.exec("select * from shape").rows), [[1, None]])
        self.check_recovered()


if __name__ == "__main__":
    unittest.main()
