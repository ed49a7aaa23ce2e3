"""Node's `pg` and `postgres` through Based: the program tests/e2e/node/conversation.js, on a pool smaller than its clients.

npm installs the drivers, as the lock file says, below the build folder.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import servers as support
from wire_servers import Servers

SOURCES = pathlib.Path(__file__).resolve().parent / "node"
INSTALLED = support.BASED.parent / "node"


def install():
    """What the lock file names; nothing when that is there already."""
    lock, installed = SOURCES / "package-lock.json", INSTALLED / "package-lock.json"
    done = INSTALLED / "done"
    if done.exists() and installed.read_bytes() == lock.read_bytes():
        return
    shutil.rmtree(INSTALLED, ignore_errors=True)
    INSTALLED.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCES / name, INSTALLED / name)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=INSTALLED, check=True, capture_output=True, timeout=200)
    done.touch()


class Node(unittest.TestCase):
    def converse(self, address):
        host, port = address.split(":")
        done = subprocess.run(["node", SOURCES / "conversation.js", host, port, "two"], capture_output=True, text=True,
                              timeout=100, env={**os.environ, "NODE_PATH": str(INSTALLED / "node_modules")})
        self.assertEqual((done.stdout, done.returncode), ("ok\n", 0), done.stderr)

    def test_its_ordinary_work_directly_and_through_based(self):
        install()
        servers = Servers(pools={"two": "max_size = 2\n"})
        self.converse(servers.direct)
        self.converse(servers.through_based)


if __name__ == "__main__":
    unittest.main()
