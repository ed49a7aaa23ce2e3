"""A server that does not keep to the protocol is its own client's trouble: one error, the link closed, nobody else hit."""

import pathlib
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from bad_server import (GREETING, BadServer, complete, data_row, error, notice, notification, parameter_status, ready,
                        row_description)
from pg_client import PgClient, Refused, extended, message, parse, query, sync
from servers import Daemon, wait_until

ROW = row_description("a") + data_row("1")
GOOD = ROW + complete("SELECT 1")
GIB = 1 << 30


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = BadServer()
        cls.addClassCleanup(cls.server.close)
        cls.daemon = Daemon(config=f"""
            [databases.app]
            url = "postgresql://postgres@127.0.0.1:{cls.server.port}/app"
            max_size = 3
            connect_timeout = "1s"
            timeout = "5s"
            statement_timeout = "1s"

            [databases.nested]
            url = "postgresql://postgres@127.0.0.1:{cls.server.port}/nested"
            nested_transactions = true
            """)
        cls.addClassCleanup(cls.daemon.close)

    def setUp(self):
        self.server.says.clear()
        for link in self.server.connections:  # of the tests before
            link.heard.clear()

    def connect(self, database="app"):
        client = PgClient(f"127.0.0.1:{self.daemon.port}", database=database)
        self.addCleanup(client.close)
        return client

    def link_of(self, client):
        return self.server.connections[int(client.value("select whoami")) - 1]

    def check_others(self):
        """Everybody is served, and Based lives."""
        client = self.connect()
        self.assertFalse(self.link_of(client).ended.is_set())
        self.assertIsNone(self.daemon.process.poll())

    def check_gone(self, link):
        """It is closed, and nothing was said on it after the bad answer."""
        self.assertTrue(link.ended.wait(20), "the link stays open")  # an abandoned one for cleanup_timeout
        self.assertEqual(link.heard[-1], "select bad")

    def answered(self, said, expected, bad, before=b""):
        """What a client gets for `said`, which gets `bad` for an answer; the error's fields."""
        self.server.says["select bad"] = bad
        client, other = self.connect(), self.connect()
        other.query("begin")
        others = self.link_of(other)
        client.send(before + said)
        found = client.messages(1 + (before != b""))
        link = next(c for c in self.server.connections if "select bad" in c.heard)
        shown = " ".join([kind + (":" + body.decode() if kind == "Z" else "") for kind, body in found])
        self.assertRegex(shown, f"^{expected}$")
        self.check_gone(link)
        self.assertIs(self.link_of(other), others)
        self.assertEqual(other.query("commit"), "C:COMMIT Z:I")
        link.heard.clear()
        self.server.says.clear()
        return client, [body for kind, body in found if kind == "E"]

    def check_error(self, bodies):
        """One error of ours, which names no garbage."""
        self.assertEqual(len(bodies), 1)
        self.assertRegex(bodies[0].decode(), "^SERROR\0VERROR\0C08006\0Mthe connection to PostgreSQL was lost: .{9}")


class Streams(Case):
    """What the link itself sees."""

    def broken(self, bad, first="", extended_too=True):
        """`first` is what the client still gets of it."""
        with self.subTest(bad[:60]):
            client, errors = self.answered(query("select bad"), first + "E Z:I", bad)
            self.check_error(errors)
            self.assertEqual(client.query("commit"), "C:COMMIT Z:I")  # its session goes on
            client, errors = self.answered(query("select bad"), f"C Z:T {first}E Z:E", bad, before=query("begin"))
            self.check_error(errors)
            self.assertEqual(client.query("select 1"), "E:25P02 Z:E")
            self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
            if extended_too:
                _, errors = self.answered(extended("select bad") + sync(), f"1 2 {first.removeprefix('T ')}E Z:I",
                                          bad.removeprefix(row_description("a")))
                self.check_error(errors)
            self.check_others()

    def test_lengths_that_no_message_has(self):
        for length in (0, 1, 3, GIB, (1 << 31) - 1, 1 << 31, -1):
            self.broken(message("D", b"xxxx", length=length))

    def test_types_that_no_server_sends(self):
        for kind in (b"q", b"\0", b"\xff", b"\n", b"B", b"p"):
            self.broken(kind + b"\0\0\0\x04")

    def test_types_that_belong_elsewhere(self):
        for bad in (message("R", b"\0\0\0\0"), message("K", bytes(8)), message("v", bytes(8)), message("W", b"\0\0\0"),
                    message("V", bytes(4)), message("3"), message("1"), message("t", b"\0\0"), message("n"),
                    message("d", b"x"), message("c")):
            self.broken(bad + complete("SELECT 0") + ready())

    def test_a_ready_status_that_does_not_exist(self):
        for bad in (ready("X"), message("Z"), message("Z", b"II"), message("Z", b"\0")):
            self.broken(ROW + complete("SELECT 1") + bad, "T D C ")

    def test_rows_that_belong_to_nothing(self):
        self.broken(data_row("1") + complete("SELECT 1") + ready(), extended_too=False)
        self.broken(GOOD + data_row("2") + ready(), "T D C ")

    def test_an_answer_without_an_end_or_with_two(self):
        self.broken(ROW + ready(), "T D ")
        self.broken(ready())

    def test_a_parameter_status_that_is_none(self):
        for body in (b"", b"TimeZone", b"TimeZone\0", b"TimeZone\0UTC", b"TimeZone\0UTC\0more"):
            self.broken(message("S", body) + GOOD + ready())

    def test_errors_that_are_none(self):
        for body in (b"", b"C", b"SERROR\0C42601", b"SERROR\0C42601\0Mno end\0", b"SERROR\0\0more"):
            self.broken(message("E", body) + ready())



class Behind(Case):
    """What comes behind the last answer."""

    def test_it_is_never_taken_for_the_answer_to_somebody_else(self):
        bad = GOOD + ready() + row_description("stolen") + data_row("secret") + complete("SELECT 1") + ready()
        for stray in (bad, bad[:-4], GOOD + ready() + b"T\0\0"):
            with self.subTest(stray):
                asked = threading.Event()

                def play(connection, stray=stray, asked=asked):
                    asked.wait(5)
                    connection.send(stray)
                self.server.says["select bad"] = play
                holders = [self.connect() for _ in range(2)]
                for holder in holders:
                    holder.query("begin")
                    holder.query("select 1")
                client, waiting = self.connect(), self.connect()
                client.send(query("select bad"))  # on the third of three links
                wait_until(lambda: any("select bad" in c.heard for c in self.server.connections),
                           "the statement")
                waiting.send(query("select whoami"))
                asked.set()
                self.assertEqual(client.answers(), "T:a D:1 C:SELECT 1 Z:I")
                self.assertRegex(waiting.answers(), "^T:whoami D:[0-9]+ C:SELECT 1 Z:I$")
                for connection in (client, waiting, *holders):
                    connection.close()
                link = next(c for c in self.server.connections if "select bad" in c.heard)
                self.assertTrue(link.ended.wait(5))
                link.heard.clear()
                self.check_others()

    def test_in_a_transaction_its_client_is_told_with_its_next_statement(self):
        self.server.says["select bad"] = GOOD + ready("T") + data_row("stray")
        client = self.connect()
        client.query("begin")
        link = self.link_of(client)
        self.assertEqual(client.query("select bad"), "T:a D:1 C:SELECT 1 Z:T")
        self.check_gone(link)
        self.assertEqual(client.query("select 1"), "E:08006 Z:E")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.check_others()

    def test_a_last_word_is_no_answer_either(self):
        self.server.says["select bad"] = GOOD + ready() + error("57P01", "FATAL")
        client = self.connect()
        self.assertEqual(client.query("select bad"), "T:a D:1 C:SELECT 1 Z:I")
        link = next(c for c in self.server.connections if "select bad" in c.heard)
        self.check_gone(link)
        link.heard.clear()
        self.assertRegex(client.query("select whoami"), "^T:whoami D:[0-9]+ C:SELECT 1 Z:I$")


class LastWords(Case):
    """A link that was about to end when a unit came: that is run on another."""

    def test_what_comes_behind_it_meanwhile_goes_there_too(self):
        said, more = threading.Event(), threading.Event()

        def play(connection):
            if said.is_set():
                return connection.send(GOOD + ready())
            connection.send(error("57P01", "FATAL"))
            said.set()
            more.wait(5)
            connection.close()

        self.server.says["select bad"] = play
        client = self.connect()
        client.send(query("select bad"))
        self.assertTrue(said.wait(5))
        whoami = "T:whoami D:[0-9]+ C:SELECT 1 Z:I"
        client.send(query("select whoami"), extended("select 1"), sync())
        time.sleep(0.05)  # they are at the link that has said that it ends, or wait
        more.set()
        self.assertRegex(client.answers(3), f"^(T:a D:1 C:SELECT 1|E:57P01) Z:I {whoami} 1 2 .*Z:I$")
        for _ in range(2):
            self.assertRegex(client.query("select whoami"), f"^{whoami}$")
        self.check_others()


class Pieces(Case):
    """Messages that stop in the middle. The statement's time is over after a second, the cancel's after five more."""

    def after(self, bad, close=False):
        def play(connection):
            connection.send(bad)
            if close:
                connection.close()
        return play

    def test_a_close_in_mid_message(self):
        for bad in (b"D", message("D", b"", length=100), ROW + message("C", b"SEL", length=13), b"Z\0\0\0\x05"):
            with self.subTest(bad[-30:]):
                first = "T D " if bad.startswith(ROW) else ""
                client, errors = self.answered(query("select bad"), first + "E Z:I", self.after(bad, close=True))
                self.check_error(errors)
                self.check_others()

    def test_a_message_that_never_ends(self):
        self.server.says["select bad"] = self.after(ROW + message("D", b"\0\1", length=1000))
        clients = [self.connect() for _ in range(2)]
        for client in clients:
            client.send(query("select bad"))
        self.assertEqual(self.connect().value("select whoami") != "", True)  # the third link works
        for client in clients:
            self.assertEqual(client.answers(), "T:a D:1 E:08006 Z:I")
        self.assertGreater(self.server.cancels, 0)
        for link in [c for c in self.server.connections if "select bad" in c.heard]:
            self.check_gone(link)
            link.heard.clear()
        self.check_others()

    def test_what_is_missing_of_a_large_row_is_not_made_up(self):
        """The row would be complete with the first bytes of an error."""
        row = data_row("x" * 100_000)
        self.server.says["select bad"] = self.after(row_description("a") + row[:-10], close=True)
        client = self.connect()
        client.send(query("select bad"))
        self.assertEqual(client.rest(), row_description("a") + row[:-10])
        link = next(c for c in self.server.connections if "select bad" in c.heard)
        self.check_gone(link)
        link.heard.clear()
        self.check_others()

    def test_nor_where_its_client_breaks_the_protocol_meanwhile(self):
        row = data_row("x" * 100_000)
        self.server.says["select bad"] = self.after(row_description("a") + row[:-10])
        client = self.connect()
        client.send(query("select bad"))
        self.assertEqual(client.bytes(len(row_description("a") + row[:-10]))[-1:], b"x")
        client.send(b"\xff")
        self.assertEqual(client.rest(), b"")
        link = next(c for c in self.server.connections if "select bad" in c.heard)
        self.check_gone(link)
        link.heard.clear()
        self.check_others()

    def test_a_row_said_to_be_of_a_gigabyte_costs_no_memory_and_others_go_on(self):
        self.server.says["select bad"] = self.after(row_description("a") + message("D", bytes(1000), length=GIB - 1))
        client = self.connect()
        before = self.daemon.rss_kib()
        client.send(query("select bad"))
        client.bytes(len(row_description("a")) + 5 + 1000)
        self.assertLess(self.daemon.rss_kib() - before, 8 * 1024)
        self.check_others()
        self.assertEqual(client.rest(), b"")  # the cancel was not answered
        self.check_others()


class Passed(Case):
    """What a server may say at any time, and what Based does not read, comes through in its place."""

    def test_notices_and_settings_between_all_messages(self):
        odd = notice("odd") + parameter_status("TimeZone", "Mars/Olympus") + notification("nobody", "listens")
        self.server.says["select bad"] = odd + row_description("a") + odd + data_row("1") + odd + complete("A") + odd
        self.server.says["select bad"] += ready() + odd
        client, other = self.connect(), self.connect()
        self.assertEqual(client.query("select bad"), "N:00000 T:a N:00000 D:1 N:00000 C:A N:00000 Z:I")
        self.assertEqual((client.parameters["TimeZone"], other.parameters["TimeZone"]), ("Mars/Olympus", "UTC"))
        self.assertEqual(client.notifications, [])
        self.check_others()

    def test_an_error_without_a_sqlstate(self):
        self.server.says["select bad"] = error(code="") + ready()
        client = self.connect()
        self.assertEqual(client.query("select bad"), "E: Z:I")
        self.assertRegex(client.query("select whoami"), "^T:whoami D:[0-9]+ C:SELECT 1 Z:I$")

    def test_an_error_of_nothing(self):
        self.server.says["select bad"] = message("E", b"\0") + ready()
        self.assertEqual(self.connect().query("select bad"), "E: Z:I")

    def test_last_words_without_a_sqlstate(self):
        self.server.says["select bad"] = lambda link: (link.send(error("", "FATAL", "no more")), link.close())
        client = self.connect()
        fields = client.error(query("select bad"))
        self.assertEqual((fields["S"], fields["M"]), ("ERROR", "no more"))
        self.assertRegex(client.query("select whoami"), "^T:whoami D:[0-9]+ C:SELECT 1 Z:I$")

    def test_a_description_that_cannot_be_read_is_the_clients_to_refuse(self):
        bad = message("T", b"\0\1no end")
        self.server.says["select bad"] = bad + complete("SELECT 0") + ready()
        client = self.connect()
        client.send(query("select bad"))
        self.assertEqual(client.message(), ("T", bad[5:]))
        self.assertEqual(client.answers(), "C:SELECT 0 Z:I")


class Own(Case):
    """Bad answers to what Based itself asks."""

    def test_a_row_of_nothing_to_the_question_about_a_pin(self):
        asked = "create temp table t()"
        client = self.connect()
        self.assertEqual(client.query(asked), "C:CREATE Z:I")
        link = next(c for c in self.server.connections if asked in c.heard)
        question = wait_until(lambda: next((sql for sql in link.heard if "pg_my_temp_schema" in sql), None), "the question")
        self.server.says[question] = data_row() + complete("SELECT 1")
        client.query("select 1")
        wait_until(lambda: link.heard.count(question) > 1, "the next question")
        self.assertEqual(client.query("select 2"), "C:SELECT Z:I")
        client.close()
        self.check_others()

    def test_what_it_has_to_refuse_is_taken(self):
        client = self.connect()
        self.assertEqual(client.ask(parse("p", "select 1"), sync()), "1 Z:I")
        self.assertEqual(client.ask(parse("p", "select 2"), sync()), "E:08006 Z:I")  # 42P05 of a good one
        self.assertEqual(client.query("select 1"), "C:SELECT Z:I")
        self.check_others()

    def test_a_transaction_that_it_says_is_not_open(self):
        client = self.connect("nested")
        self.assertEqual(client.query("begin"), "C:BEGIN Z:T")
        self.assertEqual(client.query("begin"), "C:BEGIN Z:T")
        self.server.says["select 1"] = complete("SELECT 1") + ready("I")
        self.assertEqual(client.query("select 1"), "C:SELECT 1 E:08006 Z:E")  # it was told that it is in one
        self.server.says.clear()
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:E")  # of the inner one
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(client.query("begin"), "C:BEGIN Z:T")
        self.assertEqual(client.query("commit"), "C:COMMIT Z:I")
        self.check_others()

    def test_settings_that_are_answered_with_garbage(self):
        for number, bad in enumerate((b"\xff\0\0\0\4", data_row("1"), message("E", b"S"), ready("X"),
                                      message("T", b"\0\1no end"))):
            with self.subTest(bad):
                self.connect()
                applied = f"SET work_mem TO '{number}MB'"
                self.server.says[applied] = bad
                client = PgClient(f"127.0.0.1:{self.daemon.port}", database="app", work_mem=f"{number}MB")
                self.addCleanup(client.close)
                self.assertEqual(client.query("select 1"), "E:08006 Z:I")
                self.assertTrue(all(link.ended.wait(5) for link in self.server.connections if applied in link.heard))
                self.server.says.clear()
                self.assertEqual(client.query("select 1"), "C:SELECT Z:I")
                self.check_others()


class Beginning(unittest.TestCase):
    """A server whose start is bad: nobody gets in, and everybody does when it is good again."""

    def test_the_client_is_refused_with_57P03_and_let_in_later(self):
        for greeting in (message("R", struct.pack("!I", 99)), message("R", struct.pack("!I", 2)), message("R", b"\0"),
                         message("R", struct.pack("!I", 10) + b"NO-SUCH-METHOD\0\0"), b"HTTP/1.1 400 Bad Request\r\n\r\n",
                         message("Z", b"I"), message("E", b""), message("R", b"", length=GIB), b"\xff" * 5,
                         GREETING + message("S", b"no end")):
            with self.subTest(greeting[:40]), BadServer() as server, Daemon(config=f"""
                    [databases.app]
                    url = "postgresql://127.0.0.1:{server.port}/app"
                    connect_timeout = "1s"
                    """) as daemon:
                server.greeting = greeting
                address = f"127.0.0.1:{daemon.port}"
                with self.assertRaises(Refused) as caught, PgClient(address, database="app"):
                    pass
                self.assertEqual((caught.exception.code, caught.exception.fields["S"]), ("57P03", "FATAL"))
                server.greeting = None
                wait_until(lambda: self.is_let_in(address), "the next client to be let in")

    def is_let_in(self, address):
        try:
            with PgClient(address, database="app") as client:
                return client.value("select whoami") != ""
        except Refused:
            return False


class Natively(Case):
    def check_back(self, answer, code):
        """ROLLBACK TO the innermost savepoint, answered so: the transaction is lost, the session is not."""
        with based_client.connect(f"127.0.0.1:{self.daemon.port}") as client, client.session(database="app") as session:
            session.exec("begin; select 1")
            session.exec("savepoint a; select 1")
            self.server.says['ROLLBACK TO SAVEPOINT "based_2"'] = answer
            with self.assertRaises(based_client.Error) as raised:
                session.exec("rollback to a")
            self.assertEqual([raised.exception.code, session.state[0]], [code, "aborted"])
            self.server.says.clear()
            session.exec("rollback")
            self.assertEqual(session.exec("select 1").tag, "SELECT")
        self.check_others()

    def test_a_link_that_goes_at_a_rollback_to(self):
        self.check_back(lambda connection: connection.close(), "08006")

    def test_a_refused_rollback_to(self):
        self.check_back(error("53200") + ready("E"), "53200")


if __name__ == "__main__":
    unittest.main()
