"""What comes again and again without a name is prepared by Based, and the client sees nothing of it."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import bind, describe, execute, extended, flush, parse, query, sync
from wire_servers import Conversation, Servers

FOUND = "1 2 D:one C:SELECT 1 Z:I"


def setUpModule():
    Conversation.servers = Servers(pools={"one": "max_size = 1", "off": "max_size = 1\nauto_prepare = false",
                                          "none": "max_size = 1\nstatement_cache = 0",
                                          "whole": "max_size = 1\npool_mode = 'session'",
                                          "nested": "max_size = 1\nnested_transactions = true"})


class Unasked(Conversation):
    def setUp(self):
        self.make_table(self.pool)
        self.client = self.connect()
        # Another text for each test: what was seen once is remembered for all.
        self.alias = self.id().rsplit(".", 1)[1][5:25]
        self.text = f"select v as {self.alias} from t where k = $1"

    def make_table(self, pool):
        self.server("drop table if exists t; drop schema if exists mine cascade; create table t (k int primary key, v text); "
                    "insert into t values (1, 'one'), (2, 'two')", pool)

    def ask(self, value="1", text=None, client=None):
        return (client or self.client).ask(extended(text or self.text, [value] if value else []), sync())

    def prepared(self, client=None, like=None):
        """How many times what is like this is prepared on the client's link; asked by another text each time."""
        return (client or self.client).rows("select count(*) from pg_prepared_statements where name like 'based%' and "
                                            f"statement like '{like or f'%{self.alias}%'}' and statement not like '%pg_prepared%'")[0][0]

    def test_from_its_second_time_on_and_for_every_session(self):
        self.assertEqual((self.ask(), self.prepared()), (FOUND, "0"))
        self.assertEqual((self.ask(), self.prepared()), (FOUND, "1"))
        other = self.connect()
        self.assertEqual(self.ask("2", client=other), "1 2 D:two C:SELECT 1 Z:I")
        self.assertEqual(self.ask("1"), FOUND)
        self.assertEqual(self.prepared(), "1")
        calls = self.client.rows(f"select generic_plans + custom_plans from pg_prepared_statements where statement = '{self.text}'")
        self.assertEqual(calls, [["3"]])

    def test_in_steps_as_drivers_do(self):
        for _ in range(3):
            self.assertEqual(self.client.ask(parse("", self.text), describe("S"), sync()), f"1 t:23 T:{self.alias} Z:I")
            self.assertEqual(self.client.ask(bind("", "", ["2"]), execute(), sync()), "2 D:two C:SELECT 1 Z:I")
        self.assertEqual(self.prepared(), "1")
        self.client.send(parse("", self.text), flush())
        self.assertEqual(self.client.take(1), "1")
        self.assertEqual(self.client.ask(bind("", "", ["2"]), execute(), sync()), "2 D:two C:SELECT 1 Z:I")

    def test_a_plan_whose_result_has_changed_is_made_again_unseen(self):
        everything = "select * from t where k = $1"
        for _ in range(3):
            self.assertEqual(self.ask(text=everything), "1 2 D:1|one C:SELECT 1 Z:I")
        self.server("alter table t add more int default 7")
        for _ in range(3):
            self.assertEqual(self.ask(text=everything), "1 2 D:1|one|7 C:SELECT 1 Z:I")
        self.server("alter table t drop more")
        self.assertEqual(self.client.ask(parse("", everything), describe("S"), sync()), "1 t:23 T:k,v Z:I")

    def test_a_named_one_that_others_have_prepared_too(self):
        everything = f"select *, 1 as {self.alias} from t where k = 1"
        self.assertEqual(self.client.ask(parse("n", everything), sync()), "1 Z:I")
        self.server("alter table t add more int default 7")
        other = self.connect()
        self.assertEqual(other.ask(parse("n", everything), describe("S", "n"), sync()),
                         f"1 t: T:k,v,more,{self.alias} Z:I")
        self.assertEqual(other.ask(bind("", "n"), execute(), sync()), "2 D:1|one|7|1 C:SELECT 1 Z:I")
        self.assertEqual(other.ask(parse("n", everything), sync()), "E:42P05 Z:I")
        self.assertEqual(self.client.ask(bind("", "n"), execute(), sync()), "2 D:1|one|7|1 C:SELECT 1 Z:I")

    def test_not_in_a_transaction_where_a_plan_could_not_be_made_again(self):
        self.client.query("begin")
        for _ in range(3):
            self.assertEqual(self.ask(), "1 2 D:one C:SELECT 1 Z:T")
        self.assertEqual(self.client.ask(extended("select 1"), extended(self.text, ["1"]), sync()),
                         "1 2 D:1 C:SELECT 1 1 2 D:one C:SELECT 1 Z:T")
        self.client.query("rollback")
        self.assertEqual(self.prepared(), "0")

    def test_only_the_first_of_several_behind_each_other(self):
        for _ in range(3):
            self.assertEqual(self.client.ask(extended("select 3"), extended(self.text, ["1"]), sync()),
                             "1 2 D:3 C:SELECT 1 1 2 D:one C:SELECT 1 Z:I")
        self.assertEqual((self.prepared(), self.prepared(like="select 3")), ("0", "1"))

    def test_what_the_time_of_its_parse_decides_is_not(self):
        for text in ("'now'::timestamptz > '2000-01-01'", "date 'Tomorrow' is null", "E'no\\x77'::text"):
            for _ in range(3):
                self.ask(None, f"select {text} as {self.alias}")
        self.assertEqual(self.prepared(), "0")
        for _ in range(3):
            self.ask(None, "select now() is null")
        self.assertEqual(self.prepared(like="select now()%"), "1")

    def test_a_session_with_tables_of_its_own_gets_what_it_means(self):
        for _ in range(2):
            self.assertEqual(self.ask(), FOUND)
        self.client.query("create temp table t (k int, v text); insert into t values (1, 'mine')")
        for _ in range(3):
            self.assertEqual(self.ask(), "1 2 D:mine C:SELECT 1 Z:I")

    def test_settings_decide_what_a_text_means(self):
        for _ in range(2):
            self.assertEqual(self.ask(), FOUND)
        self.server("create schema mine; create table mine.t as select 1 as k, 'other' as v")
        other = self.connect()
        other.query("set search_path = mine")
        for _ in range(3):
            self.assertEqual(self.ask(client=other), "1 2 D:other C:SELECT 1 Z:I")
            self.assertEqual(self.ask(), FOUND)

    def test_errors_are_those_of_a_statement_without_a_name(self):
        for _ in range(2):
            self.ask()
        error = self.client.error(parse("", self.text), bind("", "", ["1", "2"]), execute(), sync())
        self.assertEqual((error["C"], error["M"]),
                         ("08P01", 'bind message supplies 2 parameters, but prepared statement "" requires 1'))
        self.assertEqual(self.client.ask(parse("", self.text), bind("", "", ["x"]), execute(), sync()), "1 E:22P02 Z:I")
        self.assertEqual(self.ask(), FOUND)
        for _ in range(3):
            self.assertEqual(self.client.ask(extended("select nothing from t"), sync()), "E:42703 Z:I")
            # It took the place of the one before, and there is none.
            self.assertEqual(self.client.ask(bind("", "", ["1"]), sync()), "E:26000 Z:I")

    def test_a_query_drops_it_for_its_client(self):
        for _ in range(2):
            self.ask()
        self.assertEqual(self.client.ask(parse("", self.text), sync()), "1 Z:I")
        self.assertEqual(self.client.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")
        self.assertEqual(self.client.ask(bind("", "", ["1"]), sync()), "E:26000 Z:I")

    def test_it_follows_its_client_to_another_link(self):
        for _ in range(2):
            self.ask()
        self.assertEqual(self.client.ask(parse("", self.text), sync()), "1 Z:I")
        self.server("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
                    "and pid <> pg_backend_pid()")
        self.assertEqual(self.client.ask(bind("", "", ["2"]), execute(), sync()), "2 D:two C:SELECT 1 Z:I")

    def test_where_it_is_not_wanted(self):
        for pool in ("off", "none", "whole", "nested"):
            with self.subTest(pool=pool):
                self.make_table(pool)
                client = self.connect(pool)
                for _ in range(3):
                    self.assertEqual(self.ask(client=client), FOUND)
                self.assertEqual(self.prepared(client), "0")


if __name__ == "__main__":
    unittest.main()
