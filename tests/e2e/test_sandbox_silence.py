"""Who falls silent in the middle of a unit holds a sandbox no longer than who rests in a transaction."""

import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import bind, copy_data, copy_done, describe, execute, extended, fields, flush, message, parse, query, sync
from raw_client import RawClient
from servers import wait_until
from wire_servers import Conversation, Servers

INSERT, COPY = "insert into things values (1)", "copy things from stdin"
LOST = "E:25P03"
STRUCK_S = 0.3
HOLDER = 2  # the column of SANDBOX STATUS


def setUpModule():
    Conversation.servers = Servers(pools={
        "box": f"force_rollback = true\nidle_while_waited = '{STRUCK_S * 1000:.0f}ms'",
        "patient": "force_rollback = true\nidle_while_waited = '1h'\ntimeout = '500ms'"}, common="")
    for database in ("box", "patient"):
        Conversation.servers.cluster.query("create table things (id int)", database)


class Silence(Conversation):
    pool = "box"

    def silent(self, *said, then, answers, before=()):
        """It has said this, and others come first; then it goes on as if nothing were, and is answered."""
        silent, other = self.connect(), self.connect()
        other.query("sandbox reset")
        if before:
            silent.ask(*before)
        silent.send(*said)
        wait_until(lambda: other.rows("sandbox status")[0][HOLDER], "its turn")
        began = time.monotonic()
        self.assertEqual(other.query("insert into things values (2)"), "C:INSERT 0 1 Z:I")
        self.assertLess(time.monotonic() - began, 10 * STRUCK_S)
        self.assertEqual(silent.ask(*then, query("rollback"), ready=answers.count("Z:")), answers)
        self.assertEqual(silent.query("select * from things"), "T:id D:2 C:SELECT 1 Z:I")
        self.assertEqual(other.query("select * from things"), "T:id D:2 C:SELECT 1 Z:I")

    ROLLED_BACK = "N:25P01 C:ROLLBACK Z:I"  # there was no transaction

    def test_before_it_has_asked_for_anything(self):
        self.silent(parse("", INSERT), then=[bind(), execute(), sync()], answers=f"{LOST} Z:I {self.ROLLED_BACK}")

    # Prepared anew for other settings: whether it asks for its columns again is seen of what comes behind the Bind.
    DESCRIBED = [parse("s", INSERT + " returning id"), bind("", "s"), describe("P"), sync(),
                 query("set search_path = public, pg_catalog")]

    def test_behind_a_bind_of_what_has_columns(self):
        self.silent(bind("", "s"), before=self.DESCRIBED, then=[execute(), sync()],
                    answers=f"{LOST} Z:I {self.ROLLED_BACK}")

    def test_behind_a_bind_of_what_has_columns_in_a_transaction(self):
        self.silent(query("begin"), bind("", "s"), before=self.DESCRIBED, then=[execute(), sync()],
                    answers=f"C:BEGIN Z:T {LOST} Z:E C:ROLLBACK Z:I")

    def test_when_all_is_answered(self):
        self.silent(extended(INSERT), flush(), then=[sync()],
                    answers=f"1 2 C:INSERT 0 1 {LOST} Z:I {self.ROLLED_BACK}")

    def test_in_a_transaction(self):
        self.silent(query("begin"), extended(INSERT), flush(), then=[sync()],
                    answers=f"C:BEGIN Z:T 1 2 C:INSERT 0 1 {LOST} Z:E C:ROLLBACK Z:I")

    def test_in_half_a_message(self):
        self.silent(parse("", INSERT), message("B", bytes(100), length=1004), then=[bytes(900), sync()],
                    answers=f"{LOST} Z:I {self.ROLLED_BACK}")

    def test_when_it_has_failed(self):
        self.silent(extended("select 1 / 0"), flush(), then=[sync()],
                    answers=f"1 E:22012 Z:I {self.ROLLED_BACK}")

    def test_in_a_copy(self):
        self.silent(query(COPY), copy_data("1\n"), then=[copy_data("1\n"), copy_done()],
                    answers=f"G:1 {LOST} Z:I {self.ROLLED_BACK}")

    def test_in_a_transactions_copy(self):
        self.silent(query("begin; " + COPY), then=[copy_data("1\n"), copy_done()],
                    answers=f"C:BEGIN G:1 {LOST} Z:E C:ROLLBACK Z:I")

    def test_in_half_a_copys_row(self):
        self.silent(query(COPY), copy_data("x" * 100)[:50], then=[bytes(55), copy_done()],
                    answers=f"G:1 {LOST} Z:I {self.ROLLED_BACK}")

    def test_in_a_portals_copy(self):
        self.silent(extended(COPY), then=[copy_data("1\n"), copy_done(), sync()],
                    answers=f"1 2 G:1 {LOST} Z:I {self.ROLLED_BACK}")

    FLOOD = "select repeat('x', 1000) from generate_series(1, 1000000)"

    def unread(self, *said, then, answers):
        """It has asked for more than it reads, and others come first; what is there of it ends with the error."""
        deaf, other = self.connect(receive_buffer=4096), self.connect()
        other.query("sandbox reset")
        deaf.send(*said)
        wait_until(lambda: other.rows("sandbox status")[0][HOLDER], "its turn")
        began = time.monotonic()
        self.assertEqual(other.query("insert into things values (2)"), "C:INSERT 0 1 Z:I")
        self.assertLess(time.monotonic() - began, 20 * STRUCK_S)
        rows = deaf.messages(answers.count("Z:"))
        self.assertGreater(sum(kind == "D" for kind, _ in rows), 1000)
        shown = [f"E:{fields(body)['C']}" if kind == "E" else f"Z:{body.decode()}" for kind, body in rows if kind in "EZ"]
        self.assertEqual(" ".join(shown), answers)
        self.assertEqual(deaf.ask(*then), self.ROLLED_BACK if answers.endswith("I") else "C:ROLLBACK Z:I")
        self.assertEqual(deaf.query("select * from things"), "T:id D:2 C:SELECT 1 Z:I")

    def test_who_does_not_read(self):
        for said in (query(self.FLOOD), extended(self.FLOOD) + sync()):
            self.unread(said, then=[query("rollback")], answers=f"{LOST} Z:I")

    def test_who_does_not_read_in_a_transaction(self):
        self.unread(query(f"begin; insert into things values (1); {self.FLOOD}"), then=[query("rollback")],
                    answers=f"{LOST} Z:E")

    def test_who_does_not_read_one_row(self):
        """Half of it is there: the rest cannot come, and nothing else can instead."""
        deaf, other = self.connect(receive_buffer=4096), self.connect()
        other.query("sandbox reset")
        deaf.send(query("select repeat('x', 50000000)"))
        wait_until(lambda: other.rows("sandbox status")[0][HOLDER], "its turn")
        self.assertEqual(other.query("insert into things values (2)"), "C:INSERT 0 1 Z:I")
        with self.assertRaises(ConnectionError):
            deaf.messages(1)
        self.assertEqual(other.query("select * from things"), "T:id D:2 C:SELECT 1 Z:I")

    def test_who_does_not_read_natively(self):
        address = self.servers.through_based
        deaf, other = RawClient(address, receive_buffer=4096), self.connect()
        self.addCleanup(deaf.close)
        other.query("sandbox reset")
        self.assertEqual(deaf.ask(based_client.OPEN, [{"database": self.pool}], 1)[0], based_client.END)
        request = deaf.frame(based_client.EXEC, [self.FLOOD], 1)
        wait_until(lambda: other.rows("sandbox status")[0][HOLDER], "its turn")
        began = time.monotonic()
        self.assertEqual(other.query("insert into things values (2)"), "C:INSERT 0 1 Z:I")
        self.assertLess(time.monotonic() - began, 20 * STRUCK_S)
        kind, error = deaf.final(request)
        self.assertEqual((kind, error["code"]), (based_client.ERROR, "25P03"), error)
        self.assertIn("was not read", error["message"])
        self.servers.daemon.wait_log(r"loses its transaction: its result was not read for too long")
        self.assertEqual(deaf.ask(based_client.EXEC, ["select 1"], 1)[0], based_client.END)

    def test_who_waits_hears_of_who_does_not_read(self):
        deaf, other = self.connect("patient", receive_buffer=4096), self.connect("patient")
        deaf.send(query(self.FLOOD))
        wait_until(lambda: other.rows("sandbox status")[0][HOLDER], "its turn")
        self.assertRegex(other.error(query("select 1"))["D"], r"^It is held by .* idle for \d+ ms; it last ran: select repeat")

    def test_not_while_it_works(self):
        """Nor while it says something from time to time, however long."""
        working, other = self.connect(), self.connect()
        other.query("sandbox reset")
        for said, more, answers in (
            ([extended(f"select pg_sleep({3 * STRUCK_S})"), flush()], [sync()], "1 2 D: C:SELECT 1 Z:I"),
            ([query(COPY)], [copy_data("1\n")] * 8 + [copy_done()], "G:1 C:COPY 8 Z:I"),
            ([], [parse("", "select 1")] * 8 + [sync()], "1 " * 8 + "Z:I"),
        ):
            working.send(*said)
            time.sleep(STRUCK_S / 4)
            other.send(query("select 1"))
            for part in more:
                time.sleep(STRUCK_S / 2)
                working.send(part)
            self.assertEqual(working.answers(), answers)
            self.assertEqual(other.answers(), "T:?column? D:1 C:SELECT 1 Z:I")

    def test_who_waits_hears_how_long_it_is_silent(self):
        silent, other = self.connect("patient"), self.connect("patient")
        silent.send(query("begin; " + COPY))
        self.assertEqual(silent.take(2), "C:BEGIN G:1")
        self.assertRegex(other.error(query("select 1"))["D"], r"^It is held by .* idle for \d+ ms; it last ran: copy things")
        self.assertEqual(silent.ask(copy_data("1\n"), copy_done(), ready=1), "C:COPY 1 Z:T")


if __name__ == "__main__":
    unittest.main()
