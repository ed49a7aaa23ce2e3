"""The PostgreSQL backend against a real server: runs the program whose cases need one."""

import os
import pathlib
import shutil
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

    def test_every_case_over_tls_with_scram(self):
        with servers.PostgresCluster() as cluster:
            key, certificate = cluster.data / "server.key", cluster.data / "server.crt"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                            "/CN=localhost", "-keyout", key, "-out", certificate], check=True, capture_output=True)
            for path in (key, certificate):
                path.chmod(0o600)
                if os.geteuid() == 0:
                    shutil.chown(path, "postgres", "postgres")
            cluster.query("ALTER SYSTEM SET ssl = on")
            cluster.query("CREATE ROLE app_scram SUPERUSER LOGIN PASSWORD 'se cret'")
            (cluster.data / "pg_hba.conf").write_text(
                "local all all trust\n"
                "hostssl all app_scram 127.0.0.1/32 scram-sha-256\n"  # and nothing without TLS
            )
            cluster.restart()
            self.run_program(f"host=127.0.0.1 port={cluster.port} user=app_scram password='se cret' "
                             "dbname=postgres sslmode=require")


if __name__ == "__main__":
    unittest.main()
