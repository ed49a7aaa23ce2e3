"""What a native session has beside its rows ends in a PostgreSQL sandbox when it ends in the database, and is nobody else's.

Each case runs on the database itself and in a sandbox, whose sessions share one connection with each other and with the
clients of PostgreSQL's protocol.
"""

import contextlib
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import PgClient
from servers import Daemon, PostgresCluster, wait_until

LEVELS = ("repeatable read", "serializable", "read committed")
LATE = ("set transaction deferrable", "set transaction isolation level serializable", "set transaction_deferrable = off")
# Statements one after the other, or one text of some, and what the last one is answered: a value, a code, or a tag.
MODES = (
    ("begin read only", "set transaction read write", "insert into t values (5)", "INSERT"),
    ("begin", "set transaction read only", "set transaction read write", "insert into t values (5)", "INSERT"),
    ("begin; set transaction read only; set transaction read write; insert into t values (5)", "INSERT"),
    ("begin", "set transaction read only; set transaction_read_only = off; insert into t values (5)", "INSERT"),
    ("begin read only", "set transaction read write, read only", "insert into t values (5)", "25006"),
    ("begin" + " read write," * 40 + " isolation level serializable", "show transaction_isolation", "serializable"),
    ("begin read only", "select 1", "set transaction read write", "25001"),
    ("begin read only", "savepoint s", "set transaction read write", "25001"),
    ("begin read only; savepoint s; release s; set transaction read write; insert into t values (5)", "INSERT"),
    ("begin", "savepoint s", "set transaction read only", "release s", "insert into t values (5)", "INSERT"),
    ("begin", "savepoint s", "set transaction read only", "insert into t values (5)", "25006"),
    ("set default_transaction_read_only = on", "begin read write", "insert into t values (5)", "INSERT"),
    ("set default_transaction_read_only = on", "begin", "set transaction read write", "insert into t values (5)", "INSERT"),
    ("set default_transaction_read_only = on", "set transaction read write; insert into t values (5)", "25006"),
    *(("begin", behind, late, "25001") for late in LATE for behind in ("select 1", "savepoint s")),
    ("begin", "select 1", "set transaction deferrable, isolation level serializable", "25001"),
    ("begin", "show work_mem", "set transaction isolation level serializable", "SET"),
    *((f"begin; set local session characteristics as transaction {modes}", *behind, f"show default_transaction_{mode}", value)
      for modes, mode, value in (("deferrable", "deferrable", "on"), ("read only", "read_only", "on"), ("deferrable", "read_only", "off"),
                                 ("isolation level serializable, read only", "isolation", "serializable"))
      for behind in ((), ("savepoint s; set local session characteristics as transaction not deferrable, read write, isolation "
                          "level read uncommitted; rollback to s",))),
    *((f"begin; set local session characteristics as transaction deferrable, read only, isolation level serializable; {end}",
       f"show default_transaction_{mode}", value)
      for end, values in (("commit", "off off read committed"), ("rollback", "off off read committed"),
                          ("set session characteristics as transaction read write, not deferrable", "off off serializable"))
      for mode, value in zip(("deferrable", "read_only", "isolation"), values.split(" ", 2))),
    ("set local session characteristics as transaction read only", "show default_transaction_read_only", "off"),
    ("begin isolation level serializable", "select set_config('transaction_isolation', 'Serializable', true)", "serializable"),
    ("begin isolation level serializable", "select set_config('transaction_isolation', 'read committed', true)", "25001"),
    ("begin", "select set_config('transaction_read_only', 'on', false)", "set transaction read write", "25001"),
    ("begin", "select 1, set_config('transaction_read_only', 'on', true)", "set transaction read write", "25001"),
    ("begin", "savepoint s", "select set_config('transaction_read_only', 'on', true)", "rollback to s", "insert into t values (5)",
     "INSERT"), ("begin; select set_config('transaction_read_only', 'on', true); insert into t values (5)", "25006"),
    ("select set_config('transaction_read_only', 'on', true)", "insert into t values (5)", "INSERT"),
    ("begin deferrable", "select current_setting('transaction_deferrable', false) as \"D\"", "on"),
    ("begin deferrable", "show transaction_deferrable", "on"),
    ("begin", "set transaction deferrable", "select current_setting('transaction_deferrable')", "on"),
    ("begin deferrable", "savepoint s; rollback to s", "show transaction_deferrable", "on"),
    ("set default_transaction_deferrable = on", "show transaction_deferrable", "on"),
    ("set default_transaction_deferrable = on", "begin", "show transaction_deferrable", "on"),
    ("begin", "set default_transaction_isolation = serializable", "show transaction_isolation", "read committed"),
)
RESETS = (  # up to PostgreSQL 15: later ones refuse them
    ("begin isolation level serializable", "select 1", "reset transaction_isolation", "show transaction_isolation", "read committed"),
    ("begin isolation level serializable", "savepoint s", "set transaction_isolation to default", "rollback to s",
     "show transaction_isolation", "serializable"),
    ("begin read only", "select 1", "reset transaction_read_only", "insert into t values (5)", "INSERT"),
)
# By itself, outside of a transaction, and what is warned of.
WARNED = (
    ("set local transaction deferrable", ["SET TRANSACTION"]), ("set session transaction read only", ["SET TRANSACTION"]),
    ("set transaction_read_only = on", []), ("set local transaction_read_only = on", ["SET LOCAL"]),
    ("set local session characteristics as transaction read only", []),
)
WARNED_RESETS = (
    ("reset transaction_isolation", ["RESET TRANSACTION"]), ("reset transaction_read_only", []),
    ("set local transaction_isolation to default", ["SET LOCAL", "RESET TRANSACTION"]),
)


def setUpModule():
    global cluster, running
    cluster = PostgresCluster()
    cluster.query("create table t (n int); create role reader; grant reader to current_user; grant select on t to reader")
    url = cluster.url()
    running = Daemon(config=f'[databases.plain]\nurl = "{url}"\n[databases.box]\nurl = "{url}"\nforce_rollback = true\n')


def tearDownModule():
    running.close()
    cluster.close()


class Asks(unittest.TestCase):
    database = "box"

    def session(self, **options):
        connection = based_client.connect(f"127.0.0.1:{running.port}")
        self.addCleanup(connection.__exit__)
        session = connection.session(database=self.database, **options)
        session.opened.wait()
        return session

    def wire(self):
        client = PgClient(f"127.0.0.1:{running.port}", database=self.database)
        self.addCleanup(client.close)
        return client

    def setUp(self):
        self.one, self.other = self.session(), self.session()

    @staticmethod
    def value(session, sql, parameters=None):
        rows = list(session.exec(sql, parameters).rows)
        return rows[0][0]

    def code(self, session, sql, parameters=None):
        with self.assertRaises(based_client.Error) as raised:
            session.exec(sql, parameters)
        return raised.exception.code

    def unlock(self):
        """The other cases want the table, too, which a sandbox's root has locked."""
        if self.database == "box":
            self.one.exec("sandbox reset")

    def shows(self, setting, value):
        asked = f"select coalesce(current_setting('{setting}', true), '')"
        self.assertEqual([self.value(session, asked) for session in (self.one, self.other)], [value, value])
        self.assertEqual(self.wire().rows(asked), [[value]])


class Cases:
    def test_set_local_ends_with_its_transaction(self):
        for end in ("commit", "rollback"):
            with self.subTest(end):
                self.one.exec("begin; set local work_mem = '7MB'; set local app.who = 'me'")
                self.assertEqual(self.value(self.one, "show work_mem"), "7MB")
                self.one.exec(end)
                self.shows("work_mem", "4MB")
                self.shows("app.who", "")

    def test_by_itself_it_ends_at_once(self):
        self.one.exec("set local work_mem = '7MB'")
        self.shows("work_mem", "4MB")

    def test_what_the_session_has_set_is_there_again(self):
        self.one.exec("set work_mem = '5MB'")
        self.one.exec("begin; set local work_mem = '7MB'; commit")
        self.assertEqual(self.value(self.one, "show work_mem"), "5MB")
        self.assertEqual(self.value(self.other, "show work_mem"), "4MB")

    def test_a_level_that_is_rolled_back_takes_nothing_of_the_one_around_it(self):
        for around in (("set local work_mem = '7MB'",), ("set work_mem = '5MB'", "set local work_mem = '7MB'"),
                       ("reset work_mem", "set local work_mem = '7MB'")):
            for inside in ("select 1", "set work_mem = '6MB'", "reset work_mem", "set local work_mem = '6MB'"):
                with self.subTest(around=around, inside=inside):
                    self.one.tx("begin")
                    for sql in around:
                        self.one.exec(sql)
                    self.one.tx("begin")
                    self.one.exec(inside)
                    self.one.tx("rollback")
                    self.assertEqual(self.value(self.one, "show work_mem"), "7MB")
                    self.one.tx("rollback")
                    self.shows("work_mem", "4MB")

    def test_a_limit_by_set_config_is_shown_and_ends_with_its_level(self):
        local = "select set_config('statement_timeout', '{}', true)"
        self.one.exec(local.format("9s"))
        self.shows("statement_timeout", "0")
        self.one.tx("begin")
        self.one.exec(local.format("9s"))
        self.one.tx("begin")
        self.one.exec(local.format("300ms"))
        self.assertEqual(self.value(self.one, "show statement_timeout"), "300ms")
        self.assertEqual(self.code(self.one, "select pg_sleep(5)"), "57014")
        self.one.tx("rollback")
        self.assertEqual(self.value(self.one, "show statement_timeout"), "9s")
        self.one.tx("commit")
        self.shows("statement_timeout", "0")

    def test_a_local_role_ends_with_its_transaction(self):
        for sql in ("set local role reader", "select set_config('role', 'reader', true)"):
            for end in ("commit", "rollback"):
                with self.subTest(f"{sql}; {end}"):
                    self.one.exec("begin")
                    self.one.exec(sql)
                    self.assertEqual(self.value(self.one, "select current_user"), "reader")
                    self.one.exec(end)
                    for session in (self.one, self.other):
                        self.assertNotEqual(self.value(session, "select current_user"), "reader")

    def test_set_config_ends_with_its_transaction(self):
        for sql, parameters in (("select set_config('app.who', 'me', true)", None),
                                ("select set_config($1, $2, true)", ["app.who", "me"]),
                                ("select set_config($1, $2, $3)", ["app.who", "me", True]),
                                ("select set_config('app.' || 'who', 'me', true)", None)):
            for end in ("commit", "rollback"):
                with self.subTest(f"{sql}; {end}"):
                    self.one.exec("begin")
                    self.one.exec(sql, parameters)
                    self.assertEqual(self.value(self.one, "select current_setting('app.who')"), "me")
                    self.one.exec(end)
                    self.shows("app.who", "")
            with self.subTest(sql):
                self.one.exec(sql, parameters)
                self.shows("app.who", "")

    def test_a_nested_level_takes_back_what_it_has_set(self):
        with self.one.transaction():
            self.one.exec("set local work_mem = '6MB'")
            self.one.tx("begin")
            self.one.exec("set local work_mem = '7MB'")
            self.one.tx("rollback")
            self.assertEqual(self.value(self.one, "show work_mem"), "6MB")
            self.one.tx("begin")
            self.one.exec("set local work_mem = '8MB'")
            self.one.tx("commit")
            self.assertEqual(self.value(self.one, "show work_mem"), "8MB")
        self.shows("work_mem", "4MB")

    def test_what_set_config_sets_for_the_session_is_its_own(self):
        self.one.exec("select set_config('app.own', 'x', false)")
        self.one.exec("select set_config($1, $2, false)", ["work_mem", "9MB"])
        asked = "select coalesce(current_setting('app.own', true), '') || current_setting('work_mem')"
        self.assertEqual(self.value(self.one, asked), "x9MB")
        self.assertEqual(self.value(self.other, asked), "4MB")
        self.one.exec("begin; select set_config('app.own', 'y', false); rollback")
        self.assertEqual(self.value(self.one, asked), "x9MB")
        self.one.exec("discard all")
        self.shows("app.own", "")

    def test_discard_all_is_the_sessions_own(self):
        self.other.exec("set work_mem = '9MB'")
        self.one.exec("set work_mem = '7MB'")
        self.assertEqual(self.one.exec("discard all").tag, "DISCARD ALL")
        self.assertEqual(self.value(self.one, "show work_mem"), "4MB")
        self.assertEqual(self.value(self.other, "show work_mem"), "9MB")
        self.one.exec("begin")
        self.assertEqual(self.code(self.one, "discard all"), "25001")
        self.one.exec("rollback")

    def test_discard_all_of_a_session_that_reads(self):
        session = self.session(read_only=True)
        session.exec("set work_mem = '7MB'")
        with self.assertRaises(based_client.Error) as refused:
            session.exec("discard all", atomic=True)
        self.assertEqual(refused.exception.code, "25001")
        self.assertEqual(self.value(session, "show work_mem"), "7MB")
        self.assertEqual(session.exec("discard all").tag, "DISCARD ALL")
        self.assertEqual(self.value(session, "show work_mem"), "4MB")
        self.assertEqual(self.value(session, "show transaction_read_only"), "on")
        self.assertEqual(self.code(session, "insert into t values (1)"), "25006")
        session.tx("begin")
        self.assertEqual(self.code(session, "discard all"), "25001")
        session.tx("rollback")

    def test_what_never_ran_is_no_query(self):
        for batch, right in (([["declare c cursor for selec"], ["select 1"]], "SET"), ([["set no_such = 1"], ["select 1"]], "SET"),
                             ([["select 1"], ["selec"]], "25001"), ([["select nix from t"], ["select 1"]], "25001")):
            with self.subTest(batch):
                self.one.tx("begin")
                with self.assertRaises(based_client.Error):
                    self.one.batch(batch, atomic=True)
                self.assertEqual(self.answer(self.one, "set transaction isolation level serializable"), right)
                self.one.tx("rollback")

    def test_isolation_levels(self):
        for level in LEVELS:
            for begin in (f"begin isolation level {level}", f"begin; set transaction isolation level {level}",
                          f"begin; set local transaction_isolation = '{level}'"):
                with self.subTest(begin):
                    self.one.exec(begin)
                    self.assertEqual(self.value(self.one, "show transaction_isolation"), level)
                    self.assertEqual(self.one.exec("show transaction isolation level").tag, "SHOW")
                    self.assertEqual(self.value(self.one, "select current_setting('transaction_isolation')"), level)
                    self.one.exec("insert into t values (1)")
                    self.one.exec("rollback")
                    self.assertEqual(self.value(self.one, "show transaction_isolation"), "read committed")
            with self.subTest(f"tx {level}"), self.one.transaction(isolation=level):
                self.assertEqual(self.value(self.one, "show transaction_isolation"), level)

    def test_a_default_isolation_level(self):
        self.one.exec("set session characteristics as transaction isolation level serializable")
        for session, level in ((self.one, "serializable"), (self.other, "read committed")):
            session.exec("begin")
            self.assertEqual(self.value(session, "show transaction_isolation"), level)
            session.exec("commit")

    def test_an_isolation_level_behind_a_query_is_too_late(self):
        self.one.exec("begin; select count(*) from t")
        self.assertEqual(self.code(self.one, "set transaction isolation level serializable"), "25001")
        self.one.exec("rollback")

    def test_nor_in_a_savepoint(self):
        too_late = "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction"
        wanted = "set transaction isolation level serializable"
        self.one.tx("begin")
        for begin in ("savepoint s", "begin"):
            self.one.exec(begin)
            with self.assertRaises(based_client.Error) as raised:
                self.one.exec(wanted)
            self.assertEqual((raised.exception.code, raised.exception.message, raised.exception.detail), ("25001", too_late, None))
            self.one.tx("rollback")
        done = self.one.batch([[wanted], ["set transaction deferrable"], ["show transaction_isolation"]], stop=False)
        self.assertEqual([step.get("error", {}).get("message") for step in done.end["results"]],
                         [too_late, "SET TRANSACTION [NOT] DEFERRABLE cannot be called within a subtransaction", None])
        self.assertEqual(list(done.rows), [["read committed"]])
        self.one.exec(wanted)
        self.assertEqual(self.value(self.one, "show transaction_isolation"), "serializable")
        self.one.tx("rollback")

    def test_what_is_prepared_and_fails_at_its_values_fails_its_transaction(self):
        asked = "select count(*) from t where n = $1"
        for number in ("1", "2", "3"):  # from the second time on it is prepared
            self.value(self.one, asked, [number])
        for reads in (False, True):
            with self.subTest(reads=reads):
                self.one.tx("begin", read_only=reads)
                self.value(self.one, "select 1") if reads else self.one.exec("insert into t values (4711)")
                self.assertEqual(self.code(self.one, asked, ["x"]), "22P02")
                self.assertEqual(self.one.state, ["failed", 1])
                self.assertEqual(self.code(self.one, "select 1"), "25P02")
                self.one.tx("rollback")
                self.assertEqual(self.value(self.other, asked, ["4711"]), 0)
        locked = "select n from t for update"
        for _ in range(3):
            self.one.exec(locked)
        self.one.tx("begin", read_only=True)
        self.value(self.one, "select 1")
        self.assertEqual(self.code(self.one, locked), "25006")
        self.one.tx("rollback")
        self.unlock()

    def test_what_is_only_described_changes_nothing(self):
        self.one.exec("create temp table mine (n int)")
        self.one.tx("begin")
        self.one.batch([["create table other_one (n int)", None, []], ["set local work_mem = '7MB'", None, []],
                        ["set transaction isolation level serializable"]])
        self.one.batch([["set local statement_timeout = '1ms'", None, []], ["set transaction read only", None, []]])
        self.assertEqual(self.value(self.one, "select count(*) from pg_sleep(0.1)"), 1)
        self.assertEqual([self.value(self.one, f"show {name}") for name in ("work_mem", "statement_timeout", "transaction_isolation")],
                         ["4MB", "0", "serializable"])
        self.one.exec("insert into t values (1)")
        self.one.tx("rollback")
        self.assertEqual(self.one.batch([["discard all", None, []]]).tag, "DISCARD ALL")
        self.assertEqual(self.value(self.session(), "select 1"), 1)
        self.assertEqual(self.value(self.one, "select count(*) from mine"), 0)
        self.one.exec("discard all")

    def test_what_does_nothing_by_itself_is_warned_of(self):
        for text, called in (("set local work_mem = '7MB'", "SET LOCAL"), ("set local statement_timeout = '7s'", "SET LOCAL"),
                             ("set transaction isolation level serializable, read only", "SET TRANSACTION"),
                             ("set constraints all immediate", "SET CONSTRAINTS"), ("set transaction_isolation = 'serializable'", None),
                             ("set local work_mem = 'x'", "SET LOCAL"), ("reset work_mem", None)):
            for options in ({}, {"atomic": True}):
                with self.subTest(text, **options), contextlib.suppress(based_client.Error):
                    self.one.connection.notices.clear()
                    self.one.exec(text, **options).wait()
                warned = [(fields["severity"], fields["code"], fields["message"], fields.get("detail"))
                          for _, _, _, fields in self.one.connection.notices]
                told = ("WARNING", "25P01", f"{called} can only be used in transaction blocks", None)
                self.assertEqual(warned, [told] if called and not options else [], text)
        self.shows("work_mem", "4MB")

    def test_an_atomic_request_is_a_transaction(self):
        for text in ("lock table t", "declare c cursor for select 1"):
            self.one.exec(text, atomic=True)
        self.assertEqual(self.code(self.one, "fetch c"), "34000")
        with self.assertRaises(based_client.Error) as refused:
            self.one.exec("discard all", atomic=True)
        self.assertEqual((refused.exception.code, refused.exception.message),
                         ("25001", "DISCARD ALL cannot run inside a transaction block"))
        self.unlock()

    def answer(self, session, sql):
        try:
            result = session.exec(sql)
        except based_client.Error as error:
            self.assertNotIn("CONTEXT", error.detail or "")
            return error.code
        rows = list(result.rows)
        return rows[0][0] if rows else result.tag

    @staticmethod
    def resets_modes():
        return int(cluster.query("show server_version_num")[0][0]) < 160000

    def test_modes(self):
        for *said, right in MODES + RESETS * self.resets_modes():
            with self.subTest(said):
                session = self.session()
                found = [self.answer(session, sql) for sql in said]
                session.close()
                self.assertEqual(found[-1], right, found)

    def test_warnings_outside_of_a_transaction(self):
        connection = based_client.connect(f"127.0.0.1:{running.port}")
        self.addCleanup(connection.__exit__)
        session = connection.session(database=self.database)
        for sql, warned in WARNED + WARNED_RESETS * self.resets_modes():
            with self.subTest(sql):
                connection.notices.clear()
                self.assertIn(session.exec(sql).wait().tag, ("SET", "RESET", "SET CONSTRAINTS"))
                right = [("25P01", f"{what} can only be used in transaction blocks") for what in warned]
                self.assertEqual([(told["code"], told["message"]) for *_, told in connection.notices], right)

    def test_a_transaction_that_became_read_only(self):
        self.one.exec("begin; set transaction isolation level serializable, read only")
        self.assertEqual(self.code(self.one, "insert into t values (1)"), "25006")
        self.one.exec("rollback")
        self.one.exec("begin; insert into t values (1); rollback")

    def test_a_session_that_is_read_only_by_default(self):
        self.one.exec("set default_transaction_read_only = on")
        self.assertEqual(self.value(self.one, "show default_transaction_read_only"), "on")
        self.assertEqual(self.code(self.one, "insert into t values (1)"), "25006")
        self.one.exec("begin")
        self.assertEqual(self.code(self.one, "insert into t values (1)"), "25006")
        self.one.exec("rollback")
        self.other.exec("begin; insert into t values (1); rollback")
        self.one.exec("reset default_transaction_read_only")
        self.assertEqual(self.value(self.one, "show default_transaction_read_only"), "off")
        self.one.exec("begin; insert into t values (1); rollback")

    def test_a_timeout_is_shown_to_who_has_set_it(self):
        name = "idle_in_transaction_session_timeout"
        self.one.exec(f"set {name} = '90s'")
        self.assertEqual(self.value(self.one, f"show {name}"), "90s")
        self.assertEqual(self.value(self.other, f"show {name}"), "0")
        self.assertEqual(self.code(self.one, f"set {name} = 'never'"), "22023")
        self.assertEqual(self.value(self.one, f"show {name}"), "90s")
        self.one.exec(f"reset {name}")
        self.assertEqual(self.value(self.one, f"show {name}"), "0")

    def test_reset_all(self):
        self.one.exec("set work_mem = '7MB'")
        self.other.exec("set work_mem = '9MB'")
        self.one.exec("reset all")
        self.assertEqual(self.value(self.one, "show work_mem"), "4MB")
        self.assertEqual(self.value(self.other, "show work_mem"), "9MB")
        self.one.exec("begin; insert into t values (1); rollback")

    def test_a_changed_table_does_not_break_what_is_prepared(self):
        self.other.exec("create table changing (a int)")
        self.addCleanup(self.other.exec, "drop table changing")
        for _ in range(3):  # from the second time on it is prepared
            self.assertEqual(list(self.one.exec("select * from changing").rows), [])
        self.other.exec("alter table changing add b int; insert into changing values (1, 2)")
        self.assertEqual([list(row) for row in self.one.exec("select * from changing").rows], [[1, 2]])

    def test_tables_end_with_their_transaction(self):
        for end in ("commit", "rollback", "commit"):
            self.one.exec("begin; create temp table gone on commit drop as select 1 as n")
            self.assertEqual(self.value(self.one, "select n from gone"), 1)
            self.one.exec(end)
            self.assertEqual(self.code(self.one, "select n from gone"), "42P01")
        for _ in range(2):
            self.one.exec("create temporary table gone (n int) on commit drop")
        with self.one.transaction():
            self.one.exec("create temp table gone (n int) on commit drop")
            self.one.tx("begin")
            self.one.exec("insert into gone values (1)")
            self.one.tx("commit")
            self.assertEqual(self.value(self.one, "select n from gone"), 1)
        self.assertEqual(self.code(self.one, "select n from gone"), "42P01")

    def test_rows_end_with_their_transaction(self):
        self.one.exec("create temp table short (n int) on commit delete rows")
        for begin in ("begin", "begin read only"):
            self.one.exec(f"{begin}; insert into short values (1)")
            self.assertEqual(self.value(self.one, "select count(*) from short"), 1)
            self.one.exec("commit")
            self.assertEqual(self.value(self.one, "select count(*) from short"), 0)
        self.one.exec("insert into short values (1)")
        self.assertEqual(self.value(self.one, "select count(*) from short"), 0)
        self.one.exec("drop table short")

    def test_tables_of_another_name_end_as_what_they_were(self):
        count = "select count(*) from short"
        for undo in (None, "rollback", "rollback to s"):
            with self.subTest(undo):
                self.one.exec("create temp table long (n int) on commit delete rows")
                self.one.exec("begin")
                self.one.exec("create temp table gone (n int) on commit drop; alter table gone rename to went")
                self.one.exec("savepoint s")
                self.one.exec("alter table long rename to short; insert into short values (1)")
                if undo:
                    self.one.exec(undo)
                    self.assertEqual(self.code(self.one, count), "42P01")
                if undo != "rollback":
                    self.one.exec("rollback to s; alter table long rename to short; insert into short values (1)")
                    self.one.exec("commit")
                else:
                    self.one.exec("alter table long rename to short")
                self.assertEqual(self.code(self.one, "select n from went"), "42P01")
                self.one.exec("insert into short values (1)")
                self.assertEqual(self.value(self.one, count), 0)
                self.one.exec("discard temp")
                self.assertEqual(self.code(self.one, count), "42P01")

    def test_cursors_end_with_their_transaction(self):
        for end in ("commit", "rollback"):
            self.one.exec("begin; declare c cursor for select 1 as a")
            self.assertEqual(self.value(self.one, "fetch c"), 1)
            self.one.exec(end)
            self.assertEqual(self.code(self.one, "fetch c"), "34000")
        for text in ("declare c cursor for select 1", "lock table t"):
            self.assertEqual(self.code(self.one, text), "25P01")
        self.one.exec("begin; lock table t; rollback")

    def test_what_needs_a_transaction_is_parsed_first(self):
        for text, *right in (("declare c cursor for selec", "42601", 21), ("lock", "42601", 4), ("lock t in frob mode", "42601", 10),
                             ("declare c cursor for select nix", "42703", 28), ("lock nix", "25P01", None),
                             ("select 1; lock", "42601", 14)):
            with self.subTest(text), self.assertRaises(based_client.Error) as refused:
                self.one.exec(text)
            self.assertEqual([refused.exception.code, refused.exception.position], right, text)
        declared = "declare c cursor for select 1 where $1::int > 0"
        self.assertEqual(self.code(self.one, declared, ["x"]), "22P02")
        with self.assertRaises(based_client.Error) as refused:
            self.one.exec(declared, [1])
        self.assertEqual((refused.exception.code, refused.exception.executed, refused.exception.detail), ("25P01", "no", None))
        self.assertEqual(self.value(self.one, "select 1"), 1)

    def test_an_inner_level_has_the_modes_of_the_outermost(self):
        for outer in ({}, {"isolation": "serializable", "deferrable": True}):
            for inner in ({"isolation": "repeatable read"}, {"deferrable": False}):
                with self.subTest(outer=outer, inner=inner):
                    self.one.tx("begin", **outer)
                    with self.assertRaises(based_client.Error) as refused:
                        self.one.tx("begin", **inner)
                    self.assertEqual((refused.exception.code, self.one.state), ("25001", ["open", 1]))
                    self.one.tx("begin", **outer)
                    self.assertEqual(self.code(self.one, "begin isolation level read uncommitted"), "25001")
                    self.assertEqual(self.one.state, ["open", 2])
                    self.one.tx("rollback_all")

    def test_close_all_closes_the_sessions_own(self):
        theirs = "select string_agg(name, ' ' order by name) from pg_cursors where name ~ '^(mine|more|held|theirs)$'"
        self.other.exec("declare theirs cursor with hold for select 7 as a")
        for end in ("commit", "rollback"):
            with self.subTest(end):
                self.one.exec("declare held cursor with hold for select 1")
                self.one.exec("begin; declare mine cursor for select 1")
                self.one.exec("declare more cursor with hold for select 1")
                self.assertEqual(self.one.exec("close all").wait().tag, "CLOSE CURSOR ALL")
                self.assertIn(self.value(self.one, theirs), (None, "theirs"))
                self.one.exec(end)
                self.assertEqual(self.code(self.one, "fetch held"), "34000")
                self.assertIn(self.value(self.one, theirs), (None, "theirs"))
        self.one.exec("declare held cursor with hold for select 1")
        self.one.exec("close all; declare held cursor with hold for select 2")
        self.assertEqual(self.value(self.one, "fetch held"), 2)
        self.one.exec("/* all of them */ close all;").wait()
        self.assertEqual(self.one.exec("close all").wait().tag, "CLOSE CURSOR ALL")  # there is none
        # The name is free: what was closed is not closed again when its session ends.
        self.other.exec("declare held cursor with hold for select 8")
        self.one.close()
        self.assertEqual(self.value(self.session(), "select 1"), 1)
        self.assertEqual((self.value(self.other, "fetch held"), self.value(self.other, "fetch theirs")), (8, 7))
        self.other.exec("close all")

    def test_what_it_has_made_ends_with_it(self):
        for _ in range(2):
            session = self.session()
            session.exec("create temp table mine (n int)")
            session.exec("insert into mine values (1)")
            session.exec("declare held cursor with hold for select 7 as a")
            session.exec("select pg_advisory_lock(4711)")
            self.assertEqual((self.value(session, "fetch held"), self.value(session, "select n from mine")), (7, 1))
            session.close()
            asked = "select count(*) from pg_locks where locktype = 'advisory' and objid = 4711"
            wait_until(lambda: self.value(self.other, asked) == 0, "the lock is given back")
            self.assertEqual(self.code(self.other, "fetch held"), "34000")
            self.assertEqual(self.code(self.other, "select n from mine"), "42P01")

    def test_discard_drops_the_sessions_own(self):
        self.other.exec("create temp table theirs (n int)")
        for what in ("all", "temp"):
            self.one.exec("create temp table mine (n int)")
            self.one.exec("insert into mine values (1)")
            self.assertEqual(self.one.exec(f"discard {what}").tag, f"DISCARD {what.upper()}")
            self.assertEqual(self.code(self.one, "select n from mine"), "42P01")
        self.one.exec("create temp table mine (n int)")
        self.one.exec("begin; discard temp; rollback")
        self.assertEqual(self.value(self.one, "select count(*) from mine"), 0)
        self.assertEqual(self.value(self.other, "select count(*) from theirs"), 0)
        self.one.exec("discard all")
        self.other.exec("discard all")


class InTheDatabase(Cases, Asks):
    database = "plain"


class InASandbox(Cases, Asks):
    def test_a_timeout_ends_the_transaction_and_not_the_root(self):
        self.other.exec("insert into t values (77)")
        self.one.exec("set idle_in_transaction_session_timeout = '50ms'")
        self.one.exec("begin; insert into t values (78)")
        wait_until(lambda: self.value(self.other, "select string_agg(n::text, ' ') from t where n > 70") == "77",
                   "the transaction to be rolled back")
        self.assertEqual(self.code(self.one, "select 1"), "25P02")
        self.one.exec("rollback")
        self.one.exec("sandbox reset")

    def test_a_reset_does_not_break_what_is_prepared(self):
        self.other.exec("create table changing (a int)")
        self.other.exec("sandbox mark narrow")
        self.other.exec("alter table changing add b int; insert into changing values (1, 2)")
        for _ in range(3):
            self.assertEqual([list(row) for row in self.one.exec("select * from changing").rows], [[1, 2]])
        self.other.exec("sandbox reset to narrow")
        self.assertEqual(list(self.one.exec("select * from changing").rows), [])
        self.other.exec("sandbox reset")


if __name__ == "__main__":
    unittest.main()
