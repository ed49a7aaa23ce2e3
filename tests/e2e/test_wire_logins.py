"""What PostgreSQL makes of a connection when it is opened: a session that begins behind a change of it has it changed."""

import itertools
import os
import pathlib
import pwd
import sys
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import Refused, extended, sync
from servers import Daemon, PostgresCluster
from wire_servers import Conversation, both


def setUpModule():
    cluster = PostgresCluster()
    unittest.addModuleCleanup(cluster.close)
    if (own := pwd.getpwuid(os.geteuid()).pw_name) != "postgres":
        cluster.query(f'create role "{own}" superuser login')
    socket = f"host={cluster.folder}&port={cluster.port}"
    daemon = Daemon(config=f'[databases.postgres]\nurl = "postgresql:///postgres?{socket}"\nmax_size = 3\n'
                           f'[databases.other]\nurl = "postgresql:///template1?{socket}"\n'
                           f'[databases.kept]\nurl = "postgresql:///postgres?{socket}"\npool_mode = "session"\n'
                           f'[databases.box]\nurl = "postgresql:///postgres?{socket}"\nforce_rollback = true\n')
    unittest.addModuleCleanup(daemon.close)
    Conversation.servers = types.SimpleNamespace(
        cluster=cluster, daemon=daemon, direct=f"127.0.0.1:{cluster.port}", through_based=f"127.0.0.1:{daemon.port}")


@both
class Logins:
    pool = "postgres"

    def setUp(self):
        self.admin = self.connect()
        self.do("create role ann login")
        self.addCleanup(self.do, "drop role if exists ann")
        self.addCleanup(self.do, "alter database postgres reset all")
        self.assertEqual(self.value("select current_user"), "ann")

    def do(self, text):
        self.assertEqual(self.admin.query(text)[-3:], "Z:I")

    def value(self, sql, user="ann"):
        client = self.connect(user=user)
        try:
            return client.value(sql)
        finally:
            client.close()

    def refused(self, user="ann"):
        with self.assertRaises(Refused) as caught:
            self.connect(user=user)
        return caught.exception.fields["C"]

    def test_a_role_that_was_dropped_and_made_anew_is_the_new_one(self):
        for _ in range(3):
            self.do("drop role ann")
            self.do("create role ann login")
            self.assertEqual(self.value("select current_user"), "ann")

    def test_a_role_that_is_gone_or_may_not_log_in(self):
        self.do("alter role ann nologin")
        self.assertEqual(self.refused(), "28000")
        self.do("alter role ann login")
        self.assertEqual(self.value("select current_user"), "ann")
        self.do("alter role ann rename to bob")
        self.addCleanup(self.do, "drop role bob")
        self.assertEqual(self.refused(), "28000")
        self.assertEqual(self.value("select current_user", "bob"), "bob")

    def test_the_settings_of_a_role_and_of_a_database(self):
        for text, name, value in (("alter role ann set work_mem = '9MB'", "work_mem", "9MB"),
                                  ("begin; alter user ann set work_mem = '8MB'; commit", "work_mem", "8MB"),
                                  ("alter role ann reset work_mem", "work_mem", "4MB"),
                                  ("alter role ann set timezone = 'Asia/Tokyo'", "timezone", "Asia/Tokyo"),
                                  ("alter database postgres set lock_timeout = '9s'", "lock_timeout", "9s"),
                                  ("alter database postgres reset all", "lock_timeout", "0")):
            with self.subTest(text):
                self.do(text)
                self.assertEqual(self.value(f"show {name}"), value)
        self.admin.ask(extended("alter role ann set work_mem = '7MB'"), sync())
        self.assertEqual(self.value("show work_mem"), "7MB")

    def test_what_a_client_is_told_when_it_comes(self):
        before = self.connect(user="ann").parameters["TimeZone"]
        self.do("alter role ann set timezone = 'Asia/Tokyo'")
        self.assertEqual(self.connect(user="ann").parameters["TimeZone"], "Asia/Tokyo")
        self.do("alter role ann reset all")
        self.assertEqual(self.connect(user="ann").parameters["TimeZone"], before)

    def test_not_before_it_is_committed(self):
        self.do("begin; select 1; alter role ann set work_mem = '9MB'; rollback")
        self.assertEqual(self.value("show work_mem"), "4MB")
        self.admin.query("begin; alter role ann set work_mem = '9MB'")
        self.assertEqual(self.value("show work_mem"), "4MB")
        self.do("commit")
        self.assertEqual(self.value("show work_mem"), "9MB")


class ThroughBased(Conversation):
    pool = "postgres"

    def test_one_that_was_there_before_goes_on_where_others_have_links_of_before(self):
        client = self.connect()
        process = client.value("select pg_backend_pid()")
        client.query("alter role postgres set work_mem = '9MB'")
        self.addCleanup(self.server, "alter role postgres reset all")
        self.assertEqual(client.value("show work_mem"), "4MB")
        self.assertEqual(client.value("select pg_backend_pid()"), process)
        self.assertEqual(self.connect().value("show work_mem"), "9MB")

    def test_of_every_database_and_mode(self):
        databases = ("postgres", "other", "kept")
        megabytes = itertools.count(10)
        for database in databases:
            for maker in (*databases, "natively"):
                value = f"{next(megabytes)}MB"
                self.connect(database).close()
                if maker == "natively":
                    with based_client.connect(self.address, user="postgres") as connection, \
                            connection.session(database=database) as session:
                        session.exec(f"alter role postgres set work_mem = '{value}'")
                else:
                    self.connect(maker).query(f"alter role postgres set work_mem = '{value}'")
                self.addCleanup(self.server, "alter role postgres reset all")
                with self.subTest(database=database, maker=maker):
                    self.assertEqual(self.connect(database).value("show work_mem"), value)
                    with based_client.connect(self.address, user="postgres") as connection, \
                            connection.session(database=database) as session:
                        self.assertEqual(session.exec("show work_mem").rows[0], [value])

    def test_a_sandboxes_own_are_nobody_elses(self):
        client = self.connect()
        process = client.value("select pg_backend_pid()")
        client.close()
        box = self.connect("box")
        box.query("alter role postgres set work_mem = '9MB'")
        self.assertEqual(box.query("sandbox reset"), "C:SANDBOX RESET Z:I")
        self.assertEqual(self.connect().value("select pg_backend_pid()"), process)


if __name__ == "__main__":
    unittest.main()
