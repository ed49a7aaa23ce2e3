"""What belongs to a session stays with it and with nobody else, over one link under all clients."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import (Refused, bind, describe, execute, extended, parse, query, sync)
from servers import wait_until
from wire_servers import Conversation, Servers, both

BOGUS = "select 1/(n-1) from generate_series(1, 1) n"


def setUpModule():
    Conversation.servers = Servers(pools={"one": "max_size = 1", "two": "max_size = 2",
                                          "few": "max_size = 3",
                                          "small": "max_size = 1\nstatement_cache = 5\nprepared_statements = 20"})
    for name in Conversation.servers.pools:
        Conversation.servers.cluster.query("create table t(n int); create sequence s", name)
    Conversation.servers.cluster.query("create role other_role; create schema elsewhere; "
                                       "create table elsewhere.t(elsewhere int)", "one")


@both
class Settings:
    def test_each_session_has_its_own(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.query("set work_mem = '5MB'"), "C:SET Z:I")
        self.assertEqual(second.query("set work_mem = '6MB'"), "C:SET Z:I")
        third = self.connect()
        for _ in range(2):
            self.assertEqual([c.value("show work_mem") for c in (first, second, third)], ["5MB", "6MB", "4MB"])
        self.assertEqual(second.query("reset work_mem"), "C:RESET Z:I")
        self.assertEqual([c.value("show work_mem") for c in (first, second, third)], ["5MB", "4MB", "4MB"])
        first.query("reset all")
        self.assertEqual([c.value("show work_mem") for c in (first, second, third)], ["4MB"] * 3)

    def test_a_reset_goes_back_to_what_the_client_began_with(self):
        client, other = self.connect(application_name="mine", work_mem="9MB"), self.connect(application_name="other")
        show = query("select current_setting('application_name'), current_setting('work_mem')")
        mine = "T:current_setting,current_setting D:mine|9MB C:SELECT 1"
        for sql, tag in (("reset all", "RESET"), ("reset application_name; reset work_mem", "RESET C:RESET"),
                         ("set work_mem = '7MB'; set application_name = 'x'; reset all", "SET C:SET C:RESET")):
            self.assertEqual(client.ask(query(sql), show), f"C:{tag} Z:I {mine} Z:I")
            self.assertEqual(client.ask(query(sql), sync(), show), f"C:{tag} Z:I Z:I {mine} Z:I")
            self.assertEqual(client.ask(query("begin"), query(sql), show, query("rollback"), show),
                             f"C:BEGIN Z:T C:{tag} Z:T {mine} Z:T C:ROLLBACK Z:I {mine} Z:I")
            self.assertEqual(client.ask(query("begin; set local work_mem = '8MB'"), query("reset application_name"), show,
                                        query("commit"), show),
                             f"C:BEGIN C:SET Z:T C:RESET Z:T {mine.replace('9MB', '8MB')} Z:T C:COMMIT Z:I {mine} Z:I")
            self.assertEqual(other.value("show application_name"), "other")

    def test_a_reset_behind_an_open_batch(self):
        """What was sent behind it waits for it; but not where the server skips all, and waits for a Sync."""
        client = self.connect(application_name="mine")
        show, mine = query("show application_name"), "T:application_name D:mine C:SHOW Z:I"
        for batch, said in ((parse("", "select 1"), "1"), (extended("select 1"), "1 2 D:1 C:SELECT 1")):
            self.assertEqual(client.ask(batch, query("reset all"), sync(), show), f"{said} C:RESET Z:I Z:I {mine}")
            self.assertEqual(client.ask(batch, query("reset all"), show, show, sync()), f"{said} C:RESET Z:I {mine} {mine} Z:I")
        for shows in range(3):
            self.assertEqual(client.ask(parse("", "selec"), query("reset all"), *[show] * shows, sync(), ready=1), "E:42601 Z:I")
            self.assertEqual(client.ask(show), mine)

    def test_what_they_act_on(self):
        first, second = self.connect(), self.connect()
        first.query("set search_path = elsewhere, public")
        self.assertEqual(first.query("select * from t"), "T:elsewhere C:SELECT 0 Z:I")
        self.assertEqual(second.query("select * from t"), "T:n C:SELECT 0 Z:I")
        first.query("set statement_timeout = '50ms'")
        self.assertEqual(second.query("select pg_sleep(0.1)"), "T:pg_sleep D: C:SELECT 1 Z:I")
        self.assertEqual(first.query("select pg_sleep(5)"), "T:pg_sleep E:57014 Z:I")

    def test_every_way_to_say_it(self):
        first, second = self.connect(), self.connect()
        for sql, name, value in (
                ("set work_mem to 5120", "work_mem", "5MB"),
                ("set session work_mem = '6MB'", "work_mem", "6MB"),
                ("SET \"work_mem\" TO '7MB'", "work_mem", "7MB"),
                ("set work_mem = default", "work_mem", "4MB"),
                ("set time zone 'Europe/Vienna'", "timezone", "Europe/Vienna"),
                ("set timezone to 'UTC'", "timezone", "UTC"),
                ("set time zone -7", "timezone", "<-07>+07"),
                ("set time zone local", "timezone", None),
                ("set names 'latin1'", "client_encoding", "LATIN1"),
                ("set client_encoding to utf8", "client_encoding", "UTF8"),
                ("set datestyle = german, ymd", "datestyle", "German, YMD"),
                ("set search_path to \"A b\", elsewhere", "search_path", '"A b", elsewhere'),
                ("set schema 'elsewhere'", "search_path", "elsewhere"),
                ("set seed = 0.5", "seed", "unavailable"),
                ("set my.own = 'it''s mine'", "my.own", "it's mine"),
                ("set session characteristics as transaction isolation level serializable",
                 "default_transaction_isolation", "serializable"),
                ("set session characteristics as transaction read only", "default_transaction_read_only", "on"),
                ("set xml option document", "xmloption", "document"),
                ("set role other_role", "role", "other_role"),
                ("reset role", "role", "none"),
                ("set session authorization other_role", "session_authorization", "other_role"),
                ("reset session authorization", "session_authorization", "postgres"),
                ("/* a comment */ set -- another\n work_mem = '8MB';", "work_mem", "8MB")):
            with self.subTest(sql=sql):
                shown = f"select current_setting('{name}', true)"
                before = second.value(shown)
                self.assertRegex(first.query(sql), "^C:(SET|RESET) Z:I$")
                self.assertIn(second.value(shown), (before, before or ""))
                if value is not None:
                    self.assertEqual(first.value(shown), value)

    def test_a_time_zone_that_no_set_to_can_say(self):
        first, second = self.connect("two"), self.connect("two")
        self.assertEqual(first.query("set time zone interval '+02:00' hour to minute"), "C:SET Z:I")
        self.assertNotEqual(second.value("show timezone"), "<+02>-02")
        self.assertEqual(first.value("show timezone"), "<+02>-02")

    def test_by_the_extended_protocol(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.ask(extended("set work_mem = '5MB'"), sync()), "1 2 C:SET Z:I")
        self.assertEqual(first.ask(parse("s", "set enable_sort = off"), sync()), "1 Z:I")
        self.assertEqual(first.value("show enable_sort"), "on")
        self.assertEqual(first.ask(bind("", "s"), execute(), sync()), "2 C:SET Z:I")
        self.assertEqual(first.ask(extended("show work_mem"), extended("show enable_sort"), sync()),
                         "1 2 D:5MB C:SHOW 1 2 D:off C:SHOW Z:I")
        self.assertEqual(second.ask(extended("show work_mem"), extended("show enable_sort"), sync()),
                         "1 2 D:4MB C:SHOW 1 2 D:on C:SHOW Z:I")
        self.assertEqual(first.ask(extended("reset all"), extended("show work_mem"), sync()),
                         "1 2 C:RESET 1 2 D:4MB C:SHOW Z:I")

    def test_in_a_transaction_that_is_rolled_back_they_are_undone(self):
        first, second = self.connect(), self.connect()
        first.query("set work_mem = '5MB'")
        for end in ("rollback", "commit"):
            with self.subTest(end=end):
                first.query("begin; set work_mem = '6MB'; set enable_sort = off")
                self.assertEqual(first.value("show work_mem"), "6MB")
                first.query(end)
                second.query("select 1")
                self.assertEqual(first.value("show work_mem"), "5MB" if end == "rollback" else "6MB")
                self.assertEqual(first.value("show enable_sort"), "on" if end == "rollback" else "off")
        self.assertEqual(second.value("show work_mem"), "4MB")

    def test_in_a_unit_that_fails_they_are_undone(self):
        first, second = self.connect(), self.connect()
        first.query("set work_mem = '5MB'")
        first.query(f"set work_mem = '6MB'; {BOGUS}")
        second.query("select 1")
        self.assertEqual(first.value("show work_mem"), "5MB")
        first.ask(extended("set work_mem = '6MB'"), extended(BOGUS), sync())
        second.query("select 1")
        self.assertEqual(first.value("show work_mem"), "5MB")
        first.query("begin; set work_mem = '6MB'")
        first.query(BOGUS)
        self.assertEqual(first.query("commit"), "C:ROLLBACK Z:I")
        second.query("select 1")
        self.assertEqual(first.value("show work_mem"), "5MB")
        self.assertEqual(second.value("show work_mem"), "4MB")

    def test_set_local_ends_with_the_transaction(self):
        first, second = self.connect(), self.connect()
        first.query("begin; set local work_mem = '6MB'; set local role other_role")
        self.assertEqual(first.rows("select current_setting('work_mem'), current_user"), [["6MB", "other_role"]])
        first.query("commit")
        self.assertEqual(first.rows("select current_setting('work_mem'), current_user"), [["4MB", "postgres"]])
        self.assertEqual(second.rows("select current_setting('work_mem'), current_user"), [["4MB", "postgres"]])
        first.query("begin; set work_mem = '5MB'; set local work_mem = '6MB'; commit")
        second.query("select 1")
        self.assertEqual(first.value("show work_mem"), "5MB")
        self.assertEqual(first.query("set local work_mem = '7MB'"), "N:25P01 C:SET Z:I")
        self.assertEqual(first.value("show work_mem"), "5MB")

    def test_savepoints_take_them_back(self):
        first, second = self.connect(), self.connect()
        first.query("begin; set work_mem = '5MB'; savepoint a; set work_mem = '6MB'; set enable_sort = off; "
                    "rollback to a; set enable_seqscan = off; commit")
        second.query("select 1")
        settings = ("select current_setting('work_mem'), current_setting('enable_sort'), "
                    "current_setting('enable_seqscan')")
        self.assertEqual(first.rows(settings), [["5MB", "on", "off"]])
        first.query("begin; savepoint a; set work_mem = '7MB'; release a; savepoint b; set work_mem = '8MB'")
        first.query(BOGUS)
        self.assertEqual(first.query("rollback to b"), "C:ROLLBACK Z:T")
        self.assertEqual(first.query("commit"), "C:COMMIT Z:I")
        second.query("select 1")
        self.assertEqual(first.rows(settings), [["7MB", "on", "off"]])
        self.assertEqual(second.rows(settings), [["4MB", "on", "on"]])

    def test_what_was_set_locally_outlives_a_reset_and_a_savepoint(self):
        client = self.connect()
        client.query("set work_mem = '3MB'")
        for texts in (("reset work_mem", "set local work_mem = '2MB'", "savepoint a", "select 1", "rollback to a"),
                      ("set local work_mem = '2MB'", "savepoint a", "reset work_mem", "rollback to a"),
                      ("set work_mem = '1MB'", "set local work_mem = '2MB'", "savepoint a", "reset all", "rollback to a")):
            with self.subTest(texts):
                client.query("begin")
                for text in texts:
                    client.query(text)
                self.assertEqual(client.value("show work_mem"), "2MB")
                client.query("rollback")
                self.assertEqual(client.value("show work_mem"), "3MB")

    def test_set_config_for_the_session_outlives_a_rollback(self):
        client = self.connect(application_name="mine")
        client.query("select set_config('work_mem', '5MB', false)")
        for text in ("set work_mem = '1MB'", "reset work_mem", "set work_mem = '1MB'; select 1/0"):
            client.query("begin")
            client.query(text)
            client.query("rollback")
            self.assertEqual(client.value("show work_mem"), "5MB")
        client.query("discard all")
        self.assertEqual(client.rows("select current_setting('work_mem'), current_setting('application_name')"),
                         [["4MB", "mine"]])

    def test_a_setting_refused_is_the_clients_error_and_changes_nothing(self):
        first, second = self.connect(), self.connect()
        first.query("set work_mem = '5MB'")
        self.assertEqual(first.query("set work_mem = 'much'"), "E:22023 Z:I")
        self.assertEqual(first.query("set no_such_parameter = 1"), "E:42704 Z:I")
        self.assertEqual(first.query("set role nobody_at_all"), "E:22023 Z:I")
        second.query("select 1")
        self.assertEqual(first.value("show work_mem"), "5MB")

    def test_a_role_is_only_its_own_sessions(self):
        first, second = self.connect(), self.connect()
        first.query("set role other_role")
        self.assertEqual(second.rows("select current_user, session_user"), [["postgres", "postgres"]])
        self.assertEqual(first.rows("select current_user, session_user"), [["other_role", "postgres"]])
        self.assertEqual(first.query("select * from t"), "E:42501 Z:I")
        self.assertEqual(second.query("select * from t"), "T:n C:SELECT 0 Z:I")
        first.query("set session authorization other_role")
        self.assertEqual(second.rows("select current_user, session_user"), [["postgres", "postgres"]])
        self.assertEqual(first.rows("select current_user, session_user"), [["other_role", "other_role"]])
        first.query("set session authorization default")
        self.assertEqual(first.rows("select current_user, session_user"), [["postgres", "postgres"]])

    def test_who_it_has_become_has_no_say_over_what_it_has_set_before(self):
        first, second = self.connect(), self.connect()
        for become in ("set session authorization other_role", "set role other_role"):
            with self.subTest(become):
                first.query("set lo_compat_privileges = on")
                self.assertEqual(first.query(become), "C:SET Z:I")
                for _ in range(2):  # each may do what only the other may not
                    self.assertEqual(second.query("set lo_compat_privileges = on; reset lo_compat_privileges"),
                                     "C:SET C:RESET Z:I")
                    self.assertEqual(second.rows("select current_user, current_setting('lo_compat_privileges')"),
                                     [["postgres", "off"]])
                    self.assertEqual(first.rows("select current_user, current_setting('lo_compat_privileges')"),
                                     [["other_role", "on"]])
                self.assertEqual(first.query("reset lo_compat_privileges"), "E:42501 Z:I")
                first.query("reset session authorization; reset role; reset lo_compat_privileges")

    def test_of_the_start_up_packet(self):
        options = "-c work_mem=5MB --enable_sort=off -csearch_path=elsewhere,public -c my.own=a\\ b"
        first = self.connect(options=options, application_name="first", datestyle="German", extra_float_digits="2")
        second = self.connect(application_name="second", TimeZone="Asia/Tokyo")
        settings = ("select current_setting('work_mem'), current_setting('enable_sort'), "
                    "replace(current_setting('search_path'), ' ', ''), "
                    "current_setting('application_name'), current_setting('datestyle'), "
                    "current_setting('timezone') = 'Asia/Tokyo', current_setting('my.own', true)")
        for _ in range(2):
            self.assertEqual(first.rows(settings),
                             [["5MB", "off", "elsewhere,public", "first", "German, DMY", "f", "a b"]])
            row = second.rows(settings)[0]
            self.assertEqual(row[:6], ["4MB", "on", '"$user",public', "second", "ISO, MDY", "t"])
            self.assertIn(row[6], (None, ""))
        told = [c.parameters[name] for c in (first, second) for name in ("DateStyle", "TimeZone", "application_name")]
        self.assertEqual(told, ["German, DMY", told[1], "first", "ISO, MDY", "Asia/Tokyo", "second"])
        first.query("set work_mem = '7MB'; set datestyle = 'SQL'")
        first.query("reset all")
        second.query("select 1")
        self.assertEqual(first.rows(settings)[0][:5], ["5MB", "off", "elsewhere,public", "first", "German, DMY"])
        self.assertEqual(second.rows(settings)[0][:5], ["4MB", "on", '"$user",public', "second", "ISO, MDY"])

    def test_a_start_up_setting_that_is_refused_refuses_the_client(self):
        for options, code in (({"work_mem": "much"}, "22023"), ({"no_such_parameter": "1"}, "42704"),
                              ({"options": "-c work_mem=much"}, "22023"), ({"client_encoding": "none"}, "22023")):
            with self.subTest(options=options), self.assertRaises(Refused) as caught:
                self.connect(**options)
            self.assertEqual((caught.exception.code, caught.exception.fields["S"]), (code, "FATAL"))
        self.assertEqual(self.connect().value("select 1"), "1")

    def test_parameter_status_tells_the_truth(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.query("set timezone = 'Asia/Tokyo'; set application_name = 'first'"), "C:SET C:SET Z:I")
        self.assertEqual((first.parameters["TimeZone"], first.parameters["application_name"]), ("Asia/Tokyo", "first"))
        told = dict(second.parameters)
        second.query("select 1")
        self.assertEqual(second.parameters, told)
        first.query("begin; set timezone = 'Asia/Seoul'; set datestyle = 'German'")
        self.assertEqual((first.parameters["TimeZone"], first.parameters["DateStyle"]), ("Asia/Seoul", "German, DMY"))
        first.query("rollback")
        second.query("select 1")
        first.query("select 1")
        self.assertEqual((first.parameters["TimeZone"], first.parameters["DateStyle"]), ("Asia/Tokyo", "ISO, MDY"))
        first.query("set client_encoding = 'latin1'")
        self.assertEqual(first.parameters["client_encoding"], "LATIN1")
        self.assertEqual(first.ask(extended("select chr(252)"), sync()), "1 2 D:fc C:SELECT 1 Z:I")
        self.assertEqual(second.ask(extended("select chr(252)"), sync()), "1 2 D:\u00fc C:SELECT 1 Z:I")
        self.assertEqual(second.parameters, told)
        first.query("reset all")
        self.assertEqual(first.parameters, told)

    def test_set_config_for_the_session(self):
        first, second = self.connect("two"), self.connect("two")
        self.assertEqual(first.value("select set_config('work_mem', '5MB', false)"), "5MB")
        self.assertEqual(second.value("show work_mem"), "4MB")
        self.assertEqual(first.value("show work_mem"), "5MB")
        self.assertEqual(self.connect("two").value("show work_mem"), "4MB")
        first.query("discard all")
        self.assertEqual(first.value("show work_mem"), "4MB")

    def test_transaction_characteristics_stay_in_their_transaction(self):
        first, second = self.connect(), self.connect()
        first.query("begin")
        self.assertEqual(first.query("set transaction isolation level serializable, read only"), "C:SET Z:T")
        self.assertEqual(first.value("show transaction_isolation"), "serializable")
        first.query("commit")
        self.assertEqual(second.value("show transaction_isolation"), "read committed")
        self.assertEqual(first.value("show transaction_isolation"), "read committed")
        first.query("set session characteristics as transaction read only")
        self.assertEqual(second.query("insert into t values (1)"), "C:INSERT 0 1 Z:I")
        self.assertEqual(first.query("insert into t values (1)"), "E:25006 Z:I")
        second.query("truncate t")

    def test_a_setting_that_cannot_be_applied_again_is_told_as_what_it_is(self):
        self.server("drop role if exists passing; create role passing")
        first, second = self.connect(), self.connect()
        first.query("set role passing")
        second.query("reset role; drop role passing")
        if self.directly:
            return
        error = first.error(query("select 1 as a_statement"))
        self.assertEqual(error["C"], "22023")
        self.assertIn("settings could not be applied", error["D"])
        self.assertNotIn("P", error, "no place in the client's text")
        self.assertEqual(second.value("select current_user"), "postgres")
        self.server("create role passing")
        self.assertEqual(first.value("select current_user"), "passing")

    def test_discard_all_makes_a_session_new(self):
        first, second = self.connect(), self.connect()
        first.query("set work_mem = '5MB'")
        first.ask(parse("s", "select 1"), sync())
        first.query("prepare q as select 2")
        self.assertEqual(first.query("discard all"), "C:DISCARD ALL Z:I")
        self.assertEqual(first.value("show work_mem"), "4MB")
        self.assertEqual(first.ask(bind("", "s"), sync()), "E:26000 Z:I")
        self.assertEqual(first.query("execute q"), "E:26000 Z:I")
        second.ask(parse("s", "select 'second'"), sync())
        first.query("discard all")
        self.assertEqual(second.ask(bind("", "s"), execute(), sync()), "2 D:second C:SELECT 1 Z:I")
        self.assertEqual(first.query("begin; discard all"), "C:BEGIN E:25001 Z:E")
        first.query("rollback")


@both
class PreparedBySql:
    def test_prepare_execute_and_deallocate(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.query("prepare q(int) as select $1 + 1 as a"), "C:PREPARE Z:I")
        self.assertEqual(second.query("prepare q as select 'second' as b"), "C:PREPARE Z:I")
        for _ in range(2):
            self.assertEqual(first.query("execute q(41)"), "T:a D:42 C:SELECT 1 Z:I")
            self.assertEqual(second.query("execute q"), "T:b D:second C:SELECT 1 Z:I")
        self.assertEqual(first.query("prepare q as select 1"), "E:42P05 Z:I")
        self.assertEqual(first.query("deallocate q"), "C:DEALLOCATE Z:I")
        self.assertEqual(first.query("execute q(1)"), "E:26000 Z:I")
        self.assertEqual(first.query("deallocate q"), "E:26000 Z:I")
        self.assertEqual(second.query("execute q"), "T:b D:second C:SELECT 1 Z:I")
        self.assertEqual(self.connect().query("execute q"), "E:26000 Z:I")

    def test_it_is_prepared_once(self):
        client = self.connect()
        client.query("prepare often(int) as select count(*) from t where n = $1")
        plans = "select generic_plans + custom_plans from pg_prepared_statements where name = 'often'"
        for count in range(1, 4):
            self.assertEqual(client.query("execute often(1)"), "T:count D:0 C:SELECT 1 Z:I")
            self.assertEqual(client.rows(plans), [[str(count)]])
        self.assertEqual(client.query("select 1/0"), "E:22012 Z:I")
        client.query("execute often(2)")
        self.assertEqual(client.rows(plans), [["4"]])
        client.query("begin; execute often(2)")
        client.query("execute often(2); commit")
        self.assertEqual(client.rows(plans), [["6"]])
        # A function may drop it: the client hears of that once at most.
        client.query("do $$ begin execute 'deallocate often'; end $$")
        if self.directly:
            self.assertEqual(client.query("execute often(1)"), "E:26000 Z:I")
        else:
            self.assertIn(client.query("execute often(1)"), ("E:26000 Z:I", "T:count D:0 C:SELECT 1 Z:I"))
            self.assertEqual(client.query("execute often(1)"), "T:count D:0 C:SELECT 1 Z:I")

    def test_explain_and_create_table_as_run_what_another_link_has(self):
        client, other = self.connect(database="two"), self.connect(database="two")
        self.assertEqual(client.query('prepare "Q" as select 1 as a'), "C:PREPARE Z:I")
        client.query("create table gone (n int)")
        self.assertEqual(client.query("prepare lost as select * from gone"), "C:PREPARE Z:I")
        other.query("drop table gone")
        for text, says in (('explain execute "Q"', "C:EXPLAIN"), ('explain (analyze, costs off) execute "Q"', "C:EXPLAIN"),
                           ('explain analyze verbose execute "Q"', "C:EXPLAIN"),
                           ('create table made_by_it as execute "Q"', "C:SELECT 1"),
                           ('explain create table made_again as execute "Q"', "C:EXPLAIN"),
                           ("explain execute lost", "E:42P01"), ("create table made_of_it as execute nobodys", "E:26000")):
            with self.subTest(text):
                for busy in (False, True):  # on the one link, and on another
                    other.query("begin; select 1" if busy else "select 1")
                    self.assertIn(says, client.query(text))
                    other.query("rollback")
                    if "made_by_it" in text:
                        self.assertEqual(client.rows("select a from made_by_it"), [["1"]])
                        client.query("drop table made_by_it")
        self.assertEqual(client.query("select 1 as execute"), "T:execute D:1 C:SELECT 1 Z:I")

    def test_a_text_that_ends_a_failed_transaction_finds_nobody_elses(self):
        client, other = self.connect(), self.connect()
        for way in ("begin; select 1/0", "begin; savepoint s; select 1/0"):
            for end in ("rollback; execute same", "rollback to s; execute same")[:way.count(";")]:
                client.query("prepare same as select 'own'")
                other.query("deallocate all")
                other.query("prepare same as select 'other'")
                self.assertIn("E:22012", client.query(way))
                said = client.query(end)
                self.assertIn("C:ROLLBACK", said)
                self.assertNotIn("other", said)
                client.query("rollback")
                self.assertEqual(client.value("execute same"), "own")
                self.assertEqual(other.value("execute same"), "other")
                client.query("deallocate same")

    def test_both_kinds_are_one_set_of_names(self):
        client, other = self.connect(), self.connect()
        self.assertEqual(client.query("prepare a as select 'by sql' as x"), "C:PREPARE Z:I")
        self.assertEqual(client.ask(parse("b", "select 'by message' as x"), sync()), "1 Z:I")
        other.query("prepare a as select 'other'")
        self.assertEqual(client.ask(bind("", "a"), describe("P"), execute(), sync()), "2 T:x D:by sql C:SELECT 1 Z:I")
        self.assertEqual(client.query("execute b"), "T:x D:by message C:SELECT 1 Z:I")
        self.assertEqual(client.ask(parse("a", "select 1"), sync()), "E:42P05 Z:I")
        self.assertEqual(client.query("prepare b as select 1"), "E:42P05 Z:I")
        self.assertEqual(client.query("deallocate b"), "C:DEALLOCATE Z:I")
        self.assertEqual(client.ask(bind("", "b"), sync()), "E:26000 Z:I")
        self.assertEqual(client.ask(describe("S", "a"), sync()), "t: T:x Z:I")

    def test_deallocate_all_drops_both_kinds_of_this_session_only(self):
        first, second = self.connect(), self.connect()
        for client in (first, second):
            client.ask(parse("m", "select 'm'"), sync())
            client.query("prepare q as select 'q' as x")
        self.assertEqual(first.query("deallocate all"), "C:DEALLOCATE ALL Z:I")
        self.assertEqual(first.ask(bind("", "m"), sync()), "E:26000 Z:I")
        self.assertEqual(first.query("execute q"), "E:26000 Z:I")
        self.assertEqual(second.ask(bind("", "m"), execute(), sync()), "2 D:m C:SELECT 1 Z:I")
        self.assertEqual(second.query("execute q"), "T:x D:q C:SELECT 1 Z:I")

    def test_names_are_folded_and_quoted_as_identifiers_are(self):
        first, second = self.connect(), self.connect()
        first.query('prepare Mixed as select 1 as a; prepare "Mixed" as select 2 as b')
        second.query("select 1")
        self.assertEqual(first.query('execute mIXED; execute "Mixed"'), "T:a D:1 C:SELECT 1 T:b D:2 C:SELECT 1 Z:I")
        self.assertEqual(first.ask(bind("", "mixed"), execute(), bind("", "Mixed"), execute(), sync()),
                         "2 D:1 C:SELECT 1 2 D:2 C:SELECT 1 Z:I")
        long = "l" * 100
        self.assertEqual(first.query(f"prepare {long} as select 3 as c"), "N:42622 C:PREPARE Z:I")
        second.query("select 1")
        self.assertEqual(first.query(f"execute {long}"), "N:42622 T:c D:3 C:SELECT 1 Z:I")
        self.assertEqual(first.ask(bind("", long[:63]), execute(), sync()), "2 D:3 C:SELECT 1 Z:I")

    def test_in_a_transaction_that_is_rolled_back_it_stays(self):
        first, second = self.connect(), self.connect()
        first.query("begin; prepare q as select 1 as a; rollback")
        second.query("select 1")
        self.assertEqual(first.query("execute q"), "T:a D:1 C:SELECT 1 Z:I")

    def test_in_one_string_with_other_statements(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.query("prepare q as select 1 as a; execute q; deallocate q; prepare q as select 2 as b"),
                         "C:PREPARE T:a D:1 C:SELECT 1 C:DEALLOCATE C:PREPARE Z:I")
        second.query("select 1")
        self.assertEqual(first.query("begin; execute q; commit"), "C:BEGIN T:b D:2 C:SELECT 1 C:COMMIT Z:I")
        self.assertEqual(first.query("create table if not exists made as execute q"), "C:SELECT 1 Z:I")
        first.query("drop table made")

    def test_an_execute_that_was_parsed_on_another_link_long_ago(self):
        first, second = self.connect(), self.connect()
        first.query("prepare q as select 'first' as a")
        first.ask(parse("x", "execute q"), sync())
        for _ in range(2):
            second.query("deallocate all; prepare q as select 'second' as b")
            self.assertEqual(first.ask(parse("", "select 'portal'"), bind(), bind("p", "x"), execute("p"), execute(),
                                       sync()), "1 2 2 D:first C:SELECT 1 D:portal C:SELECT 1 Z:I")

    def test_by_the_extended_protocol(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.ask(extended("prepare q as select 1 as a"), sync()), "1 2 C:PREPARE Z:I")
        second.query("select 1")
        self.assertEqual(first.ask(extended("execute q", describing=True), sync()), "1 2 T:a D:1 C:SELECT 1 Z:I")
        self.assertEqual(first.ask(extended("deallocate q"), sync()), "1 2 C:DEALLOCATE Z:I")
        self.assertEqual(first.ask(extended("execute q"), sync()), "1 2 E:26000 Z:I")


class LeftNames(Conversation):
    """SQL's PREPARE goes by its client's own name, on a link that is everybody's."""

    pool = "small"
    LEFT = "select count(*) from pg_prepared_statements where name like 'left%'"

    def test_those_of_clients_that_are_gone_do_not_pile_up(self):
        stays = self.connect()
        stays.query("prepare left_by_nobody as select 'mine'")
        counts = set()
        for i in range(40):
            with self.connect() as client:
                self.assertEqual(client.query(f"prepare left_{i} as select {i} as a"), "C:PREPARE Z:I")
                self.assertEqual(client.query(f"execute left_{i}"), f"T:a D:{i} C:SELECT 1 Z:I")
                counts.add(int(client.value(self.LEFT)))
        self.assertLessEqual(max(counts), 5 + 1)
        self.assertEqual(stays.value("execute left_by_nobody"), "mine")

    def test_nor_do_those_of_one_that_has_many(self):
        with self.connect() as client:
            self.assertEqual(client.query("; ".join(f"prepare left_{i} as select {i}" for i in range(20))),
                             " ".join(["C:PREPARE"] * 20) + " Z:I")
            self.assertEqual(client.value(self.LEFT), "20")
            self.assertEqual(self.connect().value(self.LEFT), "0")
            self.assertEqual(client.query("prepare left_20 as select 20"), "E:53400 Z:I")
            self.assertEqual(client.ask(extended("prepare left_20 as select 20"), sync()), "1 2 E:53400 Z:I")
            self.assertEqual(client.query("deallocate left_0"), "C:DEALLOCATE Z:I")
            self.assertEqual(client.query("prepare left_20 as select 20"), "C:PREPARE Z:I")
            self.assertEqual(client.value("execute left_20"), "20")
            self.assertEqual(client.value("execute left_7"), "7")


@both
class Plans:
    def test_a_changed_result_type_is_repaired_not_shown(self):
        first, second = self.connect(), self.connect()
        second.query("drop table if exists changing; create table changing(a int); insert into changing values (1)")
        first.ask(parse("s", "select * from changing"), bind("", "s"), execute(), sync())
        second.query("alter table changing add column b text default 'new'")
        if self.directly:
            self.assertEqual(first.ask(bind("", "s"), execute(), sync()), "E:0A000 Z:I")
        else:
            self.assertEqual(first.ask(bind("", "s"), execute(), sync()), "2 D:1|new C:SELECT 1 Z:I")
            second.query("alter table changing drop column b")
            self.assertEqual(first.ask(bind("", "s"), describe("P"), execute(), sync()), "2 T:a D:1 C:SELECT 1 Z:I")

    def test_in_a_transaction_it_is_shown_and_the_next_one_is_right(self):
        first, second = self.connect("two"), self.connect("two")
        second.query("drop table if exists changing; create table changing(a int); insert into changing values (1)")
        first.ask(parse("s", "select * from changing"), bind("", "s"), execute(), sync())
        first.query("begin")
        second.query("alter table changing add column b text default 'new'")
        said = first.ask(bind("", "s"), execute(), sync())
        if self.directly or said.startswith("E"):
            self.assertEqual(said, "E:0A000 Z:E")
            first.query("rollback")
        else:
            self.assertEqual(said, "2 D:1|new C:SELECT 1 Z:T")
            first.query("commit")
        if not self.directly:
            self.assertEqual(first.ask(bind("", "s"), execute(), sync()), "2 D:1|new C:SELECT 1 Z:I")

    def test_a_dropped_table_is_still_an_error_and_comes_back(self):
        first, second = self.connect(), self.connect()
        second.query("drop table if exists changing; create table changing(a int)")
        first.ask(parse("s", "select a from changing"), sync())
        second.query("drop table changing")
        self.assertEqual(first.ask(bind("", "s"), execute(), sync()), "E:42P01 Z:I")
        second.query("create table changing(a int)")
        self.assertEqual(first.ask(bind("", "s"), execute(), sync()), "2 C:SELECT 0 Z:I")

    def test_a_text_is_read_under_its_own_sessions_settings(self):
        first, second = self.connect(), self.connect()
        first.query("set timezone = 'UTC'")
        second.query("set timezone = 'Asia/Tokyo'")
        sql = "select extract(epoch from '2020-01-01 00:00'::timestamptz)::int"
        for client, seconds in ((first, 1577836800), (second, 1577804400)):
            self.assertEqual(client.ask(parse("s", sql), bind("", "s"), execute(), sync()),
                             f"1 2 D:{seconds} C:SELECT 1 Z:I")
        for client, seconds in ((first, 1577836800), (second, 1577804400)):
            self.assertEqual(client.ask(bind("", "s"), execute(), sync()), f"2 D:{seconds} C:SELECT 1 Z:I")

    def test_the_same_text_means_another_table_under_another_path(self):
        first, second = self.connect(), self.connect()
        first.query("set search_path = elsewhere")
        for client, name in ((first, "elsewhere"), (second, "n"), (first, "elsewhere")):
            self.assertEqual(client.ask(parse("", "select * from t"), describe("S"), sync()), f"1 t: T:{name} Z:I")
        first.ask(parse("s", "select * from t"), sync())
        second.ask(parse("s", "select * from t"), sync())
        self.assertEqual(first.ask(describe("S", "s"), sync()), "t: T:elsewhere Z:I")
        self.assertEqual(second.ask(describe("S", "s"), sync()), "t: T:n Z:I")


@both
class Pins:
    """What cannot be moved keeps its link as long as it is there."""

    pool = "few"

    def pinned_by(self, make, check, wanted, undo):
        first, second = self.connect(), self.connect()
        for sql in make:
            self.assertNotIn("E:", first.query(sql), sql)
        for _ in range(3):
            second.query("select 1")
            self.assertEqual(first.rows(check), wanted)
        if not self.directly:
            self.assertRegex(self.log(), "keeps its connection because of")
        self.assertNotIn("E:", first.query(undo))
        first.close()

    def setUp(self):
        self.assertEqual(self.server("select 1"), [["1"]])

    def test_temporary_tables(self):
        self.pinned_by(["create temp table mine(a int)", "insert into mine values (5)"], "select a from mine", [["5"]],
                       "drop table mine")
        self.pinned_by(["select 5 as a into temporary mine"], "select a from mine", [["5"]], "drop table mine")
        self.pinned_by(["create temporary sequence ours"], "select nextval('ours') > 0", [["t"]], "drop sequence ours")
        other = self.connect()
        self.assertEqual(other.query("select * from mine"), "E:42P01 Z:I")

    def test_advisory_locks_of_the_session(self):
        self.pinned_by(["select pg_advisory_lock(7)"],
                       "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()", [["1"]],
                       "select pg_advisory_unlock(7)")
        self.pinned_by(["select pg_try_advisory_lock_shared(1, 2)"],
                       "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()", [["1"]],
                       "select pg_advisory_unlock_all()")
        other = self.connect()
        self.assertEqual(other.value("select pg_try_advisory_xact_lock(7)"), "t")

    def test_holdable_cursors(self):
        self.pinned_by(["begin; declare c cursor with hold for select 5; commit"],
                       "select name from pg_cursors where is_holdable", [["c"]], "close c")

    def test_currval_and_lastval_are_never_anothers(self):
        """Outside of a transaction they are not known, as the documents say."""
        first, second = self.connect(), self.connect()
        said = first.query("begin; select nextval('s'); select currval('s') = lastval(); commit")
        self.assertEqual(said.split()[5:8], ["T:?column?", "D:t", "C:SELECT"])
        self.assertEqual(second.query("select lastval()"), "T:lastval E:55000 Z:I")
        self.assertEqual(second.query("select currval('s')"), "T:currval E:55000 Z:I")

    def test_load(self):
        self.pinned_by(["load 'auto_explain'"], "select count(*) > 0 from pg_settings where name like 'auto_explain.%'",
                       [["t"]], "discard all")

    def test_what_was_pinned_is_gone_with_its_client(self):
        first = self.connect()
        first.query("create temp table mine(a int); select pg_advisory_lock(9)")
        first.close()
        locks = "select count(*) from pg_locks where locktype = 'advisory'"
        wait_until(lambda: self.server(locks) == [["0"]], "unlock")
        second = self.connect()
        self.assertEqual(second.query("select * from mine"), "E:42P01 Z:I")


if __name__ == "__main__":
    unittest.main()
