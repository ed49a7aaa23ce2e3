"""Isolation levels in a sandbox: whatever is asked for is granted, as one session runs after another, and shown."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from pg_client import bind, describe, execute, extended, parse, query, sync
from wire_servers import Conversation, Servers

SHOWN = ("show transaction_isolation", "SHOW TRANSACTION ISOLATION LEVEL", "show Transaction_Isolation;")


def setUpModule():
    Conversation.servers = Servers(pools={"plain": "max_size = 2", "sandbox": "force_rollback = true",
                                          "strict": "force_rollback = true"})
    Conversation.servers.cluster.query("alter database strict set default_transaction_isolation = 'repeatable read'")


class Levels(Conversation):
    """Each conversation is had with a plain database, too, and must be the same."""

    def same(self, *said):
        with self.subTest(said):
            answers = []
            for self.pool in ("plain", "sandbox"):
                client = self.connect()
                answers.append([client.ask(*each) if isinstance(each, tuple) else client.query(each)
                                for each in said])
                client.close()
            self.assertEqual(*answers)
            return answers[1]

    def test_of_begin(self):
        for level in ("serializable", "repeatable read", "read committed", "read uncommitted"):
            for shown in SHOWN:
                said = self.same(f"begin isolation level {level}", shown, "commit", shown)
                self.assertEqual(said[1], f"T:transaction_isolation D:{level} C:SHOW Z:T")
                self.assertEqual(said[3], "T:transaction_isolation D:read committed C:SHOW Z:I")

    def test_of_set_transaction(self):
        self.same("begin", "set transaction isolation level serializable", SHOWN[0], "rollback", SHOWN[0])
        self.same("begin; set local transaction isolation level repeatable read; show transaction_isolation; commit")
        self.same("begin", "set transaction_isolation = 'serializable'", SHOWN[0], "commit", SHOWN[0])
        self.same("begin", "set local transaction_isolation to 'repeatable read'", SHOWN[0], "commit", SHOWN[0])
        self.same("set transaction_isolation = 'serializable'", SHOWN[0])
        self.same("begin", "set transaction_isolation = 'nonsense'", SHOWN[0], "rollback", SHOWN[0])

    def test_of_the_session(self):
        for sql in ("set default_transaction_isolation = 'serializable'", "set default_transaction_isolation = serializable",
                    "set session characteristics as transaction isolation level repeatable read"):
            self.same(sql, "show default_transaction_isolation", SHOWN[0], "begin", SHOWN[1], "commit",
                      "begin isolation level read committed", SHOWN[0], "commit and chain", SHOWN[0], "rollback",
                      "reset default_transaction_isolation", SHOWN[0])

    def test_in_a_failed_transaction(self):
        self.same("begin isolation level serializable", "select 1/(n-1) from generate_series(1, 1) n", SHOWN[0],
                  "rollback", SHOWN[0])

    def test_by_the_extended_protocol(self):
        for shown in SHOWN:
            self.same("begin isolation level serializable", (extended(shown, describing=True), sync()),
                      (parse("s", shown), describe("S", "s"), sync()), (bind("p", "s"), describe("P", "p"), execute("p"), sync()),
                      "commit", (bind("p", "s"), describe("P", "p"), execute("p"), sync()))

    def test_in_the_middle_of_a_text(self):
        self.same("begin isolation level serializable; show transaction_isolation; select 2; commit; "
                  "show transaction_isolation; select 3")

    def test_read_only_and_deferrable(self):
        self.same("begin", "set transaction_read_only = on", "show transaction_read_only",
                  "create table never(a int)", "rollback", "show transaction_read_only")
        self.same("begin", "set transaction_deferrable = on", "commit", "reset transaction_read_only", "select 1")

    def test_the_default_of_the_server(self):
        self.pool = "strict"
        client = self.connect()
        self.assertEqual(client.value(SHOWN[0]), "repeatable read")
        self.assertEqual(client.query("begin isolation level serializable; " + SHOWN[0]),
                         "C:BEGIN T:transaction_isolation D:serializable C:SHOW Z:T")

    def test_one_clients_level_is_not_anothers(self):
        self.pool = "sandbox"
        first, second = self.connect(), self.connect()
        first.query("set default_transaction_isolation = 'serializable'")
        first.query("set transaction_isolation = 'serializable'")
        for _ in range(2):
            self.assertEqual(second.value(SHOWN[0]), "read committed")
            self.assertEqual(first.value(SHOWN[0]), "serializable")


if __name__ == "__main__":
    unittest.main()
