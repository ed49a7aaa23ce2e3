"""Named sandboxes: database#name, each with a root of its own, side by side over both protocols and both backends."""

import contextlib
import pathlib
import sqlite3
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import based_client
from pg_client import PgClient, Refused, bind, cells, describe, execute, fields, parse, query, sync
from servers import Daemon, PostgresCluster, temporary_folder, wait_until

cluster = None


def setUpModule():
    global cluster
    cluster = PostgresCluster()
    cluster.query("create table things (id int primary key, note text)")
    cluster.query("insert into things values (1, 'base')")


def tearDownModule():
    cluster.close()


class Sandboxes(unittest.TestCase):
    def daemon(self, server="", table="force_rollback = true", more=""):
        url = f"postgresql://postgres@127.0.0.1:{cluster.port}/postgres"
        running = Daemon(config=f'[server]\n{server}\n[databases.app]\nurl = "{url}"\n{table}\n{more}')
        self.addCleanup(self.end, running)
        self.running = running
        self.address = f"127.0.0.1:{running.port}"
        self.socket = f"unix:{running.socket_path}"
        return running

    def end(self, running):
        running.close()
        self.assertEqual(cluster.query("select id, note from things"), [["1", "base"]])
        self.assertEqual(cluster.query("select count(*) from pg_prepared_xacts"), [["0"]])

    def connect(self, database, address=None, **parameters):
        client = PgClient(address or self.address, database=database, **parameters)
        self.addCleanup(client.close)
        return client

    def refusal(self, database, **parameters):
        with self.assertRaises(Refused) as refused:
            self.connect(database, **parameters)
        return refused.exception.code

    def native(self):
        return self.enterContext(based_client.connect(self.address))


class Names(Sandboxes):
    def test_two_sandboxes_do_not_see_each_other(self):
        self.daemon()
        one, two, other = self.connect("app#w1"), self.connect("app#w2"), self.connect("app#w2")
        for client, name in ((one, "dune"), (two, "beach")):
            client.rows(f"create table {name} (id int primary key)")
            client.rows(f"insert into {name} values (7)")
            client.rows(f"begin; update {name} set id = 8; insert into {name} values (9); commit")
        one.rows("begin; insert into dune values (10)")
        two.rows("begin; insert into beach values (10); commit")  # it needs no turn of the other's
        self.assertEqual(other.value("select count(*) from beach"), "3")
        one.rows("rollback")
        self.assertEqual(one.value("select count(*) from dune"), "2")
        for client in (two, self.connect("app")):
            self.assertEqual(client.value("select to_regclass('dune')"), None)
        self.assertEqual(two.value("select current_database()"), "postgres")

    def test_the_same_key_of_one_table_is_waited_for_but_not_for_ever(self):
        self.daemon()
        one, two = self.connect("app#w1"), self.connect("app#w2")
        one.rows("insert into things values (2, 'one')")
        two.rows("set lock_timeout = '100ms'")
        with self.assertRaises(Refused) as refused:
            two.rows("insert into things values (2, 'two')")
        self.assertEqual(refused.exception.code, "55P03")
        two.rows("reset lock_timeout")
        self.assertEqual(two.value("show lock_timeout"), "5s")
        two.rows("insert into things values (3, 'two')")
        self.assertEqual(two.value("select count(*) from things"), "2")

    def test_who_waits_for_another_sandbox_in_vain_hears_for_which(self):
        self.daemon()
        one, two = self.connect("app#w1"), self.connect("app#w2")
        native = self.enterContext(based_client.connect(self.address)).session(database="app#w2")
        one.rows("insert into things values (2, 'one')")
        two.rows("set lock_timeout = '2500ms'")
        error = two.error(query("insert into things values (2, 'two')"))
        self.assertEqual(error["C"], "55P03")
        self.assertRegex(error["D"], 'It waited for sandbox "app#w1"')
        self.running.wait_log('sandbox app#w2: session .* waits for sandbox "app#w1"')
        with self.assertRaises(based_client.Error) as failed:
            native.exec("insert into things values (2, 'native')")  # it has the default of 5 s
        self.assertEqual(failed.exception.code, "55P03")
        self.assertIn('It waited for sandbox "app#w1"', failed.exception.detail)
        outside = PgClient(f"127.0.0.1:{cluster.port}")
        self.addCleanup(outside.close)
        outside.rows("begin; insert into things values (3, 'outside')")
        error = two.error(query("insert into things values (3, 'two')"))
        self.assertRegex(error["D"], "It waited for server process [0-9]+, which is no sandbox's")
        outside.rows("rollback")
        two.rows("set lock_timeout = '50ms'")
        self.assertNotIn("D", two.error(query("insert into things values (2, 'two')")))  # nobody could look

    def deadlock(self, waiter, victim):
        """The detail of the error of who closes the ring. Each has a row of its own that the other wants."""
        waiter.rows("begin; insert into things values (11, 'waiter')")
        victim("begin")
        victim("insert into things values (12, 'victim')")
        waiter.send(query("insert into things values (12, 'waiter')"))
        waits = "select count(*) from pg_locks where not granted and waitstart < clock_timestamp() - interval '300 ms'"
        wait_until(lambda: cluster.query(waits) == [["1"]], "it waits, and was not found to be in a ring")
        detail = victim("insert into things values (11, 'victim')")
        victim("rollback")
        self.assertEqual(waiter.answers(), "C:INSERT 0 1 Z:T")
        waiter.rows("rollback")
        return detail

    def test_a_ring_that_the_server_finds_is_told_by_the_sandboxes_names(self):
        cluster.query("alter system set deadlock_timeout = '100ms'")
        self.addCleanup(lambda: (cluster.query("alter system reset deadlock_timeout"), cluster.query("select pg_reload_conf()")))
        cluster.query("select pg_reload_conf()")
        self.daemon(table="sandboxes = true")
        native = self.native()

        def by_wire(database):
            client = self.connect(database)

            def run(sql):
                client.send(query(sql))
                for kind, body in client.messages():
                    if kind == "E":
                        return fields(body)["C"] + " " + fields(body)["D"]
            return run

        def natively(database):
            session = native.session(database=database)

            def run(sql):
                try:
                    session.exec(sql)
                except based_client.Error as error:
                    return error.code + " " + error.detail
            return run

        waiter = self.connect("app#w1")
        for kind in (by_wire, natively):
            with self.subTest(kind.__name__):
                detail = self.deadlock(waiter, kind("app#w2"))
                self.assertRegex(detail, "^40P01 Process [0-9]+ waits for ShareLock on transaction")
                self.assertRegex(detail, '[pP]rocess [0-9]+ is sandbox "app#w1" [(]session [0-9]+ has its turn[)]')
                self.assertRegex(detail, '[pP]rocess [0-9]+ is sandbox "app#w2"')
                process = self.connect("app#w1").value("select pg_backend_pid()")
                self.assertIn(f'rocess {process} is sandbox "app#w1"', detail)
                # A client of the database itself is in no sandbox.
                detail = self.deadlock(waiter, kind("app"))
                self.assertIn(f'Process {process} is sandbox "app#w1"', detail)
                self.assertNotIn("app#w2", detail)
        outside = self.deadlock(self.connect("app"), by_wire("app"))
        self.assertRegex(outside, "^40P01 Process [0-9]+ waits for")
        self.assertNotIn("sandbox", outside)

    def test_eight_that_write_the_same_key_hear_which_one_has_it(self):
        self.daemon()
        one = self.connect("app#w0")
        one.rows("insert into things values (2, 'w0')")
        wires = [self.connect(f"app#w{number}") for number in range(1, 5)]
        connection = self.native()
        natives = [connection.session(database=f"app#w{number}") for number in range(5, 8)]
        for client in wires:
            client.rows("set lock_timeout = '2500ms'")
        for session in natives:
            session.exec("set lock_timeout = '2500ms'")
        insert = "insert into things values (2, 'late')"
        for number, client in enumerate(wires):
            client.send(query(insert) if number % 2 else parse("", insert) + bind() + execute() + sync())
        asked = [session.start(based_client.EXEC, insert, None, {}) for session in natives]
        for client in wires:
            [wrong] = [fields(body) for kind, body in client.messages() if kind == "E"]
            self.assertEqual(wrong["C"], "55P03")
            self.assertRegex(wrong["D"], 'sandbox "app#w[0-7]"')
        for request in asked:
            with self.assertRaises(based_client.Error) as refused:
                request.wait()
            self.assertEqual(refused.exception.code, "55P03")
            self.assertRegex(refused.exception.detail, 'sandbox "app#w[0-7]"')
        for client in (one, *wires):
            self.assertEqual(client.value("select count(*) from things"), "2" if client is one else "1")

    def test_every_way_to_name_one_is_the_same_sandbox(self):
        self.daemon()
        self.connect("app#w1").rows("insert into things values (2, 'w1')")
        seen = "select count(*) from things"
        self.assertEqual(self.connect("app", options="-c based.sandbox=w1").value(seen), "2")
        self.assertEqual(self.connect("app", **{"based.sandbox": "w1"}).value(seen), "2")
        self.assertEqual(self.connect("app").value(seen), "1")
        client = self.native()
        for options, rows in (({"database": "app#w1"}, 2), ({"database": "app", "sandbox": "w1"}, 2),
                              ({"sandbox": "w1"}, 2), ({"sandbox": "w2"}, 1), ({}, 1)):
            with self.subTest(options), client.session(**options) as session:
                self.assertEqual(list(session.exec(seen)), [[rows]])
        with client.session(sandbox="w1") as session:
            self.assertEqual(session.opened.wait().end["session"]["database"], "app#w1")
            self.assertTrue(session.opened.end["session"]["force_rollback"])

    def test_bad_names_are_refused(self):
        self.daemon(more='[databases.real]\nurl = "postgresql://postgres@127.0.0.1:1/x"')
        self.assertEqual(self.refusal("app#"), "22023")
        self.assertEqual(self.refusal("app#a b"), "22023")
        self.assertEqual(self.refusal("app", options="-c based.sandbox=a/b"), "22023")
        self.assertEqual(self.refusal("real#w1"), "3D000")
        self.assertEqual(self.refusal("nowhere#w1"), "3D000")
        with self.assertRaises(based_client.Error) as refused:
            self.native().session(database="app", sandbox="a b").opened.wait()
        self.assertEqual((refused.exception.code, refused.exception.scope), ("22023", "session"))

    def test_a_database_that_is_real_may_have_sandboxes(self):
        self.addCleanup(cluster.query, "drop table kept")  # after the sandbox that has read it
        self.daemon(table="sandboxes = true")
        one, real = self.connect("app#w1"), self.connect("app")
        one.rows("insert into things values (5, 'in the sandbox')")
        self.assertEqual(real.value("select count(*) from things"), "1")
        real.rows("create table kept (id int)")
        self.assertEqual(cluster.query("select count(*) from kept"), [["0"]])
        self.assertEqual(one.value("select count(*) from kept"), "0")

    def test_the_catch_alls_databases_have_sandboxes_too(self):
        url = f"postgresql://postgres@127.0.0.1:{cluster.port}/replaced"
        self.daemon(more=f'[databases."*"]\nurl = "{url}"\nforce_rollback = true')
        one = self.connect("postgres#w1")
        self.assertEqual(one.value("select current_database()"), "postgres")
        one.rows("insert into things values (5, 'in the sandbox')")
        self.assertEqual(self.connect("postgres").value("select count(*) from things"), "1")

    def test_rights_are_the_databases(self):
        verifier = subprocess.run([self.daemon().process.args[0], "hash-password"], input="secret\n", text=True,
                                  capture_output=True, check=True).stdout.strip()
        self.running.close()
        user = f'[users.ann]\npassword = "{verifier}"\ndatabases = ["app"]\n'
        other = '[databases.other]\nurl = "postgresql://postgres@127.0.0.1:1/x"\nforce_rollback = true\n'
        self.daemon(more=user + other)
        self.assertEqual(self.connect("app#w", user="ann", password="secret").value("select 1"), "1")
        self.assertEqual(self.refusal("other#w", user="ann", password="secret"), "28000")


class Lives(Sandboxes):
    def backends(self):
        return int(cluster.query("select count(*) from pg_stat_activity where application_name = 'of_based'")[0][0])

    def daemon(self, server=""):
        return super().daemon(server, 'force_rollback = true\napplication_name = "of_based"')

    def test_there_is_a_limit(self):
        self.daemon('max_sandboxes = 2\nsandbox_idle = "500ms"')
        one, two = self.connect("app#1"), self.connect("app#2")
        self.assertEqual(self.refusal("app#3"), "53300")
        self.assertEqual(self.connect("app#1").value("select 1"), "1")
        two.close()
        wait_until(lambda: self.may_connect("app#3"), "a place")
        self.assertEqual(one.value("select 1"), "1")

    def may_connect(self, database):
        try:
            self.connect(database)
        except Refused:
            return False
        return True

    def test_there_is_a_limit_to_native_sessions_too(self):
        self.daemon("max_sandboxes = 2")
        client = self.native()
        for name in ("1", "2", "1"):
            client.session(database=f"app#{name}").opened.wait()
        for options in ({"database": "app#3"}, {"database": "app", "sandbox": "3"}):
            with self.assertRaises(based_client.Error) as refused:
                client.session(**options).opened.wait()
            self.assertEqual((refused.exception.code, refused.exception.scope), ("53300", "session"))
        self.assertEqual(list(client.session(sandbox="2").exec("select 1")), [[1]])

    def test_it_is_opened_when_somebody_needs_it(self):
        self.daemon()
        roots = ("select count(*) from pg_stat_activity where application_name = 'of_based' and "
                 "state like 'idle in transaction%'")
        session = self.native().session(sandbox="native")
        session.opened.wait()
        session.tx("begin")
        self.assertEqual(self.backends(), 0)
        wire = self.connect("app#wire")  # is told the server's settings
        self.assertEqual(self.backends(), 1)
        wait_until(lambda: cluster.query(roots) == [["0"]], "its root to be given up")
        for client, count in ((lambda: session.exec("insert into things values (2, 'x')").wait(), "1"),
                              (lambda: wire.query("insert into things values (3, 'x')"), "2")):
            client()
            self.assertEqual(cluster.query(roots), [[count]])
        session.tx("rollback")

    def test_an_idle_one_is_closed_with_what_it_held(self):
        self.daemon('sandbox_idle = "200ms"')
        one, kept = self.connect("app#idle"), self.connect("app#kept")
        for number, client in enumerate((one, kept)):
            client.rows(f"insert into things values ({number + 2}, 'x')")
        self.assertEqual(self.backends(), 2)
        one.close()
        wait_until(lambda: self.backends() == 1, "the idle one is closed")
        self.assertEqual(self.connect("app#idle").value("select count(*) from things"), "1")
        self.assertEqual(kept.value("select count(*) from things"), "2")
        self.assertIn("sandbox app#idle: closed", self.running.log())

    def test_each_process_has_its_own_over_the_unix_socket(self):
        self.daemon('sandbox_by = "peer-pid"\nsandbox_idle = "0"')
        one = self.connect("app", self.socket)
        one.rows("insert into things values (2, 'mine')")
        one.close()
        self.assertEqual(self.connect("app", self.socket).value("select count(*) from things"), "2")
        program = ("import sys; sys.path[:0] = sys.argv[2:]; from pg_client import PgClient\n"
                   "c = PgClient(sys.argv[1], database='app')\n"
                   "c.rows(\"insert into things values (3, 'another process')\")\n"
                   "print(c.value('select count(*) from things'))")
        ran = subprocess.run([sys.executable, "-c", program, self.socket, *sys.path], capture_output=True, text=True)
        self.assertEqual(ran.stdout.strip(), "2", ran.stderr)
        wait_until(lambda: self.backends() == 1, "that of the process that ended is closed")
        self.assertEqual(self.connect("app").value("select count(*) from things"), "1")
        with based_client.connect(self.socket) as client, client.session(database="app") as session:  # it is this process's
            self.assertEqual(list(session.exec("select count(*) from things")), [[2]])

    def test_status_counts_them(self):
        self.daemon()
        self.connect("app#w1").rows("select 1")
        names = [database["name"] for database in self.native().status()["databases"]]
        self.assertEqual(names, ["app", "app#w1"])


class Commands(Sandboxes):
    COUNT = "select count(*) from things"

    def test_mark_and_reset(self):
        self.daemon()
        one, two = self.connect("app#w"), self.connect("app#w")
        one.rows("insert into things values (2, 'fixture')")
        self.assertEqual(one.query("sandbox mark fixtures"), "C:SANDBOX MARK Z:I")
        two.rows("insert into things values (3, 'test')")
        self.assertEqual(two.query("Sandbox Reset To Fixtures;"), "C:SANDBOX RESET Z:I")
        for client in (one, two):
            self.assertEqual(client.value(self.COUNT), "2")
        two.rows("create table dune (id int)")
        two.rows("sandbox mark later")
        two.rows("sandbox reset to fixtures")
        self.assertEqual(one.value("select to_regclass('dune')"), None)
        self.assertEqual(one.error(query("sandbox reset to later"))["C"], "3B001")
        self.assertEqual(one.error(query("sandbox reset to nowhere"))["C"], "3B001")
        self.assertEqual(one.value(self.COUNT), "2")
        one.rows("sandbox reset")
        self.assertEqual(two.value(self.COUNT), "1")
        self.assertEqual(two.error(query("sandbox reset to fixtures"))["C"], "3B001")

    def test_a_mark_is_moved_by_its_name(self):
        self.daemon()
        one = self.connect("app#w")
        for number in range(2, 60):  # over the limit, if each were kept
            one.rows(f"insert into things values ({number}, 'x')")
            one.rows("sandbox mark here")
        one.rows("delete from things")
        one.rows("sandbox reset to here")
        self.assertEqual(one.value(self.COUNT), "59")
        for number in range(31):
            one.rows(f"sandbox mark m{number}")
        self.assertEqual(one.error(query("sandbox mark more"))["C"], "54000")
        one.rows("delete from things; select 1")
        one.rows("sandbox mark m30")
        one.rows("sandbox reset to m7")
        self.assertEqual(one.value(self.COUNT), "59")
        self.assertEqual(one.rows("sandbox status")[0][9], "here " + " ".join(f"m{n}" for n in range(8)))

    def test_now_moves_at_a_reset_and_the_link_stays(self):
        self.daemon()
        one = self.connect("app#w")
        asked = "select now()::text, pg_backend_pid()"
        one.rows("insert into things values (2, 'x')")
        first = one.rows(asked)
        self.assertEqual(one.rows(asked), first)
        one.rows("sandbox reset")
        second = one.rows(asked)
        self.assertNotEqual(second[0][0], first[0][0])
        self.assertEqual(second[0][1], first[0][1])

    def test_a_reset_does_not_wait_for_the_transaction_that_is_open(self):
        self.daemon()
        one, two = self.connect("app#w"), self.connect("app#w")
        one.rows("begin; insert into things values (2, 'x')")
        self.assertEqual(two.query("sandbox reset"), "C:SANDBOX RESET Z:I")
        self.assertEqual(two.value(self.COUNT), "1")
        wrong = one.error(query("select 1"))
        self.assertEqual((wrong["C"], wrong["M"]), ("40001", "the sandbox was reset"))
        self.assertEqual(one.error(query("select 1"))["C"], "25P02")
        self.assertEqual(one.query("commit"), "C:ROLLBACK Z:I")
        one.rows("insert into things values (2, 'again')")
        self.assertEqual(two.value(self.COUNT), "2")
        # Who says ROLLBACK first hears nothing of it.
        one.rows("begin; insert into things values (3, 'x')")
        two.rows("sandbox reset")
        self.assertEqual(one.query("rollback"), "C:ROLLBACK Z:I")

    def test_a_reset_ends_what_runs(self):
        self.daemon()
        one, two, three = (self.connect("app#w") for _ in range(3))
        one.send(query("insert into things values (2, 'x'); select pg_sleep(60)"))
        wait_until(lambda: two.rows("sandbox status")[0][2] is not None, "it has its turn")
        three.send(query(self.COUNT))  # waits behind it
        wait_until(lambda: two.rows("sandbox status")[0][3] == "1", "another waits")
        two.rows("sandbox reset")
        kinds = [(kind, fields(body).get("C") if kind == "E" else None) for kind, body in one.messages()]
        self.assertIn(("E", "40001"), kinds)
        self.assertEqual(kinds[-1][0], "Z")
        self.assertEqual([cells(body) for kind, body in three.messages() if kind == "D"], [[b"1"]])
        self.assertEqual(one.value(self.COUNT), "1")

    def test_what_is_prepared_stays_and_settings_too(self):
        self.daemon()
        one, two = self.connect("app#w"), self.connect("app#w")
        one.ask(parse("plus", "select $1::int + 1"), sync())
        one.rows("set work_mem = '7MB'")
        two.rows("create temp table mine (a int); select pg_advisory_lock(9)")
        two.rows("sandbox reset")
        self.assertIn("D:42", one.ask(bind(statement="plus", values=[b"41"]), execute(), sync()))
        self.assertEqual(one.value("show work_mem"), "7MB")
        self.assertEqual(two.value("show work_mem"), "4MB")
        self.assertEqual(one.value("select count(*) from pg_locks where locktype = 'advisory'"), "0")

    def test_settings_are_each_clients_after_a_reset_to_a_mark(self):
        self.daemon()
        one, two = self.connect("app#w"), self.connect("app#w")
        one.rows("set work_mem = '7MB'")
        one.rows("sandbox mark a")
        self.assertEqual(two.value("show work_mem"), "4MB")
        two.rows("set work_mem = '8MB'")
        two.rows("sandbox reset to a")
        self.assertEqual(two.value("show work_mem"), "8MB")
        self.assertEqual(self.connect("app#w").value("show work_mem"), "4MB")
        self.assertEqual(one.value("show work_mem"), "7MB")

    def test_inside_a_transaction(self):
        self.daemon()
        one = self.connect("app#w")
        one.rows("begin")
        self.assertEqual(one.rows("sandbox status")[0][0], "app#w")
        wrong = one.error(query("sandbox mark a"))
        self.assertEqual((wrong["C"], self.state_after(one)), ("25001", "E"))
        self.assertEqual(one.error(query("sandbox status"))["C"], "25P02")
        one.rows("rollback")
        self.assertEqual(one.error(query("sandbox reset; select 1"))["C"], "0A000")
        self.assertEqual(one.error(query("select 1; sandbox reset"))["C"], "25001")
        self.assertEqual(one.error(query("sandbox restet"))["C"], "42601")
        self.assertEqual(one.value("select 1; sandbox status"), "1")

    def state_after(self, client):
        client.send(query("select 1"))
        return client.messages()[-1][1].decode()

    def test_extended_protocol(self):
        self.daemon()
        one, two = self.connect("app#w"), self.connect("app#w")
        two.rows("begin; insert into things values (2, 'x')")  # has the turn
        self.assertEqual(one.ask(parse("", "sandbox reset"), bind(), describe("P"), execute(), sync()),
                         "1 2 n C:SANDBOX RESET Z:I")
        self.assertEqual(one.ask(parse("m", "sandbox mark a"), describe("S", "m"), sync()), "1 t: n Z:I")
        for _ in range(2):
            self.assertEqual(one.ask(bind(statement="m"), execute(), sync()), "2 C:SANDBOX MARK Z:I")
        two.query("rollback")
        one.send(parse("", "sandbox status") + bind(results=[1]) + describe("P") + execute() + sync())
        kinds = one.messages()
        self.assertEqual([kind for kind, _ in kinds], ["1", "2", "T", "D", "C", "Z"])
        row = cells(kinds[3][1])
        self.assertEqual((row[0], row[7], row[9]), (b"app#w", struct.pack("!q", 1), b"a"))
        self.assertEqual(one.ask(describe("S", "m"), sync(), bind(statement="m"), execute(), sync()),
                         "t: n Z:I 2 C:SANDBOX MARK Z:I")
        mixed = one.ask(parse("", "sandbox mark b"), bind(), parse("", "select 1"), bind(), execute(), sync())
        self.assertRegex(mixed, "^1 2 E:0A000 Z:I$")
        self.assertEqual(one.value("select 1"), "1")
        one.rows("begin")
        self.assertRegex(one.ask(bind(statement="m"), execute(), sync()), "E:25001 Z:E$")
        one.rows("rollback")

    def test_what_cannot_be_read_is_said_where_it_is(self):
        self.daemon()
        one, session = self.connect("app#w"), self.native().session(sandbox="w")
        for text, near, position in (("sandbox", "end of input", None), ("sandbox restet", 'or near "restet"', "9"),
                                     ("sandbox reset fixtures", 'or near "fixtures"', "15"),
                                     ("/* x */ Sandbox mark a b", 'or near "b"', "24"), ("sandbox mark $1", 'or near "$1"', "14"),
                                     ("sandbox mark a; sandbox drop it", 'or near "it"', "30")):
            with self.subTest(text):
                for messages in (query(text), parse("", text) + bind() + execute() + sync()):
                    wrong = one.error(messages)
                    self.assertEqual((wrong["C"], wrong["M"], wrong.get("P")), ("42601", f"syntax error at {near}", position))
                with self.assertRaises(based_client.Error) as refused:
                    session.exec(text)
                self.assertEqual((refused.exception.code, refused.exception.message), ("42601", f"syntax error at {near}"))
        self.assertEqual(one.rows("sandbox status")[0][9], "")  # nothing of it was done
        one.rows("sandbox mark a")

    def test_pipelined_with_other_units(self):
        self.daemon()
        one = self.connect("app#w")
        one.send(query("insert into things values (2, 'x')") + query("sandbox reset") + query(self.COUNT)
                 + query("sandbox mark a") + query("delete from things") + query("sandbox reset to a")
                 + query(self.COUNT))
        found = [cells(body) for kind, body in one.messages(7) if kind == "D"]
        self.assertEqual(found, [[b"1"], [b"1"]])

    def test_drop_gives_the_connection_back(self):
        self.daemon()
        one, two = self.connect("app#w"), self.connect("app#w")
        roots = ("select count(*) from pg_stat_activity where state = 'idle in transaction' and query not like "
                 "'%pg_stat_activity%'")
        one.rows("begin; insert into things values (2, 'x')")
        self.assertEqual(cluster.query(roots), [["1"]])
        self.assertEqual(two.query("sandbox drop"), "C:SANDBOX DROP Z:I")
        wait_until(lambda: cluster.query(roots) == [["0"]], "the connection is closed")
        self.assertEqual(one.error(query("select 1"))["M"], "the sandbox was dropped")
        one.rows("rollback")
        self.assertEqual(one.value(self.COUNT), "1")
        self.assertNotIn("LOST", self.running.log())

    def test_status_and_list(self):
        self.daemon()
        one, two = self.connect("app#one"), self.connect("app#two")
        one.rows("begin; select 1")
        two.rows("insert into things values (2, 'x')")
        self.assertEqual([row[0] for row in two.rows("sandbox list")], ["app", "app#one", "app#two"])
        self.assertEqual(self.connect("app").rows("sandbox status")[0][:2], ["app", "ready"])
        status = two.rows("sandbox status")[0]
        self.assertEqual((status[1], status[2]), ("ready", None))
        self.assertIsNotNone(one.rows("sandbox status")[0][2])

    def test_a_database_that_is_no_sandbox_says_so(self):
        self.daemon(table="sandboxes = true")
        one = self.connect("app")
        wrong = one.error(query("sandbox reset"))
        self.assertEqual(wrong["C"], "0A000")
        self.assertIn('"app#NAME"', wrong["H"])
        self.assertRegex(one.ask(parse("", "sandbox status"), bind(), execute(), sync()), "^E:0A000 Z:I$")
        one.rows("begin")
        self.assertEqual(one.error(query("sandbox status"))["C"], "0A000")
        one.rows("rollback")
        with self.native().session(database="app") as session, self.assertRaises(based_client.Error) as refused:
            session.exec("sandbox status")
        self.assertEqual(refused.exception.code, "0A000")

    def test_a_client_that_goes_while_it_waits(self):
        self.daemon()
        one, two = self.connect("app#w"), self.connect("app#w")
        one.rows("begin; insert into things values (2, 'x')")
        two.send(query("sandbox mark a"))  # waits for its turn
        wait_until(lambda: one.rows("sandbox status")[0][3] == "1", "it waits")
        two.vanish()
        one.rows("commit")
        self.assertEqual(one.value(self.COUNT), "2")
        for _ in range(20):
            three = self.connect("app#w")
            three.send(query("sandbox reset"))
            three.vanish()
        wait_until(lambda: one.value(self.COUNT) == "1", "the resets are done")

    def test_a_client_that_goes_while_its_lost_transaction_is_made_to_fail(self):
        self.daemon()
        tests = self.connect("app#w")
        for _ in range(30):
            one = self.connect("app#w")
            one.rows("begin; insert into things values (2, 'x')")
            tests.rows("sandbox reset")
            tests.rows("insert into things values (3, 'kept')")
            one.send(query("select 1") + query("select 1"))
            one.vanish()
            self.assertEqual(tests.value(self.COUNT), "2")
        self.assertNotIn("LOST", self.running.log())

    def test_a_mark_waits_for_its_turn_but_not_for_ever(self):
        self.daemon(table='force_rollback = true\ntimeout = "300ms"')
        one, two = self.connect("app#w"), self.connect("app#w")
        one.rows("begin; insert into things values (2, 'x')")
        self.assertEqual(two.error(query("sandbox mark a"))["C"], "55P03")
        one.rows("commit")
        self.assertEqual(two.query("sandbox mark a"), "C:SANDBOX MARK Z:I")

    def logged(self, client):
        return [(row[9], int(row[4]), int(row[6]), row[7]) for row in client.rows("sandbox log")]

    def test_the_log_has_what_ran(self):
        self.daemon()
        one = self.connect("app#w")
        one.rows("insert into things values (2, 'a'), (3, 'b')")
        one.rows("begin; delete from things where id = 2; select 1; commit")
        one.error(query("select * from nowhere"))
        one.ask(parse("all", "select * from things"), bind(statement="all"), execute(), sync())
        one.ask(parse("", "insert into things values ($1, 'c')"), bind(values=["2"]), execute(), sync())
        one.ask(parse("", "insert into things values ($1, 'c')"), bind(values=["2"]), execute(), sync())
        self.assertEqual(self.logged(self.connect("app#w")), [
            ("insert into things values (2, 'a'), (3, 'b')", 0, 2, None), ("begin", 1, 0, None),
            ("delete from things where id = 2", 1, 1, None), ("select 1", 1, 1, None), ("commit", 0, 0, None),
            ("select * from nowhere", 0, 0, "42P01"), ("select * from things", 0, 2, None),
            ("insert into things values ($1, 'c')", 0, 1, None),
            ("insert into things values ($1, 'c')", 0, 0, "23505")])
        last = one.rows("sandbox log")[-1]
        self.assertEqual(last[0], "9")
        self.assertRegex(last[1], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertIn("duplicate key", last[8])
        self.assertIn("127.0.0.1:", last[3])
        self.assertEqual(self.logged(self.connect("app")), [])
        one.rows("sandbox reset")
        self.assertEqual(len(self.logged(one)), 9)
        one.rows("sandbox drop")
        self.assertEqual(self.logged(one), [])

    def test_the_log_has_what_native_sessions_ran(self):
        self.daemon()
        with self.native().session(sandbox="w") as session:
            session.exec("insert into things values ($1, 'a')", [2]).wait()
            with session.transaction():
                session.exec("select * from things").wait()
            with self.assertRaises(based_client.Error):
                session.exec("select 1 / 0").wait()
        self.assertEqual(self.logged(self.connect("app#w")), [
            ("insert into things values ($1, 'a')", 0, 1, None), ("TX BEGIN 1", 1, 0, None),
            ("select * from things", 1, 2, None), ("TX COMMIT 1", 0, 0, None), ("select 1 / 0", 0, 0, "22012")])

    def test_who_rests_while_others_wait_loses_its_turn(self):
        self.daemon(table="force_rollback = true\nidle_while_waited = '300ms'")
        one, two = self.connect("app#w"), self.connect("app#w")
        one.rows("begin; insert into things values (2, 'x')")
        self.assertEqual(two.value(self.COUNT), "1")
        wrong = one.error(query("select 1"))
        self.assertEqual((wrong["C"], wrong["M"], wrong["D"]),
                         ("25P03", "the transaction was idle for too long", "1 other unit waits for the database"))
        self.assertEqual(one.error(query("select 1"))["C"], "25P02")
        self.assertEqual(one.query("commit"), "C:ROLLBACK Z:I")
        # One that works does not rest, however long.
        one.rows("begin; insert into things values (3, 'x')")
        one.send(query("select pg_sleep(1)"))
        two.send(query(self.COUNT))
        self.assertIn("Z:T", one.answers())
        self.assertEqual(one.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(two.answers().split()[1], "D:2")
        # The session of a native client is told at once.
        client = self.native()
        with client.session(sandbox="w") as session:
            session.tx("begin")
            session.exec("insert into things values (4, 'x')").wait()
            self.assertEqual(two.value(self.COUNT), "2")
            while not any(kind == "transaction_lost" for _, _, kind, _ in client.notices):
                client.read()
            fields = client.notices[-1][3]
            self.assertEqual((fields["code"], fields["message"], fields["tx"]),
                             ("25P03", "the transaction was idle for too long", ["aborted", 1]))
            session.tx("rollback_all")
            self.assertEqual(list(session.exec(self.COUNT)), [[2]])

    def test_native_sessions(self):
        self.daemon()
        client = self.native()
        with client.session(sandbox="w") as one, client.session(sandbox="w") as two:
            one.exec("insert into things values (2, 'x')")
            self.assertEqual(one.exec("sandbox mark a").wait().tag, "SANDBOX MARK")
            with self.assertRaises(based_client.Error) as lost:
                with one.transaction():
                    one.exec("delete from things").wait()
                    self.assertEqual(two.exec("sandbox reset to a").wait().tag, "SANDBOX RESET")
                    one.exec("select 1").wait()
            self.assertEqual(lost.exception.code, "25P02")
            self.assertEqual(list(one.exec(self.COUNT)), [[2]])
            status = two.exec("sandbox status").wait()
            self.assertEqual([name for name, *_ in status.columns[0]][:2], ["name", "state"])
            self.assertEqual(list(status)[0][9], "a")
            self.assertEqual(status.tag, "SANDBOX STATUS")
            with self.assertRaises(based_client.Error) as refused, one.transaction():
                one.exec("sandbox reset").wait()
            self.assertEqual(refused.exception.code, "25001")
            with self.assertRaises(based_client.Error) as refused:
                one.exec("sandbox reset to nowhere").wait()
            self.assertEqual(refused.exception.code, "3B001")
            two.exec("sandbox drop").wait()
            self.assertEqual(list(one.exec(self.COUNT)), [[1]])


class CommandLine(Sandboxes):
    def based(self, *arguments):
        program = self.running.process.args[0]
        return subprocess.run([program, "sandbox", *arguments], capture_output=True, text=True, timeout=60,
                              env={"PGUSER": "postgres"})

    def sandbox(self, *arguments):
        return self.based("--port", str(self.running.port), *arguments)

    def test_commands_do_what_they_do_as_sql(self):
        self.daemon()
        one = self.connect("app#w")
        one.rows("insert into things values (2, 'a')")
        self.assertEqual(self.sandbox("app#w", "mark", "fixtures").returncode, 0)
        one.rows("begin; delete from things")
        done = self.sandbox("app#w", "reset", "to", "fixtures")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        one.rows("rollback")
        self.assertEqual(one.value("select count(*) from things"), "2")
        header, row = self.sandbox("app#w", "status").stdout.splitlines()
        self.assertEqual(dict(zip(header.split("\t"), row.split("\t")))["marks"], "fixtures")
        one.rows("select 'a\tb\\'")
        self.assertIn("select 'a\\tb\\\\'", self.sandbox("app#w", "log").stdout.splitlines()[-1])
        self.assertEqual(len(self.sandbox("app", "list").stdout.splitlines()), 3)
        done = self.sandbox("app#w", "reset", "to", "nowhere")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn('there is no mark "nowhere" (3B001)', done.stderr)

    def test_over_the_unix_socket(self):
        folder = temporary_folder()
        self.daemon(f'unix_socket_dir = "{folder}"')
        done = self.based("--socket", str(folder), "--port", str(self.running.port), "app#w", "reset")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_what_cannot_be_read_or_reached(self):
        running = self.daemon()
        for option in ("--help", "-h"):
            done = self.based(option)
            self.assertEqual((done.returncode, done.stderr, done.stdout[:20]), (0, "", "usage: based sandbox"))
        for arguments in ((), ("app",), ("app", "restet"), ("--what", "app", "reset"), ("app", "reset;", "drop")):
            with self.subTest(arguments):
                done = self.based(*arguments)
                self.assertEqual((done.returncode, done.stdout), (64, ""))
                self.assertIn("usage: based sandbox", done.stderr)
        port = str(running.port)
        running.close()
        done = self.based("--port", port, "app", "reset")
        self.assertEqual(done.returncode, 69)
        self.assertIn("(08001)", done.stderr)

    def test_what_the_daemon_refuses_is_told_as_it_says_it(self):
        self.daemon("max_clients = 2\n")
        done = self.sandbox("nowhere", "reset")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, 'based: database "nowhere" does not exist (3D000)\n')
        done = self.sandbox("app#" + "x" * 200, "reset")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("(22023)\nbased: Behind the # are", done.stderr)  # the hint
        # Who is full is away: the same may be asked again.
        self.connect("app#a")
        self.connect("app#b")
        done = self.sandbox("app", "reset")
        self.assertEqual((done.returncode, done.stdout), (69, ""))
        self.assertIn("(53300)", done.stderr)


class SqliteNames(unittest.TestCase):
    def setUp(self):
        self.path = temporary_folder() / "base.db"
        with contextlib.closing(sqlite3.connect(self.path)) as base:
            base.execute("create table things (id integer primary key)")
        self.before = self.path.read_bytes()

    def tearDown(self):
        self.assertEqual(self.path.read_bytes(), self.before)

    def daemon(self, server=""):
        config = f'[server]\n{server}\n[databases.base]\nurl = "sqlite:///{self.path}"\nforce_rollback = true\n'
        return self.enterContext(Daemon(config=config, log_level="info"))

    def test_two_sandboxes_over_one_file(self):
        address = f"127.0.0.1:{self.daemon().port}"
        with PgClient(address, database="base#1") as one, PgClient(address, database="base#2") as two:
            for client in (one, two):
                client.rows("create table made (id integer primary key)")
                client.rows("insert into things values (1)")
            one.rows("insert into things values (2)")
            self.assertEqual(one.value("select count(*) from things"), "2")
            self.assertEqual(two.value("select count(*) from things"), "1")

    def test_every_way_to_name_one_is_the_same_sandbox(self):
        address = f"127.0.0.1:{self.daemon('max_sandboxes = 2').port}"
        seen = "select count(*) from things"
        with PgClient(address, database="base#w1") as first:
            first.rows("insert into things values (1)")
            for parameters, count in (({"options": "-c based.sandbox=w1"}, "1"), ({"based.sandbox": "w1"}, "1"), ({}, "0")):
                with PgClient(address, database="base", **parameters) as client:
                    self.assertEqual(client.value(seen), count)
            with based_client.connect(address) as connection:
                for options, count in (({"database": "base#w1"}, 1), ({"sandbox": "w1"}, 1), ({"sandbox": "w2"}, 0), ({}, 0)):
                    self.assertEqual(list(connection.session(**options).exec(seen)), [[count]])
                with self.assertRaises(based_client.Error) as refused:
                    connection.session(sandbox="w3").opened.wait()
                self.assertEqual(refused.exception.code, "53300")
            with self.assertRaises(Refused) as refused:
                PgClient(address, database="base#w3")
            self.assertEqual(refused.exception.code, "53300")

    def test_each_process_has_its_own_and_an_idle_one_is_closed(self):
        running = self.daemon('sandbox_by = "peer-pid"\nsandbox_idle = "200ms"')
        socket = f"unix:{running.socket_path}"
        with PgClient(socket, database="base") as one:
            one.rows("insert into things values (1)")
            with based_client.connect(socket) as connection:
                self.assertEqual(list(connection.session().exec("select count(*) from things")), [[1]])
            with PgClient(f"127.0.0.1:{running.port}", database="base") as other:
                self.assertEqual(other.value("select count(*) from things"), "0")
        running.wait_log("sandbox base#.*: closed")


if __name__ == "__main__":
    unittest.main()
