"""Sandboxes over a SQLite file: marks, resets under live clients, named ones side by side, and a file that never changes."""

import hashlib
import pathlib
import sqlite3
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import based_client
import pg_client
from pg_client import PgClient, Refused
from servers import Daemon, temporary_folder, wait_until


class Sandboxes(unittest.TestCase):
    journal = "delete"

    def setUp(self):
        self.folder = temporary_folder()
        self.path = self.folder / "base.db"
        base = sqlite3.connect(self.path, isolation_level=None)
        base.execute(f"pragma journal_mode = {self.journal}")
        base.execute("create table things (id integer primary key, note text unique)")
        base.execute("with recursive n(i) as (values (1) union all select i + 1 from n where i < 2000) "
                     "insert into things select i, 'base ' || i from n")
        base.close()
        self.before = self.files()

    def files(self):
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in self.folder.iterdir()}

    def daemon(self, more=""):
        daemon = Daemon(config=f'[databases.base]\nurl = "sqlite:///{self.path}"\nforce_rollback = true\n{more}')
        self.addCleanup(self.end, daemon)
        self.address = f"127.0.0.1:{daemon.port}"
        return daemon

    def end(self, daemon):
        daemon.close()
        self.assertEqual(self.files(), self.before)

    def connect(self, database="base"):
        client = PgClient(self.address, database=database)
        self.addCleanup(client.close)
        return client

    def refusal(self, client, sql):
        with self.assertRaises(Refused) as refused:
            client.rows(sql)
        return refused.exception.code

    def count(self, client):
        return int(client.value("select count(*) from things"))


class Commands(Sandboxes):
    def test_a_suite_of_tests_goes_back_to_its_fixtures_before_each_one(self):
        self.daemon()
        tests, application = self.connect(), self.connect()
        tests.rows("create table users (name text unique); insert into users values ('ada')")
        tests.rows("sandbox mark seeded")
        for number in range(5):
            with self.subTest(number=number):
                application.rows("begin; insert into users values ('bob'); delete from things where id < 1000; commit")
                self.assertEqual(self.refusal(application, "insert into users values ('bob')"), "23505")
                application.rows("alter table users add column age int" if number % 2 else "drop table users")
                application.rows("vacuum")
                tests.rows("sandbox reset to seeded")
                self.assertEqual(application.rows("select * from users"), [["ada"]])
                self.assertEqual(self.count(application), 2000)
        tests.rows("sandbox reset")
        self.assertEqual(self.refusal(application, "select * from users"), "42P01")
        missing = tests.error(pg_client.query("sandbox reset to seeded"))
        self.assertEqual((missing["C"], missing["M"]), ("3B001", 'there is no mark "seeded"'))
        self.assertIn("SANDBOX STATUS", missing["H"])

    def test_pragmas_vacuum_and_or_rollback_act_inside_only(self):
        self.daemon()
        client = self.connect()
        client.rows("pragma user_version = 9")
        client.rows("pragma journal_mode = delete")
        client.rows("pragma page_size = 1024")
        client.rows("vacuum")
        self.assertEqual(client.value("pragma page_size"), "1024")
        client.rows("sandbox mark small")
        client.rows("pragma journal_mode = wal")
        client.rows("begin; insert into things values (5000, 'mine')")
        self.assertEqual(self.refusal(client, "insert or rollback into things values (5001, 'mine')"), "23505")
        client.rows("rollback")
        self.assertEqual(self.count(client), 2000)
        for text in ("delete from things where id > 100", "pragma wal_checkpoint(truncate)", "vacuum"):
            client.rows(text)
        self.assertEqual(client.value("pragma integrity_check"), "ok")
        client.rows("sandbox reset to small")
        self.assertEqual((self.count(client), client.value("pragma page_size")), (2000, "1024"))
        self.assertEqual(client.value("pragma user_version"), "9")
        client.rows("sandbox reset")
        self.assertEqual((client.value("pragma page_size"), client.value("pragma user_version")), ("4096", "0"))
        self.assertEqual(client.value("pragma integrity_check"), "ok")

    def test_a_reset_under_live_clients_ends_what_they_do_and_leaves_them_connected(self):
        self.daemon()
        resting, running, prepared, tests = (self.connect() for _ in range(4))
        prepared.ask(pg_client.parse("p", "select count(*) from things"), pg_client.sync())
        resting.rows("begin; delete from things where id < 10")
        tests.rows("sandbox reset")
        self.assertEqual(self.refusal(resting, "select 1"), "40001")
        self.assertEqual(self.refusal(resting, "select 1"), "25P02")
        resting.rows("rollback")
        endless = "insert into things(note) with recursive n(i) as (values (1) union all select i + 1 from n) select i from n"
        failed = []
        waits = threading.Thread(target=lambda: failed.append(self.refusal(running, endless)))
        waits.start()
        wait_until(lambda: tests.rows("sandbox status")[0][2] is not None, "the statement runs")
        tests.rows("sandbox reset")
        waits.join()
        self.assertEqual(failed, ["57014"])
        for client in (resting, running, tests):
            self.assertEqual(self.count(client), 2000)
        self.assertIn("D:2000", prepared.ask(pg_client.bind(statement="p"), pg_client.execute(), pg_client.sync()))

    def test_whose_transaction_a_reset_has_ended_hears_it_whatever_message_is_next(self):
        self.daemon()
        client, tests = self.connect(), self.connect()
        client.ask(pg_client.parse("s", "select * from things"), pg_client.sync())
        whole = pg_client.extended("insert into things values ($1, $2)", ["5000", "x"])
        for first in (pg_client.parse("", "select 1"), pg_client.parse("", "insert into things values ($1, $2) returning id"),
                      pg_client.describe("S", "s"), pg_client.bind(statement="s"), whole):
            client.rows("begin; delete from things where id < 10")
            tests.rows("sandbox reset")
            self.assertEqual(client.ask(first, pg_client.sync()), "E:40001 Z:E")
            self.assertEqual(client.ask(first, pg_client.sync()), "E:25P02 Z:E")
            client.rows("rollback")
        self.assertEqual(self.count(client), 2000)

    def test_the_log_shows_what_the_application_really_sent(self):
        self.daemon()
        application, tests = self.connect(), self.connect()
        application.rows("begin; insert into things values (3000, 'new')")
        self.refusal(application, "insert into things values (3001, 'new')")
        application.rows("rollback")
        columns = {name: index for index, name in enumerate(
            ["number", "time", "session", "client", "level", "duration_us", "rows", "sqlstate", "error", "statement"])}
        log = tests.rows("sandbox log")
        failed = [row for row in log if row[columns["sqlstate"]] is not None]
        self.assertEqual([(row[columns["sqlstate"]], row[columns["level"]], row[columns["statement"]]) for row in failed],
                         [("23505", "1", "insert into things values (3001, 'new')")])
        self.assertIn("127.0.0.1", failed[0][columns["client"]])
        self.assertIn("insert into things values (3000, 'new')", [row[columns["statement"]] for row in log])

    def test_native_sessions(self):
        self.daemon()
        with based_client.connect(self.address) as client, client.session() as one, client.session() as two:
            one.exec("insert into things values (3000, 'new')")
            self.assertEqual(two.exec("sandbox mark made").wait().tag, "SANDBOX MARK")
            with self.assertRaises(based_client.Error) as lost, one.transaction():
                one.exec("delete from things").wait()
                self.assertEqual(two.exec("sandbox reset to made").wait().tag, "SANDBOX RESET")
                one.exec("select 1").wait()
            self.assertEqual(lost.exception.code, "25P02")
            self.assertIn("40001", lost.exception.detail)
            self.assertEqual(list(one.exec("select count(*) from things")), [[2001]])
            with self.assertRaises(based_client.Error) as refused, one.transaction():
                one.exec("sandbox reset").wait()
            self.assertEqual(refused.exception.code, "25001")
            statements = [row[-1] for row in two.exec("sandbox log")]
            self.assertEqual(statements.count("insert into things values (3000, 'new')"), 1)
            self.assertEqual(statements.count("delete from things"), 1)
            two.exec("sandbox drop").wait()
            self.assertEqual(list(one.exec("select count(*) from things")), [[2000]])

    def test_changes_are_limited_in_size(self):
        self.daemon('max_overlay = "4MiB"\noverlay_memory = "1MiB"')
        client = self.connect()
        client.rows("sandbox mark small")
        self.assertEqual(self.refusal(client, "update things set note = hex(randomblob(4000)) || id"), "53100")
        self.assertEqual(self.count(client), 2000)
        client.rows("update things set note = hex(randomblob(1000)) where id < 100")
        client.rows("sandbox reset to small")
        self.assertEqual(client.value("select note from things where id = 7"), "base 7")


class Failed(Sandboxes):
    """A transaction that has failed, and has nothing to go back to, holds nobody up."""

    def setUp(self):
        super().setUp()
        self.daemon('timeout = "300ms"')

    def native(self):
        connection = based_client.connect(self.address)
        self.addCleanup(connection.__exit__)
        session = connection.session(database="base")
        session.opened.wait()
        return session

    def test_by_postgresqls_protocol(self):
        one, other = self.connect(), self.connect()
        for end, bad in (("commit", "selec"), ("rollback", "select * from nowhere"), ("commit", "insert into things (id) values (1)")):
            with self.subTest(bad):
                self.assertEqual(one.query("begin; insert into things values (9001, 'lost')"), "C:BEGIN C:INSERT 0 1 Z:T")
                self.assertRegex(one.query(bad), "^E:[0-9A-Z]{5} Z:E$")
                self.assertEqual(other.query("insert into things values (9002, 'kept')"), "C:INSERT 0 1 Z:I")
                self.assertEqual(one.query("select 1"), "E:25P02 Z:E")
                self.assertEqual(one.query("savepoint s"), "E:25P02 Z:E")
                self.assertEqual(one.query(end), "C:ROLLBACK Z:I")
                self.assertEqual(one.rows("select id from things where id > 9000"), [["9002"]])
                self.assertEqual(other.query("delete from things where id = 9002"), "C:DELETE 1 Z:I")

    def test_natively(self):
        one, other = self.native(), self.native()
        for end in ("commit", "rollback"):
            with self.subTest(end):
                one.exec("begin; insert into things values (9001, 'lost')")
                for _ in range(2):
                    with self.assertRaises(based_client.Error) as raised:
                        one.exec("select * from nowhere")
                    other.exec("insert into things values (9002, 'kept')")
                    other.exec("delete from things where id = 9002")
                self.assertEqual(raised.exception.code, "25P02")
                if end == "commit":
                    with self.assertRaises(based_client.Error):
                        one.exec(end)
                else:
                    one.exec(end)
                self.assertEqual([list(row) for row in one.exec("select id from things where id > 9000").rows], [])

    def test_with_a_savepoint_it_keeps_its_turn(self):
        one, other, native = self.connect(), self.connect(), self.native()
        one.query("begin; insert into things values (9001, 'kept'); savepoint s")
        self.assertEqual(one.query("select * from nowhere"), "E:42P01 Z:E")
        self.assertEqual(self.refusal(other, "insert into things values (9002, 'late')"), "55P03")
        self.assertEqual(one.query("rollback to s; commit"), "C:ROLLBACK C:COMMIT Z:I")
        self.assertEqual(other.rows("select id from things where id > 9000"), [["9001"]])
        native.exec("begin; insert into things values (9003, 'kept too')")
        native.tx("begin")
        with self.assertRaises(based_client.Error):
            native.exec("select * from nowhere")
        self.assertEqual(self.refusal(other, "insert into things values (9002, 'late')"), "55P03")
        native.tx("rollback")
        native.exec("commit")
        self.assertEqual(other.rows("select count(*) from things where id > 9000"), [["2"]])


class Prepared(Sandboxes):
    """What is prepared outlives a change of its table, and a reset."""

    def test_it_has_the_columns_that_the_table_has_now(self):
        self.daemon()
        control, one = self.connect(), self.connect()
        with based_client.connect(self.address) as connection, connection.session(database="base") as native:
            native_rows = lambda: [list(row) for row in native.exec("select * from changing").rows]  # noqa: E731
            control.rows("create table changing (a int)")
            control.rows("sandbox mark narrow")
            one.ask(pg_client.parse("mine", "select * from changing"), pg_client.sync())
            run = (pg_client.bind(statement="mine"), pg_client.describe("P", ""), pg_client.execute(), pg_client.sync())
            for widened in range(2):
                self.assertEqual([one.ask(*run), native_rows()], ["2 T:a C:SELECT 0 Z:I", []])
                control.rows("alter table changing add column b int")
                control.rows("insert into changing values (1, 2)")
                self.assertEqual([one.ask(*run), native_rows()], ["2 T:a,b D:1|2 C:SELECT 1 Z:I", [[1, 2]]])
                control.rows("sandbox reset to narrow")


class InWriteAheadMode(Commands):
    journal = "wal"


class Named(Sandboxes):
    def test_workers_over_one_file_do_not_meet(self):
        self.daemon()
        failures = []

        def work(number):
            try:
                client = self.connect(f"base#w{number}")
                client.rows("sandbox mark start")
                for turn in range(10):
                    client.rows(f"begin; insert into things values (5000, 'the same'); delete from things where id <= {number}")
                    client.rows("commit")
                    seen = client.rows("select count(*), max(note) from things")
                    if seen != [[str(2001 - number), "the same"]]:
                        failures.append(seen)
                    client.rows("sandbox reset to start" if turn % 2 else "sandbox reset; sandbox mark start")
            except Exception as error:  # told by the test's own thread
                failures.append(error)

        workers = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual(failures, [])
        client = self.connect()
        self.assertEqual([row[0] for row in client.rows("sandbox list")],
                         ["base"] + [f"base#w{number}" for number in range(6)])
        self.assertEqual([row[0] for row in self.connect("base#w3").rows("sandbox status")], ["base#w3"])
        self.assertEqual(self.count(client), 2000)


if __name__ == "__main__":
    unittest.main()
