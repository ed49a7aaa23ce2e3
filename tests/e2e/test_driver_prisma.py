"""Prisma through Based: the program tests/e2e/prisma/conversation.js, on a pool smaller than its clients.

npm installs it, as the lock file says, below the build folder, and it generates its client there. Nothing is downloaded but npm's
packages: Prisma's engine is the one that it has as WebAssembly, and what only its migrations need is not there.
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

SOURCES = pathlib.Path(__file__).resolve().parent / "prisma"
INSTALLED = support.BASED.parent / "prisma"
COPIED = ("package.json", "package-lock.json", "schema.prisma")


def install():
    """What the lock file names, and the client; nothing when they are there already."""
    done = INSTALLED / "done"
    if done.exists() and all((INSTALLED / name).read_bytes() == (SOURCES / name).read_bytes() for name in COPIED):
        return
    shutil.rmtree(INSTALLED, ignore_errors=True)
    INSTALLED.mkdir(parents=True)
    for name in COPIED:
        shutil.copy(SOURCES / name, INSTALLED / name)

    def run(*command, **environment):
        subprocess.run(command, cwd=INSTALLED, env={**os.environ, **environment}, check=True, capture_output=True, timeout=200)
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    # It looks for the engines of other clients and of migrations, and would download them; it runs neither.
    run("node_modules/.bin/prisma", "generate", "--schema", "schema.prisma", "--no-hints", CHECKPOINT_DISABLE="1",
        PRISMA_SCHEMA_ENGINE_BINARY="/bin/true", PRISMA_QUERY_ENGINE_LIBRARY="/bin/true")
    done.touch()


class Prisma(unittest.TestCase):
    def converse(self, address):
        host, port = address.split(":")
        done = subprocess.run(["node", SOURCES / "conversation.js", host, port, "two"], capture_output=True, text=True,
                              timeout=100, env={**os.environ, "NODE_PATH": str(INSTALLED / "node_modules"),
                                                "GENERATED": str(INSTALLED / "generated")})
        self.assertEqual((done.stdout, done.returncode), ("ok\n", 0), done.stderr)

    def test_its_ordinary_work_directly_and_through_based(self):
        install()
        servers = Servers(pools={"two": "max_size = 2\n"})
        self.converse(servers.direct)
        self.converse(servers.through_based)


if __name__ == "__main__":
    unittest.main()
