"""A client that goes while its request runs leaves nothing on the link, though what it has committed in it stays."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import extended, query, sync
from wire_servers import Conversation, Servers

SLEEP = "select pg_sleep(60)"


def setUpModule():
    Conversation.servers = Servers(pools={
        "one": "max_size = 1", "nested": "max_size = 1\nnested_transactions = true", "box": "force_rollback = true"})


def in_one_sync(*texts):
    return b"".join(map(extended, texts)) + sync()


def ways(*texts):
    """The same, committed and then asleep: as one text, and in one Sync."""
    texts = ("begin", *texts, "commit", SLEEP)
    return query("; ".join(texts)), in_one_sync(*texts)


class LeftBehind(Conversation):
    def gone_asleep(self, data):
        client = self.connect()
        client.send(data)
        self.wait_processes("wait_event = 'PgSleep'")
        client.vanish()
        return self.connect()

    def natively_gone(self, text, asleep=False):
        connection = based_client.connect(self.address)
        session = connection.session(database=self.pool)
        session.opened.wait()
        session.start(based_client.EXEC, text, None, {})
        if asleep:
            self.wait_processes("wait_event = 'PgSleep'")
        connection.__exit__()
        return self.connect()

    def check_setting(self, other, name, initial):
        self.assertEqual(other.value(f"show {name}"), initial)
        other.query("begin; select 1; rollback")
        self.assertEqual(other.value(f"show {name}"), initial)

    def test_settings(self):
        initial = self.connect().value("show work_mem")
        settings = ("set work_mem = '9MB'", "set session work_mem to '10MB'", "select set_config('work_mem', '11MB', false)")
        for text in settings:
            for data in ways(text):
                with self.subTest(data):
                    self.check_setting(self.gone_asleep(data), "work_mem", initial)
            with self.subTest(natively=text):
                self.check_setting(self.natively_gone(f"begin; {text}; commit; {SLEEP}", asleep=True), "work_mem", initial)

    def test_what_the_server_does_not_know_or_give(self):
        self.server("create role modest; grant all on schema public to modest")
        self.addCleanup(self.server, "drop owned by modest; drop role modest")
        for text in ("set no_such_setting = 1", "set role modest", "set log_statement = 'all'", "set no.such = 1"):
            for data in (query(SLEEP) + query(text), in_one_sync(SLEEP, text)):
                with self.subTest(data):
                    other = self.gone_asleep(data)
                    self.assertEqual(other.query("select current_user"), "T:current_user D:postgres C:SELECT 1 Z:I")
                    self.assertEqual(other.query("begin; select 1; rollback"),
                                     "C:BEGIN T:?column? D:1 C:SELECT 1 C:ROLLBACK Z:I")
                    other.close()

    def test_characteristics(self):
        for data in ways("set session characteristics as transaction isolation level serializable"):
            self.check_setting(self.gone_asleep(data), "default_transaction_isolation", "read committed")

    def test_read_only_characteristics(self):
        text = "set session characteristics as transaction read only"
        initial = "select setting from pg_settings where name = 'default_transaction_read_only'"
        for data in ways(text):
            self.assertEqual(self.gone_asleep(data).value(initial), "off")
        for end in ("reset default_transaction_read_only", "reset all", "discard all", "select 1"):
            client = self.connect()
            client.query(text)
            client.query(end)
            client.close()
            self.assertEqual(self.connect().value(initial), "off", end)

    def test_a_reset_of_what_another_has_set(self):
        for data in ways("set work_mem = '12MB'", "reset all"):
            one = self.connect()
            one.query("set work_mem = '13MB'")
            self.gone_asleep(data)
            self.assertEqual(one.value("show work_mem"), "13MB")

    def test_a_role(self):
        for data in ways("set role pg_monitor"):
            self.check_setting(self.gone_asleep(data), "role", "none")

    def test_prepared_statements(self):
        for number, data in enumerate(ways("prepare mine as select 'gone'")):
            with self.subTest(data):
                other = self.gone_asleep(data)
                self.assertEqual(other.query("execute mine"), "E:26000 Z:I")
                self.assertEqual(other.query(f"prepare mine as select {number}"), "C:PREPARE Z:I")
                self.assertEqual(other.value("execute mine"), str(number))
                other.close()

    def test_listens(self):
        apart = b"".join(extended(text) + sync() for text in ("listen news", SLEEP))
        for data in (*ways("listen news"), apart, query("listen news") + query(SLEEP)):
            with self.subTest(data):
                self.assertEqual(self.gone_asleep(data).rows("select pg_listening_channels()"), [])

    def test_a_native_session_that_goes_before_the_answer(self):
        self.connect().query("select 1")  # there is a link
        for text in ("set role pg_monitor", "set work_mem = '9MB'", "begin; set search_path to pg_catalog; commit"):
            other = self.natively_gone(text)
            self.assertEqual(other.rows("select current_user, current_setting('work_mem'), current_setting('search_path')"),
                             [["postgres", "4MB", '"$user", public']])
            other.close()

    def test_advisory_locks(self):
        for data in ways("select pg_advisory_lock(7)"):
            with self.subTest(data):
                other = self.gone_asleep(data)
                self.assertEqual(other.value("select count(*) from pg_locks where locktype = 'advisory'"), "0")

    def test_what_a_native_session_makes_that_goes_before_the_answer(self):
        locks = "select count(*) from pg_locks where locktype = 'advisory'"
        for text, look, expected in (("select pg_advisory_lock(7)", locks, "T:count D:0 C:SELECT 1 Z:I"),
                                     ("create temp table mine (n int)", "select * from mine", "E:42P01 Z:I")):
            for _ in range(5):
                with self.natively_gone(text) as other:
                    self.assertEqual(other.query(look), expected)

    def test_temporary_tables(self):
        for data in ways("create temp table mine (n int)"):
            with self.subTest(data):
                self.assertEqual(self.gone_asleep(data).query("select * from mine"), "E:42P01 Z:I")

    def test_a_temporary_table_that_was_committed_before_an_error_in_the_same_batch(self):
        client = self.connect()
        client.ask(in_one_sync("begin", "create temp table mine (n int)", "commit", "savepoint s"))
        self.assertEqual(client.query("select * from mine"), "T:n C:SELECT 0 Z:I")
        client.close()
        self.assertEqual(self.connect().query("select * from mine"), "E:42P01 Z:I")


class LeftBehindNested(LeftBehind):
    pool = "nested"


class LeftBehindInASandbox(LeftBehind):
    pool = "box"


if __name__ == "__main__":
    unittest.main()
