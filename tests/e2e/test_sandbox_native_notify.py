"""What a native session NOTIFYs in a PostgreSQL sandbox is heard by PostgreSQL's clients of the same sandbox, once it commits."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import PgClient, extended, query, sync
from servers import Daemon, PostgresCluster

LONG = "x" * 7900
FITS = 8 * 1024 * 1024 // len(LONG)
TOO_MANY = "too many notifications in the NOTIFY queue"


def setUpModule():
    global cluster, running
    cluster = PostgresCluster()
    url = cluster.url()
    running = Daemon(config=f'[databases.box]\nurl = "{url}"\nforce_rollback = true\n')


def tearDownModule():
    running.close()
    cluster.close()


class Notify(unittest.TestCase):
    def setUp(self):
        self.connection = connection = based_client.connect(f"127.0.0.1:{running.port}")
        self.addCleanup(connection.__exit__)
        self.session = connection.session(database="box")
        self.session.opened.wait()
        self.client = PgClient(f"127.0.0.1:{running.port}", database="box")
        self.addCleanup(self.client.close)
        self.assertEqual(self.client.query("listen news"), "C:LISTEN Z:I")

    def hears(self, *payloads):
        """These and no more: they come without being asked for, and what is said last comes last."""
        self.session.exec("notify news, 'last'")
        heard = [self.client.take(1) for _ in (*payloads, "last")]
        self.assertEqual(heard, [f"A:news|{payload}" for payload in (*payloads, "last")])

    def test_outside_of_a_transaction_at_once(self):
        for sql, parameters in (("notify news, 'one'", None), ("select pg_notify('news', 'one')", None),
                                ("select pg_notify($1, $2)", ["news", "one"])):
            with self.subTest(sql):
                self.session.exec(sql, parameters)
                self.assertEqual(self.client.take(1), "A:news|one")

    def test_at_the_commit(self):
        self.session.exec("begin; notify news, 'one'")
        self.session.exec("select pg_notify('news', 'two')")
        self.session.exec("notify news, 'one'")
        self.assertTrue(self.client.quiet())
        self.session.exec("commit")
        self.hears("one", "two")

    def test_not_what_was_rolled_back(self):
        self.session.exec("begin; notify news, 'lost'")
        self.session.exec("rollback")
        self.session.exec("begin; notify news, 'first'; savepoint s; notify news, 'lost'; rollback to s")
        self.session.exec("notify news, 'second'; savepoint s; notify news, 'third'; release s; commit")
        self.hears("first", "second", "third")

    def test_a_nested_level_is_the_outer_ones(self):
        self.session.exec("begin; notify news, 'first'")
        self.session.exec("begin; notify news, 'lost'; rollback")
        self.session.exec("begin; notify news, 'second'; commit")
        self.assertTrue(self.client.quiet())
        self.session.exec("commit")
        self.hears("first", "second")

    def test_inside_of_anothers_transaction(self):
        owner = self.connection.session(database="box", share=True)
        owner.opened.wait()
        joined = self.connection.session(database="box", join=owner.opened.end["session"]["token"])
        joined.opened.wait()
        owner.exec("begin; notify news, 'outer'")
        joined.exec("notify news, 'one'")
        joined.exec("begin; notify news, 'two'")
        joined.exec("commit")
        joined.exec("begin; notify news, 'lost'; rollback")
        self.assertTrue(self.client.quiet())
        owner.exec("commit")
        self.hears("outer", "one", "two")

    def test_so_many_of_one_transaction_and_no_more(self):
        for sql, parameters in ((f"notify news, '{LONG}%d'", None), ("select pg_notify('news', $1)", f"%d{LONG}")):
            with self.subTest(sql[:20]):
                self.session.exec("begin; notify news, 'kept'; savepoint s")
                with self.assertRaises(based_client.Error) as raised:
                    for number in range(FITS + 2):
                        self.session.exec(sql.replace("%d", str(number)), parameters and [parameters % number])
                self.assertEqual((raised.exception.code, raised.exception.message), ("54000", TOO_MANY))
                self.assertGreater(number, FITS - 2)
                self.session.exec("rollback to s; notify news, 'well'; commit")
                self.hears("kept", "well")

    def test_so_many_of_all_that_is_inside_of_one(self):
        connection = self.enterContext(based_client.connect(f"127.0.0.1:{running.port}", user="postgres"))
        owner = connection.session(database="box", share=True)
        owner.opened.wait()
        token = owner.opened.end["session"]["token"]
        native, wire = connection.session(database="box", join=token), self.joined(token)
        notify = {native: native.exec, wire: wire.rows, owner: owner.exec}
        owner.exec("begin; select 1")
        for number in range(FITS - 2):
            notify[wire if number % 2 else native](f"notify news, '{LONG}{number}'")
        owner.exec(f"notify news, '{LONG}'; notify news, '{LONG[1:]}'")
        for said in notify.values():
            with self.assertRaisesRegex(Exception, "54000|too many notifications"):
                said("notify news, 'too many'")
        owner.exec("rollback")
        self.hears()

    def joined(self, token):
        client = PgClient(f"127.0.0.1:{running.port}", database="box", options=f"-c based.join={token}")
        self.addCleanup(client.close)
        return client

    def test_not_of_what_has_failed(self):
        for sql in ("begin; notify news, 'lost'; select 1/0", "select pg_notify('news', 'lost'), 1/0"):
            with self.subTest(sql):
                with self.assertRaises(based_client.Error) as raised:
                    self.session.exec(sql)
                self.assertEqual(raised.exception.code, "22012")
                if sql.startswith("begin"):
                    self.session.exec("rollback")
                self.hears()
        self.session.exec("select pg_notify('news', 'lost') where false")
        with self.assertRaises(based_client.Error):
            self.session.exec("notify news, 'lost'; select 1/0", atomic=True)
        with self.assertRaises(based_client.Error):
            self.session.exec("notify news, 'kept'; select 1/0")  # each has committed by itself
        self.session.exec("notify others, 'unheard'")
        self.hears("kept")


class OverTheWire(unittest.TestCase):
    def connect(self):
        client = PgClient(f"127.0.0.1:{running.port}", database="box")
        self.addCleanup(client.close)
        return client

    def test_so_many_of_one_transaction_and_no_more(self):
        client, other = self.connect(), self.connect()
        self.assertEqual(other.query("listen news"), "C:LISTEN Z:I")
        ways = (lambda text: query(f"notify news, '{text}'"), lambda text: query(f"select pg_notify('news', '{text}')"),
                lambda text: extended(f"notify news, '{text}'") + sync(),
                lambda text: extended("select pg_notify('news', $1)", [text]) + sync())
        for say in ways:
            self.assertEqual(client.query("begin; notify news, 'kept'; savepoint s"),
                             "C:BEGIN C:NOTIFY C:SAVEPOINT Z:T")
            answers = [client.ask(say(f"{number}{LONG}")) for number in range(FITS - 2)]
            self.assertTrue(all(answer.endswith("Z:T") for answer in answers))
            refused = [client.ask(say(f"{number}{LONG}")) for number in range(FITS - 2, FITS + 2)]
            self.assertIn("E:54000 Z:E", " ".join(refused))
            self.assertTrue(refused[-1].endswith("E:25P02 Z:E"))
            self.assertEqual(client.query("rollback to s; notify news, 'well'; commit"),
                             "C:ROLLBACK C:NOTIFY C:COMMIT Z:I")
            self.assertEqual(other.take(2), "A:news|kept A:news|well")


if __name__ == "__main__":
    unittest.main()
