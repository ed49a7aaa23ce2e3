"""SIGKILL at random moments under a random load, and everything compared with what was there before.

A round is a new daemon, five clients of both protocols in two sandboxes, each a thread with its own dice, a kill at a
moment that is random too, and the comparison. tests/e2e/test_sandbox_kills.py runs some rounds, tests/bench/sandbox_kill
as many as it is told.
"""

import collections
import contextlib
import hashlib
import random
import shutil
import signal
import sqlite3
import threading
import time

import based_client
import pg_client
from careless_texts import POSTGRES_BASE, POSTGRES_TEXTS, SQLITE_BASE, SQLITE_TEXTS
from pg_client import PgClient, copy_data, copy_done, copy_fail, extended, query, sync
from servers import Daemon, PostgresCluster, temporary_folder, wait_until

ANSWER_S = 15  # an answer that takes longer is a failure
LOAD_S = 0.25  # the longest time between the first answers and the kill
COMMANDS = ("sandbox mark m", "sandbox mark n", "sandbox reset", "sandbox reset to m", "sandbox reset to n",
            "sandbox status", "sandbox log", "sandbox drop")


def shown(code, message):
    """An internal error with its words: nobody's text should have one."""
    return f"{code} ({message})" if code.startswith("XX") else code


class Load(threading.Thread):
    """A client that does what its dice say until its connection ends. `failure` is what should not have happened."""

    def __init__(self, round_, database, texts, dice):
        super().__init__(daemon=True)
        self.round, self.database, self.texts, self.dice = round_, database, texts, dice
        self.answers = collections.Counter()  # by SQLSTATE; "" is success
        self.failure = None

    def run(self):
        try:
            self.work()
        except (OSError, EOFError) as error:
            if not self.round.killed:
                self.failure = error
        except Exception as error:  # a test's thread: told by whoever joins it
            self.failure = error

    def some_text(self):
        number = self.dice.randrange(1 << 30)
        return self.dice.choice((
            self.dice.choice(self.texts), self.dice.choice(self.texts),
            f"insert into notes values ({number}, '{'x' * self.dice.randrange(3000)}', {number})",
            "update notes set text = text || 'y'", f"delete from notes where id % 7 = {number % 7}",
            self.dice.choice(COMMANDS)))


class WireLoad(Load):
    def work(self):
        with PgClient(self.round.address, database=self.database) as client:
            for text in self.round.base.session_texts:
                client.query(text, ANSWER_S)
            while True:
                kind = self.dice.randrange(8)
                if kind == 0:
                    self.transaction(client)
                elif kind == 1:
                    self.ask(client, self.pipeline())
                elif kind == 2 and self.round.base.copies:
                    self.ask(client, self.copy_in())
                else:
                    self.ask(client, query(self.some_text()))

    def transaction(self, client):
        self.ask(client, query("begin"))
        for _ in range(self.dice.randrange(6)):
            self.ask(client, query(self.some_text()))
        self.ask(client, query(self.dice.choice(("commit", "rollback", "end", "select 1"))))

    def pipeline(self):
        number = self.dice.randrange(1 << 30)
        parts = [extended("insert into notes values ($1, $2, $3)", [str(number + i), "pipelined", str(number + i)])
                 for i in range(self.dice.randrange(1, 5))]
        if self.dice.random() < 0.3:
            parts.append(extended(self.some_text()))
        return b"".join(parts) + sync()

    def copy_in(self):
        number = self.dice.randrange(1 << 30)
        rows = [copy_data(f"{number + i}\tcopied\t{number + i}\n") for i in range(self.dice.randrange(50))]
        end = copy_fail() if self.dice.random() < 0.2 else copy_done()
        return query("copy notes from stdin") + b"".join(rows) + end

    def ask(self, client, data):
        client.send(data)
        wrong = ""
        for kind, body in client.messages(pg_client.ready_count(data), ANSWER_S):
            if kind == "E":
                wrong = shown(pg_client.fields(body)["C"], pg_client.fields(body)["M"])
            elif kind == "closed":
                raise EOFError(f"closed, {wrong or 'without an error'}")
        self.answers[wrong] += 1
        self.round.done += 1


class NativeLoad(Load):
    def work(self):
        with based_client.connect(self.round.address, timeout=ANSWER_S) as client:
            session = client.session(database=self.database)
            for text in self.round.base.session_texts:
                with contextlib.suppress(based_client.Error):  # no turn came up
                    session.exec(text)
            while True:
                self.step(session)

    def step(self, session):
        number = self.dice.randrange(1 << 30)
        insert = (based_client.EXEC, "insert into notes values ($1, $2, $3)", [number, "native" * 300, number], {})
        kind = self.dice.randrange(6)
        if kind == 0:
            started = [session.start(based_client.TX, "begin", {})]
        elif kind == 1:
            started = [session.start(based_client.TX, self.dice.choice(("commit", "rollback", "rollback_all")), {})]
        elif kind == 2:  # a whole transaction in one go
            started = [session.start(based_client.TX, "begin", {}), session.start(*insert, chain=True),
                       session.start(based_client.TX, "commit", {}, chain=True)]
        elif kind == 3:
            started = [session.start(*insert)]
        else:
            started = [session.start(based_client.EXEC, self.some_text(), None, {})]
        for one in started:
            try:
                one.wait()
                self.answers[""] += 1
            except based_client.Error as error:
                self.answers[shown(error.code, error)] += 1
            self.round.done += 1
        if session.state[0] == "aborted":
            session.tx("rollback_all")


class Round:
    """One daemon's life, from its start to its kill."""

    def __init__(self, base, dice):
        self.base, self.killed, self.done = base, False, 0
        with Daemon(config=base.config, log_level="warning", env=base.environment) as daemon:
            self.address = f"127.0.0.1:{daemon.port}"
            self.loads = [kind(self, database, base.texts, random.Random(dice.random()))
                          for kind, database in base.clients]
            for load in self.loads:
                load.start()
            wait_until(lambda: self.done >= 5 or not any(load.is_alive() for load in self.loads), "the load")
            time.sleep(dice.random() * LOAD_S)  # the moment itself is what is tried
            self.killed = True
            code = daemon.kill()
            self.log = daemon.log()
        if code != -signal.SIGKILL:
            raise AssertionError(f"the daemon had ended before, with {code}\n{self.log}")
        for load in self.loads:
            load.join(2 * ANSWER_S)
        self.check_loads()

    def check_loads(self):
        for load in self.loads:
            if load.failure or load.is_alive():
                raise AssertionError(f"a client of {load.database}: {load.failure!r}\n{self.log}")
        if "LOST" in self.log:
            raise AssertionError(self.log)

    def answers(self):
        return sum((load.answers for load in self.loads), collections.Counter())


class SqliteFiles:
    """Two files, one in either journal mode, and a folder for the daemon's temporary ones."""

    clients = ((WireLoad, "rolled"), (NativeLoad, "rolled"), (WireLoad, "rolled#two"), (NativeLoad, "logged"),
               (WireLoad, "logged#two"))
    copies = False
    session_texts = ()
    texts = [text for text in SQLITE_TEXTS if "exclusive" not in text]

    def __init__(self):
        self.folder, self.temporary = temporary_folder(), temporary_folder()
        self.environment = {"TMPDIR": str(self.temporary)}
        self.make("rolled", "delete")
        self.make("logged", "wal")
        self.config = "".join(
            f'[databases.{name}]\nurl = "sqlite:///{self.folder}/{name}.db"\nforce_rollback = true\n'
            'overlay_memory = "64KiB"\ntimeout = "200ms"\n' for name in ("rolled", "logged"))
        self.before = self.files()

    def make(self, name, journal):
        """What a program left that was cut off: in WAL mode with its log not yet in the file."""
        writer = sqlite3.connect(self.temporary / "made.db", isolation_level=None)
        writer.execute(f"pragma journal_mode = {journal}")
        writer.executescript(SQLITE_BASE)
        for suffix in ("", "-wal"):
            if (self.temporary / f"made.db{suffix}").exists():
                shutil.copy(self.temporary / f"made.db{suffix}", self.folder / f"{name}.db{suffix}")
        writer.close()
        for left in self.temporary.iterdir():
            left.unlink()

    def files(self):
        return {str(file): hashlib.sha256(file.read_bytes()).hexdigest()
                for folder in (self.folder, self.temporary) for file in folder.iterdir()}

    def compare(self):
        now = self.files()
        if now != self.before:
            raise AssertionError(f"{now} is not {self.before}")

    def finish(self):
        """A reader of the files finds the rows and the version that were there."""
        for name in ("rolled", "logged"):
            base = sqlite3.connect(self.folder / f"{name}.db")
            found = [base.execute(text).fetchall() for text in
                     ("select id, text, n from notes", "pragma user_version", "pragma integrity_check")]
            base.close()
            expected = [[(1, "one", 1), (2, "two", 2), (3, "three", 3)], [(4,)], [("ok",)]]
            if found != expected:
                raise AssertionError(f"{name}: {found}")

    def close(self):
        shutil.rmtree(self.folder)
        shutil.rmtree(self.temporary)


# Of every table of the catalogue its rows, as one sum; but what the server itself counts and writes there at any time.
# Sequences are compared apart: what they have given stays given.
SUMS = """
    select c.oid::regclass::text, (xpath('/row/sum/text()', query_to_xml(format(
      'select md5(coalesce(string_agg(t, %L order by t), %L)) as sum from (select (to_jsonb(r) - %L::text[])::text as t'
      || ' from %s as r) as rows', ',', '', '{relpages,reltuples,relallvisible,relfrozenxid,relminmxid,datfrozenxid,datminmxid}',
      c.oid::regclass), false, true, '')))[1]::text
    from pg_class as c where
      relkind in ('r', 'v', 'm') and relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema', 'pg_toast')
      or relnamespace = 'pg_catalog'::regnamespace and relkind = 'r' and relname !~ '^pg_statistic'
      or relname in ('pg_file_settings', 'pg_prepared_xacts') and relnamespace = 'pg_catalog'::regnamespace
    order by 1"""
REST = """select (select count(*) from pg_prepared_xacts), (select count(*) from pg_locks where locktype = 'advisory'),
                 (select count(*) from pg_database), (select count(*) from pg_roles)"""
SEQUENCES = "select last_value from numbered_id_seq"


class PostgresDatabase:
    """A database of a cluster of its own."""

    clients = ((WireLoad, "app"), (NativeLoad, "app"), (WireLoad, "app"), (NativeLoad, "app#two"), (WireLoad, "app#two"))
    copies = True
    environment = None
    session_texts = ("set lock_timeout = '30ms'",)  # two sandboxes may want the same row
    texts = [text for text in POSTGRES_TEXTS if text != "copy notes from stdin"] + [
        "insert into numbered (note) values ('a'), ('b') returning id", "select nextval('numbered_id_seq')",
        "select pg_advisory_xact_lock(2)", "select pg_try_advisory_lock(3)", "select pg_sleep(0.02)",
        "begin; update notes set n = n + 1000; commit; insert into pairs values (77, 'dangling')", "analyze",
        "select lo_create(0)", "drop table if exists numbered cascade", "select 1/0"]

    def __init__(self):
        self.cluster = PostgresCluster(autovacuum="off", max_prepared_transactions=4)
        self.cluster.query("create database app")
        self.cluster.query(POSTGRES_BASE + "create table numbered (id serial primary key, note text);"
                           "select nextval('numbered_id_seq')", "app")
        self.config = (f'[databases.app]\nurl = "{self.cluster.url("app")}"\nforce_rollback = true\n'
                       'timeout = "200ms"\n')
        self.observer = PgClient(f"127.0.0.1:{self.cluster.port}", database="app")
        self.given = 0
        self.before = self.found()

    def found(self):
        """(sums of all tables, what lives outside of them)."""
        given = int(self.observer.value(SEQUENCES))
        if given < self.given:
            raise AssertionError("a sequence went back")
        self.given = given
        return dict(self.observer.rows(SUMS)), self.observer.rows(REST)

    def compare(self):
        others = "select count(*) from pg_stat_activity where datname = 'app' and pid <> pg_backend_pid()"
        wait_until(lambda: self.observer.value(others) == "0", "the server to end the sandboxes")
        sums, rest = self.found()
        changed = {name for name in {*sums, *self.before[0]} if sums.get(name) != self.before[0].get(name)}
        if changed or rest != self.before[1]:
            raise AssertionError(f"{changed} changed, {rest} was {self.before[1]}")

    def finish(self):
        """Another program's row is the fourth."""
        self.observer.rows("insert into notes values (4, 'four', 4)")
        if self.observer.rows("select id, n from notes order by id") != [[str(n), str(n)] for n in range(1, 5)]:
            raise AssertionError("the rows are others")

    def close(self):
        self.observer.close()
        self.cluster.close()


BASES = {"postgres": PostgresDatabase, "sqlite": SqliteFiles}


def kill(backend, rounds, seed, tell=lambda number, answers: None):
    """So many rounds. Fails with the seed and the round's number as soon as anything is not as it was."""
    answers = collections.Counter()
    with contextlib.closing(BASES[backend]()) as base:
        for number in range(rounds):
            try:
                answers += Round(base, random.Random(f"{seed} {number}")).answers()
                base.compare()
            except AssertionError as error:
                raise AssertionError(f"{backend}, seed {seed}, round {number}: {error}") from error
            tell(number + 1, answers)
        base.finish()
    return answers
