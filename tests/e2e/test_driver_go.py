"""Go's pgx through Based: the program tests/e2e/go/conversation.go, on a pool smaller than its clients.

It is built with Debian's packages, below the build folder.
"""

import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import driver_programs
import servers as support

SOURCE = pathlib.Path(__file__).resolve().parent / "go/conversation.go"
BUILT = support.BASED.parent / "go"


class Go(driver_programs.Program, unittest.TestCase):
    def build(self):
        environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "-buildvcs=false",
                       "GOCACHE": str(BUILT / "cache"), "CGO_ENABLED": "0"}
        subprocess.run(["go", "build", "-o", BUILT / "conversation", SOURCE], check=True, env=environment, timeout=300)

    def command(self, host, port):
        return BUILT / "conversation", host, port, "two"


if __name__ == "__main__":
    unittest.main()
