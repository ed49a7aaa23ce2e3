"""Random programs of native clients, run in a sandbox and beside it on a database of the same content.

Every answer has to be the same: columns, rows, tags, counts, errors with all that they tell, the state of the transaction,
notices; who LISTENs hears the same; and behind the program both have the same content. Clients take their transactions one
after the other. A program is made from its seed alone, and one that fails is shown without what it fails without, too.
WIRE_MODEL_SEED=n begins with another seed, WIRE_MODEL_SECONDS=n goes on for longer, and NATIVE_PROGRAM=file runs what a
failure has shown.
"""

import ast
import contextlib
import hashlib
import os
import pathlib
import random
import re
import sqlite3
import sys
import time
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "support"), str(pathlib.Path(__file__).resolve().parent)]
import based_client
import sqlite_vocabulary
import test_sandbox_model
from based_client import BATCH, EXEC, TX
from native_programs import ALONE, CLIENTS, Programs, Vocabulary, shrunk
from pg_client import PgClient
from servers import Daemon, PostgresCluster, temporary_folder, wait_until

SECONDS = float(os.environ.get("WIRE_MODEL_SECONDS", "5"))
FIRST_SEED = int(os.environ.get("WIRE_MODEL_SEED", "1"))
KINDS = {"exec": EXEC, "batch": BATCH, "tx": TX}
BUILT_IN_OIDS = 16384  # from there on each database numbers its own
# What the two may tell otherwise, in the words of both; there a program ends.
BY_DESIGN = (
    r"'code': '(55P03|40P01)'.*'code': '(55P03|40P01)'",  # who holds it, and which wait of a client's is told from a cycle
    "'57014'.*it was waiting for.*'57014'.*it was waiting for",  # and for how long
    "portal parameter.*42P01|42P01.*portal parameter",  # a link that has it prepared looks at its values first
)


class ByDesign(Exception):
    """The two went apart where they may."""


class Side:
    """One of the two places where a program is run."""

    def __init__(self, address, database):
        self.address, self.database = address, database
        self.shared, self.alone = self.connect(), self.connect()
        self.sessions, self.token = [None] * CLIENTS, "0" * 32

    def connect(self):
        return based_client.connect(self.address, timeout=20, features=["join"])

    def close(self):
        for connection in (self.shared, self.alone):
            connection.__exit__()

    def of(self, client):
        return self.alone if client == ALONE else self.shared

    def open(self, client, options):
        with contextlib.suppress(based_client.Error):
            self.sessions[client] and self.sessions[client].close()
        if options.get("join"):
            options = {**options, "join": self.token}
        self.sessions[client] = self.of(client).session(database=self.database, **options)
        told = self.told([self.sessions[client].opened])
        self.token = (self.sessions[client].opened.end.get("session") or {}).get("token", self.token)
        return told

    def close_session(self, client, options):
        session, self.sessions[client] = self.sessions[client], None
        return self.told([session.start(based_client.CLOSE, options)])

    def cut(self):
        self.alone.__exit__()
        self.alone, self.sessions[ALONE] = self.connect(), None

    def say(self, client, requests):
        session, sent = self.sessions[client], []
        for kind, arguments, chained in requests:
            if kind == "cancelled":
                self.cancel(sent, session, arguments)
                continue
            sent.append(session.start(KINDS[kind], *arguments, chain=chained))
        return self.told(sent, [arguments[-1].get("discard") for _, arguments, _ in requests])

    @staticmethod
    def cancel(sent, session, arguments):
        for earlier in sent:
            with contextlib.suppress(based_client.Error):
                earlier.wait()
        sent.append(session.start(EXEC, *arguments))
        time.sleep(0.03)  # it runs by then
        sent[-1].cancel().wait()

    def told(self, results, discarding=()):
        answers = []
        for number, result in enumerate(results):
            if any(discarding[number:number + 1]):
                while result.end is None and len(result.rows) < result.credit:
                    result.connection.read()
                if result.end is None:
                    result.fetch(0)
                    result.credit = None
            with contextlib.suppress(based_client.Error):
                result.wait()
            answers.append((self.columns(result), list(result.rows), self.fields(result.end), self.notices(result)))
        return answers

    @staticmethod
    def columns(result):
        return {step: [(name, kind, *[oid for oid in more if oid < BUILT_IN_OIDS]) for name, kind, *more in columns]
                for step, columns in result.columns.items()}

    def fields(self, end):
        if end.get("session"):
            return {**end, "session": end["session"]["read_only"]}
        if end.get("levels"):
            return {**end, "levels": [{**level, "age_ms": 0} for level in end["levels"]]}
        return end

    @staticmethod
    def notices(result):
        number = result.session.number
        of_it, rest = [], []
        while result.connection.notices:
            session, request, *told = result.connection.notices.popleft()
            (of_it if session == number and request in (0, result.request) else rest).append((session, request, *told))
        result.connection.notices.extend(rest)
        return [told for _, _, *told in of_it]

    def rows(self, text):
        with self.connect() as connection, connection.session(database=self.database) as session:
            return list(session.exec(text).rows)


class Model:
    """What both backends' models have in common: `plain` and `box` are databases of the daemon."""

    maxDiff = None

    def test_random_programs_go_in_a_sandbox_as_beside_it(self):
        if path := os.environ.get("NATIVE_PROGRAM"):
            self.assertFalse(self.difference(ast.literal_eval(pathlib.Path(path).read_text())))
            return
        end, seed = time.monotonic() + SECONDS, FIRST_SEED
        while time.monotonic() < end:
            with self.subTest(seed=seed):
                program = Programs(random.Random(seed), self.vocabulary(seed)).program()
                if difference := self.difference(program):
                    program = shrunk(program, self.difference)
                    self.fail(f"seed {seed}: {self.difference(program) or difference}\n[" + ",\n ".join(map(repr, program)) + "]")
            seed += 1
        print(f"seeds {FIRST_SEED} to {seed - 1}")

    def difference(self, program):
        """None, or what was not the same first."""
        self.begin_anew()
        try:
            return self.first_unlike(program)
        except ByDesign:
            return None
        except (ConnectionError, TimeoutError) as error:
            return repr(error)
        finally:
            for listener in self.listeners:
                listener.close()

    def first_unlike(self, program):
        self.begun, self.held = [1] * CLIENTS, []
        self.grouped = any(action[0] == "open" and action[2].get("join") for action in program)
        with contextlib.ExitStack() as stack:
            sides = [stack.enter_context(contextlib.closing(Side(self.address, database))) for database in ("plain", "box")]
            for step, action in enumerate(program):
                answers = self.act(sides, action)
                if answers and (found := self.unlike(*answers)):
                    return f"step {step}, {action}:{found}"
        self.until_rolled_back()
        return self.unlike(*(self.content(side) for side in sides))

    def unlike(self, wanted, found):
        different = [(w, f) for w, f in zip(wanted, found) if repr(w) != repr(f)][:2]
        if different and any(re.search(told, str(different[0])) for told in BY_DESIGN):
            raise ByDesign
        return "".join(f"\n  wanted {w}\n  found  {f}" for w, f in different)

    def act(self, sides, action):
        """Both sides' answers; None for what cannot be said now."""
        kind, client, *more = action
        plain = sides[0]
        if self.held and client != self.held[-1] and (client in self.held or not self.may_join(plain)):
            if kind != "say":
                return None
            client = self.held[-1]  # of those who share their transactions the innermost goes on
        if kind == "cut":
            if plain.sessions[client]:
                self.let_go(client)
                for side in sides:
                    side.cut()
            return None
        if kind == "open":
            self.let_go(client)
            return [side.open(client, *more) for side in sides]
        if not plain.sessions[client]:
            return None
        if kind == "close":
            self.let_go(client)
            return [side.close_session(client, *more) for side in sides]
        requests = [self.filled(client, plain.sessions[client], request) for request in more[0]]
        if plain.sessions[client].state[0] in ("failed", "aborted") and len(repr(requests)) % 4:
            requests = [("tx", ["rollback", {}], False)]  # most of what was said would tell nothing
        answers = [side.say(client, requests) for side in sides]
        self.look(client, plain.sessions[client], requests, answers[0])
        return answers

    def may_join(self, side):
        return self.grouped and side.sessions[self.held[-1]].state[0] == "open"

    def let_go(self, client):
        if client in self.held:
            self.held.remove(client)

    def filled(self, client, session, request):
        kind, arguments, chained = request
        if kind == "tx":
            places = {"top": session.state[1], "begun": self.begun[client]}
            return kind, [arguments[0], {key: places.get(value, value) if isinstance(value, str) else value
                                         for key, value in arguments[1].items()}], chained
        own = f"mine_{client}"
        if kind in ("exec", "cancelled"):
            return kind, [arguments[0].replace("MINE", own), *arguments[1:]], chained
        return kind, [[[item[0].replace("MINE", own), *item[1:]] for item in arguments[0]], arguments[1]], chained

    def look(self, client, session, requests, answers):
        """Who is in a transaction in which anything was said holds what the others need."""
        self.begun[client] = next((answer[2]["level"] for answer in reversed(answers) if "level" in answer[2]), self.begun[client])
        if session.state[0] == "idle":
            self.let_go(client)
        elif client not in self.held and any(kind != "tx" for kind, _, _ in requests):
            self.held.append(client)


# What is a client's own, or natively another thing than by PostgreSQL's protocol.
NATIVE = ("create temp table MINE (n int)", "insert into MINE values (1) returning n", "select count(*) from MINE", "drop table MINE",
          "declare MINE cursor with hold for select generate_series(1, 5)", "fetch 2 from MINE", "close MINE", "close all",
          "select set_config('work_mem', '7MB', true)", "select set_config('my.own', 'y', false)", "copy t to stdout", "listen news",
          "prepare q as select 1", "execute q", "deallocate q", "notify news, 'y'", "select pg_notify('news', 'z')", "notify other",
          "select pg_notify('news', ''), 1", "create index concurrently on t (s)", "reindex table t", "prepare transaction 'x'",
          "insert into t values (50, 'a'), (51, 'b') returning n", "select current_setting('transaction_isolation')",
          "show transaction_read_only", "select n, s::bytea, n::float8, n::numeric, n = 1, array[n], now() is null from t order by n",
          "select '{\"a\": 1}'::jsonb ? 'a', '2020-01-01'::date, 'x'::\"char\", null::uuid", "select 1 as a, 2 as a",
          "select pg_try_advisory_xact_lock(7)", "set session authorization default", "set time zone 'Asia/Tokyo'",
          "do $$ begin raise notice 'n'; raise exception 'e' using detail = 'd', hint = 'h', table = 't', errcode = '22012'; end $$",
          "select * from t order by n for update", "with x as (delete from t where n = 2 returning n) select * from x", "set default_transaction_read_only = on",
          "set default_transaction_isolation = 'serializable'", "reset default_transaction_read_only", "/* c */ select /* d */ 1 -- e",
          "set local session characteristics as transaction read only, deferrable", "show default_transaction_read_only",
          "show default_transaction_deferrable", "show transaction_deferrable", "select set_config('transaction_read_only', 'on', true)",
          "select set_config('transaction_isolation', 'serializable', true)", "select 1, set_config('transaction_read_only', 'on', false)",
          "begin " + "read write, " * 30 + "deferrable", "declare MINE cursor for selec", "lock nix", "select current_setting('transaction_isolation', true) as x",
          "create table partly (n int) partition by list (n)", "drop table partly",
          "set transaction isolation level repeatable read", "set transaction isolation level serializable, read only", "insert into child values (1), (998)",
          "select n.nspname from pg_namespace n where nspname = 'apart'", "merge into t using (values (3, 'm')) v(n, s) on t.n = v.n "
          "when matched then update set s = v.s when not matched then insert values (v.n, v.s)", "select count(*) from t")
PARAMETRISED = (("select $1::int + 1", 1), ("select $1, $2", 2), ("select $1::text", 1), ("select n, $2::text from t where n >= $1 order by n", 2),
                ("insert into t values ($1, $2) on conflict do nothing returning n", 2), ("select $1::bytea, $2::bool", 2), ("select * from t where n = $1", 1),
                ("select $1::float8, pg_typeof($1)::text", 1), ("select $1::jsonb", 1), ("select $1::int[]", 1), ("select set_config('my.own', $1, true)", 1),
                ("select pg_notify($1, $2)", 2), ("select * from t order by n limit $1", 1), ("select '[1]'::jsonb ? $1", 1))
MANY = (("insert into t values ($1, $2)", 2), ("insert into t values ($1, $2) on conflict do nothing", 2), ("delete from t where n = $1 returning n", 1),
        ("update t set s = s || $2 where n = $1", 2), ("select $1::int, count(*) from t", 1), ("insert into child values ($1)", 1),
        ("insert into t values ($1, 'm') on conflict (n) do update set s = 'again' returning n, s", 1), ("create table made (n int)", 0), ("select noisy($1)", 1),
        ("set local statement_timeout = 900000", 0), ("discard all", 0), ("show work_mem", 0), ("set work_mem = '9MB'", 0), ("drop table MINE", 0),
        ("set transaction read only", 0), ("notify news, 'described'", 0), ("lock table t", 0), ("begin", 0), ("commit", 0))
ORDERED = ("select * from t order by n", "select generate_series(1, 9)", "values (1), (2), (3)", "select n, repeat('x', 9000) from t order by n",
           "select 10 / (4 - n) from generate_series(1, 5) n", "insert into t select i, 'more' from generate_series(20, 24) i returning n", "select 1 where false",
           "select noisy(n) from t order by n", "select i, repeat('y', 200) from generate_series(1, 900) i")
ENDLESS = ("select pg_sleep(10)", "insert into t select i, pg_sleep(2)::text from generate_series(60, 70) i", "select n, pg_sleep(9) from t order by n",
           "update t set s = pg_sleep(5)")
OTHER = ("create schema other; create table other.t (other_n int); grant usage on schema other to helper; "
         "grant all on other.t to helper")
CONTROL = ("begin", "begin", "begin isolation level repeatable read", "start transaction read only", "commit", "commit", "commit", "end", "rollback",
           "rollback", "abort", "savepoint s1", "savepoint s2", "rollback to s1", "rollback to savepoint s2", "release s1", "release savepoint s2",
           "commit and chain", "rollback and chain", "begin transaction isolation level serializable, read only, deferrable", "begin read write")
TOLD = ("select * from t order by n", "select relname, relkind, relpersistence from pg_class where relnamespace in ('public'::regnamespace, 'other'::regnamespace) order by 1",
        "select conrelid::regclass::text, conname, convalidated from pg_constraint where connamespace = 'public'::regnamespace order by 1, 2",
        "select proname from pg_proc where pronamespace = 'public'::regnamespace order by 1", "select nspname from pg_namespace where nspname !~ '^pg_' order by 1",
        "select typname from pg_type where typnamespace = 'public'::regnamespace order by 1", "select sequencename, last_value from pg_sequences order by 1",
        "select attrelid::regclass::text, attname, attnotnull from pg_attribute where attnum > 0 and not attisdropped and attrelid in "
        "(select oid from pg_class where relnamespace = 'public'::regnamespace) order by 1, 2", "select obj_description('t'::regclass, 'pg_class')",
        "select count(*) from pg_locks where locktype = 'advisory'", "select count(*) from pg_class where relpersistence = 't'")


class PostgresVocabulary(Vocabulary):
    def __init__(self, seed):
        super().__init__(CONTROL, PARAMETRISED, MANY, ENDLESS, ORDERED)
        self.speaker = test_sandbox_model.Speaker(random.Random(-seed))

    def text(self, rnd):
        return rnd.choice(NATIVE) if rnd.random() < 0.3 else self.speaker.sql()


class OnPostgres(Model, unittest.TestCase):
    vocabulary = PostgresVocabulary

    @classmethod
    def setUpClass(cls):
        cls.cluster = PostgresCluster()
        cls.addClassCleanup(cls.cluster.close)
        schema = test_sandbox_model.test_wire_model.SCHEMA
        for database in ("plain", "box"):
            cls.cluster.query(f"create database {database}")
            cls.cluster.query(schema if database == "plain" else schema.replace("create role helper; ", ""), database)
        tables = [f'[databases.{name}]\nurl = "{cls.cluster.url(name)}"\ntimeout = "2s"\nidle_while_waited = "1h"\n{more}\n'
                  for name, more in (("plain", "max_size = 6\nmax_pinned = 4"), ("box", "force_rollback = true"))]
        cls.daemon = Daemon(config="".join(tables))
        cls.addClassCleanup(cls.daemon.close)
        cls.address = f"127.0.0.1:{cls.daemon.port}"
        cls.watch = PgClient(f"127.0.0.1:{cls.cluster.port}", database="plain")
        cls.addClassCleanup(cls.watch.close)

    def begin_anew(self):
        self.watch.rows(test_sandbox_model.CLEAN + "; drop table if exists partly; truncate t; comment on table t is null; reindex table t; "
                        "insert into t select i, 'row ' || i from generate_series(1, 5) i; drop schema other cascade")
        self.watch.rows(OTHER)
        self.drop_indexes()
        client = PgClient(self.address, database="box")
        self.assertEqual(client.query("sandbox reset"), "C:SANDBOX RESET Z:I")
        client.close()
        self.listeners = [PgClient(self.address, database=database) for database in ("plain", "box")]
        for listener in self.listeners:
            listener.rows("listen news")

    def drop_indexes(self):
        for name, in self.watch.rows("select indexname from pg_indexes where tablename = 't' and indexname <> 't_pkey'"):
            self.watch.rows(f"drop index {name}")

    def until_rolled_back(self):
        wait_until(lambda: self.watch.rows("select count(*) from pg_stat_activity where datname = 'plain' and state <> 'idle' "
                                           "and pid <> pg_backend_pid()") == [["0"]], "no transaction to be open")
        wait_until(lambda: self.watch.rows("select count(*) from pg_class where relpersistence = 't'") == [["0"]],
                   "what sessions kept for themselves to be gone")

    def content(self, side):
        heard = self.heard(side)
        return [(text, side.rows(text)) for text in TOLD] + [heard]

    def heard(self, side):
        """What came to who listens there."""
        side.rows("notify news, 'the last one'")
        listener, heard = self.listeners[side.database == "box"], []
        while "the last one" not in heard:
            letter, body = listener.message()
            if letter == "A":
                heard.append(body[4:].split(b"\0")[1].decode())
        return heard


class OnSqlite(Model, unittest.TestCase):
    listeners = ()

    @staticmethod
    def vocabulary(_):
        return sqlite_vocabulary.Vocabulary()

    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        cls.template = sqlite3.connect(cls.folder / "template.db", isolation_level=None)
        cls.addClassCleanup(cls.template.close)
        cls.template.execute("pragma journal_mode = wal")
        cls.template.executescript(sqlite_vocabulary.SCHEMA)
        for name in ("plain", "box"):
            with contextlib.closing(sqlite3.connect(cls.folder / f"{name}.db")) as copy:
                cls.template.backup(copy)
        cls.before = cls.digest()
        cls.daemon = Daemon(config="".join(f'[databases.{name}]\nurl = "sqlite:///{cls.folder}/{name}.db"\ntimeout = "2s"\nidle_while_waited = "1h"\n{more}\n'
                                           for name, more in (("plain", ""), ("box", "force_rollback = true"))))
        cls.addClassCleanup(cls.daemon.close)
        cls.address = f"127.0.0.1:{cls.daemon.port}"

    @classmethod
    def digest(cls):
        return hashlib.sha256((cls.folder / "box.db").read_bytes()).hexdigest()

    @classmethod
    def tearDownClass(cls):
        if cls.digest() != cls.before:
            raise AssertionError("the sandbox has written to its file")

    def begin_anew(self):
        with contextlib.closing(sqlite3.connect(self.folder / "plain.db")) as plain:
            self.template.backup(plain)
        with contextlib.closing(Side(self.address, "plain")) as side:
            side.rows("select count(*) from sqlite_schema")  # who compiles may not see that another process has changed it
        client = PgClient(self.address, database="box")
        self.assertEqual(client.query("sandbox reset"), "C:SANDBOX RESET Z:I")
        client.close()

    def until_rolled_back(self):
        """Who asks for the content waits for it."""

    def content(self, side):
        tables = [f'select * from "{name}"' for name, in side.rows(sqlite_vocabulary.TABLES)]
        return [(text, self.asked(side, text)) for text in (*tables, *sqlite_vocabulary.TOLD)]

    @staticmethod
    def asked(side, text):
        try:
            return side.rows(text)
        except based_client.Error as error:  # a view of a table that is not there
            return str(error)


if __name__ == "__main__":
    unittest.main()
