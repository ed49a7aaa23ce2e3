"""PostgreSQL's own programs through Based: psql, pgbench, pg_dump, pg_restore."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from wire_servers import Servers

servers = None
TOOLS = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]


def setUpModule():
    global servers
    servers = Servers(pools={"four": "max_size = 4\n", "restored": "max_size = 4\n"})


def run(tool, *arguments, database="four", direct=False, given=None):
    address = servers.direct if direct else servers.through_based
    host, port = address.split(":")
    environment = {"PATH": os.environ["PATH"], "PGHOST": host, "PGPORT": port, "PGUSER": "postgres",
                   "PGDATABASE": database, "PGCONNECT_TIMEOUT": "10"}
    program = TOOLS / tool if (TOOLS / tool).exists() else tool
    done = subprocess.run([program, *arguments], env=environment, input=given, capture_output=True, text=True,
                          timeout=120)
    return done


class Psql(unittest.TestCase):
    def psql(self, *arguments, given=None):
        done = run("psql", "-X", "-v", "ON_ERROR_STOP=1", *arguments, given=given)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_a_session_of_ordinary_work(self):
        script = """
            create table psql_t (a int primary key, b text);
            \\copy psql_t from pstdin
1\tone
2\ttwo
\\.
            \\d psql_t
            begin; update psql_t set b = 'zwei' where a = 2; savepoint s; delete from psql_t; rollback to s; commit;
            select * from psql_t order by a;
            prepare p (int) as select b from psql_t where a = $1;
            execute p (2);
            \\copy psql_t to stdout csv
            select 1 as x \\gdesc
            \\set v 2
            select b from psql_t where a = :v \\gset got_
            \\echo :got_b
            drop table psql_t;
        """.replace("            ", "")
        out = self.psql("-At", given=script)
        self.assertIn("1|one\n2|zwei\n", out)
        self.assertIn("1,one\n2,zwei\n", out)
        self.assertIn("x|integer", out)
        self.assertIn("a|integer||not null|", out)
        self.assertTrue(out.count("zwei\n") >= 3, out)

    def test_the_same_output_as_without_based(self):
        script = ("\\l+\n\\dn\n\\du\n\\df now\n\\dt pg_catalog.pg_c*\nshow all;\n"
                  "select 1; select 'a' union all select 'b'; values (1, null);\n\\conninfo\n")
        ours = run("psql", "-X", given=script)
        theirs = run("psql", "-X", given=script, direct=True)
        self.assertEqual(ours.stderr, theirs.stderr)

        def comparable(text):  # sizes and the port differ
            return [line for line in text.splitlines() if " port " not in line and "kB" not in line
                    and "application_name" not in line]
        self.assertEqual(comparable(ours.stdout), comparable(theirs.stdout))

    def test_an_error_stops_a_script_and_names_the_line(self):
        done = run("psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", "-", given="select 1;\nselect 1/0;\nselect 2;\n")
        self.assertEqual(done.returncode, 3)
        self.assertIn("psql:<stdin>:2: ERROR:  division by zero", done.stderr)


class Pgbench(unittest.TestCase):
    def bench(self, *arguments):
        done = run("pgbench", "-n", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("aborted", done.stderr)
        return done.stdout

    def test_all_three_protocols(self):
        done = run("pgbench", "-i", "-s", "1", "-q")
        self.assertEqual(done.returncode, 0, done.stderr)
        for mode in ("simple", "extended", "prepared"):
            with self.subTest(mode):
                out = self.bench("-S", "-M", mode, "-c", "12", "-j", "2", "-t", "50")
                self.assertIn("number of transactions actually processed: 600/600", out)
                # pgbench prepares while other clients of its thread hold every link, so not more of these.
                clients = "4" if mode == "prepared" else "12"
                out = self.bench("-M", mode, "-c", clients, "-j", "2", "-t", "20")
                self.assertIn("number of failed transactions: 0", out)
        balance = servers.cluster.query("select (select sum(abalance) from pgbench_accounts) = "
                                        "(select sum(bbalance) from pgbench_branches)", "four")
        self.assertIn("t", str(balance))


class Dump(unittest.TestCase):
    def test_dump_and_parallel_restore(self):
        servers.cluster.query("create table kept (a int primary key, b text); create index on kept (b); "
                              "insert into kept select n, 'row ' || n from generate_series(1, 5000) n; "
                              "create view seen as select * from kept where a < 10; "
                              "create function twice(int) returns int language sql as 'select 2 * $1'; "
                              "create sequence counter start 40; select nextval('counter')", "four")
        with tempfile.TemporaryDirectory() as folder:
            for arguments in (["-Fd", "-j", "2", "-f", f"{folder}/d"], ["-Fc", "-f", f"{folder}/c"]):
                done = run("pg_dump", "-t", "kept", "-t", "seen", "-t", "counter", *arguments)
                self.assertEqual(done.returncode, 0, done.stderr)
            done = run("pg_restore", "-j", "2", "-d", "restored", f"{folder}/d", database="restored")
            self.assertEqual(done.returncode, 0, done.stderr)
        for sql in ("select count(*), sum(a), min(b) from kept", "select count(*) from seen",
                    "select last_value from counter"):
            self.assertEqual(servers.cluster.query(sql, "restored"), servers.cluster.query(sql, "four"))


if __name__ == "__main__":
    unittest.main()
