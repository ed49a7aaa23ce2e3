"""A client that does not keep to PostgreSQL's protocol hears why and hurts nobody; PostgreSQL itself says what is right."""

import pathlib
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import (PgClient, copy_data, extended, flush, message, parse, query, sync, terminate, text)
from servers import Daemon, wait_until
from wire_servers import Conversation, Servers, both

ONE = "T:?column? D:1 C:SELECT 1 Z:I"
TYPES = "BCDEFHPQSXcdfp"
SERVER_LIMITS = """
[server]
max_query = "1MiB"
idle_timeout = "1s"
"""


def setUpModule():
    Conversation.servers = Servers(pools={"one": "max_size = 1", "brief": "max_size = 1\nidle_in_transaction = '1s'"})


def half(value):
    return struct.pack("!H", value)


# A message's body, and of which message; each is refused with 08P01 and the session lives.
MALFORMED = [
    ("P", b""), ("P", b"s"), ("P", b"s\0"), ("P", b"s\0select 1"), ("P", b"s\0select 1\0"),
    ("P", b"s\0select 1\0\0"), ("P", b"s\0select 1\0" + half(1)), ("P", b"s\0select 1\0" + half(0xFFFF)),
    ("P", b"s\0select 1\0" + half(0) + b"more"),
    ("B", b""), ("B", b"portal"), ("B", b"\0statement"), ("B", b"\0known"), ("B", b"\0known\0"),
    ("B", b"\0known\0" + half(0)), ("B", b"\0known\0" + half(0) + half(0)), ("B", b"\0known\0" + half(0xFFFF)),
    ("B", b"\0known\0" + half(0) + half(1)), ("B", b"\0known\0" + half(0) + half(1) + struct.pack("!i", 10)),
    ("B", b"\0known\0" + half(0) + half(1) + struct.pack("!i", -2)),
    ("B", b"\0known\0" + half(0) + half(1) + struct.pack("!i", 0x7FFFFFFF)),
    ("B", b"\0known\0" + half(0) * 3 + b"more"), ("B", b"\0known\0" + half(0) + half(0) + half(9)),
    ("D", b""), ("D", b"S"), ("D", b"Sknown"), ("D", b"Sknown\0more"), ("D", b"Zknown\0"),
    ("C", b""), ("C", b"P"), ("C", b"Sknown"), ("C", b"Sknown\0more"), ("C", b"\0known\0"),
    ("E", b""), ("E", b"p"), ("E", b"\0"), ("E", b"\0\0\0\0"), ("E", b"\0" + bytes(5)),
    ("H", b"more"),
]


@both
class Messages:
    def test_malformed_ones_of_the_extended_protocol(self):
        for kind, body in MALFORMED:
            with self.subTest(kind + repr(body)):
                client = self.connect()
                self.assertEqual(client.ask(parse("known", "select 1"), sync()), "1 Z:I")
                self.assertEqual(client.ask(message(kind, body), extended("select 2"), sync()), "E:08P01 Z:I")
                self.assertEqual(client.query("begin"), "C:BEGIN Z:T")
                self.assertEqual(client.ask(message(kind, body), sync()), "E:08P01 Z:E")
                self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
                self.assertEqual(client.query("select 1"), ONE)
                client.close()

    def test_malformed_ones_that_are_units_of_their_own(self):
        for kind, body in (("Q", b""), ("Q", b"select 1"), ("Q", b"select 1\0more"), ("F", b""), ("F", bytes(4)),
                           ("F", bytes(4) + half(0) + half(1)), ("F", bytes(4) + half(0) + half(0xFFFF))):
            with self.subTest(kind + repr(body)):
                client = self.connect()
                self.assertIn(client.ask(message(kind, body)), ("E:08P01 Z:I", "E:42883 Z:I"))
                self.assertEqual(client.query("select 1"), ONE)
                client.close()

    def test_a_password_that_nobody_asked_for_ends_the_session(self):
        client = self.connect()
        client.send(message("p", text("secret")), query("select 1"))
        self.assertEqual(client.answers(), "E:08P01 closed")
        self.assertEqual(self.connect().query("select 1"), ONE)

    def test_in_a_transaction_too(self):
        for bad in (message("p", text("secret")), message("j"), message("\1")):
            with self.subTest(bad):
                client = self.connect()
                client.query("begin; create table never(n int)")
                client.send(bad)
                self.assertEqual(client.answers(), "E:08P01 closed")
                self.assertEqual(self.connect().query("select * from never"), "E:42P01 Z:I")

    def test_a_goodbye_in_the_middle_of_everything(self):
        for said in (parse("", "select 1"), query("begin"), extended("select 1") + flush(),
                     query("begin; declare c cursor for select 1"), query("create temp table gone(n int)")):
            client = self.connect()
            client.send(said, terminate())
            client.rest()
        self.assertEqual(self.connect().query("select * from gone"), "E:42P01 Z:I")


class Lengths(Conversation):
    def test_none_of_any_type_is_below_four_or_over_a_gigabyte(self):
        other = self.connect()
        for kind in TYPES:
            for length in (0, 3, 1 << 30, (1 << 31) - 1, 1 << 31, -1):
                with self.subTest(kind=kind, length=length):
                    client = self.connect()
                    client.send(message(kind, b"", length=length))
                    self.assertEqual(client.answers(), "E:08P01 closed")
                    client.close()
        self.assertEqual(other.query("select 1"), ONE)

    def test_nor_in_a_copy_nor_in_a_transaction(self):
        for begun, seen in (("copy (select 1) to stdout", "H:1 d:1\\n c C:COPY 1 Z:I"), ("begin", "C:BEGIN Z:T")):
            client = self.connect()
            self.assertEqual(client.query(begun), seen)
            client.send(copy_data("x")[:1] + struct.pack("!I", 2))
            self.assertEqual(client.answers(), "E:08P01 closed")
        self.server("create table if not exists filled(n int)")
        client = self.connect()
        client.send(query("copy filled from stdin"))
        self.assertEqual(client.take(1), "G:1")
        client.send(copy_data("1\n"), b"d\xff\xff\xff\xff")
        self.assertEqual(client.answers(), "E:08P01 closed")
        wait_until(lambda: self.server("select count(*) from pg_stat_activity where query like 'copy filled%' "
                                       "and state <> 'idle'") == [["0"]], "the copy to end")
        self.assertEqual(self.connect().value("select count(*) from filled"), "0")


class Limited(Conversation):
    """A daemon of its own with small limits."""

    @classmethod
    def setUpClass(cls):
        cluster = cls.servers.cluster
        cls.daemon = Daemon(config=SERVER_LIMITS + f"[databases.one]\nurl = '{cluster.url('one')}'\nmax_size = 1\n")
        cls.addClassCleanup(cls.daemon.close)

    @property
    def address(self):
        return f"127.0.0.1:{self.daemon.port}"

    def test_a_query_of_the_largest_size_is_taken_and_one_byte_more_is_54000(self):
        most = 1 << 20
        fits = "select 1 --" + "x" * (most - 12)
        client = self.connect()
        self.assertEqual(len(query(fits)), most + 5)
        self.assertEqual(client.query(fits), ONE)
        for kind in "QPDCEF":
            with self.subTest(kind), PgClient(self.address, database="one") as large:
                large.send(message(kind, b"", length=most + 5))  # its bytes are not waited for
                self.assertEqual(large.answers(), "E:54000 closed")
        self.assertEqual(client.query("select 1"), ONE)

    def test_values_and_copies_may_be_larger(self):
        client = self.connect()
        self.assertEqual(client.ask(extended("select length($1::text)", ["x" * 3_000_000]), sync()),
                         "1 2 D:3000000 C:SELECT 1 Z:I")
        client.send(query("create temp table large(t text); copy large from stdin"))
        self.assertEqual(client.take(2), "C:CREATE TABLE G:1")
        client.send(copy_data("x" * 3_000_000 + "\n"), message("c"))
        self.assertEqual(client.answers(), "C:COPY 1 Z:I")

    def test_half_a_message_and_then_silence(self):
        """Nothing has begun: it is as idle as any other."""
        for so_far in (b"Q", b"Q\0\0\0\x20sel", b"P\0\0\0\x20"):
            with self.subTest(so_far):
                client = self.connect()
                client.send(so_far)
                self.assertEqual(client.answers(), "E:57P05 closed")


class Silence(Conversation):
    """In the middle of a unit a client has a link, which others wait for."""

    pool = "brief"

    def silent(self, *said):
        with self.subTest(said[0][:30]):
            client, other = self.connect(), self.connect()
            client.send(*said)
            wait_until(lambda: self.server("select 1 from pg_stat_activity where datname = 'brief' and "
                                           "application_name <> 'psql'"), "the link")
            other.send(query("select 1"))
            self.assertEqual(other.answers(), ONE)
            self.assertIn(b"C25P03\0", client.rest())

    def test_it_ends_as_an_idle_transaction_does(self):
        self.silent(parse("", "select 1"), flush())
        self.silent(extended("select 1"), flush())
        self.silent(parse("", "select 1"))
        self.silent(extended("selec"), flush())
        self.silent(query("begin"))
        self.silent(query("begin"), extended("select 1"), flush())
        self.silent(parse("", "select $1::text"), message("B", b"\0\0" + bytes(100_000), length=1_000_000))


if __name__ == "__main__":
    unittest.main()
