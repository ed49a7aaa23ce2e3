"""A daemon that is killed at any moment leaves nothing of its sandboxes: see tests/support/sandbox_kills.py."""

import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from sandbox_kills import kill

ROUNDS = 50


class Kills(unittest.TestCase):
    def check(self, backend):
        answers = kill(backend, ROUNDS, random.randrange(1 << 32))
        self.assertGreater(answers[""], ROUNDS)  # the load did something
        self.assertGreater(sum(answers.values()) - answers[""], ROUNDS)  # and was refused something

    def test_nothing_remains_in_postgresql(self):
        self.check("postgres")

    def test_nothing_remains_in_sqlite_files(self):
        self.check("sqlite")


if __name__ == "__main__":
    unittest.main()
