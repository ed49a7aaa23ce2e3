"""Node's `pg` and `postgres` through Based: the program tests/e2e/node/conversation.js, on a pool smaller than its clients.

npm installs the drivers, as the lock file says, below the build folder.
"""

import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import driver_programs
import servers as support

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


class Node(driver_programs.Program, unittest.TestCase):
    def build(self):
        install()

    def command(self, host, port):
        return "node", SOURCES / "conversation.js", host, port, "two"

    def environment(self):
        return {"NODE_PATH": str(INSTALLED / "node_modules")}


if __name__ == "__main__":
    unittest.main()
