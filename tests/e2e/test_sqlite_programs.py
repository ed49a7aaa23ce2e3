"""SQLite behind PostgreSQL's protocol: Node's `pg` and `postgres` and JDBC, unchanged, on a file.

Their programs are tests/e2e/node/sqlite.js and tests/e2e/java/OnSqlite.java.
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import driver_programs
import servers as support
import test_driver_node
from test_driver_java import DRIVER

HERE = pathlib.Path(__file__).resolve().parent


class Programs(unittest.TestCase):
    def setUp(self):
        self.daemon = support.Daemon(f"sqlite:///{support.temporary_folder()}/app.db")
        self.addCleanup(self.daemon.close)

    def test_node(self):
        test_driver_node.install()
        driver_programs.run(self, "node", HERE / "node/sqlite.js", "127.0.0.1", str(self.daemon.port), "app",
                            NODE_PATH=str(test_driver_node.INSTALLED / "node_modules"))

    def test_java(self):
        url = f"jdbc:postgresql://127.0.0.1:{self.daemon.port}/app?user=ann&prepareThreshold=3"
        for zone in ("UTC", "Asia/Kathmandu"):
            with self.subTest(zone):
                driver_programs.run(self, "java", f"-Duser.timezone={zone}", "-cp", DRIVER, HERE / "java/OnSqlite.java", url)


if __name__ == "__main__":
    unittest.main()
