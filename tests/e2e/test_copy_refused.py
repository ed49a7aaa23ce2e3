"""A COPY that the server refuses while its client is still sending: in the middle of a large CopyData."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import copy_data, copy_done, copy_fail, extended, flush, query, sync
from wire_servers import Conversation, Servers

# The server reads the second message as a whole, for nobody: it has refused the first one.
REFUSED = copy_data("1\nnot a number\n") + copy_data("1\n" * 1_500_000)


def setUpModule():
    Conversation.servers = Servers(pools={"plain": "max_size = 1", "box": "force_rollback = true"})
    for name in Conversation.servers.pools:
        Conversation.servers.cluster.query("create table copied(n int)", name)


class Cases:
    def setUp(self):
        self.client = self.connect()
        self.other = self.connect()

    def nobody_was_hurt(self):
        for client in (self.client, self.other, self.client):
            self.assertEqual(client.query("select 'well'"), "T:?column? D:well C:SELECT 1 Z:I")
        self.assertEqual(self.other.query("select count(*) from copied"), "T:count D:0 C:SELECT 1 Z:I")

    def in_pieces(self, answer, alone=False):
        """Sends it slowly, hears of the refusal in its middle, and meanwhile another client is served."""
        pieces = [REFUSED[at:at + 700_000] for at in range(0, len(REFUSED), 700_000)]
        for piece in pieces[:2]:
            self.client.send(piece)
            time.sleep(0.05)
        self.assertEqual(self.client.take(len(answer.split())), answer)
        for piece in pieces[2:]:
            if not alone:
                self.assertEqual(self.other.query("select 'well'"), "T:?column? D:well C:SELECT 1 Z:I")
            self.client.send(piece)
            time.sleep(0.02)

    def test_by_query(self):
        for late in (copy_done(), copy_fail(), copy_data("2\n") + copy_done(), b""):
            with self.subTest(late=late[:1]):
                self.client.send(query("copy copied from stdin"))
                self.assertEqual(self.client.take(1), "G:1")
                self.in_pieces("E:22P02 Z:I")
                self.client.send(late)
                self.nobody_was_hurt()

    def test_by_query_in_a_transaction(self):
        self.assertEqual(self.client.query("begin; insert into copied values (5)"), "C:BEGIN C:INSERT 0 1 Z:T")
        self.client.send(query("copy copied from stdin"))
        self.assertEqual(self.client.take(1), "G:1")
        self.in_pieces("E:22P02 Z:E", alone=True)
        self.client.send(copy_done())
        self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")
        self.nobody_was_hurt()

    def test_in_the_extended_protocol(self):
        for begin in (flush(), sync()):
            with self.subTest(begin=begin[:1]):
                self.client.send(extended("copy copied from stdin"), begin)
                self.assertEqual(self.client.take(3), "1 2 G:1")
                self.in_pieces("E:22P02", alone=True)
                self.client.send(copy_done(), sync())
                self.assertEqual(self.client.answers(), "Z:I")
                self.nobody_was_hurt()

    def test_a_client_that_goes_in_the_middle(self):
        for begin, said in ((query("copy copied from stdin"), "E:22P02 Z:I"),
                            (extended("copy copied from stdin") + flush(), "E:22P02")):
            with self.subTest(said):
                leaving = self.connect()
                leaving.send(begin)
                self.assertTrue(leaving.take(1 if said.endswith("Z:I") else 3).endswith("G:1"))
                leaving.send(REFUSED[:1_000_000])
                self.assertEqual(leaving.take(len(said.split())), said)
                leaving.vanish()
                self.nobody_was_hurt()


class Directly(Cases, Conversation):
    directly, pool = True, "plain"


class ThroughAPool(Cases, Conversation):
    pool = "plain"


class InASandbox(Cases, Conversation):
    pool = "box"
