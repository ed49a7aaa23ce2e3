"""The JDBC driver through Based: the program tests/e2e/java/Conversation.java, on a pool smaller than its clients."""

import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import driver_programs
import servers as support

PROGRAM = pathlib.Path(__file__).resolve().parent / "java/Conversation.java"
DRIVER = "/usr/share/java/postgresql.jar"
BUILT = support.BASED.parent / "java"
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # it runs for two seconds


class Java(driver_programs.Program, unittest.TestCase):
    more = ""  # of the URL

    def build(self):
        made = BUILT / "Conversation.class"
        if not made.exists() or made.stat().st_mtime < PROGRAM.stat().st_mtime:
            subprocess.run(["javac", "-d", BUILT, "-cp", DRIVER, PROGRAM], check=True, timeout=200)

    def command(self, host, port):
        url = f"jdbc:postgresql://{host}:{port}/two?user=postgres&prepareThreshold=3{self.more}"
        return "java", *QUICK, "-cp", f"{DRIVER}:{BUILT}", "Conversation", url


if __name__ == "__main__":
    unittest.main()
