"""Cancels and tiny limits strike what clients run in a sandbox, never what Based runs there for itself: no root is lost."""

import contextlib
import pathlib
import random
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import extended, flush, query, sync
from wire_servers import Conversation, Servers

ROUNDS = 150  # of each client

# Where a guard is made behind what a unit has done already, or goes with another savepoint for the next.
WIRE = (
    query("insert into t values (1)"),
    query("begin; insert into t values (1); commit; insert into t values (1); select pg_sleep(0.002)"),
    query("begin; insert into t values (1); commit and chain; select pg_sleep(0.002); rollback and chain; commit"),
    query("begin; set transaction read only; select pg_sleep(0.002); commit; insert into t values (1)"),
    query("set work_mem = '5MB'; select pg_sleep(0.002); reset work_mem"),
    query("set local work_mem = '6MB'; insert into t values (1); select pg_sleep(0.002)"),
    query("begin; set local work_mem = '7MB'; commit; select pg_sleep(0.002)"),
    query("begin; savepoint s; select 1 / 0; rollback to s; release s; select pg_sleep(0.002); commit"),
    extended("begin") + extended("insert into t values (1)") + extended("commit") +
    extended("insert into t values (1)") + extended("select pg_sleep(0.002)") + sync(),
    extended("begin") + extended("commit and chain") + flush() + extended("select pg_sleep(0.002)") +
    extended("rollback") + extended("insert into t values (1)") + sync(),
    extended("insert into t values ($1)", ["2"]) + extended("select pg_sleep(0.002)") + sync(),
)
NATIVE = ("insert into t values (1)", "select pg_sleep(0.002); insert into t values (1)",
          "begin; insert into t values (1); begin; select pg_sleep(0.002); commit; commit")


def setUpModule():
    Conversation.servers = Servers(pools={"one": "force_rollback = true"})
    Conversation.servers.cluster.query("create table t (n int)", "one")


class Strikes(Conversation):
    def storms(self, wire, struck):
        """One client's units, each of which somebody cancels, or that has a limit of a few milliseconds."""
        chance = random.Random(wire)
        client = self.connect()
        client.query(f"set work_mem = '{wire + 4}MB'")
        for number in range(ROUNDS):
            unit = chance.choice(WIRE)
            if number % 3 == 0:
                client.query(f"set statement_timeout = '{chance.randrange(1, 4)}ms'")
            if number % 3 == 1:
                client.query("set statement_timeout = 0")
            client.send(unit)
            if number % 3 != 0:
                cancels = threading.Timer(chance.random() * 0.004, client.cancel)
                cancels.start()
            answer = client.answers()
            if number % 3 != 0:
                cancels.join()
            if "57014" in answer:
                struck.append(unit)
            client.query("rollback")
        client.query("set statement_timeout = 0")
        self.assertEqual(client.query("select 'well'"), "T:?column? D:well C:SELECT 1 Z:I")

    def storms_native(self, seed, struck):
        chance = random.Random(seed)
        connection = based_client.connect(self.address)
        self.addCleanup(connection.__exit__)
        session = connection.session(database=self.pool)
        session.opened.wait()
        for number in range(ROUNDS):
            session.exec(f"set statement_timeout = '{chance.randrange(1, 4) if number % 2 else 0}ms'")
            sent = session.start(based_client.EXEC, chance.choice(NATIVE), None, {})
            if number % 2 == 0:
                sent.cancel()
            try:
                sent.wait()
            except based_client.Error as error:
                if error.code == "57014":
                    struck.append(number)
                self.leave(session)
        session.exec("set statement_timeout = 0")
        session.exec("select 1")

    @staticmethod
    def leave(session):
        """Its transactions, as many as there are."""
        with contextlib.suppress(based_client.Error):
            for _ in range(3):
                session.exec("rollback")

    def test_no_root_is_lost(self):
        witness = self.connect()
        witness.query("insert into t values (77)")
        struck, failed = [], []

        def guarded(storm, *arguments):
            try:
                storm(*arguments)
            except BaseException as error:  # told in the main thread
                failed.append(error)
        storms = [(self.storms, 1), (self.storms, 2), (self.storms_native, 3)]
        threads = [threading.Thread(target=guarded, args=(*storm, struck)) for storm in storms]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertNotIn("LOST", self.log())
        if failed:
            raise failed[0]
        self.assertGreater(len(struck), ROUNDS // 10)
        self.assertEqual(witness.rows("select count(*) from t where n = 77"), [["1"]])


if __name__ == "__main__":
    unittest.main()
