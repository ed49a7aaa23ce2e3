"""Python's PostgreSQL drivers through Based, unchanged, on a pool smaller than the number of clients."""

import asyncio
import pathlib
import sys
import threading
import time
import unittest

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from servers import Daemon
from wire_servers import Servers

servers = None
CLIENTS = 6  # on 2 links


def setUpModule():
    global servers
    servers = Servers(pools={"two": "max_size = 2\n"})
    servers.cluster.query("create table account (id int primary key, name text, amount numeric, at timestamptz, "
                          "data bytea, tags text[], extra jsonb)", "two")


def parameters():
    return {"host": "127.0.0.1", "port": servers.daemon.port, "user": "postgres", "dbname": "two"}


def at_once(work):
    """Runs work(number) in CLIENTS threads, and raises what one of them raised."""
    failures = []

    def run(number):
        try:
            work(number)
        except BaseException as failure:  # noqa: B902
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if failures:
        raise failures[0]


class TooMany(unittest.IsolatedAsyncioTestCase):
    async def test_each_driver_raises_what_a_client_above_max_clients_is_told(self):
        config = f'[server]\nmax_clients = 1\n[databases.two]\nurl = "{servers.cluster.url("two")}"\n'
        with Daemon(config=config) as daemon:
            where = {**parameters(), "port": daemon.port}
            with psycopg.connect(**where) as held:
                for library in (psycopg, psycopg2):
                    with self.assertRaises(library.OperationalError) as caught:
                        library.connect(**where)
                    self.assertIn("sorry, too many clients already", str(caught.exception))
                    self.assertIn("max_clients is 1.", str(caught.exception))
                with self.assertRaises(asyncpg.TooManyConnectionsError) as caught:
                    await asyncpg.connect(host="127.0.0.1", port=daemon.port, user="postgres", database="two")
                self.assertEqual(caught.exception.sqlstate, "53300")
                self.assertEqual(held.execute("select 7").fetchone(), (7,))


class Psycopg2(unittest.TestCase):
    def connect(self):
        connection = psycopg2.connect(**parameters())
        self.addCleanup(connection.close)
        return connection

    def test_transactions_errors_and_savepoints(self):
        connection = self.connect()
        with connection, connection.cursor() as cursor:
            cursor.execute("truncate account")
            cursor.execute("insert into account (id, name) values (%s, %s)", (1, "ann"))
        with self.assertRaises(psycopg2.errors.UniqueViolation), connection, connection.cursor() as cursor:
            cursor.execute("insert into account (id, name) values (2, 'bob')")
            cursor.execute("insert into account (id, name) values (1, 'eve')")
        with connection, connection.cursor() as cursor:
            cursor.execute("savepoint s")
            with self.assertRaises(psycopg2.errors.DivisionByZero):
                cursor.execute("select 1/0")
            cursor.execute("rollback to s")
            cursor.execute("select id, name from account")
            self.assertEqual(cursor.fetchall(), [(1, "ann")])

    def test_server_side_cursors_and_many_rows(self):
        connection = self.connect()
        with connection, connection.cursor("named") as cursor:
            cursor.itersize = 100
            cursor.execute("select generate_series(1, 1000)")
            self.assertEqual(sum(row[0] for row in cursor), 500500)
        with connection, connection.cursor() as cursor:
            cursor.execute("create temp table many (n int) on commit drop")
            psycopg2.extras.execute_values(cursor, "insert into many values %s", [(n,) for n in range(500)])
            cursor.execute("select count(*) from many")
            self.assertEqual(cursor.fetchone(), (500,))

    def test_copy_both_ways(self):
        import io
        connection = self.connect()
        with connection, connection.cursor() as cursor:
            cursor.execute("create table if not exists copied (a int, b text)")
            cursor.copy_expert("copy copied from stdin", io.StringIO("1\tx\n2\ty\n"))
            out = io.StringIO()
            cursor.copy_expert("copy copied to stdout with csv", out)
            self.assertEqual(out.getvalue(), "1,x\n2,y\n")
            cursor.execute("drop table copied")

    def test_cancel_ends_this_statement_and_no_other(self):
        connection = self.connect()
        cursor = connection.cursor()
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        with self.assertRaises(psycopg2.errors.QueryCanceled):
            cursor.execute("select pg_sleep(30)")
        connection.rollback()
        cursor.execute("select 1")
        self.assertEqual(cursor.fetchone(), (1,))

    def test_listen_and_notify(self):
        connection, other = self.connect(), self.connect()
        connection.autocommit = other.autocommit = True
        connection.cursor().execute("listen news")
        other.cursor().execute("notify news, 'hello'")
        deadline = time.monotonic() + 10
        while not connection.notifies and time.monotonic() < deadline:
            time.sleep(0.02)
            connection.poll()
        self.assertEqual([(n.channel, n.payload) for n in connection.notifies], [("news", "hello")])

    def test_more_clients_than_links_keep_their_own_settings(self):
        def work(number):
            connection = psycopg2.connect(**parameters(), options=f"-c work_mem={number + 1}MB")
            try:
                for _ in range(20):
                    with connection, connection.cursor() as cursor:
                        cursor.execute("show work_mem")
                        self.assertEqual(cursor.fetchone(), (f"{number + 1}MB",))
                        cursor.execute("set timezone = %s", (f"<+0{number}>-0{number}",))
                        cursor.execute("show timezone")
                        self.assertEqual(cursor.fetchone(), (f"<+0{number}>-0{number}",))
            finally:
                connection.close()
        at_once(work)


class Psycopg3(unittest.TestCase):
    def connect(self, **options):
        connection = psycopg.connect(**parameters(), **options)
        self.addCleanup(connection.close)
        return connection

    def test_prepared_statements_again_and_again(self):
        def work(number):
            with psycopg.connect(**parameters(), prepare_threshold=1, autocommit=True) as connection:
                for n in range(60):
                    row = connection.execute("select %s::int + %s::int, 'client'", (number, n)).fetchone()
                    self.assertEqual(row, (number + n, "client"))
                    connection.execute(f"select {n % 7} + %s", (1,))
        at_once(work)

    def test_types_go_there_and_back(self):
        import datetime
        import decimal
        row = (7, "naïve", decimal.Decimal("12.50"), datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc),
               b"\0\xff", ["a", "b"], {"k": [1, None]})
        for binary in (False, True):
            with self.connect() as connection, connection.cursor(binary=binary) as cursor:
                cursor.execute("truncate account")
                cursor.execute("insert into account values (%s, %s, %s, %s, %s, %s, %s)",
                               (*row[:6], psycopg.types.json.Jsonb(row[6])))
                cursor.execute("select * from account")
                self.assertEqual(cursor.fetchone(), row)

    def test_pipelines_with_an_error_in_them(self):
        connection = self.connect(autocommit=True)
        with self.assertRaises(psycopg.errors.DivisionByZero), connection.pipeline():
            connection.execute("select 1")
            connection.execute("select 1/0")
            connection.execute("select 2")
        with connection.pipeline():
            cursors = [connection.execute("select %s::int", (n,)) for n in range(100)]
        self.assertEqual([cursor.fetchone()[0] for cursor in cursors], list(range(100)))

    def test_nested_transactions_are_savepoints(self):
        connection = self.connect(autocommit=True)
        with connection.transaction():
            connection.execute("truncate account")
            with self.assertRaises(psycopg.errors.DivisionByZero), connection.transaction():
                connection.execute("insert into account (id) values (1)")
                connection.execute("select 1/0")
            with connection.transaction():
                connection.execute("insert into account (id) values (2)")
        self.assertEqual(connection.execute("select id from account").fetchall(), [(2,)])

    def test_copy_of_many_rows_binary_too(self):
        connection = self.connect()
        with connection.cursor() as cursor:
            cursor.execute("create temp table many (n int, t text) on commit drop")
            with cursor.copy("copy many from stdin (format binary)") as copy:
                copy.set_types(["int4", "text"])
                for n in range(20000):
                    copy.write_row((n, "x" * 40))
            with cursor.copy("copy many to stdout (format binary)") as copy:
                copy.set_types(["int4", "text"])
                self.assertEqual(sum(row[0] for row in copy.rows()), sum(range(20000)))
        connection.rollback()

    def test_cancel_and_server_cursor(self):
        connection = self.connect()
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        with self.assertRaises(psycopg.errors.QueryCanceled):
            connection.execute("select pg_sleep(30)")
        connection.rollback()
        with connection.cursor("named") as cursor:
            cursor.execute("select generate_series(1, 300)")
            self.assertEqual(len(cursor.fetchmany(10)) + len(cursor.fetchall()), 300)
        connection.rollback()

    def test_a_changed_table_does_not_break_prepared_statements(self):
        connection, other = self.connect(prepare_threshold=0, autocommit=True), self.connect(autocommit=True)
        other.execute("create table changing (a int)")
        self.assertEqual(connection.execute("select * from changing").fetchall(), [])
        connection.execute("select * from changing")
        other.execute("alter table changing add b int")
        other.execute("insert into changing values (1, 2)")
        self.assertEqual(connection.execute("select * from changing").fetchall(), [(1, 2)])
        other.execute("drop table changing")


class Asyncpg(unittest.IsolatedAsyncioTestCase):
    async def connect(self, **options):
        connection = await asyncpg.connect(host="127.0.0.1", port=servers.daemon.port, user="postgres",
                                           database="two", timeout=20, **options)
        self.addAsyncCleanup(connection.close)
        return connection

    async def test_a_pool_larger_than_ours(self):
        async with asyncpg.create_pool(host="127.0.0.1", port=servers.daemon.port, user="postgres", database="two",
                                       min_size=CLIENTS, max_size=CLIENTS) as pool:
            async def work(number):
                for n in range(20):
                    async with pool.acquire() as connection:
                        self.assertEqual(await connection.fetchval("select $1::int * $2::int", number, n), number * n)
                        async with connection.transaction():
                            await connection.execute("set local work_mem = '3MB'")
                            self.assertEqual(await connection.fetchval("show work_mem"), "3MB")
            await asyncio.wait_for(asyncio.gather(*(work(number) for number in range(CLIENTS * 2))), 60)

    async def test_prepared_statements_cursors_and_copy(self):
        connection = await self.connect()
        statement = await connection.prepare("select n, n::text from generate_series(1, $1::int) n")
        for _ in range(5):
            self.assertEqual(len(await statement.fetch(50)), 50)
        async with connection.transaction():
            cursor = await connection.cursor("select generate_series(1, 100)")
            self.assertEqual(len(await cursor.fetch(30)), 30)
            self.assertEqual(len(await cursor.fetch(100)), 70)
        await connection.execute("create table if not exists async_copy (a int, b text)")
        await connection.copy_records_to_table("async_copy", records=[(n, str(n)) for n in range(1000)])
        self.assertEqual(await connection.fetchval("select count(*) from async_copy"), 1000)
        await connection.execute("drop table async_copy")

    async def test_errors_and_timeouts_leave_the_connection_usable(self):
        connection = await self.connect()
        with self.assertRaises(asyncpg.PostgresSyntaxError):
            await connection.execute("selec 1")
        with self.assertRaises(asyncio.TimeoutError):
            await connection.fetch("select pg_sleep(30)", timeout=0.3)
        self.assertEqual(await connection.fetchval("select 7"), 7)

    async def test_listen(self):
        connection, other = await self.connect(), await self.connect()
        heard = asyncio.Queue()
        await connection.add_listener("async_news", lambda *event: heard.put_nowait(event[2:]))
        await other.execute("notify async_news, 'now'")
        self.assertEqual(await asyncio.wait_for(heard.get(), 10), ("async_news", "now"))


if __name__ == "__main__":
    unittest.main()
