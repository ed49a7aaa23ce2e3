"""PostgreSQL's protocol on a SQLite file, message by message: what outlives a Sync, who goes, who does not read."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import (PgClient, bind, cells, close, columns, copy_done, describe, execute, extended, flush,
                       function_call, message, parse, query, sync, terminate)
from servers import Daemon, wait_until

SERIES = "with recursive n(i) as (select 1 union all select i + 1 from n where i < {}) "
ENDLESS = SERIES.format(10**10) + "select count(*) from n"
ENDLESS_WRITE = "insert into t " + SERIES.format(10**10) + "select i from n"
MOST_KIB = 16 * 1024
daemon = None


def setUpModule():
    global daemon
    daemon = Daemon(config='[databases.app]\nurl = "sqlite:///app.db"\nslow_reader = "1s"\ntimeout = "10s"\n'
                           '[databases.patient]\nurl = "sqlite:///patient.db"\nslow_reader = "60s"\n')
    unittest.addModuleCleanup(daemon.close)


class Case(unittest.TestCase):
    database = "app"

    def setUp(self):
        self.client, self.other = self.connect(), self.connect()
        self.assertNotIn("E:", self.client.query("drop table if exists t; create table t (n int)"))

    def connect(self, **options):
        client = PgClient(f"127.0.0.1:{daemon.port}", database=self.database, **options)
        self.addCleanup(client.close)
        return client

    def running(self):
        """Waits until the lane is at a client's statement: another one's would wait."""
        def lane_is_taken():
            probe = self.connect()
            probe.send(query("select 1"))
            taken = probe.quiet(0.1)
            if taken:
                probe.cancel()
                self.assertEqual(probe.answers(), "E:57014 Z:I")
            else:
                probe.answers()
            probe.close()
            return taken
        wait_until(lane_is_taken, "the statement to run")

    def lane_is_free(self, rows=0):
        self.assertEqual(self.other.query("insert into t values (7)"), "C:INSERT 0 1 Z:I")
        self.assertEqual(self.other.query("select count(*) as c from t"), f"T:c D:{rows + 1} C:SELECT 1 Z:I")
        self.assertEqual(self.other.query("delete from t where n = 7"), "C:DELETE 1 Z:I")


class Statements(Case):
    def test_an_unnamed_statement_outlives_its_sync_and_others_statements(self):
        self.assertEqual(self.client.ask(parse("", "select $1 + 1 as c", [20]), describe("S"), sync()), "1 t:20 T:c Z:I")
        self.assertEqual(self.other.ask(extended("select 'other'"), sync()), "1 2 D:other C:SELECT 1 Z:I")
        self.assertEqual(self.client.ask(bind("", "", ["41"]), execute(), sync()), "2 D:42 C:SELECT 1 Z:I")
        self.assertEqual(self.client.ask(bind("", "", ["1"]), execute(), sync()), "2 D:2 C:SELECT 1 Z:I")
        self.assertEqual(self.client.query("select 1 as c"), "T:c D:1 C:SELECT 1 Z:I")
        self.assertEqual(self.client.ask(bind("", "", ["1"]), execute(), sync()), "E:26000 Z:I")

    def test_named_ones_are_each_sessions_own(self):
        self.assertEqual(self.client.ask(parse("s", "select 'mine'"), sync()), "1 Z:I")
        self.assertEqual(self.other.ask(bind("", "s"), execute(), sync()), "E:26000 Z:I")
        self.assertEqual(self.client.ask(parse("s", "select 2"), sync()), "E:42P05 Z:I")
        self.assertEqual(self.client.ask(bind("", "s"), execute(), close("S", "s"), sync()),
                         "2 D:mine C:SELECT 1 3 Z:I")
        self.assertEqual(self.client.ask(close("S", "s"), describe("S", "s"), sync()), "3 E:26000 Z:I")

    def test_a_suspended_portal_ends_with_its_transaction(self):
        rows = SERIES.format(5) + "select i from n"
        self.assertEqual(self.client.ask(extended(rows, rows=2), sync()), "1 2 D:1 D:2 s Z:I")
        self.assertEqual(self.client.ask(execute("", 2), sync()), "E:34000 Z:I")
        self.client.query("begin")
        self.assertEqual(self.client.ask(parse("", rows), bind("p"), execute("p", 2), sync()), "1 2 D:1 D:2 s Z:T")
        self.assertEqual(self.client.ask(execute("p", 2), execute("p", 2), execute("p", 2), sync()),
                         "D:3 D:4 s D:5 C:SELECT 1 C:SELECT 0 Z:T")
        self.assertEqual(self.client.ask(bind("p"), sync()), "E:42P03 Z:E")
        self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(self.client.ask(execute("p"), sync()), "E:34000 Z:I")

    def test_half_a_pipeline_is_answered_at_a_flush(self):
        self.client.send(extended("insert into t values (1)"), flush())
        self.assertEqual(self.client.take(3), "1 2 C:INSERT 0 1")
        self.client.send(extended("select n from t"), flush())
        self.assertEqual(self.client.take(4), "1 2 D:1 C:SELECT 1")
        self.assertEqual(self.client.ask(extended("select 1 frm t"), extended("select 2"), sync()), "1 2 E:42601 Z:I")
        self.assertEqual(self.other.query("select count(*) as c from t"), "T:c D:0 C:SELECT 1 Z:I")

    def test_a_deep_pipeline_of_many_syncs(self):
        parts = [extended(f"insert into t values ({n})") + sync() for n in range(500)]
        self.assertEqual(self.client.ask(*parts), " ".join(["1 2 C:INSERT 0 1 Z:I"] * 500))
        self.assertEqual(self.client.query("select count(*) as c from t"), "T:c D:500 C:SELECT 1 Z:I")

    def test_what_it_does_not_have_is_refused_and_the_session_lives(self):
        self.assertEqual(self.client.ask(function_call(1, [])), "E:0A000 Z:I")
        self.assertEqual(self.client.query("copy t from stdin"), "E:0A000 Z:I")
        self.client.send(copy_done())  # of a COPY that never began
        self.assertEqual(self.client.query("select 1 as c"), "T:c D:1 C:SELECT 1 Z:I")
        self.client.send(message("w"))
        self.assertRegex(self.client.answers(), "^E:08P01 closed$")


class Cancelling(Case):
    def test_what_runs_and_nothing_later(self):
        for parts, expected in ((query(ENDLESS), "E:57014 Z:I"), (extended(ENDLESS) + sync(), "1 2 E:57014 Z:I"),
                                (query(ENDLESS_WRITE), "E:57014 Z:I")):
            self.client.send(parts)
            self.running()
            self.assertEqual(self.client.cancel(), b"")
            self.assertEqual(self.client.answers(), expected)
            self.client.cancel()
            self.assertEqual(self.client.query("select 1 as c"), "T:c D:1 C:SELECT 1 Z:I")
            self.lane_is_free()

    def test_only_with_the_key(self):
        self.client.send(query(ENDLESS))
        self.running()
        wrong = bytes(len(self.client.key))
        self.client.cancel(key=wrong)
        self.client.cancel(pid=self.client.pid + 1)
        self.other.cancel()
        self.assertTrue(self.client.quiet(0.1))
        self.client.cancel()
        self.assertEqual(self.client.answers(), "E:57014 Z:I")

    def test_what_waits_for_the_lane_is_cancelled_at_once_and_does_not_run(self):
        self.client.send(query(ENDLESS))
        self.running()
        self.other.send(query("insert into t values (1)"))
        self.assertTrue(self.other.quiet(0.1))
        self.other.cancel()
        self.assertEqual(self.other.answers(), "E:57014 Z:I")
        self.client.cancel()
        self.assertEqual(self.client.answers(), "E:57014 Z:I")
        self.lane_is_free()

    def test_in_a_transaction(self):
        self.client.query("begin; insert into t values (1)")
        self.client.send(query(ENDLESS))
        self.running()
        self.client.cancel()
        self.assertEqual(self.client.answers(), "E:57014 Z:E")
        self.assertEqual(self.client.query("select 1"), "E:25P02 Z:E")
        self.assertEqual(self.client.query("commit"), "C:ROLLBACK Z:I")
        self.lane_is_free()


class Gone(Case):
    """Whoever goes, and how: nothing of it stays, and the lane is free."""

    def leave(self, client, how):
        if how == "goodbye":
            client.send(terminate())
        client.vanish() if how == "vanish" else client.close()

    def each(self, *before, running=False):
        for how in ("close", "vanish", "goodbye"):
            with self.subTest(how):
                client = self.connect()
                for part in before[:-1]:
                    self.assertNotIn("E:", client.ask(part))
                client.send(before[-1])
                if running:
                    self.running()
                self.leave(client, how)
                self.lane_is_free()

    def test_in_mid_query(self):
        self.each(query(ENDLESS), running=True)

    def test_in_mid_query_with_a_transaction_open(self):
        self.each(query("begin"), query("insert into t values (1)"), query(ENDLESS), running=True)

    def test_in_a_write_that_runs(self):
        self.each(query(ENDLESS_WRITE), running=True)

    def test_in_an_open_transaction(self):
        for how in ("close", "vanish", "goodbye"):
            client = self.connect()
            self.assertEqual(client.query("begin; insert into t values (1); savepoint s; insert into t values (2)"),
                             "C:BEGIN C:INSERT 0 1 C:SAVEPOINT C:INSERT 0 1 Z:T")
            self.leave(client, how)
            self.lane_is_free()

    def test_in_a_pipeline_that_has_no_sync_yet(self):
        for how in ("close", "vanish", "goodbye"):
            client = self.connect()
            client.send(extended("insert into t values (1)"), flush())
            self.assertEqual(client.take(3), "1 2 C:INSERT 0 1")
            self.leave(client, how)
            self.lane_is_free()

    def test_in_a_suspended_portal(self):
        self.each(query("begin"), extended("insert into t values (1), (2) returning n", rows=1) + sync())

    def test_while_it_waits(self):
        self.client.query("begin; insert into t values (1)")
        client = self.connect()
        client.send(query("insert into t values (2)"))
        self.assertTrue(client.quiet(0.1))
        client.vanish()
        self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")
        self.lane_is_free()


class SlowReaders(Case):
    database = "patient"
    ROWS = SERIES.format(100_000) + "select i, printf('%.2000c', 'x') as filler from n"

    def setUp(self):
        super().setUp()
        self.before = self.peak_kib(reset=True)

    def peak_kib(self, reset=False):
        process = pathlib.Path(f"/proc/{daemon.pid}")
        if reset:
            (process / "clear_refs").write_text("5")
        return int(re.search(r"VmHWM:\s+(\d+)", (process / "status").read_text())[1])

    def memory_stayed_small(self):
        self.assertLess(self.peak_kib() - self.before, MOST_KIB)

    def test_200_mb_read_late_are_whole_and_cost_little_memory(self):
        for parts in (query(self.ROWS), extended(self.ROWS) + sync()):
            deaf = self.connect(receive_buffer=64 * 1024)
            deaf.send(parts)
            self.running()
            seen, size = 0, 0
            while True:
                kind, body = deaf.message()
                if kind == "Z":
                    break
                if kind == "D":
                    seen += 1
                    number, filler = cells(body)
                    self.assertEqual(int(number), seen)
                    size += len(filler)
            self.assertEqual((seen, size), (100_000, 200_000_000))
            self.memory_stayed_small()
            self.assertEqual(deaf.query("select 1 as c"), "T:c D:1 C:SELECT 1 Z:I")

    def test_a_value_of_5_mb_there_and_back(self):
        value = b"abcdefghij" * 500_000
        self.client.send(parse("", "select $1 as c", [25]), bind("", "", [value]), describe("P"), execute(), sync())
        found = self.client.messages()
        self.assertEqual("".join(kind for kind, _ in found), "12TDCZ")
        self.assertEqual(columns(found[2][1]), [("c", 25, 0)])
        self.assertTrue(cells(found[3][1]) == [value])

    def test_who_goes_without_reading_frees_the_lane(self):
        deaf = self.connect(receive_buffer=64 * 1024)
        deaf.send(query("begin; insert into t values (1)"), query(self.ROWS))
        self.running()
        self.memory_stayed_small()
        deaf.vanish()
        self.lane_is_free()


class Impatient(Case):
    def test_who_does_not_read_while_others_wait_loses_its_statement(self):
        deaf = self.connect(receive_buffer=64 * 1024)
        deaf.send(query(SlowReaders.ROWS))
        self.assertEqual(deaf.message()[0], "T")
        self.lane_is_free()
        kinds = [kind for kind, _ in deaf.messages()]
        self.assertEqual(kinds[-2:], ["E", "Z"])
        self.assertLess(kinds.count("D"), 100_000)
        self.assertEqual(deaf.query("select 1 as c"), "T:c D:1 C:SELECT 1 Z:I")


if __name__ == "__main__":
    unittest.main()
