"""Sessions that do whatever they like and end however it happens leave nothing to the next one on the same link.

Random texts that change what a session has, in every form, natively too; the client then closes, vanishes at once or a
moment later, cancels, or stops in the middle of a message. The next session looks at all that can be looked at.
"""

import os
import pathlib
import random
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import PgClient, copy_data, copy_done, copy_fail, extended, parse, query, sync, terminate
from servers import Daemon, PostgresCluster, temporary_folder

SECONDS = float(os.environ.get("LEFTOVERS_SECONDS", "3"))  # of each
TRANSACTIONS = ("begin", "commit", "rollback", "savepoint s", "rollback to s", "release s")
POSTGRES_TEXTS = (*TRANSACTIONS, *TRANSACTIONS,
    "commit and chain", "begin isolation level repeatable read", "set transaction isolation level serializable",
    "set transaction read only", "set work_mem = '9MB'", "set session work_mem to '7MB'", "set local work_mem = '9MB'",
    "reset work_mem", "reset all", "discard all", "discard temp", "discard plans", "set role pg_monitor",
    "set session authorization other", "select set_config('work_mem', '8MB', false)",
    "select set_config('work_mem', '8MB', true)", "set time zone 'Asia/Tokyo'", "set search_path to pg_catalog",
    "set names 'latin1'", "set datestyle to german", "set standard_conforming_strings = off", "set row_security = off",
    "set session characteristics as transaction isolation level serializable, read only",
    "set default_transaction_read_only = on", "set extra_float_digits = 0", "set application_name = 'leaky'",
    "set statement_timeout = '3s'", "set lock_timeout = '2s'", "set synchronous_commit = off", "set my.var = 'x'",
    "set no_such_setting = 1", "prepare mine as select 1", "execute mine", "deallocate all", "listen c", "unlisten *",
    "notify c", "declare h cursor with hold for select 1", "declare c cursor for select 1", "fetch all from h", "close all",
    "create temp table mine (n int)", "create temp view vmine as select 1", "create temp sequence smine",
    "select pg_advisory_lock(3)", "insert into t values (1)", "select 1", "select 1/0", "selec",
    "select pg_sleep(0.003)")
POSTGRES_LOOKS = (
    "select name, setting from pg_settings where name not in ('transaction_isolation', 'transaction_read_only', "
    "'transaction_deferrable', 'in_hot_standby') and name !~ '^plpgsql' order by 1",
    "select name from pg_cursors where name !~ '^_based' and name <> ''", "select pg_listening_channels()",
    "select objid from pg_locks where locktype = 'advisory'", "select current_user, session_user",
    "select relname from pg_class where relpersistence = 't' and relname !~ '^pg_toast'", "show transaction_isolation",
    "show transaction_read_only", "select coalesce(nullif(current_setting('my.var', true), ''), 'none')")
PRAGMAS = ("foreign_keys", "recursive_triggers", "reverse_unordered_selects", "query_only", "ignore_check_constraints",
           "defer_foreign_keys", "cache_size", "synchronous", "temp_store", "automatic_index", "full_column_names",
           "writable_schema", "trusted_schema")
SQLITE_TEXTS = (*TRANSACTIONS, *TRANSACTIONS, *(f"pragma {name} = {value}" for name in PRAGMAS for value in (0, 1, 2)),
    "pragma case_sensitive_like = on", "pragma locking_mode = exclusive", "pragma journal_mode = off",
    "create temp table mine (n)", "create temp view vmine as select 1", "attach ':memory:' as mine", "begin immediate",
    "begin exclusive", "set work_mem = '9MB'", "set application_name = 'leaky'", "reset all", "discard all",
    "prepare mine as select 1", "execute mine", "deallocate all", "insert into t values (1)", "select 1", "selec")
SQLITE_LOOKS = (*(f"pragma {name}" for name in PRAGMAS), "select 'A' like 'a'", "select * from mine", "select * from vmine",
                "select name from sqlite_temp_schema", "select name from mine.sqlite_schema", "execute mine",
                "show work_mem", "show application_name")


class Session:
    """One that comes, does and goes as the dice say. `done` tells what it did."""

    def __init__(self, address, database, texts, dice):
        self.dice, self.texts, self.done = dice, texts, []
        if dice.random() < 0.3:
            self.natively(based_client.connect(address), database)
        else:
            start = dice.choice(({}, {"application_name": "hers"}, {"options": "-c application_name=his"}))
            self.by_the_wire(PgClient(address, database=database, **start))

    def some(self):
        texts = [self.dice.choice(self.texts) for _ in range(self.dice.randrange(1, 7))]
        if self.dice.random() < 0.4:
            texts = ["begin", *texts, self.dice.choice(("commit", "commit", "rollback"))]
        self.done.append(texts)
        return texts

    def unit(self):
        texts, form = self.some(), self.dice.randrange(4)
        if form == 0:
            return query("; ".join(texts))
        if form == 1:
            return b"".join(map(extended, texts)) + sync()
        if form == 2:
            return b"".join(extended(text) + sync() for text in texts)
        return b"".join(self.dice.choice((query(text), extended(text) + sync(), parse("one", text) + sync()))
                        for text in texts)

    def by_the_wire(self, client):
        end = self.dice.choice(("close", "terminate", "vanish", "late", "cancel", "half"))
        self.done.append(end)
        for _ in range(self.dice.randrange(1, 4)):
            data = self.unit()
            if end == "vanish" or self.dice.random() < 0.4:
                client.send(data)
            else:
                client.ask(data)
        if self.dice.random() < 0.1:
            client.send(query("begin; copy t from stdin"), copy_data("1\n"), self.dice.choice((b"", copy_done(), copy_fail())))
        if end == "late":
            time.sleep(self.dice.random() * 0.01)  # the moment itself is what is tried
        if end == "cancel":
            client.cancel()
        if end == "terminate":
            client.send(terminate())
        if end == "half":
            client.send(query("select 1")[:self.dice.randrange(1, 9)])
        client.close() if end in ("close", "terminate") else client.vanish()

    def natively(self, connection, database):
        session = connection.session(database=database)
        session.opened.wait()
        self.done.append("natively")
        for _ in range(self.dice.randrange(1, 4)):
            sent = session.start(based_client.EXEC, "; ".join(self.some()), None, {})
            if self.dice.random() < 0.5:
                try:
                    sent.wait()
                except based_client.Error:
                    pass
        connection.__exit__()


class Leftovers(unittest.TestCase):
    def check(self, configuration, texts, looks):
        with Daemon(config=configuration, log_level="warning") as daemon:
            address, seed = f"127.0.0.1:{daemon.port}", random.randrange(1 << 32)
            expected = self.looked(address, looks)
            end, number = time.monotonic() + SECONDS, 0
            while time.monotonic() < end:
                number += 1
                session = Session(address, "app", texts, random.Random(f"{seed} {number}"))
                for look, was, found in zip(looks, expected, self.looked(address, looks)):
                    self.assertEqual(found, was, f"{look}\nbehind {session.done}, seed {seed}, number {number}")
            self.assertGreater(number, 20)
            self.assertNotIn("LOST", daemon.log())

    @staticmethod
    def looked(address, looks):
        with PgClient(address, database="app") as client:
            return [client.query(look) for look in looks]

    def on_postgres(self, options):
        with PostgresCluster() as cluster:
            cluster.query("create role other superuser; create table t (n int)")
            self.check(f'[databases.app]\nurl = "{cluster.url()}"\ntimeout = "10s"\n{options}\n',
                       POSTGRES_TEXTS, POSTGRES_LOOKS)

    def on_sqlite(self, options):
        path = temporary_folder() / "app.db"
        file = sqlite3.connect(path, isolation_level=None)
        file.execute("create table t (n)")
        file.close()
        self.check(f'[databases.app]\nurl = "sqlite://{path}"\ntimeout = "10s"\n{options}\n', SQLITE_TEXTS, SQLITE_LOOKS)

    def test_of_a_pool(self):
        self.on_postgres("max_size = 1")

    def test_where_transactions_nest(self):
        self.on_postgres("max_size = 1\nnested_transactions = true")

    def test_in_session_mode(self):
        self.on_postgres('max_size = 1\npool_mode = "session"')

    def test_in_a_sandbox(self):
        self.on_postgres("force_rollback = true")

    def test_on_sqlite(self):
        self.on_sqlite("")

    def test_in_a_sandbox_on_sqlite(self):
        self.on_sqlite("force_rollback = true")


if __name__ == "__main__":
    unittest.main()
