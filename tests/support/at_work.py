"""A daemon at its usual work, for the profile that packaging/release compiles with: BASED_BINARY=... at_work.py [--briefly]

Both protocols, both backends, each with and without a sandbox; about a minute, --briefly: some of each kind. What is
not done here is compiled for size, so a path that is to be fast belongs here. Nothing is measured: tests/bench does that.
"""

import itertools
import os
import sqlite3
import subprocess
import sys
import time

from based_client import connect
from servers import Daemon, PostgresCluster, postgres_programs, temporary_folder

BRIEFLY = "--briefly" in sys.argv[1:]
SECONDS = 0.05 if BRIEFLY else 1
FOR_A_WHILE = ("-t", "5") if BRIEFLY else ("-T", "1")
ACCOUNTS = 10_000
TABLES = f"""create table pgbench_accounts (aid integer primary key, bid integer, abalance integer, filler text);
create table pgbench_history (aid integer, delta integer, mtime text default current_timestamp);
with recursive n(i) as (values (1) union all select i + 1 from n where i < {ACCOUNTS})
    insert into pgbench_accounts select i, 1, 0, 'filler' from n;"""
# pgbench's own scripts ask for what only PostgreSQL has.
PLAIN_SCRIPT = f"""\\set aid random(1, {ACCOUNTS})
\\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
INSERT INTO pgbench_history (aid, delta) VALUES (:aid, :delta);
END;
SELECT aid, bid, abalance, filler FROM pgbench_accounts WHERE aid BETWEEN :aid AND :aid + 20;
"""


def pgbench(daemon, database, *arguments):
    done = subprocess.run([postgres_programs() / "pgbench", *arguments], capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "PGHOST": "127.0.0.1", "PGPORT": str(daemon.port),
                               "PGUSER": "postgres", "PGDATABASE": database})
    if done.returncode != 0:
        raise SystemExit(f"pgbench {' '.join(map(str, arguments))} on {database}: {done.stderr}")


def by_postgres_protocol(daemon, folder):
    script = folder / "plain.sql"
    script.write_text(PLAIN_SCRIPT)
    pgbench(daemon, "pg", "-i", "-q", "-s", "2")  # a large COPY, and DDL
    pgbench(daemon, "pg", "-n", "-S", "-C", *FOR_A_WHILE)  # a connection for each transaction
    for mode, clients in itertools.product(("simple", "extended", "prepared"), (1, 8)):
        run = ["-n", "-M", mode, "-c", str(clients), *FOR_A_WHILE]
        for work in (["-S"], [], ["-f", script]):
            pgbench(daemon, "pg", *run, *work)
        pgbench(daemon, "boxed", *run, "-S")
        # pgbench waits for the answer to a PREPARE while its other clients have transactions open.
        for database in ("boxed", "lite", "boxed_lite") if mode != "prepared" or clients == 1 else ():
            pgbench(daemon, database, *run, "-f", script)


def natively(daemon):
    for database in ("pg", "boxed", "lite", "boxed_lite"):
        with connect(f"127.0.0.1:{daemon.port}") as db, db.session(database=database) as session:
            end = time.monotonic() + SECONDS
            for key in itertools.cycle(range(1, ACCOUNTS)):
                if time.monotonic() > end:
                    break
                statement = "select aid, abalance, filler from pgbench_accounts where aid between $1 and $1 + 20"
                list(session.exec(statement, [key]))
                with session.transaction():
                    session.exec("update pgbench_accounts set abalance = :delta where aid = :key",
                                 {"key": key, "delta": key % 7})
                    with session.transaction():
                        session.exec("insert into pgbench_history (aid, delta) values ($1, $2)", [key, 1])
                session.batch([["select 1"], ["select abalance from pgbench_accounts where aid = $1", [key]]])


def main():
    folder = temporary_folder()
    for name in ("lite", "boxed_lite"):
        with sqlite3.connect(folder / f"{name}.db") as handle:
            handle.executescript("pragma journal_mode = wal;" + TABLES)
        handle.close()
    with PostgresCluster() as postgres:
        postgres.query("create database boxed")
        subprocess.run([postgres_programs() / "pgbench", "-i", "-q", postgres.url("boxed")], check=True, capture_output=True)
        config = "".join(
            f'[databases.{name}]\nurl = "{url}"\n{more}\n' for name, url, more in (
                ("pg", postgres.socket_url(), "max_size = 8"),
                ("boxed", postgres.socket_url("boxed"), "force_rollback = true"),
                ("lite", f"sqlite:///{folder}/lite.db", ""),
                ("boxed_lite", f"sqlite:///{folder}/boxed_lite.db", "force_rollback = true")))
        with Daemon(config=config, log_level="warning") as daemon:
            by_postgres_protocol(daemon, folder)
            natively(daemon)
            if daemon.terminate() != 0:  # the profile is written at the end
                raise SystemExit(f"the daemon did not end well: {daemon.log()[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
