"""SQLite behind PostgreSQL's protocol: psql and Python's drivers, unchanged, on a file."""

import asyncio
import datetime
import decimal
import json
import pathlib
import subprocess
import sys
import unittest
import uuid

import asyncpg
import psycopg
import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import servers as support

daemon = None

TABLE = ("create table everything (id integer primary key, s text, f real, b blob, d date, ts timestamp, "
         "tz timestamptz, n numeric(10, 2), ok boolean, u uuid, j json)")
COLUMNS = "s, f, b, d, ts, tz, n, ok, u"
NOW = datetime.datetime(2024, 5, 6, 7, 8, 9, 123456)
ROW = ("it's \\ x", 1.25, b"\x00\xff", NOW.date(), NOW, NOW.replace(tzinfo=datetime.timezone.utc),
       decimal.Decimal("12.5"), True, uuid.UUID(int=77))
ENDLESS = "with recursive r(i) as (select 1 union all select i + 1 from r) select count(*) from r"


def setUpModule():
    global daemon
    folder = support.temporary_folder()
    daemon = support.Daemon(f"sqlite:///{folder}/app.db")


def tearDownModule():
    daemon.close()


def address():
    return f"host=127.0.0.1 port={daemon.port} user=ann dbname=app connect_timeout=10"


class Psql(unittest.TestCase):
    def psql(self, *commands):
        arguments = [part for command in commands for part in ("-c", command)]
        done = subprocess.run(["psql", "-XqAt", address(), *arguments], capture_output=True, text=True, timeout=30)
        return done.stdout.strip(), done.stderr.strip()

    def test_statements_and_values(self):
        out, err = self.psql("drop table if exists p; create table p (a integer, d date, b blob)",
                             "insert into p values (1, '2024-02-29', x'00ff'), (2, null, null)",
                             "select * from p order by a", "select current_user, current_database(), $$x$$")
        self.assertEqual(out, "1|2024-02-29|\\x00ff\n2||")
        self.assertIn("ERROR", err)
        self.assertEqual(self.psql("select current_user, current_database()")[0], "ann|app")

    def test_an_error_rolls_the_whole_query_back(self):
        self.psql("drop table if exists q; create table q (a integer not null)")
        out, err = self.psql("insert into q values (1); insert into q values (null)", "select count(*) from q")
        self.assertEqual(out, "0")
        self.assertIn("NOT NULL constraint failed", err)

    def test_the_position_of_an_error(self):
        self.assertIn("LINE 1: select 1 frm t", self.psql("select 1 frm t")[1])

    def test_the_catalogue_is_not_there(self):
        for command in (r"\d", r"\dt", r"\d p", r"\l", r"\df", r"\du", r"\dx",
                        "select 'p'::regclass", "select pg_catalog.pg_get_userbyid(10)",
                        "select has_table_privilege('p', 'select')", "select format_type(25, -1)"):
            with self.subTest(command):
                err = self.psql(command)[1]
                self.assertIn("PostgreSQL's catalogue does not exist on SQLite", err)
                self.assertIn("sqlite_schema", err)
        for command in (r"\sf x", r"\sv x"):  # of which psql shows the first line
            self.assertIn("PostgreSQL's catalogue does not exist on SQLite", self.psql(command)[1])


class Psycopg2(unittest.TestCase):
    def test_its_ordinary_work(self):
        connection = psycopg2.connect(address())
        self.addCleanup(connection.close)
        with connection, connection.cursor() as cursor:
            cursor.execute("drop table if exists everything")
            cursor.execute(TABLE)
            row = ROW[:2] + (psycopg2.Binary(ROW[2]),) + ROW[3:8] + (str(ROW[8]),)
            cursor.execute(f"insert into everything ({COLUMNS}, j) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
                           "returning id", (*row, '{"a": 1}'))
            self.assertEqual(cursor.fetchone(), (1,))
            cursor.execute(f"select {COLUMNS}, j from everything")
            got = cursor.fetchone()
            self.assertEqual((*got[:2], bytes(got[2]), *got[3:8], uuid.UUID(got[8])), ROW)
            self.assertEqual(got[9], {"a": 1})
        with self.assertRaises(psycopg2.errors.UniqueViolation), connection, connection.cursor() as cursor:
            cursor.execute("insert into everything (id) values (5)")
            cursor.execute("insert into everything (id) values (5)")
        with connection, connection.cursor() as cursor:
            cursor.execute("select count(*) from everything")
            self.assertEqual(cursor.fetchone(), (1,))

    def test_cancel(self):
        connection = psycopg2.connect(address())
        self.addCleanup(connection.close)
        cursor = connection.cursor()
        cursor.execute("set statement_timeout = 200")
        connection.commit()
        with self.assertRaises(psycopg2.errors.QueryCanceled):
            cursor.execute(ENDLESS)
        connection.rollback()
        cursor.execute("select 1")
        self.assertEqual(cursor.fetchone(), (1,))


class Psycopg3(unittest.TestCase):
    def setUp(self):
        self.connection = psycopg.connect(address())
        self.addCleanup(self.connection.close)

    def test_parameters_and_results_prepared_or_not_in_text_and_binary(self):
        self.connection.execute("drop table if exists everything")
        self.connection.execute(TABLE)
        marks = ", ".join(["%s"] * len(ROW))
        for binary in (False, True):
            for _ in range(7):  # from the fifth on it is prepared
                self.connection.execute(f"insert into everything ({COLUMNS}) values ({marks})", ROW)
                cursor = self.connection.cursor(binary=binary)
                cursor.execute(f"select {COLUMNS} from everything where id = %s or id = %s", (1, "1"))
                self.assertEqual(cursor.fetchone(), ROW)
        found = self.connection.execute("select s from everything group by s having count(*) > %s", (13,)).fetchall()
        self.assertEqual(found, [(ROW[0],)])

    def test_nested_blocks_and_pipelines(self):
        self.connection.execute("drop table if exists blocks")
        self.connection.execute("create table blocks (a integer unique)")
        with self.connection.transaction():
            self.connection.execute("insert into blocks values (1)")
            with self.connection.transaction():
                self.connection.execute("insert into blocks values (2)")
                raise psycopg.Rollback()
        self.connection.commit()
        with self.assertRaises(psycopg.errors.UniqueViolation), self.connection.pipeline() as pipeline:
            self.connection.execute("insert into blocks values (3)")
            self.connection.execute("insert into blocks values (1)")
            pipeline.sync()
        self.connection.rollback()
        self.assertEqual(self.connection.execute("select a from blocks").fetchall(), [(1,)])

    def test_a_value_that_contradicts_its_column(self):
        self.connection.execute("drop table if exists loose")
        self.connection.execute("create table loose (a integer)")
        self.connection.execute("insert into loose values (1), ('abc')")
        with self.assertRaisesRegex(psycopg.errors.InvalidTextRepresentation, "row 2, column 1"):
            self.connection.execute("select a from loose")


class Asyncpg(unittest.IsolatedAsyncioTestCase):
    async def connect(self):
        connection = await asyncpg.connect(host="127.0.0.1", port=daemon.port, user="ann", database="app", timeout=10)
        self.addAsyncCleanup(connection.close)
        return connection

    async def test_its_ordinary_work(self):
        connection = await self.connect()
        await connection.execute("drop table if exists everything")
        await connection.execute(TABLE)
        marks = ", ".join(f"${number}" for number in range(1, 11))
        extra = json.dumps({"a": 1})
        made = await connection.fetchval(f"insert into everything ({COLUMNS}, j) values ({marks}) returning id",
                                         *ROW, extra)
        self.assertEqual(made, 1)
        row = await connection.fetchrow(f"select {COLUMNS}, j from everything where id = $1", made)
        self.assertEqual(tuple(row), (*ROW, extra))
        await connection.executemany("insert into everything (id, s) values ($1, $2)",
                                     [(number, str(number)) for number in range(10, 1010)])
        with self.assertRaises(asyncpg.UniqueViolationError):
            await connection.executemany("insert into everything (id) values ($1)", [(5000,), (5000,)])
        self.assertEqual(await connection.fetchval("select count(*) from everything"), 1001)
        async with connection.transaction():
            count = 0
            async for _ in connection.cursor("select id from everything", prefetch=100):
                count += 1
            self.assertEqual(count, 1001)
        self.assertEqual(await connection.fetchval("select 1"), 1)

    async def test_a_pool_whose_clients_do_not_see_each_other(self):
        pool = await asyncpg.create_pool(host="127.0.0.1", port=daemon.port, user="ann", database="app",
                                         min_size=2, max_size=4, timeout=10)
        async with pool.acquire() as connection:
            await connection.execute("set application_name = 'mine'")
        names = await asyncio.gather(*[pool.fetchval("show application_name") for _ in range(20)])
        self.assertEqual(set(names), {""})
        await pool.close()

    async def test_a_cancelled_query_ends(self):
        connection = await self.connect()
        with self.assertRaises(asyncio.TimeoutError):
            await connection.fetchval(ENDLESS, timeout=0.3)
        self.assertEqual(await connection.fetchval("select 2"), 2)

    async def test_the_catalogue_is_not_there(self):
        connection = await self.connect()
        with self.assertRaises(asyncpg.FeatureNotSupportedError):
            await connection.fetch("select * from information_schema.tables")


if __name__ == "__main__":
    unittest.main()
