"""What clients were told is what is there, whatever happens to Based's links meanwhile: see tests/support/storm.py."""

import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from storm import weather

SECONDS = 8


class Storms(unittest.TestCase):
    def check(self, crashes):
        for name, ended in weather(random.randrange(1 << 32), SECONDS, crashes).items():
            self.assertGreater(ended["committed"], 50, name)
            self.assertGreater(ended["rolled back"], 0, name)

    def test_links_are_struck(self):
        self.check(0)

    def test_the_server_crashes(self):
        self.check(0.05)


if __name__ == "__main__":
    unittest.main()
