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
import driver_programs
import servers as support

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


class Prisma(driver_programs.Program, unittest.TestCase):
    def build(self):
        install()

    def command(self, host, port):
        return "node", SOURCES / "conversation.js", host, port, "two"

    def environment(self):
        return {"NODE_PATH": str(INSTALLED / "node_modules"), "GENERATED": str(INSTALLED / "generated")}


if __name__ == "__main__":
    unittest.main()
