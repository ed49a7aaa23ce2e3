"""The JDBC driver through Based: the program tests/e2e/java/Conversation.java, on a pool smaller than its clients."""

import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import servers as support
from wire_servers import Servers

PROGRAM = pathlib.Path(__file__).resolve().parent / "java/Conversation.java"
DRIVER = "/usr/share/java/postgresql.jar"
BUILT = support.BASED.parent / "java"
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # it runs for two seconds


def build():
    """Below the build folder; nothing when that is there already."""
    made = BUILT / "Conversation.class"
    if not made.exists() or made.stat().st_mtime < PROGRAM.stat().st_mtime:
        subprocess.run(["javac", "-d", BUILT, "-cp", DRIVER, PROGRAM], check=True, timeout=200)


class Java(unittest.TestCase):
    def converse(self, address, more=""):
        url = f"jdbc:postgresql://{address}/two?user=postgres&prepareThreshold=3{more}"
        done = subprocess.run(["java", *QUICK, "-cp", f"{DRIVER}:{BUILT}", "Conversation", url], capture_output=True, text=True,
                              timeout=200)
        self.assertEqual((done.stdout, done.returncode), ("ok\n", 0), done.stderr)

    def test_its_ordinary_work_directly_and_through_based(self):
        build()
        servers = Servers(pools={"two": "max_size = 2\n"})
        self.converse(servers.direct)
        self.converse(servers.through_based)


if __name__ == "__main__":
    unittest.main()
