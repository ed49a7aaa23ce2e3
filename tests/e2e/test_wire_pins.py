"""max_pinned and idle_while_pinned: how many sessions may keep their link, and for how long they may be silent."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from based_client import Error, connect
from pg_client import bind, execute, extended, flush, parse, query, sync
from servers import wait_until
from wire_servers import Conversation, Servers

TEMPORARY = "create temp table mine(a int)"
ONE = "T:?column? D:1 C:SELECT 1 Z:I"


def setUpModule():
    Conversation.servers = Servers(pools={"few": "max_size = 3\nmax_pinned = 1\nlisten = 'pin'", "free": "max_size = 3",
                                          "brief": "max_size = 4\nidle_while_pinned = '500ms'\nlisten = 'pin'"})


class Pins(Conversation):
    pool = "few"

    def pinned(self):
        with connect(f"unix:{self.servers.daemon.socket_path}") as native:
            database = next(d for d in native.status()["databases"] if d["name"] == self.pool)
            return sum(pool["pinned"] for pool in database["pools"])

    def reasons(self):
        """What STATUS says of those who keep their links."""
        with connect(f"unix:{self.servers.daemon.socket_path}") as native:
            database = next(d for d in native.status()["databases"] if d["name"] == self.pool)
            return [reason for pool in database["pools"] for reason in pool["pin_reasons"]]

    def setUp(self):
        wait_until(lambda: self.pinned() == 0, "the pins of the test before to end")

    def takes_the_place(self, client):
        self.assertEqual(client.query(TEMPORARY), "C:CREATE TABLE Z:I")
        self.assertEqual(client.query("select * from mine"), "T:a C:SELECT 0 Z:I")
        self.assertEqual(self.pinned(), 1)

    def gets_the_place(self, client):
        """Once it is free."""
        answer = wait_until(lambda: self.once_free(client), "the pin to end")
        self.assertEqual(answer, "C:CREATE TABLE Z:I")
        self.assertEqual(client.query("select * from mine"), "T:a C:SELECT 0 Z:I")
        self.assertEqual(self.pinned(), 1)

    def once_free(self, client):
        answer = client.query(TEMPORARY)
        return None if answer == "E:53300 Z:I" else answer


class Refused(Pins):
    def said_of_pins(self):
        return [line for line in self.log().splitlines() if "keeps its connection because of" in line]

    def test_the_statement_is_refused_with_its_reason_and_the_session_lives(self):
        first, second = self.connect(), self.connect()
        before = len(self.said_of_pins())
        self.takes_the_place(first)
        log = wait_until(lambda: self.said_of_pins()[before:], "the log's word")[-1]
        self.assertRegex(log, r"pool few/postgres: session \d+ of postgres at .* keeps its connection because of: "
                              r"create temp table mine\(a int\)")
        error = second.error(query(TEMPORARY))
        self.assertEqual((error["C"], error["S"]), ("53300", "ERROR"))
        self.assertIn("few", error["M"])
        self.assertIn(TEMPORARY, error["D"])
        self.assertIn("max_pinned", error["H"])
        self.assertEqual(second.query("select 1"), ONE)
        self.assertEqual(self.pinned(), 1)
        kept = log.split("few/postgres: ")[1].replace(" keeps its connection because of", "")
        self.assertIn(f"Connections are kept by 1 session: {kept}.", error["D"])
        self.assertEqual(self.reasons(), [kept])
        self.assertEqual(first.query("discard all"), "C:DISCARD ALL Z:I")
        self.assertEqual(self.reasons(), [])

    def test_whatever_the_reason_and_the_way_to_say_it(self):
        first, second = self.connect(), self.connect()
        self.takes_the_place(first)
        for sql in (TEMPORARY, "select pg_advisory_lock(1)", "load 'auto_explain'",
                    "select set_config('work_mem', '5MB', false)", "select 1 as a into temp mine",
                    "select 1; " + TEMPORARY):
            with self.subTest(sql):
                self.assertRegex(second.query(sql), "^E:53300 Z:I$")
                self.assertRegex(second.ask(extended(sql), sync()), "^(1 2 E:53300|E:42601) Z:I$")
                self.assertEqual(second.query("select 1"), ONE)
        self.assertEqual(self.server("select count(*) from pg_locks where locktype = 'advisory'"), [["0"]])

    def test_in_a_transaction_it_fails_the_transaction(self):
        first, second = self.connect(), self.connect()
        self.takes_the_place(first)
        second.query("begin")
        self.assertEqual(second.query("declare c cursor with hold for select 1"), "E:53300 Z:E")
        self.assertEqual(second.query("select 1"), "E:25P02 Z:E")
        self.assertEqual(second.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(second.ask(extended("select 1"), extended(TEMPORARY), extended("select 2"), sync()),
                         "1 2 D:1 C:SELECT 1 1 2 E:53300 Z:I")
        second.send(extended(TEMPORARY), flush())
        self.assertEqual(second.take(3), "1 2 E:53300")
        self.assertEqual(second.ask(sync()), "Z:I")

    def test_a_prepared_one_asks_again_each_time(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(second.ask(parse("lock", "select pg_try_advisory_lock(3)"), sync()), "1 Z:I")
        self.assertEqual(second.ask(bind("", "lock"), execute(), sync()), "2 D:t C:SELECT 1 Z:I")
        self.assertEqual(first.query(TEMPORARY), "E:53300 Z:I")
        self.assertEqual(second.query("select pg_advisory_unlock(3)"), "T:pg_advisory_unlock D:t C:SELECT 1 Z:I")
        self.gets_the_place(first)
        self.assertEqual(second.ask(bind("", "lock"), execute(), sync()), "2 E:53300 Z:I")

    def test_without_a_limit_there_is_none_but_the_links(self):
        self.pool = "free"
        clients = [self.connect() for _ in range(3)]
        for number, client in enumerate(clients, 1):
            self.assertEqual(client.query(TEMPORARY), "C:CREATE TABLE Z:I")
            self.assertEqual(self.pinned(), number)


class Freed(Pins):
    def test_when_what_it_was_for_is_gone(self):
        first, second = self.connect(), self.connect()
        self.takes_the_place(first)
        first.query("drop table mine")
        self.gets_the_place(second)
        self.assertEqual(first.query("select * from mine"), "E:42P01 Z:I")

    def test_at_discard_all(self):
        first, second = self.connect(), self.connect()
        self.takes_the_place(first)
        self.assertEqual(first.query("discard all"), "C:DISCARD ALL Z:I")
        self.gets_the_place(second)

    def test_when_its_client_goes(self):
        for going in ("close", "vanish"):
            first, second = self.connect(), self.connect()
            self.takes_the_place(first)
            getattr(first, going)()
            self.gets_the_place(second)
            second.close()
            wait_until(lambda: self.pinned() == 0, "the pin to end")

    def test_when_its_link_is_lost(self):
        first, second = self.connect(), self.connect()
        self.takes_the_place(first)
        pid = first.value("select pg_backend_pid()")
        self.server(f"select pg_terminate_backend({pid}, 5000)")
        self.assertEqual(first.answers(), "E:57P01 closed")
        self.gets_the_place(second)

    def test_when_its_transaction_did_not_happen(self):
        first, second = self.connect(), self.connect()
        first.query("begin")
        self.assertEqual(first.query(TEMPORARY), "C:CREATE TABLE Z:T")
        self.assertEqual(second.query(TEMPORARY), "E:53300 Z:I")
        first.query("rollback")
        self.gets_the_place(second)
        self.assertEqual(first.query("select 1"), ONE)

    def test_when_its_statement_failed(self):
        first, second = self.connect(), self.connect()
        self.assertEqual(first.query("create temp table mine(a no_such_type)"), "E:42704 Z:I")
        self.gets_the_place(second)


    def test_by_an_execute_of_what_sql_has_prepared(self):
        locks = "select count(*) from pg_locks where locktype = 'advisory'"
        by_name = (bind("", "taking"), execute(), sync())
        at_once = ("prepare taking as {}; execute taking",)
        for prepared in ("select pg_try_advisory_lock(77)", "select set_config('work_mem', '7MB', false)",
                         "select n from generate_series(1, 2) n where pg_advisory_lock(77) is not null"):
            for ways in (("execute taking",), by_name, at_once, ("begin", "execute taking", "commit"),
                         ("begin; savepoint s; execute taking; select 1; commit",),
                         ("begin", "execute taking", "select 1/0", "rollback"),
                         ("explain analyze execute taking",),
                         (parse("", "explain (costs off, analyze) execute taking"), bind(), execute(), sync()),
                         ("create table if not exists made as execute taking", "drop table made")):
                with self.subTest(prepared, ways=ways):
                    first, second = self.connect(), self.connect()
                    if ways != at_once:
                        self.assertEqual(first.query(f"prepare taking as {prepared}"), "C:PREPARE Z:I")
                    self.assertEqual(self.pinned(), 0)
                    ways = [text.format(prepared) for text in ways] if ways == at_once else ways
                    said = first.ask(*ways) if type(ways[0]) is bytes else [first.query(text) for text in ways][-1]
                    self.assertNotIn("E:", said)
                    self.assertEqual(self.pinned(), 1)
                    first.close()
                    self.gets_the_place(second)
                    second.close()
                    wait_until(lambda: self.pinned() == 0, "the pin to end")
                    self.assertEqual(self.servers.cluster.query(locks), [["0"]])


class Native(Pins):
    def native(self):
        connection = connect(f"unix:{self.servers.daemon.socket_path}")
        self.addCleanup(connection.__exit__)
        return connection.session(database=self.pool).opened.wait().session

    def fails(self, code, session, sql):
        with self.assertRaises(Error) as caught:
            session.exec(sql)
        self.assertEqual(caught.exception.code, code)
        return caught.exception


class NativePins(Native):
    def test_one_too_many_is_refused_whichever_protocol_they_speak(self):
        wire, first, second = self.connect(), self.native(), self.native()
        first.exec(TEMPORARY)
        self.assertEqual(self.pinned(), 1)
        self.assertEqual(wire.query(TEMPORARY), "E:53300 Z:I")
        error = self.fails("53300", second, TEMPORARY)
        self.assertEqual((error.executed, error.retry), ("no", True))
        self.assertIn(TEMPORARY, error.detail)
        self.assertIn("max_pinned", error.hint)
        [kept] = self.reasons()
        self.assertRegex(kept, rf"^session \d+ .*: {re.escape(TEMPORARY)}$")
        self.assertIn(f"Connections are kept by 1 session: {kept}.", error.detail)
        self.assertEqual(list(second.exec("select 1")), [[1]])
        self.assertEqual(list(first.exec("select * from mine")), [])
        first.connection.__exit__()
        self.gets_the_place(wire)
        self.fails("53300", second, TEMPORARY)

    def test_in_a_transaction_it_changes_nothing(self):
        wire, session = self.connect(), self.native()
        self.takes_the_place(wire)
        with session.transaction():
            self.fails("53300", session, TEMPORARY)
            self.assertEqual(list(session.exec("select 1")), [[1]])

    def test_discard_all_frees_the_place(self):
        wire, session = self.connect(), self.native()
        session.exec(TEMPORARY)
        self.assertEqual(wire.query(TEMPORARY), "E:53300 Z:I")
        session.exec("discard all")
        self.gets_the_place(wire)
        self.fails("53300", session, TEMPORARY)


class Silent(Native):
    pool = "brief"

    def test_what_kept_the_link_is_gone_and_the_client_is_told(self):
        for sql in (TEMPORARY, "select pg_advisory_lock(7)", "load 'auto_explain'",
                    "begin; declare c cursor with hold for select 1; commit"):
            with self.subTest(sql):
                client = self.connect()
                self.assertNotIn("E:", client.query(sql))
                data = client.rest()
                self.assertIn(b"SFATAL\0VFATAL\0C57P05\0", data)
                self.assertIn(b"idle_while_pinned", data)
                wait_until(lambda: self.pinned() == 0, "the link to be free")
        self.assertEqual(self.server("select count(*) from pg_locks where locktype = 'advisory'"), [["0"]])
        self.assertEqual(self.connect().query("select * from mine"), "E:42P01 Z:I")

    def test_who_is_in_a_transaction_or_listens_or_has_nothing_there_stays(self):
        busy, listens, free = self.connect(), self.connect(), self.connect()
        busy.query(TEMPORARY)
        busy.query("begin")
        listens.query("listen something")
        free.query("select 1")
        self.assertIn(b"57P05", self.pinning().rest())
        self.assertEqual(busy.query("select * from mine"), "T:a C:SELECT 0 Z:T")
        self.assertEqual(free.query("notify something"), "C:NOTIFY Z:I")
        self.assertEqual(listens.take(1), "A:something|")
        busy.query("commit")
        self.assertIn(b"57P05", busy.rest())

    def pinning(self):
        client = self.connect()
        client.query(TEMPORARY)
        return client

    def test_a_native_session_is_told_at_once_and_by_its_next_request_and_goes_on(self):
        session = self.native()
        session.exec(TEMPORARY + "; select pg_advisory_lock(8)")
        wait_until(lambda: (session.connection.ping(), session.connection.notices)[1], "the notice")
        number, request, kind, told = session.connection.notices[-1]
        self.assertEqual((number, request, kind, told["code"], told["tx"]),
                         (session.number, 0, "state_lost", "57P05", ["idle", 0]))
        self.assertIn("idle_while_pinned", told["hint"])
        wait_until(lambda: self.pinned() == 0, "the link to be free")
        self.assertEqual(self.server("select count(*) from pg_locks where locktype = 'advisory'"), [["0"]])
        error = self.fails("57P05", session, "select 1")
        self.assertEqual((error.executed, error.scope), ("no", "statement"))
        self.fails("42P01", session, "select * from mine")
        self.assertEqual(list(session.exec("select 1")), [[1]])

    def test_a_native_session_that_lost_its_link_is_told_too(self):
        session = self.native()
        session.exec("load 'auto_explain'")
        pid = list(session.exec("select pg_backend_pid()"))[0][0]
        self.server(f"select pg_terminate_backend({pid}, 5000)")
        wait_until(lambda: (session.connection.ping(), session.connection.notices)[1], "the notice")
        kind, told = session.connection.notices[-1][2:]
        self.assertEqual((kind, told["code"]), ("state_lost", "08006"))
        self.fails("08006", session, "select 1")
        self.assertEqual(list(session.exec("select 1")), [[1]])

    def test_a_native_session_in_a_transaction_keeps_it(self):
        session = self.native()
        session.exec(TEMPORARY)
        session.tx("begin")
        session.exec("insert into mine values (1)")
        self.assertIn(b"57P05", self.pinning().rest())
        self.assertEqual(list(session.exec("select * from mine")), [[1]])
        session.tx("commit")
        wait_until(lambda: (session.connection.ping(), session.connection.notices)[1], "the notice")
        self.fails("57P05", session, "select * from mine")


if __name__ == "__main__":
    unittest.main()
