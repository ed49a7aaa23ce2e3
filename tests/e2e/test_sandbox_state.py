"""What a session has beside its rows ends in a sandbox when it ends in PostgreSQL, and is nobody else's.

Each conversation is held with PostgreSQL and in a sandbox, whose clients share one connection.
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import extended, sync
from wire_servers import Conversation, Servers, both

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


class Boundaries(Conversation):
    """Of the sandbox alone."""

    def test_a_clients_timeout_does_not_end_the_root(self):
        client, other = self.connect(), self.connect()
        other.query("insert into t values (77)")
        client.query("set idle_in_transaction_session_timeout = '50ms'")
        client.query("begin; select 1")
        self.assertEqual(client.take(1), "E:25P03")
        self.assertEqual(other.rows("select n from t where n = 77"), [["77"]])


if __name__ == "__main__":
    unittest.main()
