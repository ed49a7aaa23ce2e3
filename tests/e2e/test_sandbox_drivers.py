"""Drivers and their pools in a PostgreSQL sandbox, unchanged: what they do on the database itself they do there, and nothing
of it is left.

The cases of test_driver_python run again, against a database that is a sandbox. Behind each module of them the database itself
is as it was, and behind each case the sandbox is well.
"""

import asyncio
import pathlib
import subprocess
import sys
import unittest

import asyncpg
import psycopg
import psycopg2.pool

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import test_driver_python
from wire_servers import Servers

CLIENTS = 6

before = None


def contents():
    """Everything that is in the database, and where its sequences are."""
    cluster = test_driver_python.servers.cluster
    dumped = subprocess.run(["pg_dump", "--dbname", cluster.url("two")], capture_output=True, check=True)
    # A newer pg_dump names a key of its own, made anew for each dump.
    return [line for line in dumped.stdout.splitlines() if not line.startswith((b"\\restrict", b"\\unrestrict"))]


def setUpModule():
    global before
    servers = test_driver_python.servers = Servers(common="timeout = '30s'\n", pools={"two": "force_rollback = true\n"})
    servers.cluster.query("create table account (id int primary key, name text, amount numeric, at timestamptz, "
                          "data bytea, tags text[], extra jsonb); create sequence account_number_seq; "
                          "insert into account (id, name) values (1000, 'there before')", "two")
    before = contents()


class Well(unittest.TestCase):
    """Behind each case nobody has the turn, the root has not been lost, and the database is as it was."""

    def setUp(self):
        self.addCleanup(self.check)  # the last one: the case's connections are closed then

    def check(self):
        where = test_driver_python.parameters()
        with psycopg.connect(**where, autocommit=True) as connection:
            holder, waiting = connection.execute("sandbox status").fetchone()[2:4]
            self.assertEqual((holder, waiting), (None, 0))
            self.assertEqual(connection.execute("select count(*) from pg_cursors where name not like '\\_based%'").fetchone(),
                             (0,))
            connection.execute("sandbox reset")  # a root keeps its locks, which a dump would wait for
        self.assertNotIn("was lost", test_driver_python.servers.daemon.log())
        self.assertEqual(contents(), before)


class Psycopg2(Well, test_driver_python.Psycopg2):
    def test_a_pool(self):
        where = test_driver_python.parameters()
        pool = psycopg2.pool.ThreadedConnectionPool(CLIENTS, CLIENTS, **where)
        self.addCleanup(pool.closeall)
        first = pool.getconn()
        with first, first.cursor() as cursor:
            cursor.execute("truncate account; set work_mem = '7MB'")
        pool.putconn(first)

        def work(number):
            for n in range(10):
                connection = pool.getconn()
                try:
                    with connection, connection.cursor() as cursor:
                        cursor.execute("insert into account (id) values (%s)", (number * 10 + n,))
                finally:
                    pool.putconn(connection)
        test_driver_python.at_once(work)
        connection = pool.getconn()
        with connection, connection.cursor() as cursor:
            cursor.execute("select count(*), sum(id) from account")
            self.assertEqual(cursor.fetchone(), (60, sum(range(60))))
        connection.reset()  # ABORT, RESET ALL, SET SESSION AUTHORIZATION DEFAULT
        with connection, connection.cursor() as cursor:
            cursor.execute("show work_mem")
            self.assertEqual(cursor.fetchone(), ("4MB",))
        pool.putconn(connection)


class Psycopg3(Well, test_driver_python.Psycopg3):
    def test_many_executions_and_isolation_levels(self):
        for level in psycopg.IsolationLevel:
            with self.subTest(level.name), self.connect() as connection, connection.cursor() as cursor:
                connection.isolation_level = level
                cursor.execute("truncate account")
                cursor.executemany("insert into account (id, name) values (%s, %s)", [(n, str(n)) for n in range(200)])
                cursor.executemany("select name from account where id = %s", [(1,), (2,)], returning=True)
                found = [cursor.fetchone()]
                while cursor.nextset():
                    found.append(cursor.fetchone())
                self.assertEqual(found, [("1",), ("2",)])
                cursor.execute("show transaction_isolation")
                self.assertEqual(cursor.fetchone(), (level.name.lower().replace("_", " "),))
        with self.connect() as connection:
            connection.read_only = True
            with self.assertRaises(psycopg.errors.ReadOnlySqlTransaction):
                connection.execute("truncate account")
            connection.rollback()

    def test_two_connections_of_one_test_see_what_the_other_has_committed(self):
        writer, reader = self.connect(), self.connect()
        with writer.transaction():
            writer.execute("truncate account")
            writer.execute("insert into account (id) values (7)")
        with reader.transaction():
            self.assertEqual(reader.execute("select id from account").fetchall(), [(7,)])
        with self.assertRaises(psycopg.errors.UniqueViolation), writer.transaction():
            writer.execute("insert into account (id) values (7)")
        with reader.transaction():
            self.assertEqual(reader.execute("select count(*) from account").fetchone(), (1,))


class Asyncpg(Well, test_driver_python.Asyncpg):
    async def test_its_pool_resets_what_a_user_has_left(self):
        async with asyncpg.create_pool(host="127.0.0.1", port=test_driver_python.servers.daemon.port, user="postgres",
                                       database="two", min_size=2, max_size=2) as pool:
            async with pool.acquire() as one, pool.acquire() as other:
                await other.execute("set work_mem = '9MB'")
                await one.execute("set work_mem = '7MB'")
                await one.execute("declare left_open cursor with hold for select 1")
                await pool.release(one)  # SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL
                self.assertEqual(await other.fetchval("show work_mem"), "9MB")
                async with pool.acquire() as again:
                    self.assertEqual(await again.fetchval("show work_mem"), "4MB")
                    self.assertEqual(await again.fetchval("select count(*) from pg_cursors where name = 'left_open'"), 0)

    async def test_isolation_levels_and_read_only(self):
        connection = await self.connect()
        for level in ("serializable", "repeatable_read", "read_committed"):
            async with connection.transaction(isolation=level):
                self.assertEqual(await connection.fetchval("show transaction_isolation"), level.replace("_", " "))
                async with connection.transaction():
                    await connection.executemany("insert into account (id) values ($1) on conflict do nothing",
                                                 [(n,) for n in range(50)])
        with self.assertRaises(asyncpg.ReadOnlySQLTransactionError):
            async with connection.transaction(isolation="serializable", readonly=True, deferrable=True):
                await connection.execute("truncate account")


if __name__ == "__main__":
    unittest.main()
