"""What a client has committed in a sandbox stays, whatever becomes of the rest of the same text, batch or turn."""

import pathlib
import random
import re
import sqlite3
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import PgClient, bind, copy_data, extended, flush, parse, query, sync
from servers import Daemon, temporary_folder, wait_until
from wire_servers import Conversation, Servers, both

SLEEP = "select pg_sleep(60)"
ASLEEP = "wait_event = 'PgSleep'"
ONE, TWO = "insert into t values (1)", "insert into t values (2)"

# What is done before the statement that never ends; and what stays of it.
TEXTS = {
    f"begin; {ONE}; commit": [1],
    f"begin; {ONE}; commit; {TWO}": [1],
    f"begin; {ONE}; commit; begin; {TWO}": [1],
    f"begin; {ONE}; commit; begin; {TWO}; commit": [1, 2],
    f"begin; {ONE}; commit and chain; {TWO}": [1],
    f"begin; {ONE}; commit and chain; {TWO}; commit and chain; delete from t": [1, 2],
    f"begin; {ONE}; commit; begin; delete from t; rollback; {TWO}": [1],
    f"begin; {ONE}; commit; begin; delete from t; rollback and chain; {TWO}": [1],
    f"begin; savepoint s; {ONE}; commit; savepoint s": [1],  # which is an error, and so the end
    f"begin; savepoint s; {ONE}; commit; begin; savepoint s; {TWO}; release s": [1],
    f"begin; {ONE}; commit; begin read only": [1],
    f"begin; set transaction read only; commit; begin; {ONE}; commit; {TWO}": [1],
    f"begin; {ONE}; set transaction read only; commit and chain": [1],
    f"{ONE}; commit; {TWO}": [1],
    f"{ONE}; {TWO}": [],
    f"begin; {ONE}": [],
}
LASTING = {text: rows for text, rows in TEXTS.items() if "commit; savepoint" not in text}
# A native session's statements outside of a transaction commit one by one.
NATIVE = {
    f"begin; {ONE}; commit": [1],
    f"begin; {ONE}; commit; {TWO}": [1, 2],
    f"begin; {ONE}; commit; begin; {TWO}": [1],
    f"begin; {ONE}; commit and chain; {TWO}": [1],
    f"begin; begin; {ONE}; commit; {TWO}; commit; begin; delete from t": [1, 2],
    f"begin; {ONE}; commit; begin; delete from t; rollback; {TWO}": [1, 2],
    f"begin; {ONE}": [],
}


def setUpModule():
    rooted = "force_rollback = true\n"
    Conversation.servers = Servers(client_connection_check_interval="50ms", pools={
        "app": rooted, "limited": rooted + "statement_timeout = '300ms'", "waits": rooted + "idle_while_waited = '100ms'",
        "joins": rooted + "turns = 'join'", "nested": rooted + "nested_transactions = true",
        "server": "nested_transactions = true"})
    for name in Conversation.servers.pools:
        Conversation.servers.cluster.query("create table t (n int)", name)


def batched(text):
    """Each of its statements through the extended protocol, without a Sync."""
    return b"".join(extended(one) for one in text.split("; "))


def begun(connection, database, text, batch):
    session = connection.session(database=database)
    session.opened.wait()
    if batch:
        return session.start(based_client.BATCH, [[one] for one in text.split("; ")], {})
    return session.start(based_client.EXEC, text, None, {})


class Cases:
    pool = "app"

    def setUp(self):
        self.client, self.other = self.connect(), self.connect()
        self.other.query("delete from t")
        self.addCleanup(self.other.query, "delete from t")

    def left(self):
        return [int(row[0]) for row in self.other.rows("select n from t order by n")]

    def each(self, texts, session):
        for text, rows in texts.items():
            with self.subTest(text=text):
                self.client = self.connect()
                session(text)
                self.assertEqual(self.left(), rows)
                self.other.query("delete from t")

    def last(self, *parts):
        """Sends, and waits until the server is at the last of it."""
        self.client.send(*parts)
        self.wait_processes(ASLEEP)

    def gone(self, *parts):
        self.last(*parts)
        self.client.vanish()
        self.wait_processes(ASLEEP, 0)


@both
class Committed(Cases):
    def test_gone_in_the_last_part_of_a_text(self):
        self.each(LASTING, lambda text: self.gone(query(f"{text}; {SLEEP}")))

    def test_gone_in_the_last_part_of_a_batch(self):
        self.each(LASTING, lambda text: self.gone(batched(text), extended(SLEEP), sync()))

    def test_gone_in_a_batch_that_was_not_ended(self):
        self.each(LASTING, lambda text: self.gone(batched(text), extended(SLEEP), flush()))

    def test_gone_in_the_last_one_of_several_batches(self):
        def session(text):
            self.gone(*(extended(one) + sync() for one in text.split("; ")), extended(SLEEP), sync())
        self.each({f"begin; {ONE}; commit; {TWO}": [1, 2], f"begin; {ONE}; commit; begin; {TWO}": [1],
                   f"begin; {ONE}; commit and chain; {TWO}": [1]}, session)

    def test_gone_in_a_copy(self):
        self.client.send(query(f"begin; {ONE}; commit; copy t from stdin"))
        self.wait_processes("state = 'active' and query like '%copy t%' and wait_event = 'ClientRead'")
        self.client.vanish()
        self.wait_processes("state = 'active' and query like '%copy t%'", 0)
        self.assertEqual(self.left(), [1])

    def test_gone_in_the_middle_of_a_large_message(self):
        large = 4 * 1024 * 1024
        self.other.query(ONE)
        for before in ("", "begin; insert into t values (2); "):
            for begins, message in ((b"", query("select '" + large * "x" + "'")),
                                    (b"", parse("", "select '" + large * "x" + "'")),
                                    (parse("", "select $1::text"), bind("", "", [large * "x"])),
                                    (extended("copy t from stdin") + sync(), copy_data(large * b"1")),
                                    (query(before + "copy t from stdin"), copy_data(large * b"1"))):
                client = self.connect()
                if before:
                    client.query("begin")
                    client.query(TWO)
                client.send(begins)
                if b"copy" in begins:
                    wait_until(lambda: client.message()[0] == "G", "a COPY")
                client.send(message[:large // 2])
                client.vanish()
                self.wait_processes("state = 'active' and query like '%copy t%'", 0)
                self.assertEqual(self.left(), [1])

    def test_cancelled_in_the_last_part(self):
        def session(text):
            for last in (query(f"{text}; {SLEEP}"), batched(text) + extended(SLEEP) + sync()):
                self.other.query("delete from t")
                self.last(last)
                self.client.cancel()
                self.assertIn("57014", self.client.answers())
                self.client.query("rollback")
                self.assertEqual(self.client.rows("select 'well'"), [["well"]])
        self.each(LASTING, session)

    def test_an_error_in_the_last_part(self):
        def session(text):
            for last in (query(f"{text}; select 1 / 0"), batched(text) + extended("select 1 / 0") + sync()):
                self.other.query("delete from t")
                self.assertIn("25P01" if "commit; savepoint" in text else "22012", self.client.ask(last))
                self.client.query("rollback")
        self.each(TEXTS, session)

    def test_a_statement_that_takes_too_long(self):
        def session(text):
            self.client.query("set statement_timeout = '200ms'")
            self.assertIn("57014", self.client.query(f"{text}; {SLEEP}"))
            self.client.query("rollback")
        self.each({text: LASTING[text] for text in list(LASTING)[:5]}, session)

    def test_a_transaction_that_rests_too_long(self):
        for text in (f"begin; {ONE}; commit; begin; {TWO}", f"begin; {ONE}; commit and chain; {TWO}"):
            for parts in (query(text), batched(text) + sync()):
                client = self.connect()
                client.query("set idle_in_transaction_session_timeout = '100ms'")
                client.ask(parts)
                self.assertIn(b"25P03", client.rest())
                self.assertEqual(self.left(), [1])
                self.other.query("delete from t")


@both
class Alone(Cases):
    """What PostgreSQL runs outside of a transaction only is committed at once, in a pipeline, too."""

    MINE = "create temp table mine (n int)"
    LOOK = ("select attname from pg_attribute where attrelid = to_regclass('pg_temp.mine') and attnum > 0",
            "select count(*) from pg_locks where locktype = 'advisory'", "select name from pg_cursors where name = 'held'")

    def batch(self, *texts):
        return self.client.ask(b"".join(map(extended, texts)) + sync())

    def has(self):
        return [[cell for row in self.client.rows(look) for cell in row] for look in self.LOOK]

    def test_discard_all_in_a_batch(self):
        refused = "E:25001 Z:I"
        for before, had in (((self.MINE,), [["n"], ["0"], []]),
                            ((self.MINE, "select pg_advisory_lock(7)", "declare held cursor with hold for select 1"),
                             [["n"], ["1"], ["held"]])):
            for texts, answer, has in (
                    (("discard all", "select 1", "select 1/0"), "C:DISCARD C:SELECT E:22012 Z:I", [[], ["0"], []]),
                    (("discard all", "create temp table mine (m int)", "select 1/0"),
                     "C:DISCARD C:CREATE E:22012 Z:I", [[], ["0"], []]),
                    (("discard all", "create temp table mine (m int)"), "C:DISCARD C:CREATE Z:I",
                     [["m"], ["0"], []]),
                    (("insert into mine values (1)", "discard all", "select 1"), "C:INSERT " + refused, had),
                    (("select 1", "discard all"), "C:SELECT " + refused, had),
                    (("begin", "commit", "discard all", "select 1/0"), "C:BEGIN C:COMMIT C:DISCARD E:22012 Z:I",
                     [[], ["0"], []]),
                    (("begin", "discard all"), "C:BEGIN E:25001 Z:E", None),
                    (("discard temp", "select 1/0"), "C:DISCARD E:22012 Z:I", had)):
                with self.subTest(before=before, texts=texts):
                    self.client = self.connect()
                    for text in before:
                        self.client.query(text)
                    said = self.batch(*texts)
                    self.assertEqual(" ".join(re.findall(r"C:\w+|E:\w+|Z:\w", said)), answer)
                    if has is not None:
                        self.assertEqual(self.has(), has)
                    self.client.close()
                    self.wait_left([["0"], ["0"], ["0"]])

    def wait_left(self, expected):
        looks = ("select count(*) from pg_class where relname = 'mine'", self.LOOK[1],
                 "select count(*) from pg_cursors where name = 'held'")
        wait_until(lambda: [self.other.rows(look)[0] for look in looks] == expected, "all that it had is gone")

    def test_where_transactions_are_read_only(self):
        gone = "select to_regclass('pg_temp.mine')"
        for texts in (("set default_transaction_read_only = on", "discard all"),
                      ("begin read only; discard temp", "select 1", "commit")):
            with self.subTest(texts=texts):
                self.client.query(self.MINE)
                for text in texts:
                    self.assertNotIn("E:", self.client.query(text))
                self.assertEqual(self.client.rows(gone), [[None]])
        self.client.query(self.MINE)
        self.client.query("begin read only; discard temp")
        self.client.query("rollback")
        self.assertEqual(self.client.rows(gone), [["mine"]])
        self.client.query("drop table mine")
        ends = "begin; create temp table mine (n int) on commit drop; set transaction read only; commit"
        self.assertNotIn("E:", self.client.query(ends))
        self.assertEqual(self.client.rows(gone), [[None]])
        self.assertNotIn("E:", self.client.query(f"{ends}; begin; create temp table mine (m int); commit"))
        self.assertEqual(self.client.rows(gone), [["mine"]])

    def test_an_index_made_concurrently(self):
        there = "select to_regclass('concurrent')"
        self.other.query("create table indexed (n int)")  # a sandbox keeps the locks of what it changes
        self.addCleanup(self.other.query, "drop table indexed")
        self.assertIn("22012", self.batch("create index concurrently concurrent on indexed (n)", "select 1/0"))
        self.assertEqual(self.client.rows(there), [["concurrent"]])
        self.client.query("drop index concurrent")
        self.assertIn("25001", self.batch("select 1", "create index concurrently concurrent on indexed (n)"))
        self.assertEqual(self.client.rows(there), [[None]])
        self.assertIn("25001", self.client.query("select 1; create index concurrently concurrent on indexed (n)"))


class InSandboxes(Cases, Conversation):
    def test_what_a_client_has_heard_of(self):
        """Gone at random moments: each COMMIT that it was told of has been one."""
        chance = random.Random(7)
        for _ in range(100):
            count = chance.randrange(1, 12)
            text = "; ".join(f"begin; insert into t values ({n}); commit" + chance.choice((" and chain; rollback", ""))
                             for n in range(count)) + f"; {SLEEP}"
            client = self.connect()
            client.send(*chance.choice(((query(text),), (batched(text), sync()), (batched(text), flush()))))
            heard = client.take(chance.randrange(3 * count)).count("C:COMMIT")
            client.vanish()
            self.assertEqual(self.left()[:heard], list(range(heard)), text)
            self.other.query("delete from t")
        self.assertEqual(self.log().count("LOST"), 0)

    def test_by_the_databases_own_limit(self):
        self.pool = "limited"
        self.setUp()
        for parts in (query(f"begin; {ONE}; commit; {TWO}; {SLEEP}"),
                      batched(f"begin; {ONE}; commit; {TWO}; {SLEEP}") + sync()):
            self.other.query("delete from t")
            self.assertIn("57014", self.client.ask(parts))
            self.assertEqual(self.left(), [1])

    def test_of_who_loses_its_turn_to_others(self):
        self.pool = "waits"
        self.setUp()
        for parts in (query(f"begin; {ONE}; commit; begin; {TWO}"), query(f"begin; {ONE}; commit and chain; {TWO}"),
                      batched(f"begin; {ONE}; commit; begin; {TWO}") + sync()):
            self.assertTrue(self.client.ask(parts).endswith("Z:T"))
            self.assertEqual(self.left(), [1])
            self.assertIn("25P03", self.client.query(TWO))
            self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")
            self.other.query("delete from t")

    def test_a_reset_goes_below_what_was_committed(self):
        for reset, rows in (("sandbox reset to here", [0]), ("sandbox reset", [])):
            self.other.query("insert into t values (0)")
            self.other.query("sandbox mark here")
            self.last(query(f"begin; {ONE}; commit; {SLEEP}"))
            self.other.query(reset)
            self.assertIn("40001", self.client.answers())
            self.assertEqual(self.left(), rows)
            self.other.query("delete from t")

    def test_where_transactions_nest(self):
        for self.pool in ("nested", "server"):
            self.setUp()
            self.each({f"begin; begin; {ONE}; commit; commit; {TWO}": [1], f"begin; begin; {ONE}; commit": [],
                       f"begin; begin; {ONE}; commit and chain; {TWO}": [], f"begin; {ONE}; commit; begin; begin; {TWO}": [1],
                       f"begin; begin; {ONE}; commit and chain; {TWO}; commit; commit and chain; {TWO}": [1, 2]},
                      lambda text: self.gone(query(f"{text}; {SLEEP}")))

    def test_inside_of_anothers_transaction(self):
        self.pool = "joins"
        self.setUp()
        for end, rows in (("commit", [0, 1]), ("rollback", [])):
            for parts in (query(f"begin; {ONE}; commit; {TWO}; {SLEEP}"),
                          query(f"begin; {ONE}; commit and chain; {TWO}; {SLEEP}"),
                          batched(f"begin; {ONE}; commit; {TWO}; {SLEEP}") + sync()):
                outer = self.connect()
                outer.query("begin")
                outer.query("insert into t values (0)")
                self.client = self.connect()
                self.gone(parts)
                self.assertEqual(self.left(), [0, 1])
                outer.query(end)
                self.assertEqual(self.left(), rows)
                self.other.query("delete from t")

    def test_what_has_joined_a_transaction_that_was_committed(self):
        """Then the next one in the same turn is lost, and nobody is said to have been lost with it."""
        self.pool = "joins"
        self.setUp()
        before = self.log().count("joined a transaction")
        self.client.query("begin")
        self.client.query("insert into t values (0)")
        self.other.query(ONE)
        self.client.query(f"commit; begin; {TWO}")
        self.client.vanish()
        self.assertEqual(self.left(), [0, 1])
        self.assertEqual(self.log().count("joined a transaction"), before)

    def test_of_a_native_session(self):
        for batch in (False, True):
            for text, rows in NATIVE.items():
                for leave in ("vanish", "cancel"):
                    with self.subTest(batch=batch, text=text, leave=leave), based_client.connect(self.address) as connection:
                        sent = begun(connection, self.pool, f"{text}; {SLEEP}", batch)
                        self.wait_processes(ASLEEP)
                        if leave == "cancel":
                            with self.assertRaisesRegex(based_client.Error, "57014"):
                                sent.cancel().wait()
                                sent.wait()
                        connection.__exit__()
                        self.assertEqual(self.left(), rows)
                        self.other.query("delete from t")


class OnSqlite(unittest.TestCase):
    """The same over a SQLite file; what never ends there has a row before that is large enough to be told at once."""

    LAST = ("with recursive n(i) as (values (1) union all select i + 1 from n) "
            "select hex(zeroblob(50000)) from n where i = 1")

    def setUp(self):
        path = temporary_folder() / "base.db"
        base = sqlite3.connect(path)
        base.execute("create table t (n int)")
        base.close()
        daemon = Daemon(config=f'[databases.app]\nurl = "sqlite:///{path}"\nforce_rollback = true\n')
        self.addCleanup(daemon.close)
        self.address = f"127.0.0.1:{daemon.port}"
        self.other = self.connect()

    def connect(self):
        client = PgClient(self.address, database="app")
        self.addCleanup(client.close)
        return client

    def each(self, texts, session):
        for text, rows in texts.items():
            for leave in ("vanish", "cancel"):
                with self.subTest(text=text, leave=leave):
                    session(f"{text}; {self.LAST}", leave)
                    self.assertEqual(self.other.rows("select n from t order by n"), [[str(n)] for n in rows])
                    self.other.query("delete from t")

    def test_in_the_last_part_of_a_text_or_batch(self):
        def session(text, leave):
            for parts in ((query(text),), (batched(text), sync())):
                self.other.query("delete from t")
                client = self.connect()
                client.send(*parts)
                wait_until(lambda: client.message()[0] == "D", "a row")
                getattr(client, leave)()
                if leave == "cancel":
                    self.assertIn("57014", client.answers())
                    client.close()
        self.each({text: LASTING[text] for text in LASTING if "read only" not in text and "chain" not in text}, session)

    def test_in_the_last_part_of_a_native_request(self):
        def session(text, leave):
            for batch in (False, True):
                self.other.query("delete from t")
                with based_client.connect(self.address) as connection:
                    sent = begun(connection, "app", text, batch)
                    next(iter(sent))
                    if leave == "cancel":
                        with self.assertRaisesRegex(based_client.Error, "57014"):
                            sent.cancel().wait()
                            sent.wait()
        self.each(NATIVE, session)


if __name__ == "__main__":
    unittest.main()
