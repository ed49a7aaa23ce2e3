"""A sandbox answers as PostgreSQL does, where its transactions are savepoints of a root."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import bind, describe, execute, extended, parse, sync
from wire_servers import Conversation, Servers, both


def setUpModule():
    Conversation.servers = Servers(pools={"one": "force_rollback = true"})
    Conversation.servers.cluster.query("create table t(n int)", "one")


@both
class Sandbox:
    def test_the_guard_of_a_lost_root_is_not_seen(self):
        client = self.connect()
        self.assertEqual(client.parameters.get("default_transaction_read_only", "off"), "off")
        self.assertEqual(client.query("show default_transaction_read_only"),
                         "T:default_transaction_read_only D:off C:SHOW Z:I")
        self.assertEqual(client.query("insert into t values (1)"), "C:INSERT 0 1 Z:I")

    def test_several_statements_are_a_transaction_block_for_what_needs_one(self):
        client = self.connect()
        self.assertEqual(client.query("set local work_mem = '7MB'; show work_mem"),
                         "C:SET T:work_mem D:7MB C:SHOW Z:I")
        self.assertEqual(client.query("show work_mem"), "T:work_mem D:4MB C:SHOW Z:I")
        self.assertEqual(client.query("lock table t; select 1 as a"), "C:LOCK TABLE T:a D:1 C:SELECT 1 Z:I")
        self.assertEqual(client.query("lock table t"), "E:25P01 Z:I")

    def test_what_a_script_has_committed_stays_when_it_fails_behind_that(self):
        for number, sql in enumerate(("begin; set work_mem = '7MB'; commit; select 1/0",
                                      "set work_mem = '7MB'; commit; select 1/0")):
            with self.subTest(sql):
                client = self.connect()
                self.assertRegex(client.query(sql), "C:COMMIT E:22012 Z:I$")
                self.assertEqual(client.query("show work_mem"), "T:work_mem D:7MB C:SHOW Z:I")
                self.assertRegex(client.query(f"insert into t values (10{number}); commit; select 1/0"), "E:22012 Z:I$")
                self.assertEqual(client.query(f"delete from t where n = 10{number}"), "C:DELETE 1 Z:I")
                client.query("set work_mem = '6MB'; rollback; select 1/0")
                self.assertEqual(client.query("show work_mem"), "T:work_mem D:7MB C:SHOW Z:I")

    def test_a_portal_ends_with_its_transaction(self):
        client = self.connect()
        for _ in range(2):
            self.assertEqual(client.ask(parse("", "select 1"), bind("p"), describe("P", "p"), execute("p"), sync()),
                             "1 2 T:?column? D:1 C:SELECT 1 Z:I")
        client.query("begin")
        self.assertEqual(client.ask(parse("", "select 1"), bind("p"), execute("p"), sync()), "1 2 D:1 C:SELECT 1 Z:T")
        self.assertEqual(client.ask(parse("", "select 1"), bind("p"), sync()), "1 E:42P03 Z:E")
        client.query("rollback")
        client.query("begin")
        self.assertEqual(client.ask(parse("", "select 1"), bind("p"), execute("p"), sync()), "1 2 D:1 C:SELECT 1 Z:T")
        self.assertEqual(client.ask(extended("commit"), sync()), "1 2 C:COMMIT Z:I")
        self.assertEqual(client.ask(execute("p"), sync()), "E:34000 Z:I")

    def test_transaction_control_has_no_parameters(self):
        client = self.connect()
        self.assertEqual(client.ask(parse("c", "commit"), bind("", "c", ["1"]), execute(), sync()), "1 E:08P01 Z:I")
        self.assertEqual(client.error(bind("", "c", ["1", "2"]), sync())["M"],
                         'bind message supplies 2 parameters, but prepared statement "c" requires 0')


if __name__ == "__main__":
    unittest.main()
