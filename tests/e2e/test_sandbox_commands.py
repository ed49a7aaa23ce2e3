"""Every SANDBOX command by every way to say it, on both backends: a Query, the extended protocol, a statement that is
prepared, a native session and `based sandbox`."""

import contextlib
import pathlib
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import PgClient, bind, cells, columns, describe, execute, fields, parse, query, sync
from servers import Daemon, PostgresCluster, temporary_folder

TABLES = ("create table things (id int primary key)",
          "create table kids (id int references things deferrable initially deferred)")


def setUpModule():
    global cluster
    cluster = PostgresCluster()
    unittest.addModuleCleanup(cluster.close)
    for text in TABLES:
        cluster.query(text)


def told(messages):
    """(tag, rows as dicts, SQLSTATE) of an answer by PostgreSQL's protocol."""
    names, rows, tag, code = [], [], None, None
    for kind, body in messages:
        if kind == "T":
            names = [name for name, *_ in columns(body)]
        elif kind == "D":
            rows.append(dict(zip(names, [None if cell is None else cell.decode() for cell in cells(body)])))
        elif kind == "C":
            tag = body[:-1].decode()
        elif kind == "E":
            code = fields(body)["C"]
    return tag, rows, code


class Wire:
    def __init__(self, case):
        self.client = PgClient(case.address, database=case.database)
        case.addCleanup(self.client.close)

    def messages(self, text):
        return query(text),

    def ask(self, text):
        self.client.send(*self.messages(text))
        return told(self.client.messages())


class Extended(Wire):
    def messages(self, text):
        return parse("", text), bind(), describe("P"), execute(), sync()


class Prepared(Wire):
    """Each is prepared once, and executed as often as it is asked."""

    names = ()

    def ask(self, text):
        if text not in self.names:
            self.names += (text,)
            prepared = self.client.ask(parse(f"n{len(self.names)}", text), sync())
            if prepared != "1 Z:I":
                return None, [], prepared.split()[0].removeprefix("E:")
        name = f"n{self.names.index(text) + 1}"
        self.client.send(bind("", name), describe("P"), execute(), sync())
        return told(self.client.messages())


class Native:
    def __init__(self, case):
        connection = case.enterContext(based_client.connect(case.address))
        self.session = connection.session(database=case.database)
        self.session.opened.wait()

    def ask(self, text):
        try:
            done = self.session.exec(text).wait()
            names = [name for name, *_ in done.columns[0]] if done.columns else []
            return done.tag, [dict(zip(names, map(self.text, row))) for row in done], None
        except based_client.Error as error:
            return None, [], error.code

    @staticmethod
    def text(value):
        return None if value is None else str(value)


class Shell:
    def __init__(self, case):
        self.case = case

    def ask(self, text):
        program, port = self.case.running.process.args[0], str(self.case.running.port)
        command = [program, "sandbox", "--port", port, self.case.database, *text.split()[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PGUSER": "postgres"})
        if done.returncode:
            return None, [], done.stderr.splitlines()[0].rsplit("(", 1)[1].rstrip(")")
        header, *lines = done.stdout.splitlines() or [""]
        rows = [dict(zip(header.split("\t"), [None if cell == "\\N" else cell for cell in line.split("\t")])) for line in lines]
        return " ".join(text.split()[:2]).upper(), rows, None


WAYS = (Wire, Extended, Prepared, Native, Shell)


class Commands:
    database = "app#w"

    def setUp(self):
        self.running = Daemon(config=f'[databases.app]\nurl = "{self.url()}"\nforce_rollback = true\ntimeout = "400ms"\n')
        self.addCleanup(self.running.close)
        self.address = f"127.0.0.1:{self.running.port}"
        self.client = PgClient(self.address, database=self.database)
        self.addCleanup(self.client.close)

    def ids(self):
        return [row[0] for row in self.client.rows("select id from things order by id")]

    def each(self):
        for way in WAYS:
            with self.subTest(way.__name__):
                yield way(self)
                self.client.query("sandbox drop")

    def test_mark_and_reset(self):
        for way in self.each():
            self.client.query("insert into things values (1)")
            self.assertEqual(way.ask("sandbox mark here"), ("SANDBOX MARK", [], None))
            for _ in range(2):
                self.client.query("insert into things values (2); delete from things where id = 1")
                self.assertEqual(way.ask("sandbox reset to here"), ("SANDBOX RESET", [], None))
                self.assertEqual(self.ids(), ["1"])
            self.assertEqual(way.ask("sandbox reset to nowhere"), (None, [], "3B001"))
            self.assertEqual(self.ids(), ["1"])
            self.assertEqual(way.ask("sandbox reset"), ("SANDBOX RESET", [], None))
            self.assertEqual(self.ids(), [])
            self.assertEqual(way.ask("sandbox reset to here"), (None, [], "3B001"))

    def test_a_reset_under_a_client_in_a_transaction(self):
        for way in self.each():
            self.client.query("begin; insert into things values (1)")
            self.assertEqual(way.ask("sandbox reset"), ("SANDBOX RESET", [], None))
            self.assertEqual(self.client.error(query("select 1"))["C"], "40001")
            self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")
            self.assertEqual(self.ids(), [])

    def test_status_and_list(self):
        for way in self.each():
            other = PgClient(self.address, database="app#other")
            other.query("insert into things values (7)")
            self.client.query("sandbox mark a")
            self.client.query("sandbox mark b")
            tag, [status], code = way.ask("sandbox status")
            self.assertEqual((tag, status["name"], status["state"], status["marks"], code),
                             ("SANDBOX STATUS", "app#w", "ready", "a b", None))
            tag, listed, code = way.ask("sandbox list")
            self.assertEqual((tag, [row["name"] for row in listed], code), ("SANDBOX LIST", ["app", "app#other", "app#w"], None))
            self.assertEqual([row["marks"] or "" for row in listed], ["", "", "a b"])
            other.query("sandbox reset")
            other.close()

    def test_log(self):
        for way in self.each():
            self.client.query("begin; insert into things values (1)")
            self.client.query("insert into things values (1)")
            self.client.query("rollback")
            tag, log, code = way.ask("sandbox log")
            self.assertEqual((tag, code), ("SANDBOX LOG", None))
            self.assertEqual(ran(log), [("begin", "1", "0", None), ("insert into things values (1)", "1", "1", None),
                                        ("insert into things values (1)", "1", "0", "23505"), ("rollback", "0", "0", None)])
            for row in log:
                self.assertIn("127.0.0.1:", row["client"])
                self.assertGreaterEqual(int(row["duration_us"]), 0)
            self.assertEqual([bool(row["error"]) for row in log if row["sqlstate"]], [True])

    def test_what_asks_for_some_rows_only_is_in_the_log(self):
        text = "select id from things order by id"
        self.client.query("insert into things values (1), (2), (3)")
        self.client.ask(parse("", text), bind(), execute(rows=2), sync())
        log = [row for row in told_log(self.client) if row["statement"] == text]
        self.assertEqual([(row["level"], row["rows"], row["sqlstate"]) for row in log], [("0", self.stopped, None)])

    def test_the_log_has_what_the_client_said_and_nothing_else(self):
        """A transaction's end, what is refused, and what is answered without the database, too."""
        said = [("begin", 1), ("savepoint a", 1), ("insert into things values (5)", 1), ("rollback to a", 1), ("release a", 1),
                ("selec", 1, "42601"), ("select 1", 1, "25P02"), ("rollback", 0),
                ("begin", 1), ("release b", 1, "3B001"), ("rollback", 0), ("savepoint x", 0, "25P01"),
                ("begin", 1), ("insert into things values (5)", 1), ("commit and chain", 1), ("rollback", 0),
                ("insert into kids values (99)", 0, "23503"),
                ("begin", 1), ("insert into kids values (99)", 1), ("commit", 1, "23503"),
                ("selec", 0, "42601")]
        for way in (Wire, Extended, Native):
            with self.subTest(way.__name__):
                client = way(self)
                for text, *_ in said:
                    client.ask(text)
                log = [(row["statement"], int(row["level"]), *filter(None, [row["sqlstate"]])) for row in told_log(self.client)]
                self.assertEqual(log, said)
                self.client.query("sandbox drop")

    def test_the_log_has_the_words_of_the_client(self):
        wire, native = PgClient(self.address, database=self.database), Native(self)
        self.addCleanup(wire.close)
        texts = ["select '1'::text", "vacuum", *self.own]
        for text in texts:
            self.assertNotIn("E:", wire.query(text))
        wire.query("drop index if exists by_id")
        wire.query("select '1'::text; select 'x'::text as second")
        for text in ("select * from things where id = $1", "select * from things where id = :id", *self.own_native):
            native.session.exec(text, {"id": 1} if ":id" in text else [1] if "$1" in text else None).wait()
        log = [row["statement"] for row in told_log(self.client)]
        both = ["select '1'::text", "select 'x'::text as second"]
        self.assertEqual(log, [*texts, "drop index if exists by_id", *both, "select * from things where id = $1", "select * from things where id = :id",
                               *self.own_native])

    def test_the_log_has_what_a_native_client_asks_of_its_transactions(self):
        session = Native(self).session
        session.tx("begin", isolation="serializable", read_only=False)
        session.exec("insert into things values (1)")
        session.tx("begin")
        with self.assertRaises(based_client.Error):
            session.tx("commit", depth=1)
        session.exec("insert into things values (2)")
        level = session.tx("begin", read_only=True)["level"]
        session.tx("rollback", level=level)
        session.tx("rollback", depth=2)
        session.tx("commit", depth=1)
        session.tx("status")
        with self.assertRaises(based_client.Error):
            session.tx("commit")
        session.tx("begin")
        session.exec("delete from things")
        session.tx("begin", if_open="join")
        session.tx("rollback_all")
        session.tx("begin")
        session.close()
        self.assertEqual([(row["statement"], row["level"], row["sqlstate"]) for row in told_log(self.client)], [
            ("TX BEGIN 1 ISOLATION LEVEL SERIALIZABLE READ WRITE", "1", None), ("insert into things values (1)", "1", None),
            ("TX BEGIN 2", "1", None), ("TX COMMIT 1", "1", "25000"), ("insert into things values (2)", "1", None),
            ("TX BEGIN 3 READ ONLY", "1", None), ("TX ROLLBACK 3", "1", None), ("TX ROLLBACK 2", "1", None),
            ("TX COMMIT 1", "0", None), ("TX COMMIT 0", "0", "25P01"),
            ("TX BEGIN 1", "1", None), ("delete from things", "1", None), ("TX BEGIN 1", "1", None), ("TX ROLLBACK ALL", "0", None),
            ("TX BEGIN 1", "1", None), ("CLOSE", "0", None)])

    def test_the_log_has_what_is_refused_without_the_database(self):
        holder = PgClient(self.address, database=self.database)
        self.addCleanup(holder.close)
        for way in (Wire, Extended, Native):
            with self.subTest(way.__name__):
                client = way(self)
                holder.query("begin; insert into things values (1)")
                self.assertEqual(client.ask("select 'in vain'")[2], "55P03")
                holder.query("rollback")
                for text in ("begin", "insert into things values (2)", "select nix"):
                    client.ask(text)
                holder.query("begin; insert into things values (1)")
                for text, code in (("select 'failed'", "25P02"), ("rollback to nix", "3B001"), ("rollback", None)):
                    self.assertEqual(client.ask(text)[2], code)
                holder.query("rollback")
                log = told_log(self.client)
                self.assertEqual([(row["statement"], row["level"], row["sqlstate"]) for row in log if row["client"] != log[0]["client"]],
                                 [("select 'in vain'", "0", "55P03"), ("begin", "1", None), ("insert into things values (2)", "1", None),
                                  ("select nix", "1", self.unknown), ("select 'failed'", "1", "25P02"), ("rollback to nix", "1", "3B001"),
                                  ("rollback", "0", None)])
                self.client.query("sandbox drop")

    def test_each_of_several_statements_is_in_the_log(self):
        for text, right in (("select 1; select 2 as \"a;b\";; -- x\n select 3",
                             [("select 1", None), ('select 2 as "a;b"', None), ("-- x\n select 3", None)]),
                            ("select 1; select nix; select 3", [("select 1", None), ("select nix", self.unknown)]),
                            ("select 1; insert into things values (1), (2); delete from things where id = 2",
                             [("select 1", None), ("insert into things values (1), (2)", None), ("delete from things where id = 2", None)]),
                            ("select ';'", [("select ';'", None)])):
            self.client.query(text)
            self.assertEqual([(row["statement"], row["sqlstate"]) for row in told_log(self.client)], right)
            self.client.query("sandbox drop")

    def test_drop(self):
        for way in self.each():
            self.client.query("insert into things values (1)")
            self.client.query("sandbox mark a")
            self.assertEqual(way.ask("sandbox drop"), ("SANDBOX DROP", [], None))
            self.assertEqual(self.ids(), [])
            self.assertEqual(self.client.error(query("sandbox reset to a"))["C"], "3B001")
            self.assertEqual([row["statement"] for row in told_log(self.client)], ["select id from things order by id"])


def told_log(client):
    client.send(query("sandbox log"))
    return told(client.messages())[1]


def ran(log):
    return [(row["statement"], row["level"], row["rows"], row["sqlstate"]) for row in log]


class OnPostgres(Commands, unittest.TestCase):
    stopped = "2"
    unknown = "42703"
    own = ["set statement_timeout = 9000", "show statement_timeout", "create index concurrently by_id on things (id)",
           "discard all"]
    own_native = own

    def url(self):
        return cluster.url()

    def tearDown(self):
        self.running.close()
        self.assertEqual(cluster.query("select count(*) from things"), [["0"]])


class OnSqlite(Commands, unittest.TestCase):
    unknown = "42703"
    stopped = "3"  # it has looked whether there is another one
    own = ["set statement_timeout = 9000", "show statement_timeout", "discard all"]
    own_native = []

    def url(self):
        self.file = temporary_folder() / "app.db"
        with contextlib.closing(sqlite3.connect(self.file)) as base:
            base.executescript(";".join(TABLES))
        self.before = self.file.read_bytes()
        return f"sqlite:///{self.file}"

    def tearDown(self):
        self.running.close()
        self.assertEqual(self.file.read_bytes(), self.before)


if __name__ == "__main__":
    unittest.main()
