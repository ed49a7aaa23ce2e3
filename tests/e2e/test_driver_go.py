"""Go's pgx through Based: the program tests/e2e/go/conversation.go, on a pool smaller than its clients.

It is built with Debian's packages, below the build folder.
"""

import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import servers as support
from wire_servers import Servers

SOURCE = pathlib.Path(__file__).resolve().parent / "go/conversation.go"
BUILT = support.BASED.parent / "go"


def build():
    """Quick when nothing has changed."""
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "-buildvcs=false",
                   "GOCACHE": str(BUILT / "cache"), "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", BUILT / "conversation", SOURCE], check=True, env=environment, timeout=300)


class Go(unittest.TestCase):
    def converse(self, address):
        host, port = address.split(":")
        done = subprocess.run([BUILT / "conversation", host, port, "two"], capture_output=True, text=True, timeout=120)
        self.assertEqual((done.stdout, done.returncode), ("ok\n", 0), done.stderr)

    def test_its_ordinary_work_directly_and_through_based(self):
        build()
        servers = Servers(pools={"two": "max_size = 2\n"})
        self.converse(servers.direct)
        self.converse(servers.through_based)


if __name__ == "__main__":
    unittest.main()
