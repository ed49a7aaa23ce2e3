"""A sandbox answers as PostgreSQL does, where its transactions are savepoints of a root."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import PgClient, bind, close, describe, execute, extended, function_call, parse, query, sync
from wire_servers import Conversation, Servers, both


def setUpModule():
    Conversation.servers = Servers(pools={"one": "force_rollback = true"})
    Conversation.servers.cluster.query("create table t(n int); create table t2(n int primary key)", "one")


@both
class Sandbox:
    def test_a_function_that_drops_every_prepared_statement_takes_no_transaction_with_it(self):
        self.server("create or replace function drop_all() returns int language plpgsql "
                    "as $$ begin execute 'deallocate all'; return 1; end $$")
        client = self.connect()
        self.addCleanup(client.query, "delete from t where n = 80")

        def simple(sql):
            return client.query(sql).partition(" ")[2] if sql.startswith("select") else client.query(sql)

        def by_extended(sql):
            return client.ask(extended(sql), sync()).removeprefix("1 2 ")

        for run in (simple, by_extended):
            with self.subTest(run.__name__):
                for end, kept in (("commit", 1), ("rollback", 0), ("release s", 1)):
                    for _ in range(2):  # so that whatever is kept for the next time is there
                        self.assertEqual(run("begin"), "C:BEGIN Z:T")
                        self.assertEqual(run("savepoint s"), "C:SAVEPOINT Z:T")
                        self.assertEqual(run("insert into t values (80)"), "C:INSERT 0 1 Z:T")
                        self.assertEqual(run("select drop_all()"), "D:1 C:SELECT 1 Z:T")
                        if end == "release s":
                            self.assertEqual(run(end), "C:RELEASE Z:T")
                        last = "rollback" if end == "rollback" else "commit"
                        self.assertEqual(run(last), f"C:{last.upper()} Z:I")
                        self.assertEqual(run("delete from t where n = 80"), f"C:DELETE {kept} Z:I")
                self.assertEqual(run("select drop_all()"), "D:1 C:SELECT 1 Z:I")
                self.assertEqual(run("insert into t values (80)"), "C:INSERT 0 1 Z:I")
                self.assertEqual(run("delete from t where n = 80"), "C:DELETE 1 Z:I")

    def test_the_unnamed_statement_is_there_behind_a_savepoint_and_a_commit(self):
        client = self.connect()
        self.assertEqual(client.ask(parse("begin", "begin"), parse("s", "savepoint s"), parse("commit", "commit"),
                                    parse("", "select 81 as own"), sync()), "1 1 1 1 Z:I")
        for name, status in (("begin", "T"), ("s", "T"), ("commit", "I")):
            self.assertRegex(client.ask(bind("", name), execute(), sync()), f"^2 C:[A-Z]* Z:{status}$")
            self.assertEqual(client.ask(describe("S"), bind(), execute(), sync()),
                             f"t: T:own 2 D:81 C:SELECT 1 Z:{status}")

    def test_the_guard_of_a_lost_root_is_not_seen(self):
        client = self.connect()
        self.assertEqual(client.parameters.get("default_transaction_read_only", "off"), "off")
        self.assertEqual(client.query("show default_transaction_read_only"),
                         "T:default_transaction_read_only D:off C:SHOW Z:I")
        self.assertEqual(client.query("insert into t values (1)"), "C:INSERT 0 1 Z:I")

    def test_several_statements_are_a_transaction_block_for_what_needs_one(self):
        client = self.connect()
        self.assertEqual(client.query("set local work_mem = '7MB'; show work_mem"),
                         "C:SET T:work_mem D:7MB C:SHOW Z:I")
        self.assertEqual(client.query("show work_mem"), "T:work_mem D:4MB C:SHOW Z:I")
        self.assertEqual(client.query("lock table t; select 1 as a"), "C:LOCK TABLE T:a D:1 C:SELECT 1 Z:I")
        self.assertEqual(client.query("lock table t"), "E:25P01 Z:I")

    def test_what_a_script_has_committed_stays_when_it_fails_behind_that(self):
        for number, sql in enumerate(("begin; set work_mem = '7MB'; commit; select 1/0",
                                      "set work_mem = '7MB'; commit; select 1/0")):
            with self.subTest(sql):
                client = self.connect()
                self.assertRegex(client.query(sql), "C:COMMIT E:22012 Z:I$")
                self.assertEqual(client.query("show work_mem"), "T:work_mem D:7MB C:SHOW Z:I")
                self.assertRegex(client.query(f"insert into t values (10{number}); commit; select 1/0"), "E:22012 Z:I$")
                self.assertEqual(client.query(f"delete from t where n = 10{number}"), "C:DELETE 1 Z:I")
                client.query("set work_mem = '6MB'; rollback; select 1/0")
                self.assertEqual(client.query("show work_mem"), "T:work_mem D:7MB C:SHOW Z:I")

    def test_in_a_failed_transaction_what_cannot_be_parsed_is_told_first(self):
        client = self.connect()
        client.query("insert into t values (6)")  # a root that is written to is not renewed under its feet
        for fails in ("begin; select 1/0", "begin; insert into t values (7); select 1/0"):
            client.query(fails)
            for _ in range(2):
                self.assertEqual(client.query("selec"), "E:42601 Z:E")
                self.assertEqual(client.query("select 1; selec"), "E:42601 Z:E")
                self.assertEqual(client.query("select 1"), "E:25P02 Z:E")
                self.assertEqual(client.ask(parse("", "selec"), sync()), "E:42601 Z:E")
                self.assertEqual(client.ask(extended("select 1"), sync()), "E:25P02 Z:E")
            self.assertEqual(client.query("commit"), "C:ROLLBACK Z:I")
        self.assertEqual(client.query("select n from t where n = 7"), "T:n C:SELECT 0 Z:I")

    def position(self, client, sql):
        error = client.error(query(sql))
        return error["C"], error["P"]

    def test_an_error_is_where_it_is_in_the_whole_text(self):
        client = self.connect()
        for sql, place in (("begin; select nothing from t", "15"), ("begin; select 'ä', nothing; commit", "20"),
                           ("  /* ö */ begin; commit; select 'é', nothing", "38"), ("\n select nothing; begin", "10")):
            with self.subTest(sql):
                self.assertEqual(self.position(client, sql), ("42703", place))
                client.query("rollback")
        client.query("set client_encoding to latin1")
        self.assertEqual(self.position(client, "begin; select 'ä', nothing; commit".encode("latin1")), ("42703", "20"))
        client.query("rollback")

    def test_nothing_of_a_text_runs_that_cannot_be_parsed(self):
        client = self.connect()
        for sql, place in (("insert into t values (300); commit; selec", "37"), ("select 'ä'; begin; selec x; commit", "20"),
                           ("begin; select 1; return 1; commit", "18"), ("begin; select (1; commit; select 2)", "17"),
                           ("begin; select 1 +", "18")):
            with self.subTest(sql):
                self.assertEqual(self.position(client, sql), ("42601", place))
                self.assertEqual(client.query("select n from t where n = 300"), "T:n C:SELECT 0 Z:I")
        client.query("begin; savepoint s; insert into t values (301)")
        self.assertEqual(client.query("release s; insert into t values (302); selec"), "E:42601 Z:E")
        self.assertEqual(client.query("rollback to s; select; insert into t values (303); commit"),
                         "C:ROLLBACK T: D: C:SELECT 1 C:INSERT 0 1 C:COMMIT Z:I")
        self.assertEqual(client.query("delete from t where n > 299 returning n"), "T:n D:303 C:DELETE 1 Z:I")

    def test_in_a_failed_transaction_what_cannot_be_parsed_comes_first(self):
        client = self.connect()
        client.query("begin")
        client.query("select 1/0")
        self.assertEqual(self.position(client, "rollback; selec"), ("42601", "11"))
        self.assertEqual(self.position(client, "select 1; rollback; selec"), ("42601", "21"))
        self.assertEqual(client.query("select 1; rollback; select 2"), "E:25P02 Z:E")
        self.assertEqual(client.query("rollback; select 2 as a"), "C:ROLLBACK T:a D:2 C:SELECT 1 Z:I")

    def test_a_text_of_definitions_and_control_is_parsed_as_the_server_does(self):
        client = self.connect()
        body = "create function two() returns int language sql begin atomic select 1; select 2; end"
        self.assertEqual(client.query(f"begin; {body}; select two(); rollback;; select 3 as a"),
                         "C:BEGIN C:CREATE FUNCTION T:two D:2 C:SELECT 1 C:ROLLBACK T:a D:3 C:SELECT 1 Z:I")
        self.assertEqual(client.query("begin; create rule r as on insert to t do also (select 1; select 2); rollback"),
                         "C:BEGIN C:CREATE RULE C:ROLLBACK Z:I")

    def test_a_savepoint_that_there_is_not_is_said_in_a_failed_transaction_too(self):
        client = self.connect()
        client.query("begin")
        client.query("savepoint s")
        client.query("select 1/0")
        self.assertEqual(client.query("rollback to nix"), "E:3B001 Z:E")
        self.assertEqual(client.ask(extended("rollback to nix"), sync()), "1 2 E:3B001 Z:E")
        self.assertEqual(client.query("release s"), "E:25P02 Z:E")
        self.assertEqual(client.query("rollback to s; commit"), "C:ROLLBACK C:COMMIT Z:I")

    def test_each_part_of_a_script_is_in_a_transaction_block(self):
        client = self.connect()
        self.assertEqual(client.query("lock table t; commit; lock table t; begin; commit; lock table t"),
                         "C:LOCK TABLE N:25P01 C:COMMIT C:LOCK TABLE C:BEGIN C:COMMIT C:LOCK TABLE Z:I")
        self.assertEqual(client.query("lock table t"), "E:25P01 Z:I")
        self.assertEqual(client.query("declare c cursor for select 1 as a; fetch c; begin; fetch c; rollback; fetch c"),
                         "C:DECLARE CURSOR T:a D:1 C:FETCH 1 C:BEGIN T:a C:FETCH 0 C:ROLLBACK E:34000 Z:I")
        self.assertEqual(client.query("declare c cursor for select 1"), "E:25P01 Z:I")
        self.assertEqual(client.ask(parse("l", "lock table t"), sync()), "1 Z:I")
        self.assertEqual(client.query("execute l"), "C:LOCK TABLE Z:I")

    def test_a_portal_ends_with_its_transaction(self):
        client = self.connect()
        for _ in range(2):
            self.assertEqual(client.ask(parse("", "select 1"), bind("p"), describe("P", "p"), execute("p"), sync()),
                             "1 2 T:?column? D:1 C:SELECT 1 Z:I")
        client.query("begin")
        self.assertEqual(client.ask(parse("", "select 1"), bind("p"), execute("p"), sync()), "1 2 D:1 C:SELECT 1 Z:T")
        self.assertEqual(client.ask(parse("", "select 1"), bind("p"), sync()), "1 E:42P03 Z:E")
        client.query("rollback")
        client.query("begin")
        self.assertEqual(client.ask(parse("", "select 1"), bind("p"), execute("p"), sync()), "1 2 D:1 C:SELECT 1 Z:T")
        self.assertEqual(client.ask(extended("commit"), sync()), "1 2 C:COMMIT Z:I")
        self.assertEqual(client.ask(execute("p"), sync()), "E:34000 Z:I")

    def test_transaction_control_has_no_parameters(self):
        client = self.connect()
        self.assertEqual(client.ask(parse("c", "commit"), bind("", "c", ["1"]), execute(), sync()), "1 E:08P01 Z:I")
        self.assertEqual(client.error(bind("", "c", ["1", "2"]), sync())["M"],
                         'bind message supplies 2 parameters, but prepared statement "c" requires 0')

    def test_cursors_end_with_their_transaction(self):
        client = self.connect()
        declare = "declare c cursor for select 1 as a"
        for _ in range(2):
            self.assertEqual(client.query(f"begin; {declare}; fetch c"),
                             "C:BEGIN C:DECLARE CURSOR T:a D:1 C:FETCH 1 Z:T")
            self.assertEqual(client.query("commit"), "C:COMMIT Z:I")
            self.assertEqual(client.query("fetch c"), "E:34000 Z:I")
            self.assertEqual(client.query(declare + "; fetch c"), "C:DECLARE CURSOR T:a D:1 C:FETCH 1 Z:I")
            self.assertEqual(client.query("fetch c"), "E:34000 Z:I")
            self.assertEqual(client.query(declare + "; commit; fetch c"),
                             "C:DECLARE CURSOR N:25P01 C:COMMIT E:34000 Z:I")
        self.assertEqual(client.query(declare + "; close all; fetch c"), "C:DECLARE CURSOR C:CLOSE CURSOR ALL E:34000 Z:I")
        self.assertEqual(client.query("close all"), "C:CLOSE CURSOR ALL Z:I")

    def test_a_query_in_a_batch_that_has_failed_is_skipped(self):
        client = self.connect()
        failed = parse("", "selec") + bind() + execute()
        self.assertEqual(client.ask(failed + query("begin; insert into t values (400)") + query("commit") + sync(), ready=1),
                         "E:42601 Z:I")
        self.assertEqual(client.ask(failed + function_call(1397, [b"-7"]) + sync(), ready=1), "E:42601 Z:I")
        done = parse("", "insert into t values (401)") + bind() + execute()
        self.assertEqual(client.ask(done + query("select 1/0")), "1 2 C:INSERT 0 1 E:22012 Z:I")
        self.assertEqual(client.ask(done + query("rollback; select 1 as a") + sync()),
                         "1 2 C:INSERT 0 1 N:25P01 C:ROLLBACK T:a D:1 C:SELECT 1 Z:I Z:I")
        self.assertEqual(client.ask(done + query("commit") + sync()), "1 2 C:INSERT 0 1 N:25P01 C:COMMIT Z:I Z:I")
        self.assertEqual(client.query("delete from t where n > 399 returning n"), "T:n D:401 C:DELETE 1 Z:I")

    def test_a_function_call_that_fails_is_a_failed_transaction(self):
        client = self.connect()
        division = function_call(154, [b"7", b"0"])
        self.assertEqual(client.ask(division), "E:22012 Z:I")
        self.assertEqual(client.query("begin; select 1 as a"), "C:BEGIN T:a D:1 C:SELECT 1 Z:T")
        self.assertEqual(client.ask(division), "E:22012 Z:E")
        self.assertEqual(client.query("rollback; select 1 as a"), "C:ROLLBACK T:a D:1 C:SELECT 1 Z:I")

    def test_portals_of_transaction_control_are_portals(self):
        client = self.connect()
        both_kinds = parse("s", "select 1 as a") + parse("c", "savepoint x")
        client.query("begin")
        self.assertEqual(client.ask(both_kinds, bind("p", "s"), bind("p", "c"), sync()), "1 1 2 E:42P03 Z:E")
        client.query("rollback; begin")
        self.assertEqual(client.ask(bind("p", "c"), bind("p", "s"), sync()), "2 E:42P03 Z:E")
        client.query("rollback; prepare q as select 1; begin")  # what a Bind says first is its own statement's
        self.assertEqual(client.ask(parse("", "select $1::int"), bind("p", "c"), bind("p", "q", ["1"]), sync()), "1 2 E:08P01 Z:E")
        client.query("rollback; begin")
        self.assertEqual(client.ask(bind("p", "c"), close("P", "p"), bind("p", "c"), execute("p"), execute("p"), sync()),
                         "2 3 2 C:SAVEPOINT E:55000 Z:E")
        client.query("rollback; begin")
        self.assertEqual(client.ask(parse("e", "commit"), bind("p", "e"), execute("p"), execute("p"), sync()),
                         "1 2 C:COMMIT E:34000 Z:I")
        self.assertEqual(client.ask(describe("P"), sync()), "E:34000 Z:I")
        self.assertEqual(client.ask(execute(), sync()), "E:34000 Z:I")

    def test_transaction_control_is_prepared_as_anything_else(self):
        client = self.connect()
        self.assertEqual(client.ask(parse("r", "rollback", [25]), describe("S", "r"), bind("", "r"), sync()),
                         "1 t:25 n E:08P01 Z:I")
        self.assertEqual(client.ask(parse("b", "begin"), parse("e", "end"), sync()), "1 1 Z:I")
        client.query("begin")
        self.assertEqual(client.query("execute e"), "C:COMMIT Z:I")
        self.assertEqual(client.ask(extended("execute b"), sync()), "1 2 C:BEGIN Z:T")
        client.query("select 1/0")
        self.assertEqual(client.query("execute e"), "E:25P02 Z:E")
        self.assertEqual(client.ask(parse("", "savepoint x"), sync()), "E:25P02 Z:E")
        self.assertEqual(client.ask(bind("", "b"), sync()), "E:25P02 Z:E")
        self.assertEqual(client.ask(bind("", "e"), execute(), sync()), "2 C:ROLLBACK Z:I")
        self.assertEqual(client.ask(parse("", "select 1 as a"), sync()), "1 Z:I")
        self.assertEqual(client.ask(bind("", "no"), parse("", "commit"), sync()), "E:26000 Z:I")
        self.assertEqual(client.ask(bind(), execute(), sync()), "2 D:1 C:SELECT 1 Z:I")

    def test_modes_of_a_transaction(self):
        client = self.connect()
        late = "set transaction isolation level serializable"
        self.assertEqual(client.query(f"begin; lock table t; {late}; show transaction_isolation; rollback"),
                         "C:BEGIN C:LOCK TABLE C:SET T:transaction_isolation D:serializable C:SHOW C:ROLLBACK Z:I")
        self.assertEqual(client.query(f"begin; select 1 as a; {late}"), "C:BEGIN T:a D:1 C:SELECT 1 E:25001 Z:E")
        self.assertEqual(client.query(f"rollback; begin; savepoint x; {late}"), "C:ROLLBACK C:BEGIN C:SAVEPOINT E:25001 Z:E")
        client.query("rollback")
        self.assertEqual(client.query("delete from t where n = 500; begin isolation level serializable"),
                         "C:DELETE 0 E:25001 Z:I")
        self.assertEqual(client.query("begin read only; commit and chain; insert into t values (500)"),
                         "C:BEGIN C:COMMIT E:25006 Z:E")
        client.query("rollback")
        self.assertEqual(client.query("begin; start transaction read only; insert into t values (500)"),
                         "C:BEGIN N:25001 C:START TRANSACTION E:25006 Z:E")
        client.query("rollback")
        self.assertEqual(client.ask(extended("set transaction read only"), extended("insert into t values (500)"), sync()),
                         "1 2 N:25P01 C:SET 1 2 E:25006 Z:I")
        self.assertEqual(client.query("set transaction isolation level serializable; select 1 as a"),
                         "C:SET T:a D:1 C:SELECT 1 Z:I")

    def test_a_failed_transaction_ends_once(self):
        client = self.connect()
        for second, tag in (("end", "COMMIT"), ("commit", "COMMIT"), ("abort", "ROLLBACK")):
            with self.subTest(second):
                self.assertTrue(client.query("begin; select 1 / 0").endswith("E:22012 Z:E"))
                self.assertEqual(client.ask(extended("end"), extended(second), sync()),
                                 f"1 2 C:ROLLBACK 1 2 N:25P01 C:{tag} Z:I")

    def test_the_modes_of_a_chain(self):
        client = self.connect()
        begin, only = "begin isolation level serializable read only", "show transaction_read_only; show transaction_isolation"
        inside = "begin; savepoint s; set transaction read only"
        for text, rolled_back, committed in (
                (begin, "on serializable", "on serializable"),
                (f"{begin}; savepoint s; select 1 / 0", "on serializable", "on serializable"),
                (f"{begin}; select 1 / 0", "off read committed", "off read committed"),
                (inside, "off read committed", "on read committed"),
                (f"{inside}; release s", "off read committed", "off read committed"),
                (f"{inside}; rollback to s", "off read committed", "off read committed"),
                (f"{inside}; savepoint x; select 1 / 0", "off read committed", "off read committed"),
                (f"{inside}; savepoint x; rollback to x", "off read committed", "on read committed")):
            for end, shown in (("rollback", rolled_back), ("commit", committed)):
                with self.subTest(text, end=end):
                    client.query(text)
                    self.assertTrue(client.query(f"{end} and chain").endswith(" Z:T"))
                    found = re.findall("D:(.*?) C:", client.query(only))
                    self.assertEqual(" ".join(found), shown)
                    client.query("rollback")

    def test_a_statement_is_done_when_it_is_committed(self):
        client = self.connect()
        client.query("create table later(n int references t2 deferrable initially deferred)")
        self.assertEqual(client.query("insert into later values (9)"), "E:23503 Z:I")
        self.assertEqual(client.query("select 1 as a; insert into later values (9)"), "T:a D:1 C:SELECT 1 E:23503 Z:I")
        self.assertEqual(client.query("insert into later values (9); commit; select 1"), "C:INSERT 0 1 N:25P01 E:23503 Z:I")
        self.assertEqual(client.ask(extended("insert into later values (9)"), sync()), "1 2 C:INSERT 0 1 E:23503 Z:I")
        client.query("drop table later")

    def test_what_is_local_ends_in_the_middle_of_a_text(self):
        client = self.connect()
        self.assertEqual(client.query("begin; set local work_mem = '8MB'; commit; show work_mem"),
                         "C:BEGIN C:SET C:COMMIT T:work_mem D:4MB C:SHOW Z:I")
        self.assertEqual(client.query("set local work_mem = '8MB'; commit; show work_mem"),
                         "C:SET N:25P01 C:COMMIT T:work_mem D:4MB C:SHOW Z:I")
        self.assertEqual(client.query("reset all; show default_transaction_read_only"),
                         "C:RESET T:default_transaction_read_only D:off C:SHOW Z:I")
        self.assertEqual(client.query("discard all; select 1"), "E:25001 Z:I")
        self.assertEqual(client.query("begin; vacuum t"), "C:BEGIN E:25001 Z:E")

    def test_what_is_local_ends_in_the_middle_of_a_batch(self):
        client = self.connect()
        begin, local = extended("begin"), extended("set local work_mem = '8MB'")
        show, shown = extended("show work_mem"), "1 2 D:{} C:SHOW"
        for end in ("commit", "rollback"):
            self.assertEqual(
                client.ask(begin + local + show + extended(end) + show + sync()),
                f"1 2 C:BEGIN 1 2 C:SET {shown.format('8MB')} 1 2 C:{end.upper()} {shown.format('4MB')} Z:I")
        client.ask(begin + local + sync())
        self.assertEqual(client.ask(extended("commit") + query("show work_mem") + sync()),
                         "1 2 C:COMMIT T:work_mem D:4MB C:SHOW Z:I Z:I")
        self.assertEqual(client.ask(begin + extended("set work_mem = '9MB'") + local + extended("commit") + show + sync()),
                         f"1 2 C:BEGIN 1 2 C:SET 1 2 C:SET 1 2 C:COMMIT {shown.format('9MB')} Z:I")
        self.assertEqual(client.ask(begin + local + extended("commit") + extended("selec") + show + sync()),
                         "1 2 C:BEGIN 1 2 C:SET 1 2 C:COMMIT E:42601 Z:I")
        self.assertEqual(client.query("show work_mem"), "T:work_mem D:9MB C:SHOW Z:I")
        client.query("reset work_mem")

    def test_what_is_set_for_good_in_the_unit_of_a_set_local_stays(self):
        local, good, again = "set local work_mem = '8MB'", "set work_mem = '7MB'", "set work_mem = '6MB'"
        for texts, left in (((local, good), "7MB"), ((good, local), "7MB"), ((good, local, again), "6MB"),
                            ((local, good, local), "7MB"), ((good, local, "reset work_mem"), "4MB"), ((local,), "4MB")):
            for unit in ([query("; ".join(texts))], [*map(extended, texts), sync()],
                         [*map(extended, texts[:-1]), query(texts[-1]), sync()]):
                with self.subTest(texts, unit=unit):
                    client = self.connect()
                    self.assertNotIn("E:", client.ask(*unit))
                    self.assertEqual(client.value("show work_mem"), left)
                    self.assertNotIn("E:", client.ask(extended(local), extended(good), extended("select 1"), sync()))
                    self.assertEqual(client.ask(extended(again), extended(local), extended("select 1/0"), sync())[-12:], " E:22012 Z:I")
                    self.assertEqual(client.value("show work_mem"), "7MB")

    def test_the_end_of_a_transaction_tells_what_it_had_set_for_itself(self):
        client = self.connect()
        before, local = client.parameters["TimeZone"], "set local timezone to 'Asia/Tokyo'"
        for end in ("commit", "rollback"):
            for messages in ([query("begin"), query(local), query(end)], [query(f"begin; {local}; {end}")],
                             [query(f"{local}; {end}")], [extended(local) + extended(end) + sync()],
                             [extended("begin") + extended(local) + extended(end) + sync()],
                             [query("begin; select set_config('timezone', 'Asia/Tokyo', true)"), query(end)]):
                with self.subTest(end, messages=messages):
                    for message in messages:
                        answer = client.ask(message)
                    self.assertRegex(answer, f"C:{end.upper()} Z:I$")
                    self.assertEqual(client.parameters["TimeZone"], before)
        client.query("begin; set timezone to 'Asia/Tokyo'; set local timezone to 'Asia/Seoul'; commit")
        self.assertEqual(client.parameters["TimeZone"], "Asia/Tokyo")

    def test_what_an_execute_executes_is_not_at_the_top(self):
        client = self.connect()
        client.ask(parse("l", "set local work_mem = '8MB'"), parse("m", "set transaction read only"), sync())
        for name in "lm":
            self.assertEqual(client.query(f"execute {name}"), "C:SET Z:I")
            self.assertEqual(client.ask(extended(f"execute {name}"), sync()), "1 2 C:SET Z:I")
        self.assertEqual(client.ask(bind("", "l"), execute(), sync()), "2 N:25P01 C:SET Z:I")

    def test_a_begin_that_is_executed_takes_effect_with_its_sync(self):
        client = self.connect()
        client.ask(parse("b", "begin"), sync())
        for fails in ("select nix", "select 1 / 0"):
            for before in (b"", extended("insert into t values (610)")):
                with self.subTest(fails, before=before):
                    inserts = extended("insert into t values (610)")
                    answer = client.ask(before + extended("execute b") + inserts + extended(fails), sync())
                    self.assertRegex(answer, "C:BEGIN .*E:(42703|22012) Z:I$")
                    self.assertEqual(client.query("select n from t where n = 610"), "T:n C:SELECT 0 Z:I")
        self.assertEqual(client.ask(extended("execute b"), sync()), "1 2 C:BEGIN Z:T")
        self.assertEqual(client.ask(extended("select nix"), sync()), "E:42703 Z:E")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")

    def test_a_bind_is_looked_at_before_its_portal_is(self):
        client = self.connect()
        client.query("begin")
        self.assertEqual(client.ask(parse("v", "values (1)"), parse("", "savepoint a"), bind("p"), sync()), "1 1 2 Z:T")
        self.assertEqual(client.ask(bind("p", "v", ["17"]), sync()), "E:08P01 Z:E")
        client.query("rollback")
        client.query("begin")
        client.ask(parse("", "savepoint a"), bind("p"), sync())
        self.assertEqual(client.ask(bind("p", "v"), sync()), "E:42P03 Z:E")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        client.query("begin")
        client.ask(bind("p", "v"), sync())
        client.query("select 1/0")
        client.query("rollback")
        self.assertEqual(client.ask(parse("", "reset all"), bind("p"), execute("p"), sync()), "1 2 C:RESET Z:I")

    def test_nothing_is_prepared_outside_of_a_transaction(self):
        client = self.connect()
        self.assertEqual(client.query("prepare transaction 'x'"), "N:25P01 C:ROLLBACK Z:I")
        client.query("begin; savepoint x; select 1/0")
        self.assertEqual(client.query("prepare transaction 'x'"), "C:ROLLBACK Z:I")


class Executed(Conversation):
    """The server takes an EXECUTE for no transaction control."""

    def test_what_an_execute_runs_of_transaction_control_takes_effect_at_the_end(self):
        texts = {"b": "begin", "c": "commit", "cc": "commit and chain", "r": "rollback", "rc": "rollback and chain"}
        client, direct = self.connect(), PgClient(self.servers.direct, database=self.pool)
        self.addCleanup(direct.close)
        self.addCleanup(client.query, "sandbox reset")  # its root has locks of what it has made
        for name, text in texts.items():
            for one in (client, direct):
                one.ask(parse(name, text), sync())
        inserts, fails = "insert into pg_temp.ended values (1)", "select 1 / 0"
        for parts in (("execute b", fails), ("select 1", "execute b", inserts, fails), (inserts, "execute c", fails),
                      (inserts, "execute c", inserts), (inserts, "execute r", inserts), ("execute cc", inserts),
                      (inserts, "execute cc", inserts, fails), (inserts, "execute rc", inserts), ("execute rc", fails),
                      (inserts, "execute c", inserts, "select 2"), (fails, "execute c"), ("execute c", "show work_mem"),
                      ("set local work_mem = '8MB'", "execute c", "show work_mem"), ("execute r", inserts, fails),
                      ("insert into pg_temp.late values (7)", "execute c", "select 3"),
                      ("insert into pg_temp.late values (7)", "execute r", "select 3"),
                      ("declare d cursor for select 4", "execute c", "fetch d")):
            for begins in ((), ("begin", inserts), ("begin", "savepoint s")):
                for unit in ((query("; ".join(parts)),), (*(extended(part) for part in parts), sync())):
                    with self.subTest(parts, begins=begins, unit=len(unit)):
                        told = []
                        for one in (client, direct):
                            one.query("create temp table ended (n int); create temp table one (n int primary key); "
                                      "create temp table late (n int references one deferrable initially deferred)")
                            said = [one.query(text) for text in begins] + [one.ask(*unit)]
                            said += [one.query(text) for text in ("commit", "select count(*) from pg_temp.ended", "show work_mem")]
                            told.append(said)
                            one.query("drop table pg_temp.ended, pg_temp.late, pg_temp.one")
                        self.assertEqual(*told)


    def test_a_rollback_where_the_guard_is_not_the_turns(self):
        """It is not sent before what is in front of it has not failed."""
        client = self.connect()
        client.ask(parse("r", "rollback"), sync())
        self.addCleanup(client.query, "deallocate r")
        client.query("set default_transaction_read_only = on")
        for _ in range(2):
            self.assertEqual(client.query("execute r; select nothing from t"), "N:25P01 C:ROLLBACK E:42703 Z:I")
            self.assertEqual(client.query("execute r; select 1"), "N:25P01 C:ROLLBACK T:?column? D:1 C:SELECT 1 Z:I")


class BehindTheEnd(Conversation):
    """What is answered without a turn."""

    def test_what_is_behind_the_end_of_a_failed_transaction_is_not_taken_for_it(self):
        client = self.connect()
        client.query("begin; select 1/0")
        self.assertEqual(client.ask(extended("rollback") + query("insert into t values (600)")), "1 2 C:ROLLBACK C:INSERT 0 1 Z:I")
        self.assertEqual(client.query("delete from t where n = 600"), "C:DELETE 1 Z:I")
        client.query("begin; select 1/0")
        self.assertEqual(client.ask(extended("rollback") + function_call(1397, [b"-7"]) + sync()),
                         "1 2 C:ROLLBACK V:7 Z:I Z:I")


if __name__ == "__main__":
    unittest.main()
