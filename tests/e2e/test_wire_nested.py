"""Transactions inside of transactions through PostgreSQL's protocol: what is left behind them, which is nothing."""

import unittest

from pg_client import extended, sync
from wire_servers import Conversation, Servers


def setUpModule():
    Conversation.servers = Servers(pools={"one": "max_size = 1\nnested_transactions = true"})
    Conversation.servers.cluster.query("create table t (a int)", "one")


class Behind(Conversation):
    """What was one, by each way to end it, leaves the session as if there had been none."""

    WAYS = (
        "begin; begin; commit; commit",
        "begin; begin; rollback; commit",
        "begin; begin; begin; rollback; commit; rollback",
        "begin; begin; commit and chain; rollback and chain; commit; commit",
        "begin; begin; savepoint a; rollback to a; release a; commit; rollback",
        "begin; begin; select 1/0; select 1; rollback; commit",
        "begin; begin read only; insert into t values (1); rollback; rollback",
        "begin; begin; commit; select 1/0; commit",
    )

    def each_way(self, check):
        for way in self.WAYS:
            stumbles = "/0" in way or "insert" in way  # where a text of several statements would end
            for texts in ([way.split("; ")] if stumbles else [way.split("; "), [way]]):
                with self.subTest(texts):
                    client = self.connect()
                    for text in texts:
                        client.query(text)
                    check(client)
                    client.close()

    def test_an_extended_unit_gets_its_answer_and_nothing_else(self):
        def check(client):
            self.assertEqual(client.ask(extended("select 7"), sync()), "1 2 D:7 C:SELECT 1 Z:I")
            self.assertEqual(client.ask(extended("insert into t values (2)"), sync()), "1 2 C:INSERT 0 1 Z:I")
        self.each_way(check)

    def test_an_error_is_one(self):
        self.each_way(lambda client: self.assertEqual(client.query("select 1/0"), "E:22012 Z:I"))
        self.each_way(lambda client: self.assertEqual(client.ask(extended("select 1/0"), sync()), "1 E:22012 Z:I"))

    def test_an_end_without_a_beginning_is_told_as_the_server_tells_it(self):
        def queries(client):
            self.assertEqual(client.query("commit and chain"), "E:25P01 Z:I")
            self.assertEqual(client.query("lock table t"), "E:25P01 Z:I")
        self.each_way(queries)
        self.each_way(lambda client: self.assertEqual(client.ask(extended("commit"), sync()), "1 2 N:25P01 C:COMMIT Z:I"))
        self.each_way(lambda client: self.assertEqual(client.query("rollback"), "N:25P01 C:ROLLBACK Z:I"))

    def test_another_one_begins_and_ends(self):
        def check(client):
            self.assertEqual(client.ask(extended("begin"), extended("begin"), sync()), "1 2 C:BEGIN 1 2 C:BEGIN Z:T")
            self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:T")
            self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.each_way(check)


if __name__ == "__main__":
    unittest.main()
