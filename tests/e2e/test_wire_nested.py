"""Transactions inside of transactions through PostgreSQL's protocol: what is left behind them, which is nothing."""

import unittest

from pg_client import bind, execute, extended, parse, query, sync
from servers import wait_until
from wire_servers import Conversation, Servers


def setUpModule():
    Conversation.servers = Servers(pools={"one": "max_size = 1\nnested_transactions = true",
                                          "box": "force_rollback = true\nnested_transactions = true",
                                          "strict": "force_rollback = true\nnested_transactions = true\n"
                                                    "idle_while_waited = '100ms'"})
    for name in ("one", "strict"):
        Conversation.servers.cluster.query("create table t (a int)", name)


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


class Blocks(Conversation):
    """A text of several statements, and what a pipeline has begun, are one block where a BEGIN in it is no nested one."""

    def setUp(self):
        self.server("truncate t")

    def rows(self):
        return ",".join(row[0] for row in self.server("select a from t order by 1"))

    def test_without_a_begin_it_is_all_or_nothing(self):
        client = self.connect()
        self.assertEqual(client.query("insert into t values (1); select 1/0"), "C:INSERT 0 1 E:22012 Z:I")
        self.assertEqual(client.query("insert into t values (2); rollback"), "C:INSERT 0 1 N:25P01 C:ROLLBACK Z:I")
        self.assertEqual(client.query("insert into t values (3); commit; insert into t values (4); select 1/0"),
                         "C:INSERT 0 1 N:25P01 C:COMMIT C:INSERT 0 1 E:22012 Z:I")
        self.assertEqual(self.rows(), "3")

    def test_a_begin_turns_the_block_into_the_transaction(self):
        client = self.connect()
        self.assertEqual(client.query("insert into t values (1); begin; insert into t values (2)"),
                         "C:INSERT 0 1 C:BEGIN C:INSERT 0 1 Z:T")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(client.query("insert into t values (1); begin; begin; insert into t values (2); rollback; "
                                      "insert into t values (3); commit; insert into t values (4); select 1/0"),
                         "C:INSERT 0 1 C:BEGIN C:BEGIN C:INSERT 0 1 C:ROLLBACK C:INSERT 0 1 C:COMMIT C:INSERT 0 1 "
                         "E:22012 Z:I")
        self.assertEqual(self.rows(), "1,3")
        self.assertEqual(client.query("insert into t values (5); begin; begin; rollback; rollback"),
                         "C:INSERT 0 1 C:BEGIN C:BEGIN C:ROLLBACK C:ROLLBACK Z:I")
        self.assertEqual(self.rows(), "1,3")

    def test_behind_a_block_that_a_pipeline_has_begun(self):
        for text, answer, rows in (
                ("insert into t values (2); select 1/0", "C:INSERT 0 1 E:22012 Z:I Z:I", ""),
                ("begin; begin; insert into t values (2); rollback; commit",
                 "C:BEGIN C:BEGIN C:INSERT 0 1 C:ROLLBACK C:COMMIT Z:I Z:I", "1"),
                ("begin; begin; rollback; rollback", "C:BEGIN C:BEGIN C:ROLLBACK C:ROLLBACK Z:I Z:I", "")):
            with self.subTest(text):
                self.setUp()
                client = self.connect()
                self.assertEqual(client.ask(extended("insert into t values (1)"), query(text), sync()),
                                 "1 2 C:INSERT 0 1 " + answer)
                self.assertEqual(self.rows(), rows)

    def test_a_text_that_cannot_be_parsed_runs_in_no_part(self):
        client = self.connect()
        self.assertEqual(client.query("begin; begin; insert into t values (1); selec"), "E:42601 Z:I")
        self.assertEqual(client.query("begin; insert into t values (1)"), "C:BEGIN C:INSERT 0 1 Z:T")
        self.assertEqual(client.query("begin; commit; selec"), "E:42601 Z:E")
        self.assertEqual(client.query("commit"), "C:ROLLBACK Z:I")
        self.assertEqual(self.rows(), "")


class Lost(Conversation):
    """What is gone has to be ended as often as it was begun: what its client says meanwhile was meant to be a part of it."""

    INSERT = "insert into t values (1)"

    def setUp(self):
        self.server("truncate t", "one")

    def lose(self, client):
        if self.pool == "one":
            self.server("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'one' and state like 'idle in%'")
            wait_until(lambda: not self.processes("state like 'idle in%'"), "its link to be gone")
        else:
            self.assertEqual(self.connect().query("select count(*) from t"), "T:count D:0 C:SELECT 1 Z:I")

    def begun(self, depth):
        client = self.connect()
        for _ in range(depth):
            self.assertEqual(client.query("begin"), "C:BEGIN Z:T")
        self.assertEqual(client.query(self.INSERT), "C:INSERT 0 1 Z:T")
        self.lose(client)
        return client

    def each(self, check):
        for self.pool, said in (("one", "57P01"), ("strict", "25P03")):
            with self.subTest(self.pool):
                check(said)
                self.assertEqual(self.connect().query("select count(*) from t"), "T:count D:0 C:SELECT 1 Z:I")

    def test_who_ends_the_inner_one_first(self):
        def check(said):
            client = self.begun(2)
            self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:E")
            self.assertEqual(client.query(self.INSERT), "E:25P02 Z:E")
            self.assertEqual(client.query("commit"), "C:ROLLBACK Z:I")
            self.assertEqual(client.query("rollback"), "N:25P01 C:ROLLBACK Z:I")
        self.each(check)

    def test_who_is_told_first(self):
        def check(said):
            client = self.begun(3)
            self.assertEqual(client.query(self.INSERT), f"E:{said} Z:E")
            self.assertEqual(client.ask(extended("rollback"), sync()), "1 2 C:ROLLBACK Z:E")
            self.assertEqual(client.ask(extended(self.INSERT), sync()), "E:25P02 Z:E")
            self.assertEqual(client.query("commit"), "C:ROLLBACK Z:E")
            self.assertEqual(client.ask(query(self.INSERT), query("rollback"), query("select 1 as a")),
                             "E:25P02 Z:E C:ROLLBACK Z:I T:a D:1 C:SELECT 1 Z:I")
        self.each(check)

    def test_in_one_text(self):
        def check(said):
            for text, answer in (("rollback; " + self.INSERT, "C:ROLLBACK E:25P02 Z:E"), ("rollback and chain", "C:ROLLBACK Z:E")):
                client = self.begun(2)
                self.assertRegex(client.query(self.INSERT), f"E:{said} Z:E")
                self.assertEqual(client.query(text), answer)
                while (last := client.query("rollback"))[-1] == "E":
                    self.assertEqual(client.query(self.INSERT), "E:25P02 Z:E")
                self.assertEqual(last, "C:ROLLBACK Z:I")
            client = self.begun(3)
            self.assertRegex(client.query(self.INSERT), f"E:{said} Z:E")
            self.assertEqual(client.query("rollback; rollback; rollback; select 1 as a"),
                             "C:ROLLBACK C:ROLLBACK C:ROLLBACK T:a D:1 C:SELECT 1 Z:I")
        self.each(check)


class Modes(Conversation):
    def test_an_inner_one_has_no_isolation_level_of_its_own(self):
        for pool in ("one", "box"):
            with self.subTest(pool):
                client = self.connect(pool)
                self.assertEqual(client.query("begin isolation level serializable"), "C:BEGIN Z:T")
                self.assertEqual(client.query("begin isolation level serializable"), "E:25001 Z:E")
                self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
                self.assertEqual(client.query("begin; begin read only; rollback; rollback"),
                                 "C:BEGIN C:BEGIN C:ROLLBACK C:ROLLBACK Z:I")


class Portals(Conversation):
    """Those with names are the server's, inside of a nested transaction as outside."""

    def test_one_outlives_the_inner_transaction_and_not_the_outer_one(self):
        client = self.connect()
        self.assertEqual(client.ask(extended("begin"), sync()), "1 2 C:BEGIN Z:T")
        self.assertEqual(client.ask(parse("", "select generate_series(1, 3)"), bind("p"), execute("p", 1), sync()),
                         "1 2 D:1 s Z:T")
        self.assertEqual(client.ask(parse("s", "begin"), bind("b", "s"), execute("b"), bind("p"), sync()),
                         "1 2 C:BEGIN E:42P03 Z:E")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:T")
        self.assertEqual(client.ask(execute("p", 1), execute("b"), sync()), "D:2 s E:55000 Z:E")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(client.ask(execute("p", 1), sync()), "E:34000 Z:I")

    def test_a_begin_nests_where_it_is_executed(self):
        client = self.connect()
        self.assertEqual(client.ask(parse("s", "begin"), parse("e", "commit"), sync()), "1 1 Z:I")
        run = bind("", "s") + execute()
        end = bind("", "e") + execute()
        self.assertEqual(client.ask(run, run, end, sync()), "2 C:BEGIN 2 C:BEGIN 2 C:COMMIT Z:T")
        self.assertEqual(client.ask(end, run, run, end, end, sync()),
                         "2 C:COMMIT 2 C:BEGIN 2 C:BEGIN 2 C:COMMIT 2 C:COMMIT Z:I")
        self.assertEqual(client.query("execute s; execute s; select 1; commit"),
                         "C:BEGIN C:BEGIN T:?column? D:1 C:SELECT 1 C:COMMIT Z:T")


if __name__ == "__main__":
    unittest.main()
