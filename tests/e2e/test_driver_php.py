"""PHP's PDO through Based: the program tests/e2e/php/conversation.php, on a pool smaller than its clients."""

import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from wire_servers import Servers

PROGRAM = pathlib.Path(__file__).resolve().parent / "php/conversation.php"


class Php(unittest.TestCase):
    def converse(self, address):
        host, port = address.split(":")
        done = subprocess.run(["php", PROGRAM, host, port, "two"], capture_output=True, text=True, timeout=100)
        self.assertEqual((done.stdout, done.returncode), ("ok\n", 0), done.stdout + done.stderr)

    def test_its_ordinary_work_directly_and_through_based(self):
        servers = Servers(pools={"two": "max_size = 2\n"})
        self.converse(servers.direct)
        self.converse(servers.through_based)


if __name__ == "__main__":
    unittest.main()
