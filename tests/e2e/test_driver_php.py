"""PHP's PDO through Based: the program tests/e2e/php/conversation.php, on a pool smaller than its clients."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import driver_programs

PROGRAM = pathlib.Path(__file__).resolve().parent / "php/conversation.php"


class Php(driver_programs.Program, unittest.TestCase):
    def command(self, host, port):
        return "php", PROGRAM, host, port, "two"


if __name__ == "__main__":
    unittest.main()
