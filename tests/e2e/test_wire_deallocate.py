"""DEALLOCATE and Close by themselves: a session's statements are its own, so that nobody has to wait to be rid of one.

Through Based another client has the only link, or the sandbox's turn, while they are sent.
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import bind, close, describe, execute, extended, fields, flush, parse, query, sync
from wire_servers import Conversation, Servers, both

POOLS = {"one": "max_size = 1", "box": "force_rollback = true"}
ROW = "T:a D:1 C:SELECT 1 Z:I"
REFUSED = "1 2 n E:26000 Z:I"


def setUpModule():
    Conversation.servers = Servers(common="timeout = '500ms'\n", pools=POOLS)
    for name in POOLS:
        Conversation.servers.cluster.query("create table t (n int)", name)


class Deallocate:
    def setUp(self):
        self.client, self.other = self.connect(), self.connect()
        self.assertEqual(self.client.query("prepare q as select 1 as a"), "C:PREPARE Z:I")
        self.assertEqual(self.client.ask(parse("m", "select 1 as a"), sync()), "1 Z:I")
        self.assertEqual(self.other.query("prepare q as select 'other' as b"), "C:PREPARE Z:I")
        self.other.ask(parse("m", "select 'other' as b"), sync())

    def busy(self):
        self.assertEqual(self.other.query("begin; insert into t values (1)"), "C:BEGIN C:INSERT 0 1 Z:T")
        self.addCleanup(self.other.query, "rollback")
        return self.client

    def free(self):
        self.other.query("rollback")
        return self.client

    def is_gone(self, *names):
        """The client's are; the other's are there."""
        client = self.free()
        for name in names:
            self.assertEqual(client.query(f"execute {name}"), "E:26000 Z:I")
            self.assertEqual(client.query(f"explain execute {name}"), "E:26000 Z:I")
            self.assertEqual(client.ask(bind("", name), execute(), sync()), "E:26000 Z:I")
            self.assertEqual(client.ask(describe("S", name), sync()), "E:26000 Z:I")
            self.assertEqual(self.other.query(f"execute {name}"), "T:b D:other C:SELECT 1 Z:I")
            self.assertEqual(client.query(f"prepare {name} as select 1 as a"), "C:PREPARE Z:I")
            self.assertEqual(client.query(f"execute {name}"), ROW)

    def test_either_kind_of_name_by_a_query(self):
        client = self.busy()
        for name in "qm":
            self.assertEqual(client.query(f"deallocate {name}"), "C:DEALLOCATE Z:I")
            self.assertEqual(client.query(f"deallocate {name}"), "E:26000 Z:I")
        self.is_gone("q", "m")

    def test_in_the_extended_protocol(self):
        client = self.busy()
        for name in "qm":
            self.assertEqual(client.ask(extended(f"deallocate {name}", describing=True), sync()), "1 2 n C:DEALLOCATE Z:I")
            self.assertEqual(client.ask(extended(f"deallocate {name}", describing=True), sync()), REFUSED)
        self.is_gone("q", "m")
        self.assertEqual(client.ask(extended("deallocate q"), sync(), bind(), execute(), sync()), "1 2 C:DEALLOCATE Z:I 2 E:26000 Z:I")

    def test_by_close(self):
        client = self.busy()
        self.assertEqual(client.ask(close("S", "q"), sync()), "3 Z:I")
        self.assertEqual(client.ask(close("S", "m"), close("S", "never"), close("S", "m"), sync()), "3 3 3 Z:I")
        self.is_gone("q", "m")

    def test_all_of_them(self):
        for ask in (query("deallocate all"), query("DEALLOCATE PREPARE ALL;"), extended("deallocate all") + sync()):
            client = self.busy()
            self.assertRegex(client.ask(ask), "^(1 2 )?C:DEALLOCATE ALL Z:I$")
            self.assertEqual(client.query("deallocate q"), "E:26000 Z:I")
            self.is_gone("q", "m")

    def test_what_is_said_of_one_that_is_not_there(self):
        for client in (self.busy(), self.free()):
            said = client.error(query('deallocate "No such"'))
            self.assertEqual((said["S"], said["C"], said["M"]), ("ERROR", "26000", 'prepared statement "No such" does not exist'))

    def test_the_unnamed_statement(self):
        client = self.client
        client.ask(parse("", "select 1 as a"), sync())
        self.busy()
        client.ask(close("S", "m"), sync())
        self.free()
        self.assertEqual(client.ask(bind(), execute(), sync()), "2 D:1 C:SELECT 1 Z:I")
        self.busy()
        client.ask(close("S"), sync())
        self.free()
        self.assertEqual(client.ask(bind(), sync()), "E:26000 Z:I")
        client.ask(parse("", "select 1 as a"), sync())
        self.busy()
        client.query("deallocate q")  # as every Query does
        self.free()
        self.assertEqual(client.ask(bind(), sync()), "E:26000 Z:I")

    def test_in_a_transaction(self):
        client = self.client
        self.assertEqual(client.ask(query("begin"), query("deallocate q"), close("S", "m"), sync(), query("deallocate q"),
                                    query("execute m")), "C:BEGIN Z:T C:DEALLOCATE Z:T 3 Z:T E:26000 Z:E E:25P02 Z:E")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.is_gone("q", "m")

    def test_in_a_failed_transaction(self):
        client = self.client
        self.assertEqual(client.ask(query("begin"), query("selec"), query("deallocate q"), query("rollback")),
                         "C:BEGIN Z:T E:42601 Z:E E:25P02 Z:E C:ROLLBACK Z:I")
        self.assertEqual(client.query("execute q"), ROW)

    def test_with_other_messages_in_its_batch(self):
        client = self.client
        self.assertEqual(client.ask(close("S", "m"), extended("select 1 as a"), sync()), "3 1 2 D:1 C:SELECT 1 Z:I")
        self.assertEqual(client.ask(parse("m", "select 1 as a"), close("S", "m"), sync()), "1 3 Z:I")
        self.assertEqual(client.ask(close("S", "q"), close("P", "never"), sync()), "3 3 Z:I")
        self.assertEqual(client.ask(extended("deallocate all"), extended("select 1 as a"), sync()),
                         "1 2 C:DEALLOCATE ALL 1 2 D:1 C:SELECT 1 Z:I")
        self.busy()
        self.is_gone("m", "q")

    def test_in_pieces(self):
        client = self.client
        client.send(close("S", "m"), flush())
        self.assertEqual(client.take(1), "3")
        client.send(close("S", "q"))
        self.assertTrue(client.quiet())
        self.assertEqual(client.ask(sync()), "3 Z:I")
        self.busy()
        self.is_gone("m", "q")

    def test_names_as_the_server_reads_them(self):
        client = self.client
        for sql, said in (("deallocate", "E:42601"), ('deallocate ""', "E:42601"), ("deallocate q q", "E:42601"),
                          ("deallocate 'q'", "E:42601"), ("deallocate Q", "C:DEALLOCATE"), ('deallocate "M"', "E:26000"),
                          ('deallocate U&"\\006D"', "C:DEALLOCATE"), ("deallocate " + 70 * "q", "N:42622 E:26000"),
                          ("deallocate prepare", "E:26000"), ("deallocate prepare prepare", "E:26000")):
            with self.subTest(sql):
                self.assertEqual(client.query(sql), f"{said} Z:I")
        for word, kind in self.servers.observer.rows("select word, catcode from pg_get_keywords() where word <> 'all'"):
            with self.subTest(word):
                self.assertEqual(client.query(f"deallocate {word}"), f"E:{'42601' if kind in 'RT' else '26000'} Z:I")


@both
class DeallocateInAPool(Deallocate):
    pool = "one"


@both
class DeallocateInASandbox(Deallocate):
    pool = "box"

    def test_a_failed_transaction_needs_no_turn(self):
        client = self.client
        client.ask(query("begin"), query("selec"))
        self.busy()
        self.assertEqual(client.ask(query("deallocate q"), close("S", "q"), sync()), "E:25P02 Z:E 3 Z:E")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.is_gone("q")


class Logged(Conversation):
    pool = "box"

    def test_in_the_sandboxs_log(self):
        client = self.connect()
        client.ask(query("prepare q as select 1"), query("deallocate q"), query("DEALLOCATE q;"))
        self.assertEqual([(row[7], row[9]) for row in client.rows("sandbox log")][-2:],
                         [(None, "deallocate q"), ("26000", "DEALLOCATE q;")])


if __name__ == "__main__":
    unittest.main()
