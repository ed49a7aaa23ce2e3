"""Prepared statements and portals as PostgreSQL's protocol has them, with one link under all clients."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import (bind, close, describe, execute, extended, fields, flush, message, parse, query, sync, text)
from wire_servers import Conversation, Servers, both

INT4, TEXT = 23, 25


def setUpModule():
    Conversation.servers = Servers()


@both
class InAFailedTransaction:
    def test_what_has_no_rows_is_described_wherever_the_server_has_it(self):
        client, other = self.connect(), self.connect()
        texts = ("close cur", "insert into pg_class select * from pg_class", "do $$ begin end $$", "set work_mem = 1")
        for name, sql in zip("abcd", texts):
            self.assertEqual(client.ask(parse(name, sql), sync()), "1 Z:I")
        self.assertEqual(client.ask(parse("r", "delete from pg_class returning 1"), sync()), "1 Z:I")
        self.assertEqual(other.query("deallocate all"), "C:DEALLOCATE ALL Z:I")
        self.assertEqual(client.query("begin; select 1/0"), "C:BEGIN E:22012 Z:E")
        for name in "abcd":
            self.assertEqual(client.ask(describe("S", name), close("S", name), sync()), "t: n 3 Z:E")
        self.assertEqual(client.ask(describe("S", "r"), sync()), "E:25P02 Z:E")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(client.ask(bind("", "a"), sync()), "E:26000 Z:I")

    def test_an_unnamed_statement_that_nothing_could_be_done_with_is_not_taken_for_one_that_is_there(self):
        client, other = self.connect(), self.connect()
        for behind in (bind(), bind() + parse("", "select 2"), parse("", "select 1")):
            with self.subTest(behind=behind):
                self.assertEqual(client.ask(parse("begin", "begin"), parse("", "select 1"), sync()), "1 1 Z:I")
                self.assertEqual(other.ask(extended("select 'other'"), sync()), "1 2 D:other C:SELECT 1 Z:I")
                self.assertEqual(client.ask(bind("", "begin"), execute(), sync()), "2 C:BEGIN Z:T")
                self.assertEqual(client.ask(bind("", "nothing"), behind, sync()), "E:26000 Z:E")
                self.assertEqual(client.ask(describe("S"), sync()), "E:25P02 Z:E")
                self.assertEqual(client.ask(bind(), sync()), "E:25P02 Z:E")
                self.assertEqual(client.ask(extended("rollback"), close("S", "begin"), sync()),
                                 "1 2 C:ROLLBACK 3 Z:I")


@both
class WhatCannotBeParsedAgain:
    """What a statement was prepared for is not there under this search_path."""

    def setUp(self):
        self.client = self.connect()
        self.addCleanup(self.client.query, "drop schema if exists apart cascade")
        self.client.query("create schema apart; create table apart.parted (a int); insert into apart.parted values (7); "
                          "set search_path = apart")
        self.client.ask(parse("b", "select a from parted"), sync())

    def test_it_is_deallocated_with_other_statements(self):
        self.client.query("set search_path = public")
        self.assertEqual(self.client.query("select 1 as a; deallocate b"), "T:a D:1 C:SELECT 1 C:DEALLOCATE Z:I")
        self.assertEqual(self.client.query("execute b"), "E:26000 Z:I")

    def test_a_prepare_of_its_name_is_what_is_refused(self):
        self.client.query("set search_path = public")
        self.assertEqual(self.client.query("prepare b as select 1; execute b"), "E:42P05 Z:I")
        self.assertEqual(self.client.query("deallocate b; prepare b as select 1 as a; execute b"),
                         "C:DEALLOCATE C:PREPARE T:a D:1 C:SELECT 1 Z:I")
        self.assertEqual(self.client.query("execute b; deallocate b; execute b"), "T:a D:1 C:SELECT 1 C:DEALLOCATE E:26000 Z:I")

    def test_its_error_behind_an_open_batch_is_the_querys(self):
        for behind in ((), (extended("select 2"),)):
            said = self.client.ask(parse("", "set local search_path = public"), bind(), execute(), query("execute b"),
                                   *behind, sync())
            self.assertEqual(said, "1 2 N:25P01 C:SET E:42P01 Z:I " + ("1 2 D:2 C:SELECT 1 Z:I" if behind else "Z:I"))
            self.assertEqual(self.client.query("execute b"), "T:a D:7 C:SELECT 1 Z:I")
            self.assertEqual(self.client.ask(execute("none"), query("execute b"), sync(), ready=1), "E:34000 Z:I")


@both
class DroppedInATextThatFails:
    def test_it_is_dropped_where_the_text_is_not_committed(self):
        client, other = self.connect(), self.connect()
        self.addCleanup(client.query, "drop table if exists once")
        client.query("create table once (n int unique deferrable initially deferred)")
        client.ask(parse("mine", "select 1 as a"), sync())
        other.ask(parse("same", "select 1 as a"), sync())
        self.assertEqual(client.query("insert into once values (1), (1); deallocate all"), "C:INSERT 0 2 E:23505 Z:I")
        self.assertEqual(other.ask(bind("", "same"), execute(), sync()), "2 D:1 C:SELECT 1 Z:I")
        self.assertEqual(client.ask(bind("", "mine"), execute(), sync()), "E:26000 Z:I")


@both
class BehindAPortal:
    def test_an_execute_in_it_finds_what_was_prepared_since_it_was_bound(self):
        client = self.connect()
        client.query("begin")
        self.assertEqual(client.ask(parse("", "execute later"), bind("p"), sync()), "1 2 Z:T")
        self.assertEqual(client.ask(parse("later", "select 7 as a"), sync()), "1 Z:T")
        self.assertEqual(client.ask(execute("p"), sync()), "C:SELECT 1 Z:T")  # no row: it had no columns
        client.query("rollback")

    def test_what_one_with_rows_left_has_changed_is_seen_behind_a_parse(self):
        client, other = self.connect(), self.connect()
        self.addCleanup(client.query, "drop table if exists changed")
        client.query("create table changed (n int); insert into changed values (1)")
        self.assertEqual(other.ask(parse("there", "select n from changed"), sync()), "1 Z:I")
        change = parse("", "update changed set n = n + 1 returning n"), bind(), execute("", 1)
        for ready in ("D:2", "D:3"):
            self.assertEqual(client.ask(*change, parse("s", "select n from changed"), bind("", "s"), execute(), close("S", "s"), sync()),
                             f"1 2 {ready} s 1 2 {ready} C:SELECT 1 3 Z:I")


@both
class UnnamedStatements:
    def test_an_unnamed_statement_outlives_its_sync_and_another_client_on_the_same_link(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.ask(parse("", "select $1::int + 1 as a"), describe("S"), sync()), "1 t:23 T:a Z:I")
        self.assertEqual(second.ask(extended("select 'other'"), sync()), "1 2 D:other C:SELECT 1 Z:I")
        self.assertEqual(first.ask(bind("", "", ["41"]), execute(), sync()), "2 D:42 C:SELECT 1 Z:I")
        self.assertEqual(second.ask(bind(), execute(), sync()), "2 D:other C:SELECT 1 Z:I")
        self.assertEqual(first.ask(describe("S"), sync()), "t:23 T:a Z:I")

    def test_its_parameter_types_are_remembered(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.ask(parse("", "select $1 as a", [INT4]), sync()), "1 Z:I")
        second.query("select 1")
        self.assertEqual(first.ask(describe("S"), bind("", "", ["7"]), execute(), sync()),
                         "t:23 T:a 2 D:7 C:SELECT 1 Z:I")

    def test_a_query_drops_it(self):
        client, other = self.connect(), self.connect()
        client.ask(parse("", "select 1"), sync())
        client.query("select 2")
        other.ask(parse("", "select 'not yours'"), sync())
        self.assertEqual(client.ask(bind(), execute(), sync()), "E:26000 Z:I")

    def test_one_that_failed_to_parse_is_gone_and_nobody_else_is_found_in_its_place(self):
        client, other = self.connect(), self.connect()
        client.ask(parse("", "select 1"), sync())
        self.assertEqual(client.ask(parse("", "selec 1"), sync()), "E:42601 Z:I")
        other.ask(parse("", "select 'not yours'"), sync())
        self.assertEqual(client.ask(bind(), execute(), sync()), "E:26000 Z:I")
        self.assertEqual(client.ask(describe("S"), sync()), "E:26000 Z:I")

    def test_a_new_client_has_none(self):
        self.connect().ask(parse("", "select 1"), sync())
        client = self.connect()
        self.assertEqual(client.ask(bind(), execute(), sync()), "E:26000 Z:I")
        self.assertEqual(client.error(describe("S"), sync())["M"], "unnamed prepared statement does not exist")

    def test_closing_it_drops_it(self):
        client = self.connect()
        client.ask(parse("", "select 1"), sync())
        self.assertEqual(client.ask(close("S"), bind(), sync()), "3 E:26000 Z:I")
        self.assertEqual(client.ask(close("S"), sync()), "3 Z:I")

    def test_what_is_skipped_behind_an_error_does_not_replace_it(self):
        client, other = self.connect(), self.connect()
        for skipped in (parse("", "select 'b'"), parse("", "select 'a'"), parse("", "selec"), close("S"),
                        query("select 1"),
                        parse("", "select 'b'") + bind() + execute() + parse("", "select 'c'"),
                        parse("", "select 'b'") + query("select 2")):
            with self.subTest(skipped=skipped):
                self.assertEqual(client.ask(parse("", "select 'a'"), sync()), "1 Z:I")
                other.ask(extended("select 'other'"), sync())
                client.send(bind("", "nosuch"), skipped, sync())
                self.assertEqual(client.answers(), "E:26000 Z:I")
                self.assertEqual(client.ask(bind(), execute(), sync()), "2 D:a C:SELECT 1 Z:I")
                other.ask(extended("select 'other'"), sync())
                self.assertEqual(client.ask(bind(), execute(), sync()), "2 D:a C:SELECT 1 Z:I")

    def test_a_failure_pipelined_ahead_does_not_touch_a_later_one(self):
        client, other = self.connect(), self.connect()
        for ahead, said in ((parse("", "selec"), "E:42601"), (bind("", "nosuch"), "E:26000"),
                            (bind("", "nosuch") + parse("", "select 'b'"), "E:26000"), (parse("", "select 'b'"), "1"),
                            (parse("", "selec") + parse("", "select 'b'"), "E:42601"), (close("S"), "3")):
            with self.subTest(ahead=ahead):
                self.assertEqual(client.ask(ahead, sync(), parse("", "select 'a'"), sync(), bind(), execute(), sync()),
                                 said + " Z:I 1 Z:I 2 D:a C:SELECT 1 Z:I")
                other.ask(extended("select 'other'"), sync())
                self.assertEqual(client.ask(bind(), execute(), sync()), "2 D:a C:SELECT 1 Z:I")

    def test_a_bind_pipelined_behind_a_failure(self):
        client = self.connect()
        client.send(parse("", "select 'a'"), sync(), bind("", "nosuch"), query("select 'skipped'"), sync(), bind(),
                    execute(), sync())
        self.assertEqual(client.answers(3), "1 Z:I E:26000 Z:I 2 D:a C:SELECT 1 Z:I")
        self.assertEqual(client.ask(parse("", "selec"), sync(), bind(), sync(), describe("S"), sync()),
                         "E:42601 Z:I E:26000 Z:I E:26000 Z:I")

    def test_one_that_fails_again_is_gone(self):
        client, other = self.connect(), self.connect()
        client.query("create table if not exists fleeting(a int)")
        self.assertEqual(client.ask(parse("", "select a from fleeting"), sync()), "1 Z:I")
        client.ask(parse("d", "drop table fleeting"), bind("", "d"), execute(), close("S", "d"), sync())
        self.assertEqual(client.ask(parse("", "select a from fleeting"), parse("", "select 1"), sync()), "E:42P01 Z:I")
        other.ask(extended("select 'other'"), sync())
        self.assertEqual(client.ask(bind(), execute(), sync()), "E:26000 Z:I")

    def test_one_whose_table_is_gone_is_still_there(self):
        client, other = self.connect(), self.connect()
        other.query("create table if not exists fleeting(a int)")
        self.assertEqual(client.ask(parse("", "select a from fleeting"), sync()), "1 Z:I")
        other.query("drop table fleeting")
        self.assertEqual(client.ask(bind(), execute(), sync()), "E:42P01 Z:I")
        other.query("create table fleeting(a int)")
        self.assertEqual(client.ask(bind(), execute(), sync()), "2 C:SELECT 0 Z:I")
        other.query("drop table fleeting")

    def test_it_outlives_a_rolled_back_transaction(self):
        client, other = self.connect(), self.connect()
        client.query("begin")
        client.ask(parse("", "select 5"), sync())
        client.query("rollback")  # a Query: it drops the unnamed statement
        self.assertEqual(client.ask(bind(), sync()), "E:26000 Z:I")
        self.assertEqual(client.ask(extended("begin"), sync()), "1 2 C:BEGIN Z:T")
        self.assertEqual(client.ask(parse("", "select 5"), sync()), "1 Z:T")
        self.assertEqual(client.ask(parse("r", "rollback"), bind("", "r"), execute(), sync()), "1 2 C:ROLLBACK Z:I")
        other.query("select 1")
        self.assertEqual(client.ask(bind(), execute(), sync()), "2 D:5 C:SELECT 1 Z:I")


@both
class Surprises:
    def test_execute_of_what_the_protocol_prepared_is_what_that_says(self):
        first, second = self.connect(), self.connect()
        first.ask(parse("b", "set timezone = 'Asia/Tokyo'"), sync())
        self.assertEqual(first.query("execute b"), "C:SET Z:I")
        self.assertEqual(second.query("show timezone"), "T:TimeZone D:Etc/UTC C:SHOW Z:I")
        self.assertEqual(first.query("show timezone"), "T:TimeZone D:Asia/Tokyo C:SHOW Z:I")
        second.ask(parse("c", "set work_mem = '7MB'"), parse("d", "execute c"), bind("", "d"), execute(), sync())
        self.assertEqual(first.query("show work_mem"), "T:work_mem D:4MB C:SHOW Z:I")
        self.assertEqual(second.query("show work_mem"), "T:work_mem D:7MB C:SHOW Z:I")

    def test_a_transaction_with_modes_finds_what_another_client_has_dropped(self):
        client, other = self.connect(), self.connect()
        self.assertEqual(client.ask(parse("a", "select $1::int as n", [INT4]), query("prepare b as select 2 as n")),
                         "1 C:PREPARE Z:I")
        shown = "T:transaction_isolation D:repeatable read C:SHOW C:COMMIT"
        begins = ("begin isolation level repeatable read", "start transaction isolation level repeatable read",
                  "begin; set transaction isolation level repeatable read")
        for begin in begins:
            for execute, row in (("execute a(1)", 1), ("execute b", 2)):
                for ahead in (b"", query("select 3 as n")):
                    with self.subTest(begin=begin, execute=execute, ahead=ahead):
                        self.assertEqual(other.query("deallocate all"), "C:DEALLOCATE ALL Z:I")
                        told = client.ask(ahead, query(f"{begin}; {execute}; show transaction_isolation; commit"))
                        if ahead:
                            told = told.removeprefix("T:n D:3 C:SELECT 1 Z:I ")
                        self.assertRegex(told, f"^C:(BEGIN|START TRANSACTION|BEGIN C:SET) T:n D:{row} C:SELECT 1 {shown} Z:I$")
        other.query("deallocate all")
        self.assertEqual(client.query("begin isolation level serializable; execute a(1); select 1/0"),
                         "C:BEGIN T:n D:1 C:SELECT 1 E:22012 Z:E")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(client.query("begin isolation level serializable; execute c"), "C:BEGIN E:26000 Z:E")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")

    def test_a_literal_means_what_it_meant_where_it_was_parsed(self):
        moment = "select extract(epoch from '2020-02-03 04:05'::timestamptz) as e"
        for sets in ("set local timezone to 'Asia/Tokyo'", "select set_config('timezone', 'Asia/Tokyo', true)"):
            with self.subTest(sets):
                client = self.connect()
                client.query("begin")
                client.query(sets)
                self.assertEqual(client.ask(parse("one", moment), bind("", "one"), execute(), sync()),
                                 "1 2 D:1580670300.000000 C:SELECT 1 Z:T")
                self.assertEqual(client.query("commit"), "C:COMMIT Z:I")
                self.assertEqual(client.ask(parse("two", moment), bind("", "two"), execute(), sync()),
                                 "1 2 D:1580702700.000000 C:SELECT 1 Z:I")


@both
class NamedStatements:
    def test_each_client_has_its_own_names(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.ask(parse("s", "select 'first'"), sync()), "1 Z:I")
        self.assertEqual(second.ask(parse("s", "select 'second'"), sync()), "1 Z:I")
        for _ in range(2):
            self.assertEqual(first.ask(bind("", "s"), execute(), sync()), "2 D:first C:SELECT 1 Z:I")
            self.assertEqual(second.ask(bind("", "s"), execute(), sync()), "2 D:second C:SELECT 1 Z:I")
        self.assertEqual(self.connect().ask(bind("", "s"), sync()), "E:26000 Z:I")

    def test_the_same_text_with_other_types_is_another_statement(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.ask(parse("s", "select $1 as a", [INT4]), describe("S", "s"), sync()), "1 t:23 T:a Z:I")
        self.assertEqual(second.ask(parse("s", "select $1 as a", [TEXT]), describe("S", "s"), sync()),
                         "1 t:25 T:a Z:I")
        self.assertEqual(first.ask(bind("", "s", ["x"]), sync()), "E:22P02 Z:I")
        self.assertEqual(second.ask(bind("", "s", ["x"]), execute(), sync()), "2 D:x C:SELECT 1 Z:I")

    def test_a_name_taken_is_42P05_and_the_old_statement_stays(self):
        client = self.connect()
        client.ask(parse("s", "select 1"), sync())
        self.assertEqual(client.error(parse("s", "select 2"), sync())["M"], 'prepared statement "s" already exists')
        self.assertEqual(client.ask(parse("s", "select 2"), bind("", "s"), execute(), sync()), "E:42P05 Z:I")
        self.assertEqual(client.ask(bind("", "s"), execute(), sync()), "2 D:1 C:SELECT 1 Z:I")
        self.assertEqual(client.ask(parse("s", "select 1"), sync()), "E:42P05 Z:I")

    def test_unknown_names_are_26000_in_the_clients_own_words(self):
        client = self.connect()
        for part in (bind("", "nosuch"), describe("S", "nosuch")):
            error = client.error(part, sync())
            self.assertEqual((error["C"], error["M"]), ("26000", 'prepared statement "nosuch" does not exist'))
        self.assertEqual(client.ask(close("S", "nosuch"), sync()), "3 Z:I")
        self.assertEqual(client.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")

    def test_one_that_failed_to_parse_is_not_remembered(self):
        client = self.connect()
        self.assertEqual(client.ask(parse("s", "selec 1"), bind("", "s"), execute(), sync()), "E:42601 Z:I")
        self.assertEqual(client.ask(bind("", "s"), execute(), sync()), "E:26000 Z:I")
        self.assertEqual(client.ask(parse("s", "select 2"), bind("", "s"), execute(), sync()),
                         "1 2 D:2 C:SELECT 1 Z:I")

    def test_one_parsed_behind_an_error_was_never_parsed(self):
        client = self.connect()
        self.assertEqual(client.ask(parse("a", "selec"), parse("b", "select 1"), sync()), "E:42601 Z:I")
        self.assertEqual(client.ask(bind("", "b"), sync()), "E:26000 Z:I")
        self.assertEqual(client.ask(parse("b", "select 3"), bind("", "b"), execute(), sync()),
                         "1 2 D:3 C:SELECT 1 Z:I")

    def test_one_closed_behind_an_error_is_still_there(self):
        client = self.connect()
        client.ask(parse("s", "select 1"), sync())
        self.assertEqual(client.ask(parse("", "selec"), close("S", "s"), sync()), "E:42601 Z:I")
        self.assertEqual(client.ask(bind("", "s"), execute(), sync()), "2 D:1 C:SELECT 1 Z:I")

    def test_close_and_parse_again_in_one_pipeline(self):
        client = self.connect()
        client.ask(parse("s", "select 1"), sync())
        self.assertEqual(client.ask(close("S", "s"), parse("s", "select 2"), bind("", "s"), execute(), close("S", "s"),
                                    parse("s", "select 3"), bind("", "s"), execute(), sync()),
                         "3 1 2 D:2 C:SELECT 1 3 1 2 D:3 C:SELECT 1 Z:I")

    def test_names_whose_fate_is_not_known_yet(self):
        client, other = self.connect(), self.connect()
        for _ in range(2):
            self.assertEqual(client.ask(parse("s", "select 'a'"), sync(), bind("", "nosuch"), close("S", "s"), sync(),
                                        parse("s", "select 'b'"), sync(), bind("", "s"), execute(), sync()),
                             "1 Z:I E:26000 Z:I E:42P05 Z:I 2 D:a C:SELECT 1 Z:I")
            self.assertEqual(client.ask(parse("t", "selec"), sync(), close("S", "t"), sync(), close("S", "s"), sync(),
                                        parse("t", "select 't'"), parse("s", "select 's'"), sync()),
                             "E:42601 Z:I 3 Z:I 3 Z:I 1 1 Z:I")
            other.query("select 1")
            self.assertEqual(client.ask(bind("", "s"), execute(), bind("", "t"), execute(), close("S", "s"),
                                        close("S", "t"), sync()),
                             "2 D:s C:SELECT 1 2 D:t C:SELECT 1 3 3 Z:I")

    def test_a_closed_statements_portals_go_with_it(self):
        client = self.connect()
        client.query("begin")
        self.assertEqual(client.ask(parse("s", "select generate_series(1, 4) as n"), bind("p", "s"), execute("p", 1),
                                    close("S", "s"), execute("p", 1), sync()),
                         "1 2 D:1 s 3 D:2 s Z:T")
        client.query("rollback")

    def test_those_of_a_rolled_back_transaction_stay(self):
        client, other = self.connect(), self.connect()
        client.query("begin")
        client.ask(parse("s", "select 9"), sync())
        client.query("rollback")
        other.query("select 1")
        self.assertEqual(client.ask(bind("", "s"), execute(), sync()), "2 D:9 C:SELECT 1 Z:I")

    def test_a_failed_transaction_takes_no_new_ones_but_keeps_the_old(self):
        client = self.connect()
        client.ask(parse("s", "select 9"), sync())
        client.query("begin; select 1/0")
        self.assertEqual(client.ask(parse("n", "select 1"), sync()), "E:25P02 Z:E")
        self.assertEqual(client.ask(parse("n", "select 9"), sync()), "E:25P02 Z:E")
        self.assertEqual(client.ask(bind("", "s"), sync()), "E:25P02 Z:E")
        self.assertEqual(client.ask(parse("r", "rollback"), bind("", "r"), execute(), sync()), "1 2 C:ROLLBACK Z:I")
        self.assertEqual(client.ask(bind("", "n"), sync()), "E:26000 Z:I")
        self.assertEqual(client.ask(bind("", "s"), execute(), sync()), "2 D:9 C:SELECT 1 Z:I")

    def test_behind_the_end_of_a_failed_transaction_in_one_pipeline_all_are_there(self):
        client, other = self.connect(), self.connect()
        client.query("prepare b as select 5, 'prepared'")
        other.query("prepare b as select 'not yours'")
        for end in ("commit", "rollback"):
            client.query("begin; select 1/0")
            self.assertEqual(client.ask(parse("", end), bind(), execute(), bind("", "b"), execute(), sync()),
                             "1 2 C:ROLLBACK 2 D:5|prepared C:SELECT 1 Z:I")

    def test_what_is_refused_in_a_transaction_leaves_the_unnamed_statement(self):
        client = self.connect()
        client.ask(parse("a", "select 1"), parse("", "begin"), bind(), execute(), sync())
        self.assertEqual(client.ask(parse("a", "select 2"), sync()), "E:42P05 Z:E")
        self.assertEqual(client.ask(describe("S"), sync()), "t: n Z:E")

    def test_one_without_rows_is_described_whatever_its_text_means_by_now(self):
        client = self.connect()
        client.query("create schema elsewhere; create table here(n int); create table elsewhere.here(m int)")
        client.ask(parse("u", "update here set n = $1"), parse("s", "select n from here"), sync())
        client.query("set search_path to elsewhere")
        self.assertEqual(client.ask(describe("S", "u"), sync()), "t:23 n Z:I")
        self.assertEqual(client.ask(describe("S", "s"), sync()), "t: E:42703 Z:I")
        client.query("drop schema elsewhere cascade; drop table public.here; reset search_path")

    def test_in_a_failed_transaction_what_was_skipped_leaves_the_unnamed_statement(self):
        client = self.connect()
        client.ask(parse("", "begin"), bind(), execute(), sync())
        self.assertEqual(client.ask(parse("x", "select 1/0"), bind("", "x"), execute(), parse("", "select 2"), sync()), "1 E:22012 Z:E")
        self.assertEqual(client.ask(describe("S"), sync()), "t: n Z:E")

    def test_an_error_names_the_clients_statement_whatever_it_was_parsed_under(self):
        client = self.connect()
        client.ask(parse("own", "select $1::date"), sync())
        for setting in ("select 1", "begin; set local datestyle to german"):
            client.query(setting)
            self.assertIn('statement "own" requires 1', client.error(bind("", "own"), sync())["M"])
        client.query("rollback")
        self.assertIn('statement "own" requires 1', client.error(bind("", "own"), sync(), close("S", "own"), sync())["M"])
        client.ask(parse("own", "select $1::date"), sync())
        client.send(query("release nosuch"), query("set work_mem = '5MB'"), sync(), bind("", "own"), sync())
        said = [fields(body)["M"] for kind, body in client.messages(4) if kind == "E"]
        self.assertIn('statement "own" requires 1', said[1])

    def test_a_prepare_of_a_name_that_is_taken_is_refused_whatever_that_means_by_now(self):
        client, other = self.connect(), self.connect()
        client.query("create table gone(n int); prepare taken as select n from gone; drop table gone")
        other.query("prepare taken as select 1")
        self.assertEqual(client.query("prepare taken as select 2"), "E:42P05 Z:I")
        self.assertEqual(client.query("execute taken"), "E:42P01 Z:I")

    def test_an_execute_is_described_as_what_it_executed_when_it_was_parsed(self):
        client, other = self.connect(), self.connect()
        client.ask(parse("b", "select 1 as n"), parse("", "execute b"), sync())
        other.ask(parse("", "select 2"), sync())
        self.assertEqual(client.ask(close("S", "b"), sync()), "3 Z:I")
        self.assertEqual(client.ask(describe("S"), sync()), "t: E:26000 Z:I")
        self.assertEqual(client.ask(parse("b", "select 3 as n"), describe("S"), sync()), "1 t: T:n Z:I")

    def test_an_execute_of_a_name_that_came_later_or_was_another_is_described_as_it_was_parsed(self):
        client, other = self.connect(), self.connect()
        client.ask(parse("", "execute b"), parse("b", "select 1 as n"), sync())
        other.query("select 2")
        self.assertEqual(client.ask(describe("S"), sync()), "t: n Z:I")
        self.assertEqual(client.ask(parse("", "execute b"), close("S", "b"), parse("b", "select 3 as m"), sync()), "1 3 1 Z:I")
        other.query("select 2")
        self.assertEqual(client.ask(describe("S"), sync()), "t: T:n Z:I")
        self.assertEqual(client.ask(describe("S", "b"), bind("", "b"), execute(), sync()), "t: T:m 2 D:3 C:SELECT 1 Z:I")

    def test_what_has_no_rows_is_described_where_its_table_is_gone(self):
        client, other = self.connect(), self.connect()
        client.query("create table gone_soon(n int)")
        client.ask(parse("", "insert into gone_soon values (1)"), sync())
        other.query("drop table gone_soon")
        self.assertEqual(client.ask(describe("S"), sync()), "t: n Z:I")
        self.assertEqual(client.ask(bind(), execute(), sync()), "E:42P01 Z:I")

    def test_names_and_texts_longer_than_any_buffer(self):
        client, other = self.connect(), self.connect()
        long, shorter, sql = "n" * 60_000, "m" * 9_900, "select 1 as a" + " " * 300_000
        self.assertEqual(client.ask(parse(long, sql), parse(shorter, "select 2"), sync()), "1 1 Z:I")
        other.ask(parse(long, "select 3"), sync())
        self.assertEqual(client.ask(bind("", long), describe("P"), execute(), sync()), "2 T:a D:1 C:SELECT 1 Z:I")
        portal = "p" * 9_900  # a Describe, Close or Execute may have 10000 bytes
        self.assertEqual(client.ask(describe("S", shorter), bind(portal, shorter), describe("P", portal),
                                    execute(portal), close("P", portal), sync()),
                         "t: T:?column? 2 T:?column? D:2 C:SELECT 1 3 Z:I")
        self.assertEqual(client.ask(close("S", shorter), bind("", shorter), sync()), "3 E:26000 Z:I")

    def test_names_with_quotes_and_bytes_beyond_ascii(self):
        client, other = self.connect(), self.connect()
        for name in ('a"b', "gr\u00fcn \U0001f600", "a'; drop table x; --"):
            with self.subTest(name=name):
                self.assertEqual(client.ask(parse(name, "select 1"), sync()), "1 Z:I")
                other.query("select 1")
                self.assertEqual(client.ask(bind("", name), execute(), close("S", name), sync()),
                                 "2 D:1 C:SELECT 1 3 Z:I")

    def test_more_statements_than_a_link_keeps(self):
        client, other = self.connect(), self.connect()
        for start in range(0, 600, 200):
            parses = b"".join(parse(f"s{i}", f"select {i}") for i in range(start, start + 200))
            self.assertEqual(client.ask(parses, sync()), "1 " * 200 + "Z:I")
        other.query("select 1")
        some = [*range(0, 600, 7), *range(599, 0, -11)]
        binds = b"".join(bind("", f"s{i}") + execute() for i in some)
        self.assertEqual(client.ask(binds, sync()), "".join(f"2 D:{i} C:SELECT 1 " for i in some) + "Z:I")


@both
class Portals:
    def test_a_row_limit_suspends_and_goes_on_inside_a_transaction(self):
        client, other = self.connect("two"), self.connect("two")
        client.query("begin")
        self.assertEqual(client.ask(parse("", "select generate_series(1, 5)"), bind("p"), execute("p", 2), sync()),
                         "1 2 D:1 D:2 s Z:T")
        other.query("select 1")
        self.assertEqual(client.ask(execute("p", 2), sync()), "D:3 D:4 s Z:T")
        self.assertEqual(client.ask(execute("p", 2), sync()), "D:5 C:SELECT 1 Z:T")
        self.assertEqual(client.ask(execute("p", 2), sync()), "C:SELECT 0 Z:T")
        client.query("commit")
        self.assertEqual(client.ask(execute("p"), sync()), "E:34000 Z:I")

    def test_a_row_limit_outside_a_transaction_ends_with_the_sync(self):
        client = self.connect()
        self.assertEqual(client.ask(parse("", "select generate_series(1, 5)"), bind(), execute("", 2), execute("", 2),
                                    sync()), "1 2 D:1 D:2 s D:3 D:4 s Z:I")
        self.assertEqual(client.ask(execute("", 2), sync()), "E:34000 Z:I")

    def test_a_limit_of_exactly_the_rows_there_are(self):
        client = self.connect()
        self.assertEqual(client.ask(extended("select generate_series(1, 2)", rows=2), execute("", 2), sync()),
                         "1 2 D:1 D:2 s C:SELECT 0 Z:I")

    def test_a_suspended_portal_keeps_the_link_over_flushes(self):
        client, other = self.connect(), self.connect()
        client.send(parse("", "select generate_series(1, 3)"), bind("p"), execute("p", 1), flush())
        self.assertEqual(client.take(4), "1 2 D:1 s")
        other.send(query("select 'other'"))
        for number in (2, 3):
            client.send(execute("p", 1), flush())
            self.assertEqual(client.take(2), f"D:{number} s")
        if not self.directly:
            self.assertTrue(other.quiet(), "the only link is taken")
        client.send(execute("p", 1), sync())
        self.assertEqual(client.answers(), "C:SELECT 0 Z:I")
        self.assertEqual(other.answers(), "T:?column? D:other C:SELECT 1 Z:I")

    def test_writes_with_returning_and_limits(self):
        client = self.connect()
        client.query("create table if not exists limited(n int)")
        client.query("begin")
        self.assertEqual(client.ask(extended("insert into limited select generate_series(1, 3) returning n", rows=1),
                                    execute("", 1), sync()), "1 2 D:1 s D:2 s Z:T")
        self.assertEqual(client.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(client.value("select count(*) from limited"), "3")
        client.query("drop table limited")

    def test_portals_of_one_transaction_are_read_in_turn(self):
        client = self.connect()
        client.query("begin")
        client.ask(parse("s", "select $1 || generate_series(1, 3)"), bind("a", "s", ["a"]), bind("b", "s", ["b"]),
                   sync())
        self.assertEqual(client.ask(execute("a", 1), execute("b", 2), execute("a", 1), describe("P", "b"), execute("b"),
                                    sync()), "D:a1 s D:b1 D:b2 s D:a2 s T:?column? D:b3 C:SELECT 1 Z:T")
        self.assertEqual(client.ask(close("P", "a"), execute("a"), sync()), "3 E:34000 Z:E")
        client.query("rollback")

    def test_unknown_and_taken_portals(self):
        client = self.connect()
        for part, code in ((execute("nosuch"), "34000"), (describe("P", "nosuch"), "34000")):
            self.assertEqual(client.ask(part, sync()), f"E:{code} Z:I")
        self.assertEqual(client.ask(close("P", "nosuch"), sync()), "3 Z:I")
        self.assertEqual(client.ask(parse("", "select 1"), bind("p"), bind("p"), sync()), "1 2 E:42P03 Z:I")
        self.assertEqual(client.ask(parse("", "select 1"), bind(), bind(), execute(), sync()),
                         "1 2 2 D:1 C:SELECT 1 Z:I")

    def test_formats_of_parameters_and_results(self):
        client = self.connect()
        seven = (7).to_bytes(4, "big")
        ask = [parse("", "select $1::int, $2::text, $1::int"), bind("", "", [seven, "x"], [1, 0], [1, 0, 0]),
               describe("P"), execute(), sync()]
        self.assertEqual(client.ask(*ask), "1 2 T:int4,text,int4 D:00000007|x|7 C:SELECT 1 Z:I")
        self.assertEqual(client.ask(parse("", "select $1::int"), bind("", "", [b"abc"], [1]), sync()), "1 E:08P01 Z:I")
        self.assertEqual(client.ask(parse("", "select $1::int"), bind("", "", [None]), execute(), sync()),
                         "1 2 D:NULL C:SELECT 1 Z:I")

    def test_wrong_numbers_of_values_and_formats(self):
        client = self.connect()
        client.ask(parse("s", "select $1::int, $2::int"), sync())
        for values, formats, results in ((["1"], (), ()), (["1", "2", "3"], (), ()), (["1", "2"], [0, 0, 0], ()),
                                         (["1", "2"], (), [0, 0, 0])):
            with self.subTest(values=values, formats=formats, results=results):
                self.assertEqual(client.ask(bind("", "s", values, formats, results), sync()), "E:08P01 Z:I")
        self.assertEqual(client.ask(bind("", "s", ["1", "2"], [7]), sync()), "E:22023 Z:I")

    def test_a_statement_that_returns_nothing_has_no_description(self):
        client = self.connect()
        self.assertEqual(client.ask(parse("", "set work_mem = '5MB'"), describe("S"), bind(), describe("P"), sync()),
                         "1 t: n 2 n Z:I")
        self.assertEqual(client.ask(parse("", ""), describe("S"), bind(), describe("P"), execute(), sync()),
                         "1 t: n 2 n I Z:I")

    def test_cursors_of_sql_are_portals(self):
        client = self.connect()
        client.query("begin; declare c cursor for select generate_series(1, 3)")
        self.assertEqual(client.ask(describe("P", "c"), execute("c", 1), sync()), "T:generate_series D:1 s Z:T")
        self.assertEqual(client.query("fetch 1 from c"), "T:generate_series D:2 C:FETCH 1 Z:T")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")


class Rejected(Conversation):
    def test_a_describe_or_close_of_neither_kind_is_08P01_and_the_session_lives(self):
        client = self.connect()
        for kind in "DC":
            self.assertEqual(client.ask(message(kind, b"X" + text("a")), sync()), "E:08P01 Z:I")
        self.assertEqual(client.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")


if __name__ == "__main__":
    unittest.main()
