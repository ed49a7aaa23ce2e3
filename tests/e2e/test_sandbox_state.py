"""What a session has beside its rows ends in a sandbox when it ends in PostgreSQL, and is nobody else's.

Each conversation is held with PostgreSQL and in a sandbox, whose clients share one connection.
"""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import PgClient, extended, query, sync
from servers import wait_until
from wire_servers import Conversation, Servers, both

WELL = "T:?column? D:well C:SELECT 1 Z:I"


def setUpModule():
    Conversation.servers = Servers(pools={"one": "force_rollback = true"})
    cluster = Conversation.servers.cluster
    cluster.query("create table t(n int); create role reader; grant reader to current_user; grant select on t to reader", "one")


@both
class Local:
    """What is set for a transaction (H4)."""

    def setUp(self):
        self.client, self.other = self.connect(), self.connect()

    def shows(self, setting, value):
        for client in (self.client, self.other):
            self.assertEqual(client.rows(f"select coalesce(current_setting('{setting}', true), '')"), [[value]])

    def test_set_local_ends_with_its_transaction(self):
        for end in ("commit", "rollback"):
            with self.subTest(end):
                self.client.query(f"begin; set local work_mem = '7MB'; {end}")
                self.shows("work_mem", "4MB")
        self.client.query("begin")
        self.client.query("set local app.who = 'me'")
        self.assertEqual(self.client.rows("select current_setting('app.who')"), [["me"]])
        self.client.query("commit")
        self.shows("app.who", "")

    def test_who_it_is_for_one_query_only(self):
        for name, value in (("role", "reader"), ("session_authorization", "reader"), ("work_mem", "'7MB'")):
            shows = f"select current_setting('{name}')"
            before = self.client.rows(shows)
            for text in (f"set local {name} = {value}; select 1", f"set local {name} = {value}; select 1; select 2",
                         f"select 1; set local {name} = {value}"):
                with self.subTest(text):
                    self.assertNotIn("E:", self.client.query(text))
                    self.assertEqual(self.client.rows(shows), before)
                    self.assertEqual(self.other.rows(shows), before)

    def test_what_the_session_has_set_is_there_again_behind_set_local(self):
        self.client.query("set work_mem = '5MB'")
        self.client.query("begin; set local work_mem = '7MB'; commit")
        self.assertEqual(self.client.query("show work_mem"), "T:work_mem D:5MB C:SHOW Z:I")
        self.client.query("begin; set local work_mem = '7MB'; set work_mem = '6MB'; commit")
        self.assertEqual(self.client.query("show work_mem"), "T:work_mem D:6MB C:SHOW Z:I")
        self.assertEqual(self.other.query("show work_mem"), "T:work_mem D:4MB C:SHOW Z:I")

    def test_a_local_role_ends_with_its_transaction(self):
        for sql in ("set local role reader", "set local session authorization reader",
                    "select set_config('role', 'reader', true)"):
            for end in ("commit", "rollback"):
                with self.subTest(f"{sql}; {end}"):
                    self.client.query("begin")
                    self.client.query(sql)
                    self.assertEqual(self.client.rows("select current_user"), [["reader"]])
                    self.assertRegex(self.client.query("savepoint s; insert into t values (1)"), "E:42501 Z:E$")
                    self.client.query("rollback to s")
                    self.client.query(end)
                    for client in (self.client, self.other):
                        self.assertNotEqual(client.rows("select current_user"), [["reader"]])

    def test_set_config_ends_with_its_transaction(self):
        for end in ("commit", "rollback"):
            with self.subTest(end):
                self.client.query("begin")
                self.client.query("select set_config('app.user', 'me', true), set_config('work_mem', '7MB', true)")
                self.assertEqual(self.client.rows("select current_setting('app.user')"), [["me"]])
                self.client.query(end)
                self.shows("app.user", "")
                self.shows("work_mem", "4MB")

    def test_set_config_with_parameters_ends_with_its_transaction(self):
        for name, value in (("app.jwt", "me"), ("work_mem", "7MB"), ("search_path", "pg_catalog")):
            with self.subTest(name):
                before = self.other.rows(f"select coalesce(current_setting('{name}', true), '')")[0][0]
                self.client.query("begin")
                self.client.ask(extended("select set_config($1, $2, true)", [name, value]), sync())
                self.assertEqual(self.client.rows(f"select current_setting('{name}')"), [[value]])
                self.client.query("commit")
                self.shows(name, before)

    def test_set_config_by_itself_ends_with_its_statement(self):
        self.client.query("select set_config('app.user', 'me', true)")
        self.shows("app.user", "")
        self.client.ask(extended("select set_config($1, $2, true)", ["app.user", "me"]), sync())
        self.shows("app.user", "")
        self.client.ask(extended("select set_config($1, $2, $3)", ["app.user", "me", "t"]), sync())
        self.shows("app.user", "")

    def test_set_config_of_a_computed_name_ends_with_its_transaction(self):
        self.client.query("begin")
        self.client.query("select set_config('work' || '_mem', '7MB', true)")
        self.client.query("commit")
        self.shows("work_mem", "4MB")

    def test_what_a_savepoint_took_back_is_gone_and_what_it_kept_ends_with_the_transaction(self):
        self.client.query("begin; set local work_mem = '7MB'; savepoint s; set local work_mem = '8MB'")
        self.assertEqual(self.client.query("rollback to s; show work_mem"), "C:ROLLBACK T:work_mem D:7MB C:SHOW Z:T")
        self.client.query("savepoint s; set local work_mem = '8MB'; release s")
        self.assertEqual(self.client.query("show work_mem"), "T:work_mem D:8MB C:SHOW Z:T")
        self.client.query("commit")
        self.shows("work_mem", "4MB")


@both
class Prepared:
    """SQL's PREPARE (H9)."""

    def test_it_is_prepared_once(self):
        client, other = self.connect(), self.connect()
        client.query("prepare often(int) as select count(*) from t where n = $1")
        plans = "select generic_plans + custom_plans from pg_prepared_statements where name = 'often'"
        for count, text in enumerate(("execute often(1)", "begin; execute often(1)", "execute often(1); commit"), 1):
            self.assertNotIn("E:", client.query(text))
            self.assertEqual(client.rows(plans), [[str(count)]])
            other.query("select 1/0") if text.startswith("execute") else None
        self.assertEqual(client.query("select 1/0"), "E:22012 Z:I")
        client.query("begin; execute often(2); select 1/0")
        client.query("rollback")
        self.assertEqual(client.rows(plans), [["4"]])
        client.query("deallocate often")


@both
class Temporary:
    """Temporary tables (H5)."""

    def setUp(self):
        self.client = self.connect()

    def test_on_commit_drop(self):
        for end in ("commit", "rollback"):
            with self.subTest(end):
                self.client.query("begin; create temp table gone(n int) on commit drop; insert into gone values (1)")
                self.assertEqual(self.client.rows("select n from gone"), [["1"]])
                self.client.query(end)
                self.assertEqual(self.client.query("select n from gone"), "E:42P01 Z:I")
        self.client.query("begin")
        self.client.ask(extended("create temporary table gone on commit drop as select 1 as n"), sync())
        self.client.query("commit")
        self.assertEqual(self.client.query("select n from gone"), "E:42P01 Z:I")

    def test_one_of_a_transaction_that_fails_takes_no_later_one_with_it(self):
        for end in ("commit", "rollback"):
            with self.subTest(end):
                self.client.query("begin")
                self.client.query("create temp table one_day (n int) on commit drop")
                self.assertEqual(self.client.query("select 1/0"), "E:22012 Z:E")
                self.assertEqual(self.client.query(end), "C:ROLLBACK Z:I")
                self.assertEqual(self.client.query("create temp table one_day (n int) on commit delete rows"),
                                 "C:CREATE TABLE Z:I")
                self.assertEqual(self.client.query("insert into one_day values (1)"), "C:INSERT 0 1 Z:I")
                self.assertEqual(self.client.query("drop table one_day"), "C:DROP TABLE Z:I")

    def test_on_commit_drop_outside_of_a_transaction_is_dropped_at_once(self):
        for _ in range(2):
            self.assertEqual(self.client.query("create temp table gone(n int) on commit drop"), "C:CREATE TABLE Z:I")
        self.assertEqual(self.client.query("select n from gone"), "E:42P01 Z:I")

    def test_as_whatever_role_its_session_acts(self):
        for become in ("set role pg_monitor", "set session authorization pg_monitor"):
            for makes, ends in (("create temp view mine as select 1", "discard all"),
                                ("create temp sequence mine", "discard temp"),
                                ("begin; create temp table mine (n int) on commit drop", "commit")):
                with self.subTest(become=become, makes=makes):
                    self.client = self.connect()
                    for text in (makes, become, ends):
                        self.assertNotIn("E:", self.client.query(text))
                    self.assertEqual(self.client.rows("select to_regclass('pg_temp.mine')"), [[None]])
                    role = "postgres" if ends == "discard all" else "pg_monitor"
                    self.assertEqual(self.client.rows("select current_user"), [[role]])
            self.client = self.connect()
            self.client.query("create temp table mine (n int) on commit delete rows; grant select on mine to pg_monitor")
            self.client.query(f"begin; insert into mine values (1); {become}; commit")
            self.assertEqual(self.client.rows("select count(*) from mine"), [["0"]])
            self.client.query("reset session authorization; reset role; drop table mine")

    def test_on_commit_delete_rows_of_more_than_are_kept(self):
        for number in range(300):
            self.client.query(f"create temp table e{number} (n int) on commit delete rows; drop table e{number}")
        self.client.query("create temp table emptied (n int) on commit delete rows")
        self.client.query("begin; insert into emptied values (1); commit")
        self.assertEqual(self.client.rows("select n from emptied"), [])
        self.client.query("begin; drop table emptied; rollback")
        self.client.query("begin; insert into emptied values (1); commit")
        self.assertEqual(self.client.rows("select n from emptied"), [])
        self.client.query("drop table emptied")

    def test_on_commit_delete_rows(self):
        self.client.query("create temp table short(n int) on commit delete rows")
        self.client.query("begin; insert into short values (1)")
        self.assertEqual(self.client.rows("select n from short"), [["1"]])
        self.client.query("commit")
        self.assertEqual(self.client.rows("select n from short"), [])
        self.client.query("insert into short values (1)")
        self.assertEqual(self.client.rows("select n from short"), [])
        self.client.query("drop table short")

    def test_a_new_table_is_not_what_one_of_its_name_was(self):
        empties, drops, keeps = (f"create temp table mine (n int) on commit {ends}"
                                 for ends in ("delete rows", "drop", "preserve rows"))
        for texts in ((empties, "drop table mine", keeps),
                      (empties, "drop table mine", "begin", keeps),
                      (empties, "begin", "drop table mine", keeps),
                      (empties, "discard temp", "create temp table mine as select 0 as n limit 0"),
                      ("begin", "savepoint s", empties, "rollback to s", keeps),
                      ("begin", empties, "rollback", "begin", keeps),
                      ("begin", drops, "drop table mine", keeps),
                      ("begin", "savepoint s", drops, "rollback to s", keeps),
                      (keeps, "create temp table if not exists mine (n int) on commit delete rows"),
                      (keeps, "begin", "savepoint s", empties, "rollback to s")):
            for one_by_one in (True, False):
                with self.subTest(texts, one_by_one=one_by_one):
                    for text in texts if one_by_one else ():
                        self.client.query(text)
                    for text in () if one_by_one else texts:
                        self.client.ask(extended(text), sync())
                    self.client.query("insert into mine values (1)")
                    self.client.query("commit")
                    self.assertEqual(self.client.rows("select n from mine"), [["1"]])
                    self.client.query("discard temp")

    def test_one_that_is_renamed_is_what_it_was(self):
        empties, drops, keeps = (f"create temp table mine (n int) on commit {ends}"
                                 for ends in ("delete rows", "drop", "preserve rows"))
        renames, back = "alter table mine rename to other", "alter table if exists only other rename to mine"
        fill = "insert into {0} values (1)"
        for texts, left in (((empties, renames, fill.format("other")), [["0", None]]),
                            ((empties, "begin", renames, "rollback", fill.format("mine")), [[None, "0"]]),
                            ((empties, "begin", "savepoint s", renames, "rollback to s", fill.format("mine"), "commit"),
                             [[None, "0"]]),
                            ((empties, "begin", renames, "savepoint s", back, "rollback to s", fill.format("other"), "commit"),
                             [["0", None]]),
                            ((empties, renames, back, fill.format("mine")), [[None, "0"]]),
                            ((empties, renames, keeps, fill.format("mine"), fill.format("other")), [["0", "1"]]),
                            ((empties, "create temp table new (n int)", "begin", renames, "alter table new rename to mine",
                              fill.format("mine"), fill.format("other"), "commit"), [["0", "1"]]),
                            (("begin", empties, renames, fill.format("other"), "commit"), [["0", None]]),
                            (("begin", drops, renames, "commit"), [[None, None]]),
                            (("begin", drops, "savepoint s", renames, "rollback to s", "commit"), [[None, None]]),
                            (("begin", drops, "savepoint s", "drop table mine", "rollback to s", "commit"), [[None, None]]),
                            ((empties, "begin", "savepoint s", "drop table mine", "rollback to s", "commit",
                              fill.format("mine")), [[None, "0"]]),
                            ((keeps, renames, fill.format("other")), [["1", None]])):
            for how in ("one by one", "extended", "ahead"):
                with self.subTest(texts, how=how):
                    if how == "ahead":
                        self.client.ask(*(extended(text) + sync() for text in texts))
                    for text in () if how == "ahead" else texts:
                        self.client.query(text) if how == "one by one" else self.client.ask(extended(text), sync())
                    there = self.client.rows("select to_regclass('pg_temp.other'), to_regclass('pg_temp.mine')")[0]
                    found = [self.client.value(f"select count(*) from pg_temp.{name}") if is_there else None
                             for name, is_there in zip(("other", "mine"), there)]
                    self.assertEqual([found], left)
                    self.client.query("discard temp")

    def test_one_that_is_renamed_ends_with_its_client(self):
        for makes, renames in (("create temp table mine (n int)", "alter table mine rename to other"),
                               ("create temp view mine as select 1", "alter view mine rename to other"),
                               ("create temp sequence mine", "alter sequence pg_temp.mine rename to other")):
            with self.subTest(makes):
                client = self.connect()
                for text in (makes, "begin", renames, "commit", "begin", "alter table other rename to third", "rollback"):
                    self.assertNotIn("E:", client.query(text))
                self.assertEqual(client.query("discard temp"), "C:DISCARD TEMP Z:I")
                self.assertEqual(client.rows("select to_regclass('pg_temp.mine'), to_regclass('pg_temp.other')"), [[None, None]])

    def test_on_commit_delete_rows_where_nothing_may_be_written(self):
        self.client.query("create temp table short(n int) on commit delete rows")
        self.client.query("begin read only; insert into short values (1)")
        self.assertEqual(self.client.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(self.client.rows("select n from short"), [])
        self.assertEqual(self.client.query("begin read only; select 1 as a; commit"), "C:BEGIN T:a D:1 C:SELECT 1 C:COMMIT Z:I")
        other = self.connect()
        for role in ("set local role reader", "set local session authorization reader"):
            self.assertEqual(other.query(f"begin; {role}; select count(*) from t; commit").split()[-2:], ["C:COMMIT", "Z:I"])
        self.client.query("drop table short")

    def test_one_that_lasts(self):
        self.client.query("begin; create temp table lasts(n int); insert into lasts values (1); commit")
        self.assertEqual(self.client.rows("select n from lasts"), [["1"]])
        self.assertEqual(self.client.query("discard temp"), "C:DISCARD TEMP Z:I")
        self.assertEqual(self.client.query("select n from lasts"), "E:42P01 Z:I")


    def test_it_ends_with_its_client(self):
        makes = (("create temp table mine(n int)", "C:CREATE TABLE Z:I"), ("select 1 as n into temp mine", "C:SELECT 1 Z:I"),
                 ("with a as (select 1 as n) select * into pg_temp.mine from a", "C:SELECT 1 Z:I"))
        for make, made in makes * 2:
            client = self.connect()
            self.assertEqual(client.query(make), made)
            self.assertEqual(client.query("create temp view seen as select n from mine"), "C:CREATE VIEW Z:I")
            client.close()

    def left_behind(self, *statements):
        """A client has gone that had made a temporary table, and has said these."""
        client = self.connect()
        for text in ("create temp table mine(n int)", *statements):
            self.assertNotIn("E:", client.query(text))
        client.close()

    def test_it_ends_with_its_client_when_the_next_one_goes_too(self):
        self.left_behind()
        client = self.connect()
        client.send(query("select pg_sleep(20)"))
        asleep = "select 1 from pg_stat_activity where wait_event = 'PgSleep'"
        wait_until(lambda: self.servers.cluster.query(asleep), "its statement")
        client.close()
        self.assertEqual(self.client.query("create temp table mine(n int)"), "C:CREATE TABLE Z:I")
        self.client.query("discard temp")


class AtMarks(Conversation):
    left_behind = Temporary.left_behind

    def test_a_temporary_table_ends_with_its_client_when_a_reset_goes_back_to_before_that(self):
        self.client = self.connect()
        self.left_behind("sandbox mark it_was_there")
        is_there = "select to_regclass('pg_temp.mine')"
        wait_until(lambda: self.client.rows(is_there) == [[None]], "its end")
        for _ in range(2):
            self.assertEqual(self.client.query("sandbox reset to it_was_there"), "C:SANDBOX RESET Z:I")
            self.assertEqual(self.client.rows(is_there), [[None]])


@both
class Cursors:
    """Cursors (H6)."""

    def setUp(self):
        self.client, self.other = self.connect(), self.connect()

    def test_a_cursor_ends_with_its_transaction(self):
        for end in ("commit", "rollback"):
            for _ in range(2):
                self.assertEqual(self.client.query("begin; declare c cursor for select 1 as a; fetch c"),
                                 "C:BEGIN C:DECLARE CURSOR T:a D:1 C:FETCH 1 Z:T")
                self.client.query(end)
                self.assertEqual(self.client.query("fetch c"), "E:34000 Z:I")

    def test_one_that_a_function_opened_ends_with_its_transaction(self):
        self.client.query("create function opens() returns refcursor language plpgsql as "
                          "$$ declare c refcursor := 'of_f'; begin open c for select 1 as a; return c; end $$")
        self.client.query("begin; select opens()")
        self.assertEqual(self.client.query("fetch of_f"), "T:a D:1 C:FETCH 1 Z:T")
        self.client.query("commit")
        self.assertEqual(self.client.query("begin; fetch of_f"), "C:BEGIN E:34000 Z:E")
        self.client.query("rollback")
        self.client.query("drop function opens()")

    def test_one_with_hold_lives_until_its_client_ends(self):
        self.assertEqual(self.client.query("declare h cursor with hold for select generate_series(1, 3) as a"),
                         "C:DECLARE CURSOR Z:I")
        self.client.query("begin; commit")
        self.assertEqual(self.client.query("fetch h"), "T:a D:1 C:FETCH 1 Z:I")
        self.other.query("begin; commit")
        self.assertEqual(self.client.query("fetch h"), "T:a D:2 C:FETCH 1 Z:I")
        self.client.close()
        for _ in range(2):
            another = self.connect()
            self.assertEqual(another.query("declare h cursor with hold for select 5 as a; fetch h"),
                             "C:DECLARE CURSOR T:a D:5 C:FETCH 1 Z:I")
            another.close()

    def test_one_with_hold_of_a_transaction_that_was_rolled_back_is_gone(self):
        self.client.query("begin; declare h cursor with hold for select 1 as a; rollback")
        self.assertEqual(self.client.query("fetch h"), "E:34000 Z:I")

    def test_cursors_and_savepoints(self):
        self.client.query("begin; savepoint s; declare c cursor for select 1 as a; rollback to s")
        self.assertEqual(self.client.query("fetch c"), "E:34000 Z:E")
        self.client.query("rollback")
        self.client.query("begin; savepoint s; declare c cursor for select 1 as a; release s")
        self.assertEqual(self.client.query("fetch c"), "T:a D:1 C:FETCH 1 Z:T")
        self.client.query("commit")
        self.assertEqual(self.client.query("fetch c"), "E:34000 Z:I")

    def test_close_all_closes_nobody_elses(self):
        self.other.query("declare theirs cursor with hold for select 7 as a")
        self.client.query("declare mine cursor with hold for select 8 as a")
        self.assertEqual(self.client.query("close all"), "C:CLOSE CURSOR ALL Z:I")
        self.assertEqual(self.client.query("fetch mine"), "E:34000 Z:I")
        self.assertEqual(self.other.query("fetch theirs"), "T:a D:7 C:FETCH 1 Z:I")
        self.other.query("close theirs")

    def test_what_close_all_has_closed_is_not_closed_again(self):
        leaving = self.connect()
        leaving.query("declare h cursor with hold for select 1 as a")
        self.assertEqual(leaving.query("close all"), "C:CLOSE CURSOR ALL Z:I")
        self.other.query("declare h cursor with hold for select 7 as a")
        leaving.close()
        for _ in range(3):  # what has gone is cleared away in front of a unit
            self.client.query("select 1")
        self.assertEqual(self.other.query("fetch h"), "T:a D:7 C:FETCH 1 Z:I")
        self.other.query("close h")


@both
class Resets:
    """What pools send between two users of a connection (H8)."""

    ASYNCPG = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;"

    def setUp(self):
        self.client, self.other = self.connect(), self.connect()

    def test_they_work_and_harm_nobody_else(self):
        for sql, tags in (("discard all", "C:DISCARD ALL"),
                          (self.ASYNCPG, "T:pg_advisory_unlock_all D: C:SELECT 1 C:CLOSE CURSOR ALL C:UNLISTEN C:RESET")):
            with self.subTest(sql):
                self.other.query("set work_mem = '9MB'; prepare p as select 'well'")
                self.other.query("declare theirs cursor with hold for select 7 as a")
                self.client.query("set work_mem = '7MB'; prepare p as select 'mine'")
                self.client.query("declare mine cursor with hold for select 8 as a")
                self.assertEqual(self.client.query(sql), f"{tags} Z:I")
                self.assertEqual(self.client.query("show work_mem"), "T:work_mem D:4MB C:SHOW Z:I")
                self.assertEqual(self.client.query("fetch mine"), "E:34000 Z:I")
                self.assertEqual(self.other.query("show work_mem"), "T:work_mem D:9MB C:SHOW Z:I")
                self.assertEqual(self.other.query("fetch theirs"), "T:a D:7 C:FETCH 1 Z:I")
                self.assertEqual(self.other.query("execute p"), WELL)
                self.other.query("discard all")

    def test_discard_of_one_thing(self):
        for what in ("plans", "sequences", "temp"):
            self.assertEqual(self.client.query(f"discard {what}"), f"C:DISCARD {what.upper()} Z:I")
        self.assertEqual(self.client.query("begin; discard all"), "C:BEGIN E:25001 Z:E")


@both
class Settings:
    """A client's settings are its own (H7)."""

    def setUp(self):
        self.client, self.other = self.connect(), self.connect()

    def test_nobody_sees_anothers(self):
        self.client.query("set app.mine = 'x'; set work_mem = '7MB'; set timezone = 'Asia/Tokyo'")
        self.assertEqual(self.other.rows("select coalesce(current_setting('app.mine', true), ''), "
                                         "current_setting('work_mem')"), [["", "4MB"]])
        self.assertEqual(self.client.rows("select current_setting('app.mine'), current_setting('work_mem'), "
                                          "current_setting('timezone')"), [["x", "7MB", "Asia/Tokyo"]])
        self.client.query("reset all")
        self.assertEqual(self.client.query("show work_mem"), "T:work_mem D:4MB C:SHOW Z:I")

    def test_what_set_config_has_set_is_the_sessions_own(self):
        self.client.query("select set_config('app.mine', 'x', false)")
        self.client.ask(extended("select set_config($1, $2, false)", ["search_path", "pg_catalog, public"]), sync())
        self.assertEqual(self.other.rows("select coalesce(current_setting('app.mine', true), ''), "
                                         "current_setting('search_path')"), [["", '"$user", public']])
        self.assertEqual(self.client.rows("select current_setting('app.mine'), current_setting('search_path')"),
                         [["x", "pg_catalog, public"]])

    def test_timeouts_of_a_client_are_shown(self):
        for name in ("idle_in_transaction_session_timeout", "idle_session_timeout", "statement_timeout"):
            with self.subTest(name):
                self.assertEqual(self.client.query(f"set {name} = '90s'"), "C:SET Z:I")
                self.assertEqual(self.client.query(f"show {name}"), f"T:{name} D:90s C:SHOW Z:I")
                self.assertEqual(self.client.query(f"select current_setting('{name}')"),
                                 "T:current_setting D:90s C:SELECT 1 Z:I")
                self.assertEqual(self.other.query(f"show {name}"), f"T:{name} D:0 C:SHOW Z:I")
                self.assertEqual(self.client.query(f"set {name} = 'never'"), "E:22023 Z:I")
                self.assertEqual(self.client.query(f"reset {name}; show {name}"), f"C:RESET T:{name} D:0 C:SHOW Z:I")

    def test_reset_all_leaves_the_plain_values(self):
        for sql in ("reset all", "discard all"):
            with self.subTest(sql):
                self.client.query("set work_mem = '7MB'; set default_transaction_isolation = 'serializable'")
                self.client.query(sql)
                for name, value in (("default_transaction_read_only", "off"), ("work_mem", "4MB"),
                                    ("idle_in_transaction_session_timeout", "0"),
                                    ("default_transaction_isolation", "read committed")):
                    self.assertEqual(self.client.query(f"show {name}"), f"T:{name} D:{value} C:SHOW Z:I")
                    self.assertEqual(self.client.rows(f"select current_setting('{name}')"), [[value]])
                self.assertEqual(self.client.query("insert into t values (1)"), "C:INSERT 0 1 Z:I")

    def test_isolation_levels(self):
        for level in ("repeatable read", "serializable", "read committed"):
            with self.subTest(level):
                self.client.query(f"begin isolation level {level}")
                self.assertEqual(self.client.query("show transaction_isolation"),
                                 f"T:transaction_isolation D:{level} C:SHOW Z:T")
                self.assertEqual(self.client.rows("select current_setting('transaction_isolation')"), [[level]])
                self.client.query("commit")

    def test_a_session_that_is_read_only(self):
        self.client.query("set session characteristics as transaction read only")
        self.assertEqual(self.client.query("insert into t values (1)"), "E:25006 Z:I")
        self.assertEqual(self.client.query("begin; insert into t values (1)"), "C:BEGIN E:25006 Z:E")
        self.client.query("rollback")
        self.assertEqual(self.client.query("begin read write; insert into t values (1)"),
                         "C:BEGIN C:INSERT 0 1 Z:T")
        self.client.query("rollback")
        self.assertEqual(self.other.query("insert into t values (1)"), "C:INSERT 0 1 Z:I")
        self.client.query("set session characteristics as transaction read write")
        self.assertEqual(self.client.query("insert into t values (1)"), "C:INSERT 0 1 Z:I")


@both
class Chains:
    """A transaction's own settings are not the next one's, chained or not."""

    def setUp(self):
        self.client = self.connect()

    SHOW = "show work_mem"
    TEXTS = {
        ("begin", "set local work_mem = '9MB'", "commit and chain", SHOW, "rollback", SHOW): ["4MB", "4MB"],
        ("begin", "set local work_mem = '9MB'", "rollback and chain", SHOW, "commit", SHOW): ["4MB", "4MB"],
        ("begin", "select set_config('work_mem', '9MB', true)", "commit and chain", SHOW, "rollback"): ["4MB"],
        ("begin", "set work_mem = '9MB'", "commit and chain", "set work_mem = '8MB'", "rollback", SHOW): ["9MB"],
        ("begin", "set work_mem = '9MB'", "set local work_mem = '7MB'", "commit and chain", SHOW, "set work_mem = '8MB'",
         SHOW, "rollback and chain", SHOW, "commit", SHOW): ["9MB", "8MB", "9MB", "9MB"],
        ("begin", "set local statement_timeout = '9s'", "commit and chain", "show statement_timeout", "commit"): ["0"]}

    def test_in_every_form(self):
        def shown(said):
            return [value for value in re.findall(r" D:(\S+) C:SHOW", said)]
        for texts, expected in self.TEXTS.items():
            last = expected[-1] if self.SHOW in texts else "4MB"
            for form in (lambda: self.client.query("; ".join(texts)),
                         lambda: " ".join(self.client.query(text) for text in texts),
                         lambda: self.client.ask(b"".join(map(extended, texts)) + sync()),
                         lambda: self.client.ask(b"".join(extended(text) + sync() for text in texts))):
                with self.subTest(texts=texts):
                    self.client, other = self.connect(), self.connect()
                    self.assertEqual(shown(form()), expected)
                    self.assertEqual(self.client.value(self.SHOW), last)
                    self.assertEqual(other.value(self.SHOW), "4MB")


    def test_modes_behind_an_error(self):
        """An error takes back what the transaction has set, but not what it was chained with."""
        read_only, level = "show transaction_read_only", "show transaction_isolation"
        for texts, expected in (
                (("begin read only", "commit and chain", "select 1/0", "rollback and chain", read_only, "commit"), "on"),
                (("begin read only", "select 1/0", "rollback and chain", read_only, "commit"), "off"),
                (("begin", "commit and chain", "set transaction read only", "select 1/0", "rollback and chain", read_only,
                  "commit"), "off"),
                (("begin isolation level serializable", "commit and chain", "select 1/0", "rollback and chain", level,
                  "commit"), "serializable")):
            for each in (query, lambda text: extended(text) + sync()):
                with self.subTest(texts=texts):
                    said = " ".join(self.client.ask(each(text)) for text in texts)
                    self.assertEqual(re.findall(r" D:(.*?) C:SHOW", said), [expected])


@both
class SetByFunctions:
    """What comes last holds, whether SET or a function has set it."""

    CALL, LOCALLY = ("select set_config('work_mem', '8MB', %s)" % is_local for is_local in ("false", "true"))
    TEXTS = {
        f"reset work_mem; {CALL}": "8MB", f"{CALL}; reset work_mem": "4MB", f"set work_mem = '7MB'; {CALL}": "8MB",
        f"{CALL}; set work_mem = '7MB'": "7MB", f"reset all; {CALL}": "8MB", f"{CALL}; reset all": "4MB",
        f"begin; reset work_mem; {CALL}; commit": "8MB", f"begin; reset work_mem; {CALL}; rollback": "4MB",
        f"select set_config('work_mem', '5MB', false); notify c; {CALL}": "8MB", f"{LOCALLY}; set work_mem = '5MB'": "5MB",
        f"set local work_mem = '9MB'; {CALL}": "8MB", f"begin; set local work_mem = '9MB'; {CALL}; commit": "8MB",
        f"set work_mem = '5MB'; {CALL}; selec": "4MB"}

    def test_in_one_text(self):
        for text, expected in self.TEXTS.items():
            with self.subTest(text):
                client, other = self.connect(), self.connect()
                client.query(text)
                self.assertEqual(client.value("show work_mem"), expected)
                self.assertEqual(other.value("show work_mem"), "4MB")
                self.assertEqual(client.value("show work_mem"), expected)


@both
class Notifications:
    """LISTEN and NOTIFY (H10)."""

    def setUp(self):
        self.client, self.other = self.connect(), self.connect()
        self.assertEqual(self.client.query("listen news"), "C:LISTEN Z:I")

    def heard(self, count=1, client=None):
        return [(client or self.client).take(1) for _ in range(count)]

    def test_it_comes_at_the_commit(self):
        self.other.query("begin; notify news, 'one'; select pg_notify('news', 'two')")
        self.other.ask(extended("select pg_notify($1, $2)", ["news", "three"]), sync())
        self.assertEqual(self.client.query("select 'well'") if self.directly else WELL, WELL)
        self.other.query("commit")
        self.assertEqual(self.heard(3), ["A:news|one", "A:news|two", "A:news|three"])

    def test_by_itself_it_comes_at_once(self):
        for sql in ("notify news, 'one'", "select pg_notify('news', 'one')"):
            with self.subTest(sql):
                self.other.query(sql)
                self.assertEqual(self.heard(), ["A:news|one"])

    def test_what_was_rolled_back_never_comes(self):
        self.other.query("begin; notify news, 'lost'; rollback")
        self.other.query("begin; notify news, 'first'; savepoint s; notify news, 'lost'; rollback to s; "
                         "notify news, 'second'; commit")
        self.other.query("begin; notify news, 'lost'; select 1/0")
        self.other.query("commit")
        self.other.query("notify news, 'third'")
        self.assertEqual(self.heard(3), ["A:news|first", "A:news|second", "A:news|third"])

    def test_the_same_twice_is_once(self):
        self.other.query("begin; notify news, 'x'; notify news, 'x'; notify news; commit")
        self.other.query("notify news, 'end'")
        self.assertEqual(self.heard(3), ["A:news|x", "A:news|", "A:news|end"])

    def test_who_listens_hears_itself_and_nothing_after_unlisten(self):
        self.assertEqual(self.client.query("notify news, 'own'"), "C:NOTIFY A:news|own Z:I")
        self.client.query("unlisten news")
        self.assertEqual(self.client.query("notify news, 'own'"), "C:NOTIFY Z:I")
        self.client.query("begin; listen other; rollback")
        self.assertEqual(self.client.query("notify other, 'own'"), "C:NOTIFY Z:I")

    def test_what_is_wrong_is_said(self):
        self.assertEqual(self.other.query(f"notify news, '{'x' * 8000}'"), "E:22023 Z:I")
        self.assertRegex(self.other.query("select pg_notify('', 'y')"), "E:22023 Z:I$")
        self.assertRegex(self.other.query(f"select pg_notify('{'x' * 64}', 'y')"), "E:22023 Z:I$")
        self.assertEqual(self.other.query("notify"), "E:42601 Z:I")
        self.other.query("begin; select 1/0")
        self.assertEqual(self.other.query("notify news"), "E:25P02 Z:E")

    def test_names_as_the_server_folds_them(self):
        self.client.query('listen "The ""News"""; listen UPPER')
        self.other.query('notify "The ""News""", \'it\'\'s\'; notify Upper, E\'a\\tb\'; notify upper, $$c$$')
        self.assertEqual(self.heard(3), ['A:The "News"|it\'s', "A:upper|a\tb", "A:upper|c"])


class Boundaries(Conversation):
    """Of the sandbox alone."""

    def test_session_locks_go_with_the_last_client_that_has_any(self):
        def locks():
            return self.server("select count(*) from pg_locks where locktype = 'advisory'")[0][0]
        clients = [self.connect() for _ in range(3)]
        for client in clients[:2]:
            client.query("select pg_advisory_lock(42)")
        self.assertEqual(clients[0].query("select pg_advisory_unlock_all()"),
                         "T:pg_advisory_unlock_all D: C:SELECT 1 Z:I")
        self.assertEqual(locks(), "1")  # of the other one, too
        for client in clients[:2]:
            client.close()
        wait_until(lambda: locks() == "0", "no lock is left")  # although nobody does anything
        clients[2].query("select pg_advisory_lock(43)")
        clients[2].query("discard all")
        self.assertEqual(locks(), "0")

    def test_a_clients_timeout_does_not_end_the_root(self):
        client, other = self.connect(), self.connect()
        self.assertEqual(other.query("insert into t values (77)"), "C:INSERT 0 1 Z:I")
        client.query("set idle_in_transaction_session_timeout = '50ms'")
        client.query("begin; select 1")
        self.assertEqual(client.take(1), "E:25P03")
        self.assertEqual(other.rows("select n from t where n = 77"), [["77"]])

    def test_a_notification_never_leaves_the_sandbox(self):
        outside, client = self.connect_directly(), self.connect()
        outside.query("listen news")
        client.query("listen news")
        self.assertEqual(client.query("notify news, 'in'"), "C:NOTIFY A:news|in Z:I")
        outside.query("notify news, 'out'")
        self.assertEqual(client.query("select 'well'"), WELL)

    def connect_directly(self):
        client = PgClient(self.servers.direct, database=self.pool)
        self.addCleanup(client.close)
        return client


if __name__ == "__main__":
    unittest.main()
