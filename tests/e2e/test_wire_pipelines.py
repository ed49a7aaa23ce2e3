"""Pipelines: what is sent before its answer has come, errors inside, and what each Sync gets."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from based_client import connect
from pg_client import (bind, close, describe, execute, extended, flush, function_call, message, parse, query, sync)
from wire_servers import POOLS, Conversation, Servers, both


FAILS = "select 1/(n-1) from generate_series(1, 1) n"  # as it is run, not as it is planned


def setUpModule():
    Conversation.servers = Servers(pools={**POOLS, "nested": "max_size = 1\nnested_transactions = true",
                                          "sandbox": "force_rollback = true"})


@both
class Pipelines:
    def test_each_sync_gets_one_ready(self):
        client = self.connect()
        self.assertEqual(client.ask(sync()), "Z:I")
        self.assertEqual(client.ask(sync(), sync(), sync()), "Z:I Z:I Z:I")
        self.assertEqual(client.ask(extended("select 1"), sync(), sync(), extended("select 2"), sync()),
                         "1 2 D:1 C:SELECT 1 Z:I Z:I 1 2 D:2 C:SELECT 1 Z:I")

    def test_a_deep_pipeline_of_many_syncs(self):
        client, other = self.connect(), self.connect()
        other.send(query("select 'other'"))
        asked = b"".join(extended(f"select {i}") + sync() for i in range(2000))
        self.assertEqual(client.ask(asked), " ".join(f"1 2 D:{i} C:SELECT 1 Z:I" for i in range(2000)))
        self.assertEqual(other.answers(), "T:?column? D:other C:SELECT 1 Z:I")

    def test_a_deep_pipeline_in_one_sync(self):
        client = self.connect()
        asked = b"".join(extended(f"select {i}") for i in range(3000))
        self.assertEqual(client.ask(asked, sync()), "".join(f"1 2 D:{i} C:SELECT 1 " for i in range(3000)) + "Z:I")

    def test_one_sync_is_one_transaction(self):
        client = self.connect()
        client.query("create table if not exists pipelined(n int unique)")
        client.query("truncate pipelined")
        self.assertEqual(client.ask(extended("insert into pipelined values (1)"), extended(FAILS), sync()),
                         "1 2 C:INSERT 0 1 1 2 E:22012 Z:I")
        self.assertEqual(client.value("select count(*) from pipelined"), "0")
        self.assertEqual(client.ask(extended("insert into pipelined values (1)"), sync(), extended(FAILS), sync()),
                         "1 2 C:INSERT 0 1 Z:I 1 2 E:22012 Z:I")
        self.assertEqual(client.value("select count(*) from pipelined"), "1")

    def test_behind_an_error_everything_is_skipped_up_to_the_sync(self):
        client = self.connect()
        self.assertEqual(
            client.ask(extended(FAILS), extended("select 1"), parse("s", "select 1"), describe("S", "nosuch"),
                       close("S", "nosuch"), flush(), sync(), extended("select 2"), sync()),
            "1 2 E:22012 Z:I 1 2 D:2 C:SELECT 1 Z:I")
        self.assertEqual(client.ask(bind("", "s"), sync()), "E:26000 Z:I")

    def test_a_query_that_based_would_refuse_is_skipped_too(self):
        client = self.connect()
        for failing, told in ((parse("", "select nosuch"), "E:42703"), (extended(FAILS), "1 2 E:22012")):
            for skipped in (query("sandbox status"), query("select 1") + query("sandbox status") + query("select 1")):
                self.assertEqual(client.ask(failing, skipped, sync(), query("select 2"), ready=2),
                                 told + " Z:I T:?column? D:2 C:SELECT 1 Z:I")
        self.assertRegex(client.ask(extended("select 1"), query("sandbox status"), sync(), query("select 2")),
                         r"^1 2 D:1 C:SELECT 1 E:\w{5} Z:I Z:I T:\?column\? D:2 C:SELECT 1 Z:I$")

    def test_a_sync_that_comes_long_after_the_error(self):
        client, other = self.connect(), self.connect("two")
        client.send(extended(FAILS), flush())
        self.assertEqual(client.take(3), "1 2 E:22012")
        client.send(extended("select 1"), flush())
        self.assertTrue(client.quiet())
        self.assertEqual(other.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")
        client.send(extended("select 1"))
        self.assertEqual(client.ask(sync()), "Z:I")
        self.assertEqual(client.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")

    def test_errors_in_several_units_of_a_pipeline(self):
        client = self.connect()
        asked, wanted = [], []
        for i in range(50):
            if i % 3 == 1:
                asked.append(extended(FAILS) + extended("select 'skipped'"))
                wanted.append("1 2 E:22012 Z:I")
            elif i % 3 == 2:
                asked.append(parse("", "selec") + bind() + execute())
                wanted.append("E:42601 Z:I")
            else:
                asked.append(extended(f"select {i}"))
                wanted.append(f"1 2 D:{i} C:SELECT 1 Z:I")
        self.assertEqual(client.ask(*[part + sync() for part in asked]), " ".join(wanted))

    def test_an_error_in_an_open_transaction_in_a_pipeline(self):
        client, other = self.connect(), self.connect()
        self.assertEqual(
            client.ask(extended("begin"), sync(), extended(FAILS), sync(), extended("select 1"), sync(),
                       extended("rollback"), sync(), extended("select 2"), sync()),
            "1 2 C:BEGIN Z:T 1 2 E:22012 Z:E E:25P02 Z:E 1 2 C:ROLLBACK Z:I 1 2 D:2 C:SELECT 1 Z:I")
        self.assertEqual(other.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")

    def test_begin_and_commit_between_two_syncs(self):
        client, other = self.connect(), self.connect()
        self.assertEqual(client.ask(extended("begin"), extended("select 1"), extended("commit"), sync()),
                         "1 2 C:BEGIN 1 2 D:1 C:SELECT 1 1 2 C:COMMIT Z:I")
        self.assertEqual(client.ask(extended("begin"), extended("select 1"), sync(), extended("commit"), sync()),
                         "1 2 C:BEGIN 1 2 D:1 C:SELECT 1 Z:T 1 2 C:COMMIT Z:I")
        self.assertEqual(other.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")

    def test_a_commit_behind_an_error_is_skipped_too(self):
        client = self.connect()
        self.assertEqual(client.ask(extended("begin"), extended(FAILS), extended("commit"), sync()),
                         "1 2 C:BEGIN 1 2 E:22012 Z:E")
        self.assertEqual(client.ask(extended("commit"), sync()), "1 2 C:ROLLBACK Z:I")

    def test_prepared_statements_after_errors_in_the_same_pipeline(self):
        client = self.connect()
        self.assertEqual(
            client.ask(parse("a", "select 'a'"), sync(), parse("b", "selec"), sync(), parse("c", "select 'c'"),
                       bind("", "nosuch"), sync(), bind("", "a"), execute(), bind("", "c"), execute(), sync(),
                       bind("", "b"), sync()),
            "1 Z:I E:42601 Z:I 1 E:26000 Z:I 2 D:a C:SELECT 1 2 D:c C:SELECT 1 Z:I E:26000 Z:I")

    def test_a_name_used_again_in_the_unit_behind_its_failed_parse(self):
        client, other = self.connect(), self.connect()
        for _ in range(3):
            self.assertEqual(
                client.ask(parse("n", "select x from nowhere"), bind("", "n"), execute(), sync(),
                           parse("n", "select 'now'"), bind("", "n"), execute(), sync(), close("S", "n"), sync()),
                "E:42P01 Z:I 1 2 D:now C:SELECT 1 Z:I 3 Z:I")
            other.query("select 1")

    def test_half_a_pipeline_is_answered_at_a_flush(self):
        client = self.connect()
        client.send(parse("", "select 1"), describe("S"), flush())
        self.assertEqual(client.take(3), "1 t: T:?column?")
        client.send(bind(), flush())
        self.assertEqual(client.take(1), "2")
        client.send(execute(), flush())
        self.assertEqual(client.take(2), "D:1 C:SELECT 1")
        self.assertTrue(client.quiet())
        self.assertEqual(client.ask(sync()), "Z:I")

    def test_messages_that_come_byte_by_byte(self):
        client = self.connect()
        for byte in extended("select 'slowly'", describing=True) + sync():
            client.send(bytes([byte]))
        self.assertEqual(client.answers(), "1 2 T:?column? D:slowly C:SELECT 1 Z:I")

    def test_a_statement_that_may_not_be_in_a_transaction_block(self):
        client = self.connect()
        self.assertEqual(client.ask(extended("vacuum"), sync()), "1 2 C:VACUUM Z:I")
        self.assertEqual(client.ask(extended("select 1"), extended("vacuum"), sync()),
                         "1 2 D:1 C:SELECT 1 1 2 E:25001 Z:I")
        self.assertEqual(client.query("begin isolation level serializable read only; commit"),
                         "C:BEGIN C:COMMIT Z:I")


@both
class QueriesInPipelines:
    def test_a_query_behind_an_extended_message(self):
        client = self.connect()
        self.assertEqual(client.ask(parse("s", "select 's'"), query("select 1"), bind("", "s"), execute(), sync()),
                         "1 T:?column? D:1 C:SELECT 1 Z:I 2 D:s C:SELECT 1 Z:I")

    def test_a_query_behind_an_error_is_skipped_up_to_the_sync(self):
        client = self.connect()
        client.send(extended(FAILS), query("select 'skipped'"), query("select 'skipped'"), extended("select 1"),
                    sync(), query("select 'seen'"))
        self.assertEqual(client.answers(2), "1 2 E:22012 Z:I T:?column? D:seen C:SELECT 1 Z:I")

    def test_a_failed_query_skips_nothing(self):
        client = self.connect()
        self.assertEqual(client.ask(query(FAILS), query("select 2"), extended("select 3"), sync()),
                         "T:?column? E:22012 Z:I T:?column? D:2 C:SELECT 1 Z:I 1 2 D:3 C:SELECT 1 Z:I")

    def test_no_portal_is_there_behind_one_that_resets_settings(self):
        client = self.connect(application_name="mine")  # which is made again behind it
        client.query("begin")
        self.assertEqual(client.ask(extended("select 1"), sync()), "1 2 D:1 C:SELECT 1 Z:T")
        self.assertEqual(client.query("select 1; reset all"), "T:?column? D:1 C:SELECT 1 C:RESET Z:T")
        self.assertEqual(client.ask(describe("P"), sync()), "E:34000 Z:E")
        client.query("rollback")

    def test_many_queries_at_once(self):
        client, other = self.connect(), self.connect()
        other.send(query("select 'other'"))
        self.assertEqual(client.ask(*[query(f"select {i}") for i in range(1000)]),
                         " ".join(f"T:?column? D:{i} C:SELECT 1 Z:I" for i in range(1000)))
        self.assertEqual(other.answers(), "T:?column? D:other C:SELECT 1 Z:I")

    def test_transactions_by_query_in_a_pipeline(self):
        client, other = self.connect(), self.connect()
        self.assertEqual(client.ask(*[query(sql) for sql in ("begin", "select 1", FAILS, "select 2", "rollback",
                                                             "select 3")]),
                         "C:BEGIN Z:T T:?column? D:1 C:SELECT 1 Z:T T:?column? E:22012 Z:E E:25P02 Z:E C:ROLLBACK Z:I "
                         "T:?column? D:3 C:SELECT 1 Z:I")
        self.assertEqual(other.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")

    def test_a_multi_statement_string_is_one_transaction(self):
        client = self.connect()
        client.query("create table if not exists several(n int)")
        client.query("truncate several")
        self.assertEqual(client.query(f"insert into several values (1); {FAILS}; select 2"),
                         "C:INSERT 0 1 T:?column? E:22012 Z:I")
        self.assertEqual(client.value("select count(*) from several"), "0")
        self.assertEqual(client.query(f"insert into several values (1); commit; {FAILS}"),
                         "C:INSERT 0 1 N:25P01 C:COMMIT T:?column? E:22012 Z:I")
        self.assertEqual(client.value("select count(*) from several"), "1")
        self.assertEqual(client.query("select 1; begin; select 2"), "T:?column? D:1 C:SELECT 1 C:BEGIN T:?column? D:2 "
                         "C:SELECT 1 Z:T")
        self.assertEqual(client.query("commit; select 3; "), "C:COMMIT T:?column? D:3 C:SELECT 1 Z:I")
        self.assertEqual(client.query("rollback; begin; rollback; begin"),
                         "N:25P01 C:ROLLBACK C:BEGIN C:ROLLBACK C:BEGIN Z:T")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")

    def test_empty_queries(self):
        client = self.connect()
        for sql in ("", " ", ";", ";;", "-- nothing", "/* nothing */ ;"):
            with self.subTest(sql=sql):
                self.assertEqual(client.query(sql), "I Z:I")
                self.assertEqual(client.ask(extended(sql), sync()), "1 2 I Z:I")
        self.assertEqual(client.query("select 1;;"), "T:?column? D:1 C:SELECT 1 Z:I")
        self.assertEqual(client.query("begin; ;"), "C:BEGIN Z:T")
        self.assertEqual(client.query(""), "I Z:T")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")

    def test_several_statements_in_one_parse_are_refused(self):
        client = self.connect()
        self.assertEqual(client.ask(parse("", "select 1; select 2"), sync()), "E:42601 Z:I")


class SentAhead:
    """What was sent ahead of a unit that is run once more has run, and does not again."""

    INSERT = "insert into ahead values (1)"

    def setUp(self):
        self.client = self.connect()
        self.client.query("create table if not exists ahead(n int)")
        self.client.query("truncate ahead")

    def ways(self):
        return ("1 2 C:INSERT 0 1 Z:I", extended(self.INSERT) + sync()), ("C:INSERT 0 1 Z:I", query(self.INSERT))

    def test_of_a_statement_whose_values_are_not_taken(self):
        client = self.client
        self.assertEqual(client.ask(parse("a", "select $1::int + 1"), sync()), "1 Z:I")
        for number, (answer, ahead) in enumerate(self.ways(), 1):
            self.assertEqual(client.ask(bind("", "a", ["2"]), describe("P"), execute(), sync()),
                             "2 T:?column? D:3 C:SELECT 1 Z:I")
            client.send(ahead, bind("", "a", ["x"]), execute(), sync())
            self.assertEqual(client.answers(2), f"{answer} E:22P02 Z:I")
            self.assertEqual(client.value("select count(*) from ahead"), str(number))
        client.send(function_call(1397, [b"-7"]), bind("", "a", ["x"]), execute(), sync())
        self.assertEqual(client.answers(2), "V:7 Z:I E:22P02 Z:I")

    def test_of_one_whose_link_ends(self):
        ends = "do $$ begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(5); end $$"
        for number, (answer, ahead) in enumerate(self.ways(), 1):
            self.assertEqual(self.client.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")
            self.client.send(ahead, query(ends))
            self.assertEqual(self.client.answers(2), f"{answer} E:57P01 Z:I")
            self.assertEqual(self.client.value("select count(*) from ahead"), str(number))
        self.client.send(query("begin; " + self.INSERT), query(ends))
        self.assertEqual(self.client.answers(2), "C:BEGIN C:INSERT 0 1 Z:T E:57P01 Z:E")


class SentAheadThroughBased(SentAhead, Conversation):
    pool = "one"


class SentAheadInNested(SentAhead, Conversation):
    pool = "nested"


@both
class FunctionCalls:
    INT4ABS, FLOAT8DIV = 1397, 217

    def test_a_function_call_is_answered_and_is_a_unit_of_its_own(self):
        client, other = self.connect(), self.connect()
        self.assertEqual(client.ask(function_call(self.INT4ABS, [b"-7"])), "V:7 Z:I")
        self.assertEqual(client.ask(function_call(self.INT4ABS, [(-9 & 0xffffffff).to_bytes(4, "big")], [1], 1)),
                         "V:00000009 Z:I")
        self.assertEqual(client.ask(function_call(self.INT4ABS, [None])), "V:NULL Z:I")
        self.assertEqual(other.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")

    def test_in_a_transaction_and_with_errors(self):
        client = self.connect()
        self.assertEqual(client.ask(query("begin"), function_call(self.INT4ABS, [b"-7"]),
                                    function_call(self.FLOAT8DIV, [b"1", b"0"]), function_call(self.INT4ABS, [b"1"]),
                                    query("rollback")),
                         "C:BEGIN Z:T V:7 Z:T E:22012 Z:E E:25P02 Z:E C:ROLLBACK Z:I")
        self.assertEqual(client.ask(function_call(1, [])), "E:42883 Z:I")

    def test_among_other_messages(self):
        client = self.connect()
        self.assertEqual(client.ask(extended("select 1"), function_call(self.INT4ABS, [b"-1"]), extended("select 2"),
                                    sync()), "1 2 D:1 C:SELECT 1 V:1 Z:I 1 2 D:2 C:SELECT 1 Z:I")
        self.assertEqual(client.ask(extended(FAILS), sync(), function_call(self.INT4ABS, [b"-1"])),
                         "1 2 E:22012 Z:I V:1 Z:I")
        client.send(extended(FAILS), function_call(self.INT4ABS, [b"-1"]), sync())
        self.assertEqual(client.answers(), "1 2 E:22012 Z:I")

    def test_one_that_is_skipped_behind_an_error(self):
        client = self.connect()
        for _ in range(3):
            client.send(bind("", "nosuch"), function_call(self.INT4ABS, [b"-1"]), extended("select 1"), query("select 1"),
                        sync(), extended("select 2"), sync())
            self.assertEqual(client.answers(2), "E:26000 Z:I 1 2 D:2 C:SELECT 1 Z:I")
            self.assertTrue(client.quiet(0.05))

    def test_one_whose_commit_fails(self):
        client = self.connect()
        client.query("create table if not exists due (n int primary key)")
        client.query("create table if not exists owed (n int references due deferrable initially deferred); "
                     "create or replace function owe(n int) returns int language sql as 'insert into owed values (n) returning n'")
        owe = int(client.value("select 'owe'::regproc::oid"))
        self.assertEqual(client.ask(function_call(owe, [b"1"])), "V:1 E:23503 Z:I")
        self.assertEqual(client.ask(extended("insert into owed values (2) returning n"), function_call(self.INT4ABS, [b"-7"]), sync(),
                                    extended("select 1"), sync()),
                         "1 2 D:2 C:INSERT 0 1 V:7 E:23503 Z:I Z:I 1 2 D:1 C:SELECT 1 Z:I")

    def test_large_arguments(self):
        client = self.connect()
        length = 1257  # of a text, in characters
        self.assertEqual(client.ask(function_call(length, [b"x" * 3_000_000])), "V:3000000 Z:I")

    def test_a_transactions_modes_behind_one(self):
        client = self.connect()
        client.query("begin read only")
        self.assertEqual(client.ask(function_call(self.INT4ABS, [b"-7"])), "V:7 Z:T")
        self.assertEqual(client.query("set transaction read write"), "E:25001 Z:E")
        client.query("rollback")


class FunctionCallsInASandbox(FunctionCallsThroughBased):
    pool = "sandbox"


@both
class Notices:
    def test_notices_come_in_their_place(self):
        client = self.connect()
        do = "do $$ begin raise notice 'n%', 1; raise warning 'w'; end $$"
        self.assertEqual(client.query(do), "N:00000 N:01000 C:DO Z:I")
        self.assertEqual(client.ask(extended(do), extended("select 1"), sync()),
                         "1 2 N:00000 N:01000 C:DO 1 2 D:1 C:SELECT 1 Z:I")
        self.assertEqual([notice["M"] for notice in client.notices], ["n1", "w"] * 2)

    def test_begin_in_a_transaction_and_commit_outside_warn(self):
        client = self.connect()
        self.assertEqual(client.query("begin"), "C:BEGIN Z:T")
        self.assertEqual(client.query("begin"), "N:25001 C:BEGIN Z:T")
        self.assertEqual(client.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(client.query("commit"), "N:25P01 C:COMMIT Z:I")
        self.assertEqual(client.query("rollback"), "N:25P01 C:ROLLBACK Z:I")


class Counted(Conversation):
    def requests(self):
        with connect(f"unix:{self.servers.daemon.socket_path}") as native:
            return native.status()["postgres"]["requests_total"]

    def test_status_counts_what_gets_a_ready(self):
        client = self.connect()
        before = self.requests()
        client.ask(query("select 1"), extended("select 1"), extended("select 2"), sync(), sync(),
                   function_call(FunctionCalls.INT4ABS, [b"-7"]), query("s" * 200_000))
        self.assertEqual(self.requests() - before, 5)


class Rejected(Conversation):
    def test_a_message_of_no_known_type_ends_the_session_with_08P01(self):
        client, other = self.connect(), self.connect()
        client.send(message("j", b"what"))
        self.assertEqual(client.answers(), "E:08P01 closed")
        self.assertEqual(other.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")


if __name__ == "__main__":
    unittest.main()
