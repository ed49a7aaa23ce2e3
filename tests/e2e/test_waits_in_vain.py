"""Clients that wait for each other, or for themselves, are told so; nobody hangs and nobody else is touched."""

import contextlib
import time
import unittest

from based_client import EXEC, Error, connect
from servers import Daemon, PostgresCluster, temporary_folder

CONFIG = """
[databases.left]
url = "sqlite:///{folder}/left.db"
[databases.right]
url = "sqlite:///{folder}/right.db"
[databases.sandbox]
url = "{url}"
force_rollback = true
[databases.pooled]
url = "{url}"
max_size = 1
"""
NAMES = ("left", "right", "sandbox", "pooled")


class WaitsInVain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with contextlib.ExitStack() as stack:
            folder = temporary_folder()
            cluster = stack.enter_context(PostgresCluster())
            cls.daemon = stack.enter_context(Daemon(config=CONFIG.format(folder=folder, url=cluster.url())))
            cls.addClassCleanup(stack.pop_all().close)

    def setUp(self):
        self.clients = [connect(self.daemon.addresses[0]) for _ in range(2)]
        for client in self.clients:
            self.addCleanup(client.__exit__, None)

    @staticmethod
    def rest_on(client, database):
        session = client.session(database=database)
        session.tx("begin")
        # The sandbox and the pool are one server: two tables of one name would wait for each other there.
        session.exec(f"create table if not exists of_{database} (n integer)")
        session.exec(f"insert into of_{database} values (1)")
        return session

    def outcome(self, result):
        began = time.monotonic()
        try:
            result.wait()
        except Error as error:
            return error, time.monotonic() - began
        return None, time.monotonic() - began

    def test_a_ring_over_two_databases_is_refused_at_once(self):
        for first, second in (("left", "right"), ("left", "sandbox"), ("sandbox", "pooled"), ("pooled", "right")):
            with self.subTest(first=first, second=second):
                alice, bob = self.clients
                alices, bobs = self.rest_on(alice, first), self.rest_on(bob, second)
                waits = alice.session(database=second).start(EXEC, "select 1")
                alice.ping()
                error, seconds = self.outcome(bob.session(database=first).start(EXEC, "select 1"))
                self.assertEqual((error.code, error.executed, error.retry), ("40P01", "no", True))
                self.assertIn(first, error.message)
                for words in (first, second, "rests"):
                    self.assertIn(words, error.detail)
                self.assertTrue(error.hint)
                self.assertLess(seconds, 0.7)  # a wait of one's own is given a second
                bobs.tx("rollback")
                self.assertEqual(list(waits.wait().rows), [[1]])
                alices.tx("rollback")

    def test_a_client_that_holds_what_it_waits_for_is_told_after_a_second(self):
        for name in NAMES:
            with self.subTest(name):
                client = self.clients[0]
                held = self.rest_on(client, name)
                error, seconds = self.outcome(client.session(database=name).start(EXEC, "select 1"))
                self.assertEqual((error.code, error.executed), ("40P01", "no"))
                self.assertIn("itself", error.message)
                self.assertGreater(seconds, 0.8)
                self.assertLess(seconds, 4)
                self.assertEqual(list(held.exec(f"select count(*) from of_{name}").rows), [[1]])
                held.tx("rollback")

    def test_another_thread_of_the_client_may_end_the_transaction_in_time(self):
        for name in NAMES:
            with self.subTest(name):
                client = self.clients[0]
                held = self.rest_on(client, name)
                waits = client.session(database=name).start(EXEC, "select 1")
                for _ in range(4):  # busy for longer than the second altogether
                    time.sleep(0.4)
                    held.exec("select 1")
                held.tx("rollback")
                self.assertEqual(list(waits.wait().rows), [[1]])


if __name__ == "__main__":
    unittest.main()
