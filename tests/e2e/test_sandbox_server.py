"""What a sandbox asks of the server for a client's statements: no more than it has to, and what an error may undo."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from pg_client import PgClient, bind, execute, extended, parse, query, sync
from servers import Daemon, PostgresCluster, wait_until

cluster = None
TURN = "RELEASE SAVEPOINT _based_turn;SAVEPOINT _based_turn;"
FIRE = ["SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS ALL DEFERRED", "SAVEPOINT _based_check"]
CHECKED = "RELEASE SAVEPOINT _based_check"
QUESTION = "SELECT FROM (SELECT pg_catalog.pg_current_snapshot()"


def setUpModule():
    global cluster
    cluster = PostgresCluster(log_statement="all", log_min_messages="log")
    cluster.query("create table t (id int primary key)")


def tearDownModule():
    cluster.close()


class Server(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon(config=f'[databases.app]\nurl = "{cluster.url()}"\nforce_rollback = true\n')
        self.addCleanup(self.daemon.close)
        self.client = self.wire()
        self.client.query("insert into t values (1)")
        self.marks = 0

    def wire(self):
        client = PgClient(f"127.0.0.1:{self.daemon.port}", database="app#s")
        self.addCleanup(client.close)
        return client

    def log(self):
        return (cluster.folder / "log").read_text()

    def asked(self, *parts, names=False):
        """What the server was asked for by these, without what a sandbox asks once a second."""
        self.marks += 1
        before = len(self.log())
        self.client.ask(*parts) if isinstance(parts[0], bytes) else [self.client.query(text) for text in parts]
        cluster.query(f"select 'mark {self.marks}'")
        text = wait_until(lambda: (lambda said: f"'mark {self.marks}'" in said and said)(self.log()[before:]), "the log")
        said = [one for one in re.findall(r"LOG:  (?:statement|execute (\S+)): (.*)", text) if "'mark " not in one[1]]
        own = []
        for one in said:
            if "'figures'" in one[1] or "txid_current_if_assigned" in one[1]:
                if own and own[-1][1] == TURN:
                    own.pop()  # in front of it
            else:
                own.append(one)
        return own if names else [sql for _, sql in own]

    def test_a_read_by_itself_is_sent_with_the_turns_savepoint(self):
        self.assertEqual(self.asked("select 1"), [TURN, "select 1"])

    def test_a_write_by_itself_fires_what_is_deferred(self):
        said = self.asked("insert into t values (2)")
        self.assertEqual(said[:5], [TURN, "insert into t values (2)", *FIRE])
        self.assertTrue(said[5].startswith(QUESTION), said)
        self.assertEqual(said[6:], [CHECKED])

    def test_a_begin_is_answered_without_the_server(self):
        self.assertEqual(self.asked("begin"), [])
        self.assertEqual(self.asked("insert into t values (2)"), [TURN, "insert into t values (2)"])
        self.assertEqual(self.asked("select 1"), ["select 1"])
        self.assertEqual(self.asked("rollback"), ["ROLLBACK TO SAVEPOINT _based_turn"])
        self.assertEqual(self.client.rows("select id from t"), [["1"]])

    def test_a_commit_asks_for_what_has_to_be_restored(self):
        said = self.asked("begin", "insert into t values (2)", "commit")
        self.assertEqual(said[2:5], FIRE)
        self.assertTrue(said[5].startswith(QUESTION), said)
        self.assertEqual(said[6:], [CHECKED])

    def test_in_the_extended_protocol_too(self):
        self.client.query("begin")
        said = self.asked(extended("insert into t values (2)"), sync())
        self.assertEqual(said, [TURN, "insert into t values (2)"])

    def test_what_has_a_name_that_a_client_could_drop_has_a_savepoint_before_it(self):
        said = self.asked("begin", "insert into t values (2)", "commit", names=True)[-5:]
        self.assertEqual([name for name, _ in said], ["<unnamed>"] * 3 + ["based_s1", "<unnamed>"])

    def test_an_error_goes_back_to_the_turns_savepoint(self):
        self.client.query("insert into t values (2)")
        self.assertEqual(self.asked("select 1 / 0"), [TURN, "select 1 / 0", "ROLLBACK TO SAVEPOINT _based_turn"])
        self.assertEqual(self.client.rows("select id from t"), [["1"], ["2"]])

    def test_what_has_to_be_restored_is_before_the_client_goes_on(self):
        self.client.query("create table parent (id int primary key)")
        self.client.query("create table child (id int references parent deferrable initially deferred)")
        self.assertEqual(self.client.query("begin; declare c cursor for select 1"), "C:BEGIN C:DECLARE CURSOR Z:T")
        said = self.asked("commit; insert into child values (7); insert into parent values (7)")
        self.assertEqual([text[:10] for text in said[4:8]], ["SAVEPOINT ", "SELECT FRO", "RELEASE SA", "DO $based$"], said)
        self.assertEqual(self.client.rows("select id from child"), [["7"]])
        self.assertEqual(self.client.rows("select name from pg_cursors where not is_holdable and name <> ''"), [])
        self.client.query("begin")  # one batch: nothing comes between its statements
        answer = self.client.ask(extended("commit"), extended("insert into child values (8)"),
                                 extended("insert into parent values (8)"), sync())
        self.assertEqual(answer, "1 2 C:COMMIT 1 2 C:INSERT 0 1 1 2 C:INSERT 0 1 Z:I")
        self.client.query("begin")
        self.client.query("insert into child values (9)")
        self.assertIn("23503", self.client.query("commit"))
        self.assertEqual(self.client.rows("select id from child"), [["7"], ["8"]])

    def test_a_turn_that_has_sent_nothing_undoes_nothing(self):
        for leave in (PgClient.close, PgClient.vanish):
            other = self.wire()
            self.assertEqual(other.query("begin"), "C:BEGIN Z:T")
            leave(other)
            self.assertEqual(self.client.rows("select id from t"), [["1"]])

    def test_a_mark_and_a_reset_to_it_with_a_savepoint_due(self):
        self.client.query("insert into t values (2)")
        self.assertEqual(self.client.query("sandbox mark here"), "C:SANDBOX MARK Z:I")
        self.client.query("insert into t values (3)")
        self.assertEqual(self.client.query("begin"), "C:BEGIN Z:T")
        self.assertEqual(self.wire().query("sandbox reset to here"), "C:SANDBOX RESET Z:I")
        self.client.query("rollback")
        self.assertEqual(self.client.rows("select id from t"), [["1"], ["2"]])

    def test_read_only_ends_with_its_transaction_in_the_same_text(self):
        for n, text in enumerate(("begin; set transaction read only; commit", "begin read only; commit",
                                  "set transaction read only; begin; commit", "begin read only; rollback")):
            self.assertTrue(self.client.query(f"{text}; insert into t values ({n + 2})").endswith("C:INSERT 0 1 Z:I"), text)

    def test_what_is_committed_behind_a_chained_rollback_stays(self):
        for text in ("begin", "select nothing", "commit and chain", "insert into t values (2)"):
            self.client.query(text)
        self.assertIn("C:COMMIT", self.client.query("end; select nothing from t"))
        self.assertEqual(self.client.rows("select id from t"), [["1"], ["2"]])

    def test_a_query_that_fails_behind_a_portal_in_its_batch(self):
        begun = parse("", "select 1") + bind("p") + execute("p")
        self.assertIn("42703", self.client.ask(begun, query("select nothing from t"), sync(), ready=2))
        self.assertEqual(self.client.rows("select id from t"), [["1"]])

    def test_read_only_begins_behind_a_portal(self):
        begun = parse("", "select 1") + bind("p")
        self.client.ask(begun, extended("begin read only"), extended("insert into t values (2)"), sync())
        self.assertEqual(self.client.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(self.client.ask(begun, execute("p"), sync()), "1 2 D:1 C:SELECT 1 Z:I")

    def test_what_a_transaction_has_set_goes_with_it(self):
        self.client.query("begin")
        self.client.query("set application_name = 'inside'")
        self.client.query("rollback")
        self.assertEqual(self.client.rows("show application_name"), [["based"]])
        self.client.query("begin")
        self.client.query("set application_name = 'kept'")
        self.client.query("commit")
        self.assertEqual(self.client.rows("show application_name"), [["kept"]])

    def test_a_cancel_strikes_the_clients_statement_only(self):
        for _ in range(40):
            self.client.query("select 1")
            self.client.send(b"Q" + (4 + len("select pg_sleep(60)") + 1).to_bytes(4) + b"select pg_sleep(60)\0")
            self.client.cancel()
            self.assertIn("57014", str(self.client.answers()))
        self.assertEqual(self.client.rows("select id from t"), [["1"]])


if __name__ == "__main__":
    unittest.main()
