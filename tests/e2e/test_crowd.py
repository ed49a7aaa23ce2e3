"""Many clients pipeline at once, some are cancelled, some vanish, links are lost: who hears what is tests/support/crowd.py's.

CROWD_SEED=n begins with another seed, CROWD_SECONDS=n goes on for longer.
"""

import os
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from crowd import Crowd
from pg_client import PgClient
from servers import Daemon, PostgresCluster

SECONDS = float(os.environ.get("CROWD_SECONDS", "1"))
SEED = int(os.environ.get("CROWD_SEED", "1"))
DATABASES = {"one": "max_size = 1", "two": "max_size = 2", "nested": "max_size = 2\nnested_transactions = true",
             "box": "force_rollback = true"}


class Crowds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = PostgresCluster()
        cls.addClassCleanup(cls.cluster.close)
        for name in DATABASES:
            cls.cluster.query(f"create database {name}")
        cls.observer = PgClient(f"127.0.0.1:{cls.cluster.port}")
        cls.addClassCleanup(cls.observer.close)

    def check(self, *databases, **trouble):
        for name in databases:
            config = f"[databases.{name}]\nurl = \"{self.cluster.url(name)}\"\ntimeout = '10s'\n{DATABASES[name]}\n"
            with Daemon(config=config) as daemon:
                end, seed = time.monotonic() + SECONDS, SEED
                while time.monotonic() < end:
                    with self.subTest(database=name, seed=seed):
                        self.one_run(Crowd(seed, daemon, name, nests=name == "nested", observer=self.observer, **trouble))
                    seed += 1

    def one_run(self, crowd):
        try:
            crowd.run()
        except Exception as error:
            raise AssertionError(f"{error!r}\n{crowd.daemon.log()[-20000:]}") from error
        self.assertIsNone(crowd.daemon.process.poll())

    def test_everybody_is_told_of_its_own(self):
        self.check(*DATABASES)

    def test_some_are_cancelled(self):
        self.check(*DATABASES, cancels=0.1)

    def test_links_are_lost(self):
        self.check("one", "two", "nested", strikes=0.04)

    def test_links_are_lost_and_some_are_cancelled(self):
        self.check("two", "nested", strikes=0.03, cancels=0.1)


if __name__ == "__main__":
    unittest.main()
