"""[databases."*"]: a client's name for a database is the server's, over both protocols."""

import pathlib
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import based_client
from pg_client import PgClient, Refused, extended, sync
from servers import BASED, Daemon, PostgresCluster, temporary_folder, wait_until

# What has to be written as it is, and what looks like something else.
NAMES = ("plain", "Mixed Case", "100%25 & 'more' ?x=1#y", 'back\\slash "quoted"', "dbname=other host=/nowhere",
         "postgresql://127.0.0.1:1/other", "umläut", "*", "x" * 63)


class CatchAll(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = PostgresCluster()
        cls.addClassCleanup(cls.postgres.close)
        for name in NAMES:
            quoted = name.replace('"', '""')
            cls.postgres.query(f'create database "{quoted}"')

    def daemon(self, server="", table="", more=""):
        # The name in the URL is replaced; a database of it is not there.
        url = f"postgresql://postgres@127.0.0.1:{self.postgres.port}/replaced?application_name=of_based"
        running = Daemon(config=f'[server]\n{server}\n[databases."*"]\nurl = "{url}"\n{table}\n{more}')
        self.addCleanup(running.close)
        self.address = f"127.0.0.1:{running.port}"
        return running

    def connect(self, database):
        client = PgClient(self.address, database=database)
        self.addCleanup(client.close)
        return client

    def links(self, database):
        return int(self.postgres.query("select count(*) from pg_stat_activity where application_name = 'of_based' "
                                       f"and datname = '{database}'")[0][0])

    def refusal(self, database):
        with self.assertRaises(Refused) as refused:
            self.connect(database)
        return refused.exception.fields

    def test_any_name_is_the_servers_own(self):
        self.daemon()
        for name in NAMES:
            with self.subTest(name):
                self.assertEqual(self.connect(name).value("select current_database()"), name)
                with based_client.connect(self.address) as client, client.session(database=name) as session:
                    self.assertEqual(list(session.exec("select current_database()::text")), [[name]])
                    self.assertEqual(session.opened.end["session"]["database"], name)

    def test_of_an_unknown_name_the_server_speaks(self):
        daemon = self.daemon()
        for name in ("nowhere", "no where", "x" * 62):
            fields = self.refusal(name)
            self.assertEqual((fields["S"], fields["C"]), ("FATAL", "3D000"))
            self.assertEqual(fields["M"], f'database "{name}" does not exist')
        with based_client.connect(self.address) as client, client.session(database="nowhere") as session:
            with self.assertRaises(based_client.Error) as refused:
                session.exec("select 1")
            self.assertEqual(refused.exception.code, "3D000")
        self.assertEqual(self.refusal("x" * 64)["C"], "3D000")
        self.assertNotIn("x" * 64 + ": made", daemon.log())
        # There is none that a client gets who names none.
        with based_client.connect(self.address) as client:
            self.assertEqual(client.welcome["databases"], [])
            with self.assertRaises(based_client.Error) as refused:
                client.session().opened.wait()
            self.assertEqual((refused.exception.code, refused.exception.scope), ("3D000", "session"))

    def connects(self, database):
        """A client, or None while it is refused: what the server said is kept for a moment."""
        try:
            return self.connect(database)
        except Refused:
            return None

    def test_one_that_comes_into_being_on_the_server_is_there(self):
        self.daemon()
        self.assertEqual(self.refusal("later")["C"], "3D000")
        self.postgres.query("create database later")
        client = wait_until(lambda: self.connects("later"), "the database")
        self.assertEqual(client.value("select current_database()"), "later")

    def test_one_that_nobody_uses_can_be_dropped_and_copied(self):
        self.daemon()
        maker = self.connect("postgres")
        for statement in ('drop database "Brief One"', 'alter database "Brief One" rename to gone; drop database gone',
                          'create database copied template "Brief One"'):
            with self.subTest(statement):
                self.assertEqual(maker.query('create database "Brief One"'), "C:CREATE DATABASE Z:I")
                user = self.connect("Brief One")
                user.query("create table t (n int)")
                user.close()
                self.assertEqual(self.links("Brief One"), 1)
                for text in statement.split("; "):
                    self.assertIn(maker.query(text), ("C:DROP DATABASE Z:I", "C:ALTER DATABASE Z:I", "C:CREATE DATABASE Z:I"))
        self.assertEqual(self.connect("copied").query("select n from t"), "T:n C:SELECT 0 Z:I")
        self.assertEqual(maker.ask(extended('drop database "Brief One"'), sync()), "1 2 C:DROP DATABASE Z:I")
        with based_client.connect(self.address) as client, client.session(database="postgres") as session:
            session.exec("drop database copied")

    def test_a_database_with_a_table_of_its_own_is_that_one(self):
        url = f"postgresql://postgres@127.0.0.1:{self.postgres.port}/plain"
        self.daemon(more=f'[databases.umbrella]\nurl = "{url}"\n')
        self.assertEqual(self.connect("umbrella").value("select current_database()"), "plain")
        with based_client.connect(self.address) as client:
            self.assertEqual([database["name"] for database in client.welcome["databases"]], ["umbrella"])

    def test_each_has_a_pool_of_its_own_with_the_tables_limits(self):
        self.daemon(table='max_size = 1\ntimeout = "300ms"')
        first, second = self.connect("plain"), self.connect("Mixed Case")
        first.query("begin; select 1")
        self.assertEqual(second.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")
        self.assertEqual(self.connect("plain").query("select 1"), "E:53300 Z:I")

    def test_so_many_at_once_and_one_that_nobody_uses_goes_for_another(self):
        daemon = self.daemon("max_catch_all = 2")
        first, second = self.connect("plain"), self.connect("Mixed Case")
        fields = self.refusal("umläut")
        self.assertEqual((fields["S"], fields["C"]), ("FATAL", "53300"))
        with based_client.connect(self.address) as client:
            with self.assertRaises(based_client.Error) as refused:
                client.session(database="umläut").opened.wait()
            self.assertEqual((refused.exception.code, refused.exception.scope), ("53300", "session"))
        first.query("begin")
        first.query("create table left_behind ()")
        first.vanish()
        third = wait_until(lambda: self.connects("umläut"), "a place")
        self.assertEqual(third.value("select current_database()"), "umläut")
        daemon.wait_log(r"database plain: forgotten, its place is wanted")
        self.assertEqual(second.value("select current_database()"), "Mixed Case")
        wait_until(lambda: self.links("plain") == 0, "its links to be closed")
        self.assertEqual(self.postgres.query("select to_regclass('left_behind') is null", "plain"), [["t"]])

    def test_one_that_nobody_uses_is_forgotten_after_its_time_with_its_links(self):
        daemon = self.daemon('catch_all_idle = "1s"')
        stays = self.connect("Mixed Case")
        goes = self.connect("plain")
        for client in (stays, goes):
            client.query("select 1")
        self.assertEqual((self.links("plain"), self.links("Mixed Case")), (1, 1))
        goes.close()
        daemon.wait_log(r"database plain: forgotten, nobody has used it for long")
        wait_until(lambda: self.links("plain") == 0, "its links to be closed")
        self.assertEqual(self.links("Mixed Case"), 1)
        self.assertEqual(stays.value("select current_database()"), "Mixed Case")
        self.assertNotIn("database Mixed Case: forgotten", daemon.log())
        self.assertEqual(self.connect("plain").value("select current_database()"), "plain")

    def test_a_native_session_keeps_its_database_too(self):
        daemon = self.daemon('catch_all_idle = "1s"')
        with based_client.connect(self.address) as client, client.session(database="plain") as session:
            session.exec("select 1")
            self.connect("Mixed Case").close()
            daemon.wait_log(r"database Mixed Case: forgotten")
            self.assertEqual(list(session.exec("select current_database()::text")), [["plain"]])
        daemon.wait_log(r"database plain: forgotten")

    def test_users_may_have_some_of_them_only(self):
        verifier = subprocess.run([BASED, "hash-password"], input="pw\n", capture_output=True, text=True,
                                  timeout=60).stdout.strip()
        self.daemon(more=f'[users]\n[users.postgres]\npassword = "{verifier}"\ndatabases = ["plain"]\n')
        with PgClient(self.address, "postgres", "plain", "pw") as client:
            self.assertEqual(client.value("select current_database()"), "plain")
        with self.assertRaises(Refused) as refused:
            PgClient(self.address, "postgres", "Mixed Case", "pw")
        self.assertEqual(refused.exception.code, "28000")

    def test_the_daemons_end_closes_them(self):
        daemon = self.daemon('shutdown_timeout = "1s"')
        client = self.connect("plain")
        client.query("begin")
        client.query("create table never_there ()")
        with based_client.connect(self.address) as native:
            self.assertEqual([database["name"] for database in native.status()["databases"]], ["plain"])
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)
        self.assertEqual(self.links("plain"), 0)
        self.assertEqual(self.postgres.query("select to_regclass('never_there') is null", "plain"), [["t"]])

    def test_a_sandbox_of_each_is_kept_to_the_end(self):
        self.daemon('max_catch_all = 1\ncatch_all_idle = "1s"', "force_rollback = true")
        with self.connect("plain") as client:
            client.query("create table in_the_sandbox ()")
        self.assertEqual(self.refusal("Mixed Case")["C"], "53300")
        self.assertEqual(self.connect("plain").query("select from in_the_sandbox"), "T: C:SELECT 0 Z:I")
        self.assertEqual(self.postgres.query("select to_regclass('in_the_sandbox') is null", "plain"), [["t"]])

    def test_what_it_cannot_be_is_said_at_the_start(self):
        folder = temporary_folder()
        cases = {
            'url = "sqlite:///x.db"': (78, "needs a postgresql url"),
            'url = "postgresql://h/?nonsense=1"': (78, "nonsense"),
            'url = "postgresql://h/"\ninit_sql = ["select \'"]': (78, "init SQL"),
        }
        for table, (code, words) in cases.items():
            path = folder / "based.toml"
            path.write_text(f'[server]\nauth = "trust"\nlisten = ["127.0.0.1:0"]\n[databases."*"]\n{table}\n')
            done = subprocess.run([BASED, "--config", path], capture_output=True, text=True, timeout=20)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    unittest.main()
