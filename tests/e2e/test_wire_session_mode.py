"""pool_mode = session: a client has its link from its first statement to its end, and the next one finds it new."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import bind, execute, extended, parse, query, sync, terminate
from wire_servers import Conversation, Servers, TwoClients

MAKE = ("set work_mem = '7MB'", "select set_config('my.x', 'mine', false)", "create temp table mine(n int)",
        "select pg_advisory_lock(1)", "listen news", "prepare p as select 5 as n", "select nextval('s')",
        "begin; declare c cursor with hold for select 6 as n; commit")
LOOKS = {  # its own answer, and the next one's
    "show work_mem": ("T:work_mem D:7MB C:SHOW Z:I", "T:work_mem D:4MB C:SHOW Z:I"),
    "select coalesce(current_setting('my.x', true), '') as x": ("T:x D:mine C:SELECT 1 Z:I", "T:x D: C:SELECT 1 Z:I"),
    "select * from mine": ("T:n C:SELECT 0 Z:I", "E:42P01 Z:I"),
    "select count(*) from pg_locks where locktype = 'advisory'": ("T:count D:1 C:SELECT 1 Z:I",
                                                                  "T:count D:0 C:SELECT 1 Z:I"),
    "select count(*) from pg_listening_channels()": ("T:count D:1 C:SELECT 1 Z:I", "T:count D:0 C:SELECT 1 Z:I"),
    "execute p": ("T:n D:5 C:SELECT 1 Z:I", "E:26000 Z:I"),
    "select lastval() > 0 as l": ("T:l D:t C:SELECT 1 Z:I", "T:l E:55000 Z:I"),
    "fetch first c": ("T:n D:6 C:FETCH 1 Z:I", "E:34000 Z:I"),
}


def setUpModule():
    mode = 'pool_mode = "session"'
    Conversation.servers = Servers(common="", pools={"one": f"max_size = 1\ntimeout = '10s'\n{mode}",
                                                     "hasty": f"max_size = 1\ntimeout = '300ms'\n{mode}"})
    for name in Conversation.servers.pools:
        Conversation.servers.cluster.query("create table t(n int); create sequence s", name)


class SessionMode(TwoClients, Conversation):
    def setUp(self):
        self.client = self.connect()

    def test_what_a_function_sets_outlives_a_rollback(self):
        client = self.connect(application_name="mine")
        client.query("do $$ begin perform set_config('work_mem', '5MB', false); end $$")
        client.query("begin; set work_mem = '1MB'; select 1/0")
        client.query("rollback")
        self.assertEqual(client.value("show work_mem"), "5MB")
        client.query("begin; reset application_name; commit")
        self.assertEqual(client.value("show application_name"), "mine")
        client.query("discard all")
        self.assertEqual(client.rows("select current_setting('work_mem'), current_setting('application_name')"),
                         [["4MB", "mine"]])

    def test_everything_stays_and_is_gone_with_its_session(self):
        for leave in ("close", "vanish", "goodbye"):
            with self.subTest(leave=leave):
                client = self.connect()
                for sql in MAKE:
                    self.assertNotIn("E:", client.query(sql))
                self.assertEqual(client.ask(parse("s", "select 7"), sync()), "1 Z:I")
                for look, (own, _) in LOOKS.items():
                    self.assertEqual(client.query(look), own)
                self.assertEqual(client.ask(bind("", "s"), execute(), sync()), "2 D:7 C:SELECT 1 Z:I")
                process = client.value("select pg_backend_pid()")
                client.send(terminate()) if leave == "goodbye" else getattr(client, leave)()
                with self.connect() as after:
                    for look, (_, others) in LOOKS.items():
                        self.assertEqual(after.query(look), others, look)
                    self.assertEqual(after.ask(bind("", "s"), execute(), sync()), "E:26000 Z:I")
                    self.assertEqual(after.value("select pg_backend_pid()"), process)

    def test_a_reset_goes_back_to_what_it_began_with(self):
        self.client.close()
        client = self.connect(work_mem="6MB")
        for pipelined in (True, False):
            client.query("set work_mem = '8MB'")
            texts = [query("reset work_mem"), query("select 1")] + [parse("", "select 2"), bind(), execute(), sync()]
            answers = [client.ask(b"".join(texts))] if pipelined else [
                client.ask(texts[0]), client.ask(texts[1]), client.ask(*texts[2:])]
            self.assertEqual(" ".join(answers), "C:RESET Z:I T:?column? D:1 C:SELECT 1 Z:I 1 2 D:2 C:SELECT 1 Z:I")
            self.assertEqual(client.value("show work_mem"), "6MB")

    def test_the_next_one_waits_until_it_has_left(self):
        other = self.connect()
        self.client.query("select 1")
        other.send(query("insert into t values (1)"))
        self.assertTrue(other.quiet(0.2))
        self.assertEqual(self.client.query("select * from t"), "T:n C:SELECT 0 Z:I")
        self.client.send(terminate())
        self.assertEqual(other.answers(), "C:INSERT 0 1 Z:I")
        self.assertEqual(other.query("delete from t"), "C:DELETE 1 Z:I")

    def test_the_next_one_waits_no_longer_than_the_timeout(self):
        first, second = self.connect("hasty"), self.connect("hasty")
        first.query("select 1")
        self.assertEqual(second.query("select 2"), "E:53300 Z:I")
        first.close()
        self.assertEqual(second.query("select 2"), "T:?column? D:2 C:SELECT 1 Z:I")

    def test_notifications_come_while_it_rests(self):
        self.client.query("listen news")
        self.servers.cluster.query("notify news, 'hello'", "one")
        self.assertEqual(self.client.take(1), "A:news|hello")

    def test_cancels(self):
        self.client.query("set work_mem = '7MB'")
        self.start(query(self.SLEEP))
        self.client.cancel()
        self.assertEqual(self.client.answers(), "T:pg_sleep E:57014 Z:I")
        self.client.cancel()
        self.assertEqual(self.client.query("select pg_sleep(0.05)"), "T:pg_sleep D: C:SELECT 1 Z:I")
        self.assertEqual(self.client.value("show work_mem"), "7MB")
        other = self.connect()
        other.send(query("select 1"))
        other.cancel()
        self.assertEqual(other.answers(), "E:57014 Z:I")

    def test_one_that_goes_in_the_middle(self):
        process = self.client.value("select pg_backend_pid()")
        self.client.query("begin; insert into t values (1); create temp table mine(n int)")
        self.start(extended("set work_mem = '7MB'"), extended(self.SLEEP), sync())
        self.client.vanish()
        with self.connect() as after:
            self.assertEqual(after.rows("select pg_backend_pid(), current_setting('work_mem'), (select count(*) from t), "
                                        "to_regclass('mine') is null"), [[process, "4MB", "0", "t"]])

    def test_a_lost_link_ends_it_as_its_state_is_gone(self):
        process = self.client.value("select pg_backend_pid()")
        self.servers.observer.query(f"select pg_terminate_backend({process})")
        self.assertRegex(self.client.query("select 1"), "^E:(57P01|08006) closed$")
        self.assertEqual(self.connect().query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")


if __name__ == "__main__":
    unittest.main()
