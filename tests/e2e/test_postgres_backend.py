"""The PostgreSQL backend against a real server: runs the program whose cases need one."""

import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import servers

PROGRAM = servers.BASED.parent / "tests/backends/postgres/postgres_live_tests"


class PostgresBackend(unittest.TestCase):
    def run_program(self, conninfo):
        done = subprocess.run([PROGRAM], env={**os.environ, "BASED_TEST_POSTGRES": conninfo}, timeout=300,
                              capture_output=True, text=True, errors="replace")
        self.assertEqual(done.returncode, 0, done.stdout[-8000:] + done.stderr[-2000:])

    def test_every_case_over_a_unix_socket(self):
        with servers.PostgresCluster() as cluster:
            self.run_program(f"host={cluster.folder} port={cluster.port} user=postgres dbname=postgres")


if __name__ == "__main__":
    unittest.main()
