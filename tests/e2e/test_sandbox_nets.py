"""The nets of a PostgreSQL sandbox, without the tokenizer that is before them: nothing persists, and which net it was.

tests/daemon/blind_classify.cpp makes a daemon of the test that takes every text for a statement like any other. What it
sends the server, a client could send only if the tokenizer were wrong.
"""

import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
import servers as support
from pg_client import PgClient, extended, fields, query, sync
from servers import Daemon, PostgresCluster, wait_until

BLIND = support.BASED.parent / "tests" / "daemon" / "based_blind"
CURSOR = "22012"  # of the cursor that a COMMIT has to materialise
PREPARED = "0A000"  # with such a cursor there is no PREPARE TRANSACTION
READ_ONLY = "25006"  # behind a ROLLBACK the link is read only
STATUS = "25P01"  # it is no longer in a transaction: what goes around a statement fails, and the link is closed
READY = "08006"  # the same, as ReadyForQuery says
SCRIPT = "42601"  # the extended protocol takes one statement

# The text, and what stops it as a Query, in the extended protocol, and in a native session, which sends each statement alone.
CAUGHT = (
    ("commit", CURSOR, CURSOR, CURSOR),
    ("/* x */ cOmMiT work", CURSOR, CURSOR, CURSOR),
    ("end", CURSOR, CURSOR, CURSOR),
    ("COMMIT AND CHAIN", CURSOR, CURSOR, CURSOR),
    ("prepare transaction 'kept'", PREPARED, PREPARED, PREPARED),
    ("rollback", READY, READY, STATUS),
    ("rollback; insert into t values (2)", READ_ONLY, SCRIPT, STATUS),
    ("abort; create table made (a int)", READ_ONLY, SCRIPT, STATUS),
    ("rollback; begin; insert into t values (2); commit", READ_ONLY, SCRIPT, STATUS),
    ("insert into t values (2); commit; insert into t values (3)", CURSOR, SCRIPT, CURSOR),
    ("commit; begin read write; insert into t values (2); commit", CURSOR, SCRIPT, CURSOR),
    ("close all; commit", CURSOR, SCRIPT, CURSOR),
    ("rollback; set default_transaction_read_only = off; insert into t values (2)", READ_ONLY, SCRIPT, STATUS),
)
# In one string of a simple Query, and only there: what is left to the tokenizer alone.
LEFT = (
    "rollback; begin read write; insert into t values (2); commit",
    "rollback; set transaction read write; insert into t values (2)",
    "rollback; set default_transaction_read_only = off; commit; insert into t values (2)",
)
# Texts that end in such a one, of which Based may not be able to read all.
MANY = "; ".join(["select 1"] * 65536)
UNREAD = (
    (f"{MANY}; {LEFT[0]}", "54000"),
    (LEFT[0].replace("read write", ", ".join(["read write"] * 40)), None),
    (LEFT[0].replace("read write", ", ".join(["read write"] * 40) + ", read"), "42601"),
    (LEFT[1].replace("read write", " read write /* x */," * 40 + "read write"), None),
    (f"select 1; savepoint u&\"a!0062\" uescape '!'; {LEFT[0]}", None),
    (f"select 1; prepare transaction u&'a!0062' uescape '!'; {LEFT[0]}", "42601"),
    (f"selec; {MANY}; {LEFT[0]}", "42601"),
)


def setUpModule():
    global cluster
    subprocess.run(["ninja", "-C", support.BASED.parent, "tests/daemon/based_blind"], check=True, capture_output=True,
                   timeout=300)
    cluster = PostgresCluster(max_prepared_transactions=4)
    unittest.addModuleCleanup(cluster.close)
    cluster.query("create table t (a int)")


class Nets(unittest.TestCase):
    def daemon(self, binary):
        before, support.BASED = support.BASED, binary
        try:
            daemon = Daemon(config=f'[databases.app]\nurl = "{cluster.url()}"\nforce_rollback = true\n')
        finally:
            support.BASED = before
        self.addCleanup(daemon.close)
        return daemon

    def kept(self):
        """What there is without any sandbox: rows, tables, prepared transactions."""
        wait_until(lambda: cluster.query("select count(*) from pg_stat_activity where backend_type = 'client backend' "
                                         "and pid <> pg_backend_pid()") == [["0"]], "the sandbox's end")
        return cluster.query("select (select string_agg(a::text, ' ') from t), to_regclass('made'), "
                             "(select count(*) from pg_prepared_xacts)")[0]

    def by_wire(self, binary, data):
        """The SQLSTATEs of the answer to this, behind a statement that wrote."""
        daemon = self.daemon(binary)
        with PgClient(f"127.0.0.1:{daemon.port}", database="app#w") as client:
            self.assertEqual(client.query("insert into t values (1)"), "C:INSERT 0 1 Z:I")
            client.send(data)
            codes = [fields(body)["C"] for kind, body in client.messages() if kind == "E"]
            client.query("insert into t values (4)")
            self.assertEqual(client.query("select 1"), "T:?column? D:1 C:SELECT 1 Z:I")  # its sandbox is there again
        daemon.kill()
        return codes

    def by_session(self, text):
        daemon = self.daemon(BLIND)
        with based_client.connect(f"127.0.0.1:{daemon.port}") as client:
            session = client.session(database="app#n")
            session.exec("insert into t values (1)")
            with self.assertRaises(based_client.Error) as caught:
                session.exec(text)
        daemon.kill()
        return caught.exception.code

    def test_by_the_simple_protocol(self):
        for text, net, _, _ in CAUGHT:
            with self.subTest(text):
                codes = self.by_wire(BLIND, query(text))
                self.assertEqual((codes[0], self.kept()), (net, ["", "", "0"]), codes)

    def test_by_the_extended_protocol(self):
        for text, _, net, _ in CAUGHT:
            with self.subTest(text):
                codes = self.by_wire(BLIND, extended(text) + sync())
                self.assertEqual((codes[0], self.kept()), (net, ["", "", "0"]), codes)

    def test_by_the_native_protocol(self):
        for text, _, _, net in CAUGHT:
            with self.subTest(text):
                self.assertEqual((self.by_session(text), self.kept()), (net, ["", "", "0"]))

    def test_what_is_left_to_the_tokenizer(self):
        for text in LEFT:
            with self.subTest(text):
                self.addCleanup(cluster.query, "truncate t")
                self.by_wire(BLIND, query(text))
                self.assertEqual(self.kept(), ["2", "", "0"])
                cluster.query("truncate t")
                self.by_wire(support.BASED, query(text))
                self.assertEqual(self.kept(), ["", "", "0"])

    def test_what_is_not_read_does_not_run(self):
        """Nor what is read, and was not at some time."""
        for text, code in UNREAD:
            with self.subTest(text[-120:]):
                self.addCleanup(cluster.query, "truncate t")
                cluster.query("truncate t")
                codes = self.by_wire(support.BASED, query(text))
                self.assertEqual(self.kept(), ["", "", "0"])
                if code is not None:
                    self.assertEqual(codes, [code])
        with PgClient(f"127.0.0.1:{self.daemon(support.BASED).port}", database="app") as client:
            unread = "prepare transaction u&'a!0062' uescape '!'"
            self.assertEqual(client.ask(extended(unread), sync()), "E:42601 Z:I")
            self.assertEqual(client.ask(extended("begin"), extended(unread), sync()), "1 2 C:BEGIN E:42601 Z:E")
            self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
            self.assertEqual(client.ask(extended("select 1"), sync()), "1 2 D:1 C:SELECT 1 Z:I")

    def test_a_name_with_escapes_is_the_name_that_it_says(self):
        """Based's own savepoints and settings are not to be had by another spelling."""
        with PgClient(f"127.0.0.1:{self.daemon(support.BASED).port}", database="app") as client:
            client.query("begin")
            self.assertEqual(client.error(query(r'savepoint u&"\005fbased_t1"'))["C"], "42939")
            client.query("rollback")
            for name in (r'u&"default_transaction\005fread_only"', "U&\"default_transaction!+00005Fread_only\" uescape '!'"):
                self.assertEqual(client.query(f"set {name} = on"), "C:SET Z:I")
                self.assertEqual(client.error(query("insert into t values (1)"))["C"], "25006")
                self.assertEqual(client.query(f"reset {name}"), "C:RESET Z:I")
                self.assertEqual(client.query("insert into t values (1)"), "C:INSERT 0 1 Z:I")


if __name__ == "__main__":
    unittest.main()
