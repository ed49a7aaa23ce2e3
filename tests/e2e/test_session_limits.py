"""What Based keeps for one session is limited, and who meets a limit is told and goes on."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import bind, close, execute, extended, fields, flush, parse, query, sync
from wire_servers import Conversation, Servers

SAVEPOINTS = 10_000
PORTALS = 4096
SETTINGS = 1000
ITEMS = 1_000_000


def setUpModule():
    Conversation.servers = Servers(pools={"plain": "max_size = 1", "box": "force_rollback = true"})


class Cases:
    def setUp(self):
        self.client = self.connect()
        self.other = self.connect()

    def refused(self, error, what):
        self.assertEqual((error["C"], error["M"]), ("54000", f"the session has too many {what}"))
        self.assertTrue(error["D"] and error["H"])

    def nobody_was_hurt(self):
        for client in (self.client, self.other, self.client):
            self.assertEqual(client.query("select 'well'"), "T:?column? D:well C:SELECT 1 Z:I")

    def error_of(self, sql):
        self.client.send(query(sql))
        return next(body for kind, body in self.client.messages() if kind == "E")

    def savepoints(self, count):
        return self.client.query(";".join(f"savepoint s{i}" for i in range(count)))

    def test_savepoints(self):
        self.client.query("begin")
        for _ in range(SAVEPOINTS // 1000 - 1):
            self.assertEqual(self.savepoints(1000), "C:SAVEPOINT " * 1000 + "Z:T")
        self.assertEqual(self.savepoints(990), "C:SAVEPOINT " * 990 + "Z:T")
        self.refused(fields(self.error_of("; ".join(f"savepoint t{i}" for i in range(20)))), "savepoints")
        self.assertEqual(self.client.query("rollback to s900"), "C:ROLLBACK Z:T")  # there is room again
        self.assertEqual(self.client.query("savepoint again"), "C:SAVEPOINT Z:T")
        for _ in range(100):
            self.assertEqual(self.client.query("savepoint a; release a"), "C:SAVEPOINT C:RELEASE Z:T")
        self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")
        self.nobody_was_hurt()
        self.client.send(query("begin"), *[extended(f"savepoint s{i}") + sync() for i in range(SAVEPOINTS + 500)])
        said = self.client.answers(SAVEPOINTS + 501)
        self.assertTrue(SAVEPOINTS - 10 < said.count("C:SAVEPOINT") < SAVEPOINTS + 100)  # what is under way is not counted
        self.assertEqual(said.count("E:54000"), 1)
        self.assertTrue(said.endswith("E:25P02 Z:E"))
        self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")
        self.nobody_was_hurt()

    def test_savepoints_of_one_name(self):
        """pgjdbc's autosave makes one before each statement of a transaction, and releases none."""
        self.client.query("begin; set work_mem = '5MB'")
        for _ in range(6):
            self.assertEqual(self.client.query("savepoint autosave; " * 2000), "C:SAVEPOINT " * 2000 + "Z:T")
        self.assertEqual(self.client.query("set work_mem = '6MB'; savepoint autosave; set work_mem = '7MB'"),
                         "C:SET C:SAVEPOINT C:SET Z:T")
        self.assertEqual(self.client.query("rollback to autosave; show work_mem"), "C:ROLLBACK T:work_mem D:6MB C:SHOW Z:T")
        self.assertEqual(self.client.query("release autosave; rollback to autosave; show work_mem"),
                         "C:RELEASE C:ROLLBACK T:work_mem D:5MB C:SHOW Z:T")
        self.assertEqual(self.client.query("release autosave; " * 2000), "C:RELEASE " * 2000 + "Z:T")
        self.assertEqual(self.client.query("select 1/0"), "E:22012 Z:E")
        self.assertEqual(self.client.query("rollback to autosave; show work_mem"), "C:ROLLBACK T:work_mem D:5MB C:SHOW Z:T")
        self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")
        self.nobody_was_hurt()

    def test_settings_at_savepoints(self):
        self.client.query(f"set app.long = '{'x' * 900_000}'; begin")
        for i in range(20):
            said = self.client.query(f"set app.a = '{i}'; savepoint s{i}")
            if said != "C:SET C:SAVEPOINT Z:T":
                break
        self.assertEqual((said.split()[-2:], 5 < i < 15), (["E:54000", "Z:E"], True))
        self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(self.client.query("reset all"), "C:RESET Z:I")
        self.nobody_was_hurt()

    def portals(self, text, values, count):
        """All of them but one, which is bound behind the others and again when another is closed."""
        named = [parse("", text), *(bind(f"p{i}", "", values) for i in range(count))]
        for one_more in ("E:54000 Z:E", "3 2 Z:T"):
            self.client.query("begin")
            self.assertEqual(self.client.ask(*named, sync()), "1 " + "2 " * count + "Z:T")
            closed = [close("P", "p0")] if one_more.startswith("3") else []
            self.assertEqual(self.client.ask(*closed, bind("one_more", "", values), sync()), one_more)
            self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")
            self.nobody_was_hurt()

    def test_portals_that_are_closed_do_not_count(self):
        self.client.query("begin")
        for begin in range(0, PORTALS + 1000, 500):
            names = [f"p{begin + i}" for i in range(500)]
            said = self.client.ask(parse("", "select 1"), *(bind(name) + close("P", name) for name in names), sync())
            self.assertEqual(said, "1 " + "2 3 " * 500 + "Z:T")
        self.assertEqual(self.client.query("commit"), "C:COMMIT Z:I")
        self.nobody_was_hurt()

    def test_portals(self):
        self.portals("savepoint s", (), PORTALS)
        if self.pool == "box":  # a pool leaves those of ordinary statements to the server
            self.portals("select 1", (), PORTALS)
            self.portals("select set_config('app.p', $1, true)", ("x" * 10_000,), 8 * 1024 * 1024 // 10_000 + 1)

    def test_settings(self):
        client = self.client
        for i in range(0, SETTINGS, 100):
            self.assertEqual(client.query("; ".join(f"set app.s{i + j} = 'x'" for j in range(100))), "C:SET " * 100 + "Z:I")
        self.refused(client.error(query("set app.one_more = 'x'")), "settings")
        self.refused(client.error(extended("set app.one_more = 'x'"), sync()), "settings")
        self.assertEqual(client.query("set app.s5 = 'y'"), "C:SET Z:I")  # not one more
        self.assertEqual(client.query("reset app.s6; set app.one_more = 'z'"), "C:RESET C:SET Z:I")
        self.assertEqual(client.query("select current_setting('app.s5') || current_setting('app.one_more')"),
                         "T:?column? D:yz C:SELECT 1 Z:I")
        self.assertEqual(client.query("discard all"), "C:DISCARD ALL Z:I")
        self.nobody_was_hurt()

    def test_bytes_of_settings(self):
        client = self.client
        long = "x" * 600_000
        self.assertEqual(client.query(f"set app.a = '{long}'"), "C:SET Z:I")
        self.refused(client.error(query(f"set app.b = '{long}'")), "settings")
        self.assertEqual(client.query(f"begin; savepoint s; set app.b = '{long}'"), "C:BEGIN C:SAVEPOINT E:54000 Z:E"
                         if self.pool == "box" else "E:54000 Z:I")
        client.query("rollback")
        self.assertEqual(client.query("select length(current_setting('app.a'))"), "T:length D:600000 C:SELECT 1 Z:I")
        self.assertEqual(client.query(f"set app.a = 'short'; set app.b = '{long}'"), "C:SET C:SET Z:I")
        self.assertEqual(client.query("discard all"), "C:DISCARD ALL Z:I")
        self.nobody_was_hurt()

    def test_a_unit_without_its_sync(self):
        answer = b"3\0\0\0\4" * 10_000
        for _ in range(ITEMS // 10_000 - 1):
            self.client.send(close("S", "none") * 10_000, flush())
            self.assertEqual(self.client.bytes(len(answer)), answer)
        self.client.send(close("S", "none") * 20_000, sync())
        error, end = self.client.messages()[-2:]
        self.refused(fields(error[1]), "messages without a Sync")
        self.assertEqual((fields(error[1])["S"], end[0]), ("FATAL", "closed"))
        self.client = self.connect()
        self.nobody_was_hurt()

    def test_settings_of_a_native_session(self):
        with based_client.connect(self.address) as connection, connection.session(database=self.pool) as session:
            for i in range(SETTINGS):
                session.exec(f"set app.s{i} = 'x'").wait()
            with self.assertRaises(based_client.Error) as refused:
                session.exec("set app.one_more = 'x'").wait()
            self.assertEqual(refused.exception.code, "54000")
            session.exec("set app.s5 = 'y'").wait()
            self.assertEqual(list(session.exec("select current_setting('app.s5')")), [["y"]])
            session.exec("reset all").wait()
            session.exec("set app.one_more = 'x'").wait()
        self.nobody_was_hurt()


class ThroughAPool(Cases, Conversation):
    pool = "plain"

    def test_what_was_prepared_is_executed_without_a_sync_as_often_as_one_likes(self):
        self.client.ask(parse("s", "select where $1 = 'x'", [25]), sync())
        each = (bind("", "s", ["y"]) + execute()) * 1000
        self.client.send(each)
        began = None
        for turn in range(300):  # always some are under way
            self.client.send(each + flush())
            answer = self.client.bytes(len("2____C____SELECT 0_") * 1000)
            self.assertTrue(answer.startswith(b"2\0\0\0\4C\0\0\0\x0dSELECT 0\0"))
            if turn == 30:
                began = self.servers.daemon.rss_kib()
        self.assertLess(self.servers.daemon.rss_kib() - began, 4096)
        self.client.send(sync())
        self.assertEqual(len(self.client.bytes(len(answer) + 6)), len(answer) + 6)
        self.nobody_was_hurt()


class InASandbox(Cases, Conversation):
    pool = "box"
