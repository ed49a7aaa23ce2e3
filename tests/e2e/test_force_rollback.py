"""--force-rollback: whatever clients do, the database is afterwards what it was before, on either backend."""

import contextlib
import hashlib
import random
import shutil
import sqlite3
import unittest

from based_client import EXEC, TX, Error, connect
from careless_texts import POSTGRES_BASE, POSTGRES_TEXTS, SQLITE_BASE, SQLITE_TEXTS
from servers import Daemon, PostgresCluster, temporary_folder, wait_until

SEED = 20240229
cluster = None


def setUpModule():
    global cluster
    cluster = PostgresCluster(autovacuum="off", max_prepared_transactions=4)


def tearDownModule():
    cluster.close()


def address(daemon):
    return f"unix:{daemon.socket_path}"


def attempt_inside(session, sql, parameters=None):
    """The SQLSTATE, None if it worked."""
    try:
        session.exec(sql, parameters)
    except Error as error:
        return error.code
    return None


def attempt(session, sql, parameters=None):
    """The same; the session is brought back to no transaction."""
    code = attempt_inside(session, sql, parameters)
    if session.state[0] != "idle":
        session.tx("rollback_all")
    return code


def random_load(database, texts, seed, end):
    """Four sessions with random work under way, not waited for; `end` comes at a random moment."""
    choose = random.Random(seed)
    sessions = [database.session() for _ in range(4)]
    started, number = [], 1000
    for _ in range(choose.randrange(5, 60)):
        session, number = choose.choice(sessions), number + 1
        kind = choose.randrange(6)
        if kind == 0:
            started.append(session.start(TX, "begin", {}))
        elif kind == 1:
            started.append(session.start(TX, choose.choice(["commit", "rollback", "rollback_all"]), {}))
        elif kind == 2:
            started.append(session.start(EXEC, choose.choice(texts), None, {}))
        elif kind == 3:
            started.append(session.start(EXEC, "update notes set text = text || 'x'", None, {}))
        else:
            started.append(session.start(EXEC, "insert into notes values ($1, $2, $3)",
                                         [number, "load" * 500, number], {}))
    database.socket.settimeout(0.2)  # what waits behind an open transaction is not answered
    with contextlib.suppress(TimeoutError):
        for _ in range(choose.randrange(len(started))):
            database.read()
    end()


class SqliteFile(unittest.TestCase):
    def setUp(self):
        self.folder = temporary_folder()
        self.path = self.folder / "app.db"

    def base(self, journal="delete"):
        with_writer = sqlite3.connect(self.folder / "made.db", isolation_level=None)
        with_writer.execute(f"pragma journal_mode = {journal}")
        with_writer.executescript(SQLITE_BASE)
        for suffix in ("", "-wal"):
            if (self.folder / f"made.db{suffix}").exists():
                shutil.copy(self.folder / f"made.db{suffix}", self.folder / f"app.db{suffix}")
        with_writer.close()
        for left in self.folder.glob("made.db*"):
            left.unlink()
        return self.files()

    def files(self):
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in self.folder.iterdir()}

    def start(self, *arguments):
        daemon = Daemon(f"sqlite:///{self.path}", "--force-rollback", *arguments)
        self.addCleanup(daemon.close)
        return daemon

    def connect(self, daemon):
        database = connect(address(daemon))
        self.addCleanup(database.__exit__)
        return database

    def session(self, daemon, **options):
        session = self.connect(daemon).session(**options)
        session.opened.wait()
        return session

    def check_fresh_start(self, before):
        """A daemon without the option works on the file, and finds the old rows and version."""
        self.assertEqual(self.files(), before)
        daemon = Daemon(f"sqlite:///{self.path}")
        with daemon, connect(address(daemon)) as database, database.session() as session:
            self.assertEqual(list(session.exec("select id, text, n from notes").rows),
                             [[1, "one", 1], [2, "two", 2], [3, "three", 3]])
            self.assertEqual(list(session.exec("pragma user_version").rows), [[4]])
            self.assertEqual(list(session.exec("pragma integrity_check").rows), [["ok"]])

    def test_after_the_end_the_file_is_the_same_byte_for_byte_and_the_log_says_what_was_discarded(self):
        before = self.base()
        daemon = self.start()
        session = self.session(daemon)
        session.exec("insert into notes values (10, 'ten', 10)")
        with session.transaction():
            session.exec("update notes set text = 'changed'")
        session.exec("vacuum; create table more (a); pragma user_version = 9")
        self.assertEqual(self.files(), before)
        self.assertEqual(daemon.terminate(), 0)
        discarded = daemon.wait_log(r"sandbox app: (\d+) transactions discarded, (\d+) pages")
        self.assertGreaterEqual((int(discarded[1]), int(discarded[2])), (4, 1))
        self.check_fresh_start(before)

    def test_no_text_that_a_client_can_send_reaches_the_file(self):
        for journal in ("delete", "wal"):
            with self.subTest(journal=journal):
                before = self.base(journal)
                daemon = self.start()
                codes = {}
                for text in SQLITE_TEXTS:
                    session = self.session(daemon)
                    codes[text] = attempt(session, text)
                    session.close()
                    self.assertEqual(self.files(), before, text)
                self.assertEqual((codes["delete from notes"], codes["vacuum"]), (None, None))
                self.assertEqual((codes["attach 'other.db' as o"], codes["vacuum into 'copy.db'"]),
                                 ("42501", "42501"))
                self.assertEqual(self.session(daemon).exec("select 1").tag, "SELECT")
                self.assertEqual(daemon.terminate(), 0)
                self.check_fresh_start(before)
                for left in self.folder.iterdir():
                    left.unlink()

    def test_changes_are_seen_by_other_sessions_until_the_end(self):
        before = self.base()
        daemon = self.start()
        writer, reader = self.session(daemon), self.session(daemon)
        writer.exec("create table made as select 7 as a; insert into made values (8)")
        self.assertEqual(list(reader.exec("select a from made order by a").rows), [[7], [8]])
        writer.connection.__exit__()
        self.assertEqual(list(self.session(daemon).exec("select count(*) from made").rows), [[2]])
        daemon.terminate()
        self.check_fresh_start(before)
        daemon = self.start()
        with self.assertRaises(Error) as caught:
            self.session(daemon).exec("select * from made")
        self.assertEqual(caught.exception.code, "42P01")

    def test_ended_at_random_moments_under_a_random_load_it_leaves_the_file_alone(self):
        before = self.base()
        for number in range(5):
            daemon = self.start("--config", self.config())
            random_load(self.connect(daemon), SQLITE_TEXTS, SEED + number,
                        lambda daemon=daemon: daemon.signal(15))
            daemon.wait()
            daemon.close()
            (self.folder / "based.toml").unlink()
            self.assertEqual(self.files(), before)
        self.check_fresh_start(before)

    def config(self):
        path = self.folder / "based.toml"
        path.write_text('[server]\nauth = "trust"\nshutdown_timeout = "300ms"\n')
        return path

    def test_a_transaction_that_sqlite_ends_by_itself_is_lost_for_its_session_only(self):
        before = self.base()
        daemon = self.start()
        writer, other = self.session(daemon), self.session(daemon)
        for failing, code in (("insert or rollback into notes values (1, 'twice', 70)", "23505"),
                              ("insert into pairs values (1, 'boom')", None)):
            other.exec("update notes set n = n + 100")
            writer.tx("begin")
            writer.exec("insert into notes values (50, 'lost', 50)")
            with self.assertRaises(Error) as caught:
                writer.exec(failing)
            self.assertEqual((code or caught.exception.code, writer.state[0]),
                             (caught.exception.code, "aborted"))
            writer.tx("rollback_all")
            self.assertEqual(list(writer.exec("select count(*), min(n) > 100 from notes").rows), [[3, 1]])
        self.assertEqual(self.files(), before)
        daemon.terminate()
        self.check_fresh_start(before)

    def test_a_cancelled_write_leaves_the_file_and_the_others_work_alone(self):
        before = self.base()
        daemon = self.start()
        writer, other = self.session(daemon), self.session(daemon)
        other.exec("insert into notes values (20, 'kept meanwhile', 20)")
        slow = writer.start(EXEC, "with recursive c (i) as (select 100 union all select i + 1 from c) "
                            "insert into notes select i, 'x', i from c", None, {})
        wait_until(lambda: any(lane["state"] == "running" for lane in self.lanes(other)), "the write to run")
        slow.cancel().wait()
        with self.assertRaises(Error) as caught:
            slow.wait()
        self.assertEqual(caught.exception.code, "57014")
        self.assertEqual(list(other.exec("select count(*), max(id) from notes").rows), [[4, 20]])
        daemon.terminate()
        self.check_fresh_start(before)

    def lanes(self, session):
        return session.connection.status()["databases"][0]["lanes"]

    def test_a_file_that_is_not_there_is_made_by_nobody(self):
        daemon = self.start()
        session = self.session(daemon)
        session.exec("create table t (a); insert into t values (1)")
        self.assertEqual(list(self.session(daemon).exec("select a from t").rows), [[1]])
        self.assertEqual(self.files(), {})
        self.assertEqual(daemon.terminate(), 0)
        self.assertEqual(self.files(), {})

    def test_a_log_that_was_not_checkpointed_is_read_and_stays(self):
        before = self.base("wal")
        self.assertEqual(sorted(before), ["app.db", "app.db-wal"])
        daemon = self.start()
        session = self.session(daemon)
        self.assertEqual(list(session.exec("select count(*) from notes").rows), [[3]])
        session.exec("pragma wal_checkpoint(truncate)")
        session.exec("delete from notes; vacuum")
        self.assertEqual(list(session.exec("select count(*) from notes").rows), [[0]])
        self.assertEqual(self.files(), before)
        daemon.kill()
        self.check_fresh_start(before)

    def test_transactions_take_turns_and_each_sees_the_one_before(self):
        self.base()
        daemon = self.start()
        sessions = [self.session(daemon, label=f"s{i}") for i in range(5)]
        first = sessions[0]
        first.tx("begin")
        first.exec("update notes set n = n + 1000")
        waiting = [session.start(EXEC, "update notes set text = text || $1", [str(i)], {})
                   for i, session in enumerate(sessions[1:])]
        wait_until(lambda: self.lanes(self.session(daemon))[0]["waiting"] == 4, "four that wait")
        with self.assertRaises(Error) as caught:
            self.session(daemon, queue_timeout_ms=50).exec("select 1")
        self.assertEqual(caught.exception.code, "55P03")
        self.assertIn("s0", caught.exception.detail)
        self.assertFalse([request for request in waiting if request.end])
        first.tx("commit")
        for request in waiting:
            request.wait()
        self.assertEqual(list(first.exec("select min(n), min(text) from notes").rows), [[1001, "one0123"]])

    def test_the_daemon_says_in_every_place_that_it_forgets(self):
        self.base()
        daemon = self.start()
        database = self.connect(daemon)
        self.assertEqual([base["force_rollback"] for base in database.welcome["databases"]], [True])
        self.assertTrue(database.session().opened.wait().end["session"]["force_rollback"])
        self.assertTrue(database.status()["databases"][0]["force_rollback"])
        daemon.wait_log("every change is discarded at the end")


class Level:
    """A level that is rolled back, in a daemon that does not forget."""

    def setUp(self):
        self.database = connect(address(self.daemon))
        self.addCleanup(self.database.__exit__)
        self.session = self.database.session()
        self.session.exec("drop table if exists kept")
        self.session.exec("create table kept (a integer)")

    def rows(self):
        return [row[0] for row in self.database.session().exec("select a from kept order by a").rows]

    def test_its_commit_answers_that_it_was_rolled_back_and_nothing_is_kept(self):
        begun = self.session.tx("begin", force_rollback=True)
        self.session.exec("insert into kept values (1)")
        self.assertEqual(list(self.session.exec("select a from kept").rows), [[1]])
        ended = self.session.tx("commit", level=begun["level"])
        self.assertEqual((ended["rolled_back"], ended["tx"], self.rows()), (True, ["idle", 0], []))
        self.session.exec("insert into kept values (2)")
        self.assertEqual(self.rows(), [2])

    def test_a_commit_as_sql_keeps_nothing_either(self):
        self.session.tx("begin", force_rollback=True)
        self.session.exec("insert into kept values (1); commit")
        self.assertEqual((self.session.state, self.rows()), (["idle", 0], []))

    def test_inside_an_ordinary_level_only_its_own_work_is_undone(self):
        with self.session.transaction():
            self.session.exec("insert into kept values (1)")
            self.session.tx("begin", force_rollback=True)
            with self.session.transaction():
                self.session.exec("insert into kept values (2)")
            self.assertTrue(self.session.tx("commit")["rolled_back"])
            self.session.exec("insert into kept values (3)")
        self.assertEqual(self.rows(), [1, 3])

    def test_ordinary_levels_inside_it_are_undone_with_it(self):
        self.session.tx("begin", force_rollback=True)
        with self.session.transaction():
            self.session.exec("insert into kept values (1)")
        self.session.tx("commit")
        self.assertEqual(self.rows(), [])

    def test_a_session_that_works_in_such_a_transaction_keeps_nothing_when_it_closes(self):
        session = self.database.session(transaction={"force_rollback": True})
        session.exec("insert into kept values (1)")
        session.close(commit=True)
        self.assertEqual(self.rows(), [])


class LevelOnSqlite(Level, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon("sqlite::memory:")
        cls.addClassCleanup(cls.daemon.close)


class LevelOnPostgres(Level, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(cluster.url())
        cls.addClassCleanup(cls.daemon.close)

    def tearDown(self):
        self.session.exec("drop table kept")


class PostgresDatabase(unittest.TestCase):
    VIEWS = ("pg_file_settings", "pg_prepared_xacts")

    @classmethod
    def setUpClass(cls):
        cluster.query("create database app")
        cluster.query(POSTGRES_BASE, "app")

    def setUp(self):
        self.before = self.snapshot()
        self.daemon = self.start()

    def start(self, **options):
        daemon = Daemon(cluster.url("app"), "--force-rollback", **options)
        self.addCleanup(daemon.close)
        return daemon

    def connect(self):
        database = connect(address(self.daemon))
        self.addCleanup(database.__exit__)
        return database

    def session(self, **options):
        session = self.connect().session(**options)
        session.opened.wait()
        return session

    def snapshot(self):
        """Every row of every table and of the catalogue, as another client sees it; but for the server's statistics."""
        listed = cluster.query(
            "select oid::regclass from pg_class where relkind in ('r', 'v', 'm', 'S')"
            " and relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema', 'pg_toast')"
            " or relnamespace = 'pg_catalog'::regnamespace and relkind = 'r' and relname !~ '^pg_statistic'", "app")
        names = [*(name for (name,) in listed), *self.VIEWS]
        rows = [f"select '{name}' as source, t::text as line from {name} as t" for name in names]
        return cluster.query(" union all ".join(rows) + " order by 1, 2", "app")

    def root(self):
        """The one transaction that everything is in, and what was prepared: the same all the time."""
        return cluster.query("select pid, xact_start, (select count(*) from pg_prepared_xacts)"
                             " from pg_stat_activity where datname = 'app' and pid <> pg_backend_pid()")

    def backends(self):
        return int(cluster.query("select count(*) from pg_stat_activity where datname = 'app'")[0][0])

    def check_nothing_remains(self):
        wait_until(lambda: self.backends() == 0, "the server to end the sandbox")
        self.assertEqual(self.snapshot(), self.before)
        with Daemon(cluster.url("app")) as daemon, connect(address(daemon)) as db, db.session() as session:
            self.assertEqual(list(session.exec("select id, n from notes order by id").rows),
                             [[1, 1], [2, 2], [3, 3]])

    def test_after_the_end_rows_and_catalogue_are_what_they_were_and_the_log_says_what_was_discarded(self):
        session = self.session()
        session.exec("insert into notes values (10, 'ten', 10); create table made (a int); drop table pairs")
        with session.transaction():
            session.exec("update notes set text = 'changed'")
        self.assertEqual(list(self.session().exec("select count(*), min(text) from notes").rows),
                         [[4, "changed"]])
        self.assertEqual(cluster.query("select to_regclass('made'), to_regclass('pairs')", "app"),
                         [["", "pairs"]])
        self.assertEqual(self.daemon.terminate(), 0)
        self.daemon.wait_log(r"sandbox app: .*[1-9]\d* .*rolled back")
        self.check_nothing_remains()

    def test_what_a_sequence_has_given_stays_given_and_everything_else_of_it_goes(self):
        cluster.query("create table numbered (id serial, t text)", "app")
        self.addCleanup(cluster.query, "drop table numbered", "app")
        session = self.session()
        self.assertEqual(list(session.exec("insert into numbered (t) values ('a'), ('b') returning id").rows), [[1], [2]])
        session.exec("alter sequence numbered_id_seq increment by 10; alter table numbered alter id drop default")
        self.assertEqual(self.daemon.terminate(), 0)
        wait_until(lambda: self.backends() == 0, "the server to end the sandbox")
        self.assertEqual(cluster.query("select count(*) from numbered", "app"), [["0"]])
        # PostgreSQL rolls no nextval back: README.md says so.
        self.assertEqual(cluster.query("insert into numbered (t) values ('c') returning id", "app"), [["3"]])

    def test_killed_it_leaves_nothing(self):
        session = self.session()
        session.exec("delete from notes; create table made (a int)")
        session.tx("begin")
        session.exec("insert into made values (1)")
        self.daemon.kill()
        self.check_nothing_remains()

    def test_no_text_that_a_client_can_send_persists(self):
        codes = {}
        self.session().exec("create table keeps_the_root (a int)")
        root = self.root()
        for text in POSTGRES_TEXTS:
            session = self.session()
            codes[text] = attempt(session, text)
            session.close()
            # Beside it somebody may look for a moment which tables it locks.
            wait_until(lambda: self.root() == root, text)
        for text in ("delete from notes", "create type color as enum ('red')", "discard all"):
            self.assertIsNone(codes[text], text)
        for text in ("prepare transaction 'kept'", "create database other", "close _based_root"):
            self.assertIn(codes[text], ("0A000", "25001"), text)
        self.assertNotRegex(self.daemon.log(), "LOST")
        self.assertEqual(self.session().exec("select 1").tag, "SELECT")
        self.assertEqual(self.daemon.terminate(), 0)
        self.check_nothing_remains()

    def test_ended_at_random_moments_under_a_random_load_nothing_remains(self):
        texts = [text for text in POSTGRES_TEXTS if "pg_advisory" not in text]
        self.daemon.terminate()
        for number in range(5):
            with self.subTest(number=number):
                self.daemon = self.start(config='[server]\nshutdown_timeout = "300ms"\n')
                random_load(self.connect(), texts, SEED + number, lambda: self.daemon.signal(15))
                self.assertEqual(self.daemon.wait(), 0)
                self.daemon.close()
                wait_until(lambda: self.backends() == 0, "the server to end the sandbox")
                self.assertEqual(self.snapshot(), self.before)
        self.check_nothing_remains()

    def test_a_lost_backend_is_an_error_for_every_session_and_leaves_nothing(self):
        holder, other = self.session(), self.session()
        other.exec("insert into notes values (10, 'ten', 10)")
        holder.tx("begin")
        holder.exec("insert into notes values (11, 'eleven', 11)")
        cluster.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'app'")
        wait_until(lambda: (holder.connection.ping(), holder.connection.notices)[1], "the notice")
        self.assertEqual(holder.connection.notices[0][2], "transaction_lost")
        for session in (holder, other):
            with self.assertRaises(Error) as caught:
                session.exec("insert into notes values (12, 'twelve', 12)")
            self.assertIn(caught.exception.code, ("25P02", "40000", "08006"))
        holder.tx("rollback_all")
        self.daemon.wait_log("LOST")
        self.assertEqual(self.snapshot(), self.before)
        fresh = self.session()
        self.assertEqual(list(fresh.exec("select count(*) from notes").rows), [[3]])
        fresh.exec("insert into notes values (13, 'thirteen', 13)")
        self.assertEqual(list(other.exec("select max(id) from notes").rows), [[13]])
        self.daemon.terminate()
        self.check_nothing_remains()

    def test_an_error_of_one_session_does_not_touch_the_work_of_another(self):
        one, two = self.session(), self.session()
        one.exec("insert into notes values (10, 'ten', 10)")
        self.assertEqual(attempt(two, "insert into notes values (10, 'twice', 11)"), "23505")
        two.tx("begin")
        two.exec("insert into notes values (11, 'eleven', 11)")
        with self.assertRaises(Error) as caught:
            two.exec("insert into notes values (10, 'twice', 12)")
        self.assertEqual((caught.exception.code, two.state), ("23505", ["failed", 1]))
        two.tx("rollback")
        two.connection.__exit__()
        self.assertEqual(list(one.exec("select max(id) from notes").rows), [[10]])
        self.assertEqual(attempt(one, "insert into pairs values (99, 'dangling')"), "23503")
        self.assertEqual(list(one.exec("select count(*) from pairs").rows), [[0]])

    def test_a_failed_transaction_whose_settings_are_in_doubt_ends_and_the_sandbox_stays(self):
        one, two = self.session(), self.session()
        one.exec("insert into notes values (10, 'ten', 10); set lock_timeout = '30ms'")
        for end in ("rollback", "rollback to a; rollback", "rollback to a; commit"):
            two.exec("select 1")  # its settings are others
            one.exec("begin; savepoint a; set work_mem = '7MB'")
            self.assertEqual(attempt_inside(one, "select 1/0"), "22012")
            one.exec(end)
            self.assertEqual(list(one.exec("show lock_timeout").rows), [["30ms"]])
            self.assertEqual(list(one.exec("show work_mem").rows), [["4MB"]])
        self.assertEqual(list(two.exec("select count(*) from notes").rows), [[4]])
        self.assertNotIn("LOST", self.daemon.log())

    def test_sessions_take_turns_and_who_waits_too_long_hears_who_has_it(self):
        holder = self.session(label="the importer")
        holder.tx("begin")
        holder.exec("insert into notes values (20, 'twenty', 20)")
        impatient = self.session(queue_timeout_ms=100)
        with self.assertRaises(Error) as caught:
            impatient.exec("select count(*) from notes")
        self.assertEqual(caught.exception.code, "55P03")
        self.assertIn("the importer", caught.exception.detail)
        self.assertIn("insert into notes", caught.exception.detail)
        insert = "insert into notes select max(id) + 1, 'next', max(id) + 1 from notes returning id"
        waiters = [self.session().start(EXEC, insert, None, {}) for _ in range(6)]
        wait_until(lambda: holder.connection.status()["databases"][0]["sandboxes"][0]["waiting"] == 6,
                   "six that wait")
        holder.tx("commit")
        self.assertEqual([waiter.wait().rows[0][0] for waiter in waiters], list(range(21, 27)))
        self.daemon.terminate()
        self.check_nothing_remains()

    def test_a_level_of_force_rollback_inside_is_undone_at_its_end_already(self):
        session = self.session()
        session.tx("begin", force_rollback=True)
        session.exec("insert into notes values (30, 'thirty', 30)")
        self.assertTrue(session.tx("commit")["rolled_back"])
        self.assertEqual(list(self.session().exec("select max(id) from notes").rows), [[3]])


if __name__ == "__main__":
    unittest.main()
