"""What a client of PostgreSQL's protocol is told when the server behind Based restarts, dies, hangs or is not there."""

import contextlib
import os
import pathlib
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from based_client import connect
from pg_client import PgClient, Refused, bind, execute, extended, flush, parse, query, startup, sync
from servers import Daemon, wait_until
from wire_servers import Conversation, Servers

POOLS = {
    "app": "max_size = 6\ntimeout = '15s'",
    "brief": "max_size = 3\ntimeout = '1s'\nstatement_timeout = '3s'",
    "watched": "max_size = 1\ntimeout = '15s'\nconnect_timeout = '2s'\ncheck_interval = '1ms'",
}
ONE = "T:?column? D:1 C:SELECT 1 Z:"


def setUpModule():
    Conversation.servers = Servers(common="", pools=POOLS)
    Conversation.servers.cluster.query("create table t(n int)", "app")


@contextlib.contextmanager
def stopped(pid):
    """The process stands still, and its sockets stay open."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Faults(Conversation):
    pool = "app"

    @property
    def cluster(self):
        return self.servers.cluster

    def start_query(self, client, sql):
        """Sends it and waits until the server is at it, maybe with a BEGIN in front; the server's process."""
        client.send(query(sql))
        running = ("select pid from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() "
                   f"and query like $q$%{sql}$q$")
        return int(wait_until(lambda: self.server(running), sql)[0][0])

    def is_waiting(self, database, daemon=None):
        with connect(f"unix:{(daemon or self.servers.daemon).socket_path}") as native:
            pools = next(d for d in native.status()["databases"] if d["name"] == database)["pools"]
            return sum(pool["requests_waiting"] for pool in pools)

    @contextlib.contextmanager
    def away(self):
        """No server; it is back at the end if nobody has started it before."""
        self.cluster.stop("immediate")
        try:
            yield
        finally:
            if not (self.cluster.data / "postmaster.pid").exists():
                self.cluster.start()

    def tearDown(self):
        """Whatever happened, the next client is served."""
        wait_until(lambda: self.served(), "somebody to be served")

    def served(self):
        try:
            return self.connect().value("select 1") == "1"
        except Refused:
            return False


class Restart:
    """What is true of both ways to stop a server."""

    mode = code = said = None

    def test_between_transactions_a_client_notices_nothing(self):
        first, second = self.connect(application_name="first"), self.connect()
        first.query("set work_mem = '5MB'; set search_path = public; prepare q(int) as select $1 + 1")
        self.assertEqual(first.ask(parse("p", "select $1::int * 2"), parse("", "select 'unnamed'"), sync()),
                         "1 1 Z:I")
        before = first.value("select pg_backend_pid()")
        self.cluster.restart(self.mode)
        self.assertEqual(first.ask(bind("", "p", ["21"]), execute(), sync()), "2 D:42 C:SELECT 1 Z:I")
        self.assertEqual(first.query("execute q(6)"), "T:?column? D:7 C:SELECT 1 Z:I")
        self.assertEqual(first.rows("select current_setting('work_mem'), current_setting('application_name')"),
                         [["5MB", "first"]])
        self.assertEqual(second.value("show work_mem"), "4MB")
        self.assertNotEqual(first.value("select pg_backend_pid()"), before)

    def test_the_unnamed_statement_is_there_as_well(self):
        client = self.connect()
        self.assertEqual(client.ask(parse("", "select 'unnamed'"), sync()), "1 Z:I")
        self.cluster.restart(self.mode)
        self.assertEqual(client.ask(bind(), execute(), sync()), "2 D:unnamed C:SELECT 1 Z:I")

    def test_in_a_transaction_the_next_statement_is_an_error_and_then_25P02_up_to_the_end(self):
        for end in ("rollback", "commit"):
            client = self.connect()
            client.query("set work_mem = '5MB'")
            client.query("begin; set work_mem = '6MB'; insert into t values (1)")
            self.cluster.restart(self.mode)
            error = client.error(query("insert into t values (2)"))
            self.assertEqual((error["C"], error["S"], error["V"]), (self.code, "ERROR", "ERROR"))
            self.assertEqual(error["M"].count("the connection to PostgreSQL was lost: "), 1)
            self.assertEqual(client.query("insert into t values (3)"), "E:25P02 Z:E")
            self.assertEqual(client.ask(extended("select 1"), sync()), "E:25P02 Z:E")
            self.assertEqual(client.query(end), "C:ROLLBACK Z:I")
            self.assertEqual(client.rows("select current_setting('work_mem'), (select count(*) from t)"),
                             [["5MB", "0"]])

    def test_in_a_transaction_whose_next_word_is_rollback_there_is_no_error(self):
        client, other = self.connect(), self.connect()
        for one in (client, other):
            one.query("begin; insert into t values (1)")
        self.cluster.restart(self.mode)
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(other.ask(extended("rollback"), sync()), "1 2 C:ROLLBACK Z:I")
        self.assertEqual(client.value("select count(*) from t"), "0")

    def test_a_failed_transaction_and_one_at_its_commit(self):
        failed, committing = self.connect(), self.connect()
        failed.query("begin")
        failed.query("select 1/0")
        committing.query("begin; insert into t values (1)")
        self.cluster.restart(self.mode)
        self.assertEqual(committing.query("commit"), f"E:{self.code} Z:E")
        self.assertEqual(committing.query("commit"), "C:ROLLBACK Z:I")
        self.assertEqual(failed.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(self.server("select count(*) from t"), [["0"]])

    def test_a_statement_that_runs_gets_one_error_and_its_session_goes_on(self):
        alone, inside, pipelined = self.connect(), self.connect(), self.connect()
        self.start_query(alone, "select pg_sleep(100), 1")
        inside.query("begin; insert into t values (1)")
        self.start_query(inside, "select pg_sleep(100), 2")
        pipelined.send(extended("select pg_sleep(100), 3"), sync(), extended("select 4"), sync())
        wait_until(lambda: self.server("select 1 from pg_stat_activity where state = 'active' and query like "
                                       "'%100), 3'"), "the third")
        self.cluster.restart(self.mode)
        said = self.said
        self.assertEqual(alone.answers(), f"T:pg_sleep,?column? {said} Z:I")
        self.assertEqual(inside.answers(), f"T:pg_sleep,?column? {said} Z:E")
        self.assertEqual(pipelined.answers(2), f"1 2 {said} Z:I E:{self.code} Z:I")
        self.assertEqual(inside.query("select 1"), "E:25P02 Z:E")
        self.assertEqual(inside.query("rollback"), "C:ROLLBACK Z:I")
        for client in (alone, inside, pipelined):
            self.assertEqual(client.query("select 1"), ONE + "I")
        self.assertEqual(self.server("select count(*) from t"), [["0"]])

    def test_what_was_pinned_is_gone_and_its_client_is_told_so_at_once(self):
        pinned = self.connect()
        self.assertEqual(pinned.query("create temp table mine(a int)"), "C:CREATE TABLE Z:I")
        self.cluster.restart(self.mode)
        kind, body = pinned.message()
        self.assertEqual(kind, "E")
        self.assertIn(b"SFATAL\0VFATAL\0C" + self.code.encode(), body)
        self.assertIn(b"the connection to PostgreSQL was lost", body)
        self.assertEqual(pinned.answers(), "closed")


class FastRestart(Restart, Faults):
    """The server says why it goes."""

    mode, code, said = "fast", "57P01", "E:57P01"


class ImmediateRestart(Restart, Faults):
    """It is gone, and says no more than a warning."""

    mode, code, said = "immediate", "08006", "N:57P01 E:08006"

    def test_a_commit_without_an_answer_is_08007(self):
        self.server("create table slow(n int); create function nap() returns trigger language plpgsql as "
                    "'begin perform pg_sleep(100); return null; end'; create constraint trigger at_commit "
                    "after insert on slow deferrable initially deferred for each row execute function nap()")
        client = self.connect()
        client.query("begin; insert into slow values (1)")
        self.start_query(client, "commit")
        self.cluster.restart(self.mode)
        self.assertEqual(client.answers(), "N:57P01 E:08007 Z:E")
        self.assertEqual(client.query("commit"), "C:ROLLBACK Z:I")
        self.assertEqual(client.value("select count(*) from slow"), "0")


class Backends(Faults):
    """One server process of many."""

    def test_one_that_is_terminated_is_its_own_clients_affair(self):
        inside, other, idle = self.connect(), self.connect(), self.connect()
        inside.query("begin")
        other.query("begin; insert into t values (1)")
        idle.query("set work_mem = '5MB'")
        pid = inside.value("select pg_backend_pid()")
        self.server(f"select pg_terminate_backend({pid}, 5000)")
        self.assertEqual(inside.query("select 1"), "E:57P01 Z:E")
        self.assertEqual(other.query("select count(*) from t"), "T:count D:1 C:SELECT 1 Z:T")
        self.assertEqual(other.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(idle.value("show work_mem"), "5MB")
        self.assertEqual(inside.query("rollback"), "C:ROLLBACK Z:I")

    def test_one_that_ends_with_a_message_unread_is_heard_to_the_end(self):
        """Its socket is broken then, but its last words are in it."""
        client = self.connect()
        text = "select pg_sleep(100), 7"
        client.send(parse("", text), bind(), execute(), flush())
        running = f"select pid from pg_stat_activity where state = 'active' and query = '{text}'"
        pid = wait_until(lambda: self.server(running), text)[0][0]
        client.send(sync())
        self.assertTrue(client.quiet())
        with stopped(self.servers.daemon.process.pid):
            self.server(f"select pg_terminate_backend({pid}, 5000)")
        self.assertEqual(client.answers(), "1 2 E:57P01 Z:I")

    def test_nor_is_it_unheard_where_more_is_said_to_it(self):
        client = self.connect()
        text = "select pg_sleep(100), 8"
        client.send(parse("", text), bind(), execute(), flush())
        running = f"select pid from pg_stat_activity where state = 'active' and query = '{text}'"
        pid = wait_until(lambda: self.server(running), text)[0][0]
        client.send(sync())
        self.assertTrue(client.quiet())
        with stopped(self.servers.daemon.process.pid):
            client.send(query("select 1"))
            self.server(f"select pg_terminate_backend({pid}, 5000)")
        self.assertEqual(client.answers(2), "1 2 E:57P01 Z:I E:57P01 Z:I")
        self.assertEqual(client.query("select 1 as a"), "T:a D:1 C:SELECT 1 Z:I")

    def test_one_that_ends_as_its_settings_are_brought_back(self):
        """What is sent behind that is not done outside of the transaction."""
        for text in ("select 1", "insert into t values (7)"):
            client = self.connect(search_path="pg_temp,public")
            pid = int(client.value("select pg_backend_pid()"))
            client.query("begin")
            self.assertEqual(int(client.value("select pg_backend_pid()")), pid)
            client.query("reset search_path")
            with stopped(pid):
                client.send(query(text), query("insert into t values (7)"), query("commit"))
                self.assertTrue(client.quiet())
                os.kill(pid, signal.SIGTERM)
            self.assertRegex(client.answers(3), "^E:(57P01|08006) Z:E E:25P02 Z:E C:ROLLBACK Z:I$")
            self.assertEqual(self.server("select count(*) from t where n = 7"), [["0"]])

    def test_one_that_is_killed_takes_the_others_with_it(self):
        killed, running, idle, inside = (self.connect() for _ in range(4))
        idle.query("set work_mem = '5MB'")
        inside.query("begin")
        self.start_query(running, "select pg_sleep(100), 5")
        os.kill(self.start_query(killed, "select pg_sleep(100), 6"), signal.SIGKILL)
        self.assertEqual(killed.answers(), "E:08006 Z:I")
        self.assertEqual(running.answers(), "T:pg_sleep,?column? N:57P02 E:08006 Z:I")
        self.assertEqual(idle.value("show work_mem"), "5MB")
        self.assertEqual(inside.query("select 1"), "E:08006 Z:E")
        self.assertEqual(inside.query("rollback"), "C:ROLLBACK Z:I")

    def test_those_that_stand_still_end_with_the_statements_timeout_and_others_go_on(self):
        """The cancel request is sent, and is not answered either."""
        alone, inside, other = (self.connect("brief") for _ in range(3))
        inside.query("begin")
        with stopped(self.start_query(alone, "select pg_sleep(100), 7")), \
                stopped(self.start_query(inside, "select pg_sleep(100), 8")):
            self.assertEqual(other.query("select 1"), ONE + "I")
            self.assertEqual(alone.answers(), "E:08006 Z:I")
            self.assertEqual(inside.answers(), "E:08006 Z:E")
            self.assertEqual(alone.query("select 1"), ONE + "I")
        self.assertEqual(inside.query("rollback"), "C:ROLLBACK Z:I")

    def test_an_idle_one_that_stands_still_is_found_out_before_a_client_gets_it(self):
        client = self.connect("watched")
        pid = int(client.value("select pg_backend_pid()"))
        with stopped(pid):
            self.connect("app").query("select 1")  # which takes longer than check_interval
            self.assertNotEqual(int(client.value("select pg_backend_pid()")), pid)


class Seen(Faults):
    """The server is not there when a client comes whose like was here before."""

    def test_a_user_seen_before_logs_in_and_the_first_statement_waits_for_the_server(self):
        told = self.connect().parameters
        with self.away():
            client = self.connect()
            self.assertEqual(client.parameters, told)
            client.send(query("select 1"))
            wait_until(lambda: self.is_waiting("app") == 1, "the statement to wait")
            self.cluster.start()
            self.assertEqual(client.answers(), ONE + "I")

    def test_its_settings_are_tried_when_the_server_is_back(self):
        self.connect()
        with self.away():
            good = self.connect(work_mem="5MB", application_name="good", timezone="Asia/Tokyo")
            bad = self.connect(work_mem="much")
            self.assertEqual((good.parameters["application_name"], good.parameters["TimeZone"]), ("good", "Asia/Tokyo"))
            self.cluster.start()
            self.assertEqual(good.value("show work_mem"), "5MB")
            self.assertIn("22023", bad.query("select 1"))

    def test_a_first_statement_that_waits_too_long_gets_its_error_and_the_next_one_may_succeed(self):
        self.connect("brief")
        with self.away():
            client = self.connect("brief")
            error = client.error(query("select 1"))
            self.assertEqual((error["C"], error["S"]), ("08001", "ERROR"))
            self.assertRegex(error["D"], "^The request waited for 1[0-9]{3} ms[.]$")
            self.assertEqual(client.ask(extended("select 1"), sync()), "E:08001 Z:I")
        self.assertEqual(wait_until(lambda: self.once_there(client), "the server"), ONE + "I")

    def once_there(self, client):
        answer = client.query("select 1")
        return None if answer == "E:08001 Z:I" else answer


class Strangers(Faults):
    """Users whose like was never seen, on links of their own name."""

    @classmethod
    def setUpClass(cls):
        cluster = cls.servers.cluster
        for name in ("late", "early", "patient"):
            cluster.query(f"create role {name} login")
        url = f"postgresql://127.0.0.1:{cluster.port}"
        cls.daemon = Daemon(config="".join(
            f"[databases.{name}]\nurl = '{url}/app'\nconnect_timeout = '{seconds}s'\n"
            for name, seconds in (("short", 2), ("long", 15))))
        cls.addClassCleanup(cls.daemon.close)

    def connect_as(self, user, database, start=True):
        client = PgClient(f"127.0.0.1:{self.daemon.port}", user, database, start=start)
        self.addCleanup(client.close)
        return client

    def refused(self, user):
        with self.assertRaises(Refused) as caught:
            self.connect_as(user, "short")
        self.assertEqual((caught.exception.code, caught.exception.fields["S"]), ("57P03", "FATAL"))

    def is_let_in(self, user):
        try:
            return self.connect_as(user, "short").value("select current_user") == user
        except Refused:
            return False

    def test_one_is_refused_with_57P03_after_connect_timeout(self):
        self.connect_as("postgres", "short")
        with self.away():
            begun = time.monotonic()
            self.refused("early")
            self.assertGreater(time.monotonic() - begun, 1.9)
            self.assertEqual(self.connect_as("postgres", "short").parameters["server_encoding"], "UTF8")
        wait_until(lambda: self.is_let_in("early"), "the stranger to be let in")

    def test_one_is_let_in_when_the_server_comes_in_time(self):
        with self.away():
            client = self.connect_as("late", "long", start=False)
            client.send(startup({"user": "late", "database": "long"}))
            wait_until(lambda: self.is_waiting("long", self.daemon) == 1, "the start to wait")
            self.cluster.start()
            client.log_in("late", None)
            self.assertEqual(client.value("select current_user"), "late")

    def test_a_server_that_stands_still_is_57P03_too(self):
        postmaster = int((self.cluster.data / "postmaster.pid").read_text().split()[0])
        with stopped(postmaster):
            self.refused("patient")
        wait_until(lambda: self.is_let_in("patient"), "the stranger to be let in")


if __name__ == "__main__":
    unittest.main()
