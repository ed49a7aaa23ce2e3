"""Named sandboxes: database#name, each with a root of its own, side by side over both protocols and both backends."""

import contextlib
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import based_client
from pg_client import PgClient, Refused
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

    def test_status_counts_them(self):
        self.daemon()
        self.connect("app#w1").rows("select 1")
        names = [database["name"] for database in self.native().status()["databases"]]
        self.assertEqual(names, ["app", "app#w1"])


class SqliteNames(unittest.TestCase):
    def test_two_sandboxes_over_one_file(self):
        path = temporary_folder() / "base.db"
        self.addCleanup(shutil.rmtree, path.parent)
        with contextlib.closing(sqlite3.connect(path)) as base:
            base.execute("create table things (id integer primary key)")
        with Daemon(f"sqlite:///{path}", "--force-rollback", log_level="info") as daemon:
            address = f"127.0.0.1:{daemon.port}"
            with PgClient(address, database="base#1") as one, PgClient(address, database="base#2") as two:
                for client in (one, two):
                    client.rows("create table made (id integer primary key)")
                    client.rows("insert into things values (1)")
                one.rows("insert into things values (2)")
                self.assertEqual(one.value("select count(*) from things"), "2")
                self.assertEqual(two.value("select count(*) from things"), "1")
        with contextlib.closing(sqlite3.connect(path)) as base:
            self.assertEqual(base.execute("select count(*) from sqlite_master").fetchone(), (1,))


if __name__ == "__main__":
    unittest.main()
