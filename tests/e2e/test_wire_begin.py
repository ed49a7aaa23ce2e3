"""A BEGIN by itself: answered before the server has heard of it, and then as if the server had."""

import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import bind, close, describe, execute, extended, fields, flush, message, parse, query, ready_count, sync
from servers import wait_until
from wire_servers import Conversation, Servers, both

POOLS = {"one": "max_size = 1\ntimeout = '10s'", "brief": "max_size = 1\ntimeout = '300ms'",
         "idle": "max_size = 1\nidle_in_transaction = '300ms'\ntimeout = '10s'"}
BEGIN = extended("begin", describing=True) + sync()
BEGUN = "1 2 n C:BEGIN Z:T"
FAILS = "select 1/(n-1) from generate_series(1, 1) n"  # as it is run, not as it is planned


def setUpModule():
    Conversation.servers = Servers(common="", pools=POOLS, log_statement="all")
    for name in POOLS:
        Conversation.servers.cluster.query("create table t(n int unique)", name)


@both
class Begin:
    def setUp(self):
        self.server("truncate t")
        self.client = self.connect()

    def rows(self):
        return [row[0] for row in self.server("select n from t order by 1")]

    def ask_each_way(self, *parts):
        """In one write, and each by itself: the answers are the same."""
        at_once = self.client.ask(*parts)
        self.server("truncate t")
        one_by_one = " ".join(self.client.ask(part) for part in parts)
        self.assertEqual(at_once, one_by_one)
        return at_once

    def test_its_spellings_have_their_tags(self):
        for sql, tag in (("begin", "BEGIN"), ("BEGIN;", "BEGIN"), ("begin work", "BEGIN"), ("Begin Transaction ;", "BEGIN"),
                         ("start transaction", "START TRANSACTION"), ("begin -- so", "BEGIN"),
                         ("/* so */ start transaction", "START TRANSACTION")):
            self.assertEqual(self.ask_each_way(query(sql), query("insert into t values (1)"), query("end")),
                             f"C:{tag} Z:T C:INSERT 0 1 Z:T C:COMMIT Z:I")
            self.assertEqual(self.rows(), ["1"])
            self.server("truncate t")

    def test_what_follows_is_in_its_transaction(self):
        insert = query("insert into t values (1)"), extended("insert into t values (2)") + sync()
        for begin, begun in ((query("begin"), "C:BEGIN Z:T"), (BEGIN, BEGUN)):
            for first, second in (insert, insert[::-1]):
                answer = self.ask_each_way(begin, first, second, query("rollback"))
                self.assertEqual(answer.count("C:INSERT 0 1 Z:T"), 2)
                self.assertTrue(answer.startswith(begun) and answer.endswith("C:ROLLBACK Z:I"), answer)
                self.assertEqual(self.rows(), [])
                self.ask_each_way(begin, first, second, query("commit"))
                self.assertEqual(self.rows(), ["1", "2"])
                self.server("truncate t")

    def test_an_error_of_the_first_statement_fails_the_transaction(self):
        self.server("insert into t values (7)")
        for bad, said in ((query("selec"), "E:42601"), (query("select nosuch"), "E:42703"),
                          (query(FAILS), "T:?column? E:22012"), (parse("", "selec") + sync(), "E:42601"),
                          (extended("select nosuch") + sync(), "E:42703"), (bind("", "nosuch") + sync(), "E:26000")):
            for begin, begun in ((query("begin"), "C:BEGIN Z:T"), (BEGIN, BEGUN)):
                with self.subTest(bad=bad):
                    asked = begin, bad, query("insert into t values (1)"), query("commit")
                    wanted = f"{begun} {said} Z:E E:25P02 Z:E C:ROLLBACK Z:I"
                    self.assertEqual(self.client.ask(*asked), wanted)
                    self.assertEqual(" ".join(self.client.ask(part) for part in asked), wanted)
                    self.assertEqual(self.rows(), ["7"])

    def test_positions_are_those_of_the_clients_text(self):
        for sql, position in (("select nosuch", "8"), ("selec", "1"), ("select 'é', nosuch", "13")):
            for parts in ((query("begin"), query(sql)), (BEGIN, query(sql)), (query("begin"), parse("", sql) + sync())):
                self.client.send(*parts)
                found = self.client.messages(2)
                self.assertEqual([fields(body)["P"] for kind, body in found if kind == "E"], [position])
                self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")

    def test_what_is_not_ordinary_comes_first(self):
        answers = {"": "I: Z:T", "begin": "N:25001 C:BEGIN Z:T", "set local work_mem = '3MB'": "C:SET Z:T",
                   "insert into t values (1); insert into t values (2)": "C:INSERT 0 1 C:INSERT 0 1 Z:T",
                   "savepoint a": "C:SAVEPOINT Z:T", "set transaction read only": "C:SET Z:T",
                   "declare c cursor for select 1": "C:DECLARE CURSOR Z:T", "listen a": "C:LISTEN Z:T",
                   "create index concurrently on t(n)": "E:25001 Z:E", "commit; begin": "C:COMMIT C:BEGIN Z:T"}
        for sql, said in answers.items():
            for begin, begun in ((query("begin"), "C:BEGIN Z:T"), (BEGIN, BEGUN)):
                with self.subTest(sql=sql):
                    self.assertEqual(self.ask_each_way(begin, query(sql), query("rollback")),
                                     f"{begun} {said} C:ROLLBACK Z:I".replace("I:", "I"))
        self.assertEqual(self.rows(), [])

    def test_with_modes_it_is_the_servers(self):
        self.assertEqual(self.ask_each_way(query("begin read only"), query("insert into t values (1)"), query("end")),
                         "C:BEGIN Z:T E:25006 Z:E C:ROLLBACK Z:I")
        self.assertEqual(self.ask_each_way(query("begin isolation level serializable"), query("show transaction_isolation"),
                                           query("end")),
                         "C:BEGIN Z:T T:transaction_isolation D:serializable C:SHOW Z:T C:COMMIT Z:I")

    def test_ends_without_a_statement(self):
        self.assertEqual(self.ask_each_way(query("begin"), query("commit")), "C:BEGIN Z:T C:COMMIT Z:I")
        self.assertEqual(self.ask_each_way(BEGIN, query("rollback")), BEGUN + " C:ROLLBACK Z:I")
        self.assertEqual(self.ask_each_way(query("begin"), sync(), query("end")), "C:BEGIN Z:T Z:T C:COMMIT Z:I")

    def test_a_batch_with_more_in_it(self):
        self.assertEqual(self.client.ask(extended("begin"), extended("insert into t values (1)"), sync()),
                         "1 2 C:BEGIN 1 2 C:INSERT 0 1 Z:T")
        self.assertEqual(self.client.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(self.client.ask(extended("begin"), extended("insert into t values (1)"), sync()),
                         "1 2 C:BEGIN 1 2 E:23505 Z:E")
        self.assertEqual(self.client.query("commit"), "C:ROLLBACK Z:I")
        self.assertEqual(self.client.ask(parse("", "begin"), close("S", "nosuch"), bind(), execute(), sync()), "1 3 2 C:BEGIN Z:T")
        self.assertEqual(self.client.query("commit"), "C:COMMIT Z:I")

    def test_a_batch_in_pieces(self):
        pieces = parse("", "begin"), bind(), describe("P"), execute()
        for cut in range(1, len(pieces)):
            self.client.send(*pieces[:cut], flush())
            self.client.take(cut)
            self.client.send(*pieces[cut:], flush())
            self.client.take(len(pieces) - cut)
            self.assertEqual(self.client.ask(sync()), "Z:T")
            self.assertEqual(self.client.query("end"), "C:COMMIT Z:I")

    def test_it_is_the_unnamed_statement(self):
        self.client.ask(BEGIN)
        self.assertEqual(self.client.ask(bind(), execute(), sync()), "2 N:25001 C:BEGIN Z:T")
        self.assertEqual(self.client.ask(describe("S"), sync()), "t: n Z:T")
        self.client.query("rollback")
        self.assertEqual(self.client.ask(bind(), execute(), sync()), "E:26000 Z:I")
        self.client.ask(parse("", "select 1"), sync())
        self.client.ask(query("begin"))
        self.assertEqual(self.client.ask(bind(), execute(), sync()), "E:26000 Z:E")
        self.client.query("rollback")

    def test_prepared_under_a_name(self):
        self.assertEqual(self.client.ask(parse("b", "begin"), parse("i", "insert into t values ($1)"), sync()), "1 1 Z:I")
        asked = bind("", "b") + describe("P") + execute() + sync(), bind("", "i", [b"5"]) + execute() + sync(), query("commit")
        self.assertEqual(self.ask_each_way(*asked), "2 n C:BEGIN Z:T 2 C:INSERT 0 1 Z:T C:COMMIT Z:I")
        self.assertEqual(self.rows(), ["5"])
        self.client.ask(parse("s", "/* so */ start transaction"), sync())
        self.assertEqual(self.client.ask(bind("", "s") + execute() + sync(), query("end")),
                         "2 C:START TRANSACTION Z:T C:COMMIT Z:I")
        for body in (b"\0s\0" + b"\0\0\0\0\0\1", b"\0s\0" + bytes(7)):
            self.assertEqual(self.client.ask(message("B", body), execute(), sync()), "E:08P01 Z:I")


class Link(Conversation):
    """Whose link it is meanwhile."""

    pool = "brief"

    def setUp(self):
        self.server("truncate t", self.pool)
        self.client, self.other = self.connect(), self.connect()
        self.other.query("begin; select 1")

    def rows(self):
        return self.server("select n from t order by 1")

    def test_it_goes_with_the_first_statement_in_one_request(self):
        self.other.query("end")
        self.client.ask(query("begin"), query("insert into t values (1)"), query("rollback"))
        self.client.ask(BEGIN, extended("insert into t values (2)") + sync(), query("rollback"))
        log = (self.servers.cluster.folder / "log").read_text()
        self.assertIn("statement: BEGIN;insert into t values (1)\n", log)
        begun = [line for line in log.splitlines() if "insert into t values (2)" in line or ": begin" in line.lower()]
        self.assertRegex(begun[-2], "execute <unnamed>: begin$")
        self.assertEqual(self.rows(), [])

    def test_who_has_begun_waits_for_a_link_only_to_go_on(self):
        self.assertEqual(self.client.query("begin"), "C:BEGIN Z:T")
        self.client.send(query("insert into t values (1)"))
        self.assertEqual(self.other.query("end"), "C:COMMIT Z:I")
        self.assertEqual(self.client.answers(), "C:INSERT 0 1 Z:T")
        self.assertEqual(self.client.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(self.rows(), [["1"]])

    def test_waiting_too_long_fails_the_transaction(self):
        self.assertEqual(self.client.ask(query("begin"), query("insert into t values (1)")), "C:BEGIN Z:T E:53300 Z:E")
        self.other.query("end")
        self.assertEqual(self.client.query("insert into t values (2)"), "E:25P02 Z:E")
        self.assertEqual(self.client.query("commit"), "C:ROLLBACK Z:I")
        self.assertEqual(self.rows(), [])

    def test_a_silent_one_that_has_waited_too_long_is_told_with_its_first_statement(self):
        self.assertEqual(self.client.query("begin"), "C:BEGIN Z:T")
        self.assertTrue(self.client.quiet(0.6))
        self.other.query("end")
        self.assertEqual(self.client.query("insert into t values (1)"), "E:53300 Z:E")
        self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(self.rows(), [])

    def test_its_end_needs_no_link(self):
        for say in (query, lambda sql: extended(sql, describing=True) + sync()):
            for end, tag in (("commit", "COMMIT"), ("end", "COMMIT"), ("rollback", "ROLLBACK"), ("Abort;", "ROLLBACK")):
                with self.subTest(end=end):
                    self.client.ask(say("begin"))
                    self.assertTrue(self.client.ask(say(end)).endswith(f"C:{tag} Z:I"))
                    # Nor where there was none to be had.
                    self.client.ask(say("begin"))
                    self.assertEqual(self.client.ask(say("insert into t values (1)")), "E:53300 Z:E")
                    self.assertTrue(self.client.ask(say(end)).endswith("C:ROLLBACK Z:I"))
        self.client.query("begin")
        self.assertTrue(self.client.quiet(0.6))
        self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")
        self.client.query("begin")
        self.assertTrue(self.client.quiet(0.6))
        self.assertEqual(self.client.query("commit"), "E:53300 Z:E")
        self.assertEqual(self.client.query("commit"), "C:ROLLBACK Z:I")
        self.other.query("end")
        self.assertEqual(self.client.query("select 'well'"), "T:?column? D:well C:SELECT 1 Z:I")

    def test_the_end_that_was_sent_behind_a_first_statement_needs_none_either(self):
        for end in (query("commit"), extended("rollback") + sync(), query("commit") + query("begin") + query("commit")):
            self.client.ask(query("begin"))
            self.client.send(query("insert into t values (1)"), end, query("select 'more'"))
            began = time.monotonic()
            said = self.client.answers(1 + ready_count(end))
            self.assertLess(time.monotonic() - began, 0.5)  # and the timeout is 0.3 s
            self.assertRegex(said, "^E:53300 Z:E (1 2 )?C:ROLLBACK Z:I( C:BEGIN Z:T C:COMMIT Z:I)?$")
            self.assertEqual(self.client.answers(), "E:53300 Z:I")
        self.client.send(query("begin"), query("insert into t values (1)"), query("insert into t values (2)"), query("commit"))
        self.assertEqual(self.client.answers(4), "C:BEGIN Z:T E:53300 Z:E E:53300 Z:E C:ROLLBACK Z:I")
        self.other.query("end")
        self.assertEqual(self.rows(), [])

    def test_a_cancel_while_it_waits_fails_the_transaction(self):
        self.client.send(query("begin"), query("insert into t values (1)"))
        self.assertEqual(self.client.answers(), "C:BEGIN Z:T")
        self.client.cancel()
        self.assertEqual(self.client.answers(), "E:57014 Z:E")
        self.other.query("end")
        self.assertEqual(self.client.query("commit"), "C:ROLLBACK Z:I")
        self.assertEqual(self.rows(), [])

    def test_who_goes_leaves_nothing(self):
        for parts in ((query("begin"),), (BEGIN,), (query("begin"), query("insert into t values (1)")), (parse("", "begin"), bind())):
            client = self.connect()
            client.send(*parts)
            client.vanish()
        self.other.query("end")
        self.assertEqual(self.other.query("select 'well'"), "T:?column? D:well C:SELECT 1 Z:I")
        self.assertEqual(self.rows(), [])
        self.assertEqual(len(self.processes()), 1)

    def test_a_silent_client_has_begun_after_a_while(self):
        self.other.query("end")
        for begin in (query("begin"), BEGIN):
            self.client.ask(begin)
            wait_until(lambda: self.processes("state = 'idle in transaction'"), "the server's BEGIN")
            self.assertEqual(self.client.query("insert into t values (1)"), "C:INSERT 0 1 Z:T")
            self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")

    def test_settings_are_there_before_it(self):
        self.other.query("end")
        for client, zone in ((self.client, "Asia/Tokyo"), (self.other, "Europe/Oslo")):
            client.query(f"set timezone to '{zone}'; set application_name to '{zone}'")
        for client, zone in ((self.client, "Asia/Tokyo"), (self.other, "Europe/Oslo")):
            for first in ("select current_setting('timezone')", "show timezone"):
                answer = client.ask(query("begin"), query(first), query("show application_name"), query("rollback"))
                self.assertEqual(answer.count(f"D:{zone} "), 2, answer)


class Idle(Conversation):
    pool = "idle"

    def test_it_is_idle_in_its_transaction(self):
        client = self.connect()
        client.query("begin")
        found = client.messages(2)
        self.assertEqual([kind for kind, _ in found], ["E", "closed"])
        self.assertEqual(fields(found[0][1])["C"], "25P03")
        self.assertEqual(self.connect().query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")


if __name__ == "__main__":
    unittest.main()
