"""COPY in and out, by Query and in the extended protocol, as it should be and as it should not."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import (PgClient, bind, copy_data, copy_done, copy_fail, execute, extended, flush, message, parse, query, sync)
from servers import wait_until
from wire_servers import Conversation, Servers, both

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)


def binary_row(value):
    return b"\0\1" + len(value).to_bytes(4, "big") + value


def setUpModule():
    Conversation.servers = Servers()
    for name in Conversation.servers.pools:
        Conversation.servers.cluster.query("create table copied(n int check (n < 1000000)); "
                                           "create table texts(t text)", name)


def raw_answers(address, sent):
    """What a client is told, up to the end of its connection; errors without the server's lines of source."""
    with PgClient(address, database="one") as client:
        client.send(sent)
        told = client.messages(ready=100)
    return [(kind, [field for field in body.split(b"\0") if kind != "E" or field[:1] not in (b"F", b"L", b"R")])
            for kind, body in told]


class CopyCases:
    def setUp(self):
        self.server("truncate copied, texts")
        self.client = self.connect()
        self.other = self.connect()

    def count(self, table="copied"):
        return int(self.server(f"select count(*) from {table}")[0][0])

    def nobody_was_hurt(self):
        """This client's next statement and another's on the same link get their own answers."""
        for client in (self.client, self.other, self.client):
            self.assertEqual(client.query("select 'well'"), "T:?column? D:well C:SELECT 1 Z:I")


@both
class CopyIn(CopyCases):
    def begin(self, sql="copy copied from stdin", columns=1, database=None):
        client = self.client if database is None else self.connect(database)
        client.send(query(sql))
        self.assertEqual(client.take(1), f"G:{columns}")
        return client

    def test_data_behind_a_copy_that_failed_keep_no_link(self):
        for data in (copy_done(), copy_data("1\n") + copy_done(), copy_fail("no")):
            self.assertEqual(self.client.ask(query("copy nosuch from stdin"), data), "E:42P01 Z:I")
            self.assertEqual(self.other.ask(query("select 1"), seconds=4), "T:?column? D:1 C:SELECT 1 Z:I")

    def test_text(self):
        client = self.begin()
        client.send(copy_data("1\n2\n"), copy_data("3\n4"), copy_data("5\n"), copy_done())
        self.assertEqual(client.answers(), "C:COPY 4 Z:I")
        self.assertEqual(self.server("select n from copied order by n"), [["1"], ["2"], ["3"], ["45"]])
        self.nobody_was_hurt()

    def test_csv_and_binary(self):
        client = self.begin("copy texts from stdin with (format csv, header)")
        client.send(copy_data('t\n"a ""quoted"" one"\n'), copy_data('"two\nlines"\n'), copy_done())
        self.assertEqual(client.answers(), "C:COPY 2 Z:I")
        client = self.begin("copy texts from stdin (format binary)")
        client.send(copy_data(SIGNATURE), copy_data(binary_row(b"binary")), copy_data(b"\xff\xff"), copy_done())
        self.assertEqual(client.answers(), "C:COPY 1 Z:I")
        self.assertEqual(self.server("select t from texts order by t"),
                         [['a "quoted" one'], ["binary"], ["two\nlines"]])
        self.nobody_was_hurt()

    def test_by_the_extended_protocol(self):
        self.client.send(extended("copy copied from stdin"), flush())
        self.assertEqual(self.client.take(3), "1 2 G:1")
        self.client.send(copy_data("1\n"), copy_done(), sync())
        self.assertEqual(self.client.answers(), "C:COPY 1 Z:I")
        self.nobody_was_hurt()

    def test_everything_of_an_extended_copy_sent_ahead(self):
        """The server passes over the Sync that comes while it copies: the one behind CopyDone ends the unit."""
        self.client.send(extended("copy copied from stdin"), sync(), copy_data("1\n"), copy_data("2\n"), copy_done(),
                         sync())
        self.assertEqual(self.client.answers(), "1 2 G:1 C:COPY 2 Z:I")
        self.assertEqual(self.count(), 2)
        self.assertEqual(self.client.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")
        self.nobody_was_hurt()

    def test_an_extended_copy_whose_own_sync_was_passed_over_goes_on_with_what_comes(self):
        self.client.send(extended("copy copied from stdin"), sync())
        self.assertEqual(self.client.take(3), "1 2 G:1")
        self.client.send(copy_data("1\n"), copy_done(), extended("select 2"), sync())
        self.assertEqual(self.client.answers(), "C:COPY 1 1 2 D:2 C:SELECT 1 Z:I")
        self.nobody_was_hurt()

    def test_everything_of_a_copy_by_query_sent_ahead(self):
        self.client.send(query("copy copied from stdin"), copy_data("1\n"), copy_done(), query("select 2"))
        self.assertEqual(self.client.answers(2), "G:1 C:COPY 1 Z:I T:?column? D:2 C:SELECT 1 Z:I")
        self.nobody_was_hurt()

    def test_a_copy_sent_ahead_behind_other_units(self):
        self.client.send(extended("select 1"), sync(), extended("select nothing"), sync(),
                         query("select 2; copy copied from stdin; copy texts from stdin"), copy_data("1\n"),
                         copy_done(), copy_data("x\n"), copy_done(), query("select 3"))
        self.assertEqual(self.client.answers(4), "1 2 D:1 C:SELECT 1 Z:I E:42703 Z:I T:?column? D:2 C:SELECT 1 "
                         "G:1 C:COPY 1 G:1 C:COPY 1 Z:I T:?column? D:3 C:SELECT 1 Z:I")
        self.nobody_was_hurt()

    def test_a_copy_that_is_skipped_behind_an_error(self):
        for before in (bind("", "nosuch"), bind("", "nosuch") + query("execute nosuch")):
            self.client.send(before, query("copy copied from stdin"), copy_data("1\n"), copy_done(), query("select 1"),
                             sync())
            self.assertEqual(self.client.answers(), "E:26000 Z:I")
            self.nobody_was_hurt()

    def test_flush_and_sync_while_it_copies_are_passed_over(self):
        client = self.begin()
        client.send(copy_data("1\n"), flush(), sync(), copy_data("2\n"), sync(), copy_done())
        self.assertEqual(client.answers(), "C:COPY 2 Z:I")
        self.assertTrue(client.quiet())
        self.nobody_was_hurt()

    def test_copy_fail(self):
        client = self.begin()
        client.send(copy_data("1\n"), copy_fail("no more of this"))
        self.assertEqual(client.answers(), "E:57014 Z:I")
        self.assertEqual(self.count(), 0)
        self.client.send(extended("copy copied from stdin"), flush())
        self.assertEqual(self.client.take(3), "1 2 G:1")
        self.client.send(copy_fail(), sync())
        self.assertEqual(self.client.answers(), "E:57014 Z:I")
        self.nobody_was_hurt()

    def test_any_other_message_ends_its_client_as_the_server_would(self):
        links = self.server("select count(*), min(pid) from pg_stat_activity where application_name ~ 'based'")
        directly = f"127.0.0.1:{self.servers.cluster.port}"
        for begin in (query("copy copied from stdin"), extended("copy copied from stdin"),
                      extended("copy copied from stdin") + sync(), query("select 1; copy copied from stdin"),
                      extended("begin") + extended("insert into copied values (8)") + extended("copy copied from stdin")):
            for part in (query("select 1"), parse("", "select 1"), bind(), execute(), message("F", bytes(8)),
                         query("x" * 300_000), message("D", b"S\0"), message("p", b"x\0")):
                with self.subTest(begin=begin, part=part[:20]):
                    sent = begin + flush() + copy_data("1\n") + copy_data("2\n") + part + copy_data("3\n") + copy_done()
                    answers = [raw_answers(address, sent) for address in (directly, self.address)]
                    self.assertEqual(*answers)
                    self.assertEqual([kind for kind, _ in answers[0]][-3:], ["E", "E", "closed"])
                    self.assertEqual(self.count(), 0)
        self.nobody_was_hurt()
        self.assertEqual(links, self.server("select count(*), min(pid) from pg_stat_activity where application_name ~ 'based'"))

    def test_what_comes_behind_an_error_that_ended_the_copy_is_no_part_of_it(self):
        for part in (query("select 7"), extended("select 7") + sync()):
            client = self.connect()
            client.send(query("copy copied from stdin"))
            self.assertEqual(client.take(1), "G:1")
            client.send(copy_data("not a number\n"), part)
            said = client.answers(2)
            self.assertTrue(said.startswith("E:22P02 Z:I ") and said.endswith("D:7 C:SELECT 1 Z:I"), said)
        self.nobody_was_hurt()

    def test_an_error_of_the_server_while_data_still_come(self):
        for late in ([], [copy_data("3\n")], [copy_done()], [copy_data("3\n"), copy_done()],
                     [copy_data("3\n") * 2000, copy_fail()]):
            with self.subTest(late=[part[:10] for part in late]):
                client = self.begin()
                client.send(copy_data("1\nnot a number\n2\n"))
                self.assertEqual(client.answers(), "E:22P02 Z:I")
                client.send(*late)  # for nobody: the server has ended it
                self.nobody_was_hurt()
        self.assertEqual(self.count(), 0)

    def test_an_error_of_the_server_in_a_transaction_while_data_still_come(self):
        client = self.client
        client.query("begin")
        self.begin()
        client.send(copy_data("not a number\n"))
        self.assertEqual(client.answers(), "E:22P02 Z:E")
        client.send(copy_data("1\n"), copy_done())
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.nobody_was_hurt()

    def test_an_error_of_the_server_in_an_extended_copy_while_data_still_come(self):
        self.client.send(extended("copy copied from stdin"), flush())
        self.assertEqual(self.client.take(3), "1 2 G:1")
        self.client.send(copy_data("not a number\n"))
        self.assertEqual(self.client.take(1), "E:22P02")
        self.client.send(copy_data("1\n"), copy_done())
        self.assertTrue(self.client.quiet())
        self.client.send(sync())
        self.assertEqual(self.client.answers(), "Z:I")
        self.nobody_was_hurt()

    def test_a_failed_extended_copy_sent_ahead(self):
        self.client.send(extended("copy nowhere from stdin"), sync(), copy_data("1\n"), copy_done(), sync())
        self.assertEqual(self.client.answers(2), "1 2 E:42P01 Z:I Z:I")
        self.nobody_was_hurt()

    def test_copy_of_one_among_several_statements(self):
        client = self.client
        client.send(query("select 'before'; copy copied from stdin; select 'after'"))
        self.assertEqual(client.take(4), "T:?column? D:before C:SELECT 1 G:1")
        client.send(copy_data("1\n"), copy_done())
        self.assertEqual(client.answers(), "C:COPY 1 T:?column? D:after C:SELECT 1 Z:I")
        client.send(query("copy copied from stdin; copy texts from stdin"))
        self.assertEqual(client.take(1), "G:1")
        client.send(copy_data("2\n"), copy_done())
        self.assertEqual(client.take(2), "C:COPY 1 G:1")
        client.send(copy_data("x\n"), copy_done())
        self.assertEqual(client.answers(), "C:COPY 1 Z:I")
        self.nobody_was_hurt()

    def test_copy_data_without_a_copy_are_passed_over(self):
        self.client.send(copy_data("1\n"), copy_done(), copy_fail())
        self.nobody_was_hurt()
        self.client.query("begin")
        self.client.send(copy_data("1\n"), copy_done())
        self.assertEqual(self.client.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:T")
        self.client.query("rollback")

    def test_many_rows_in_large_and_small_messages(self):
        client = self.begin()
        small = b"".join(copy_data(f"{i}\n") for i in range(20_000))
        large = copy_data("".join(f"{i}\n" for i in range(20_000, 400_000)))
        client.send(small, large, copy_done())
        self.assertEqual(client.answers(), "C:COPY 400000 Z:I")
        self.assertEqual(self.server("select count(distinct n) from copied"), [["400000"]])
        self.nobody_was_hurt()

    def test_one_row_of_20_mb(self):
        client = self.begin("copy texts from stdin")
        client.send(copy_data("x" * 20_000_000 + "\n"), copy_done())
        self.assertEqual(client.answers(), "C:COPY 1 Z:I")
        self.assertEqual(self.server("select length(t) from texts"), [["20000000"]])

    def test_a_client_gone_in_the_middle_leaves_nothing(self):
        for vanish in (True, False):
            with self.subTest(vanish=vanish):
                client = self.connect()
                client.send(query("copy copied from stdin"))
                self.assertEqual(client.take(1), "G:1")
                client.send(copy_data("1\n"))
                client.vanish() if vanish else client.close()
                self.nobody_was_hurt()
                wait_until(lambda: self.server("select count(*) from pg_stat_progress_copy") == [["0"]], "no copy")
                self.assertEqual(self.count(), 0)

    def test_a_client_gone_in_the_middle_of_a_message(self):
        client = self.connect()
        client.send(query("copy copied from stdin"))
        self.assertEqual(client.take(1), "G:1")
        client.send(copy_data("1\n" * 300_000)[:400_000])
        client.vanish()
        self.nobody_was_hurt()
        self.assertEqual(self.count(), 0)


@both
class CopyOut(CopyCases):
    def setUp(self):
        super().setUp()
        self.server("insert into copied select generate_series(1, 3)")

    def test_text_csv_and_binary(self):
        self.assertEqual(self.client.query("copy copied to stdout"), "H:1 d:1\\n d:2\\n d:3\\n c C:COPY 3 Z:I")
        self.assertEqual(self.client.query("copy (select 'a,b' as x, n from copied where n < 2) to stdout csv header"),
                         'H:2 d:x,n\\n d:"a,b",1\\n c C:COPY 1 Z:I')
        said = self.client.query("copy (select 7::int2) to stdout (format binary)")
        self.assertRegex(said, "^H:1 d:\\S+ d:ffff c C:COPY 1 Z:I$")
        self.nobody_was_hurt()

    def test_by_the_extended_protocol(self):
        self.assertEqual(self.client.ask(extended("copy copied to stdout"), extended("select 1"), sync()),
                         "1 2 H:1 d:1\\n d:2\\n d:3\\n c C:COPY 3 1 2 D:1 C:SELECT 1 Z:I")
        self.nobody_was_hurt()

    def test_an_error_in_the_middle(self):
        self.assertEqual(self.client.query("copy (select 1/(3-n) from copied) to stdout"),
                         "H:1 d:0\\n d:1\\n E:22012 Z:I")
        self.assertEqual(self.client.ask(extended("copy (select 1/(3-n) from copied) to stdout"), sync()),
                         "1 2 H:1 d:0\\n d:1\\n E:22012 Z:I")
        self.nobody_was_hurt()

    def test_among_several_statements(self):
        self.assertEqual(self.client.query("select 1; copy copied to stdout; copy copied to stdout; select 2"),
                         "T:?column? D:1 C:SELECT 1" + " H:1 d:1\\n d:2\\n d:3\\n c C:COPY 3" * 2
                         + " T:?column? D:2 C:SELECT 1 Z:I")
        self.nobody_was_hurt()

    def test_much_of_it_and_a_client_gone_while_it_comes(self):
        sql = "copy (select repeat('x', 1000) from generate_series(1, 20000)) to stdout"
        self.client.send(query(sql))
        found = self.client.messages()
        self.assertEqual((len(found), sum(len(body) for kind, body in found if kind == "d")), (20004, 20_020_000))
        client = self.connect()
        client.send(query(sql))
        client.take(3)
        client.vanish()
        self.nobody_was_hurt()

    def test_a_copy_to_or_from_a_file_of_the_server_is_no_conversation(self):
        self.assertEqual(self.client.query("copy copied to '/dev/null'"), "C:COPY 3 Z:I")
        self.assertEqual(self.client.ask(extended("copy copied to '/dev/null'"), sync()), "1 2 C:COPY 3 Z:I")
        self.assertEqual(self.client.query("copy copied from '/nowhere'"), "E:58P01 Z:I")
        self.nobody_was_hurt()


if __name__ == "__main__":
    unittest.main()
