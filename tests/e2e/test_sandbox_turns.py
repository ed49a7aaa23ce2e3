"""Who waits for a turn in a sandbox: in which order, for how long, and what is said of who has it."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import based_client
from based_client import EXEC
from pg_client import PgClient, extended, query, sync
from servers import Daemon, PostgresCluster, temporary_folder, wait_until

cluster = None


def setUpModule():
    global cluster
    cluster = PostgresCluster()
    cluster.query("create table things (id int primary key, note text)")


def tearDownModule():
    cluster.close()


class Turns(unittest.TestCase):
    """A daemon with a sandbox of each backend: pg and lite."""

    def daemon(self, table="", server=""):
        folder = temporary_folder()
        url = f"postgresql://postgres@127.0.0.1:{cluster.port}/postgres"
        running = Daemon(config=f'[server]\n{server}\n[databases.pg]\nurl = "{url}"\nforce_rollback = true\n{table}\n'
                                f'[databases.lite]\nurl = "sqlite:///{folder}/lite.db"\nforce_rollback = true\n'
                                'timeout = "400ms"\n')
        self.addCleanup(self.end, running)
        self.running = running
        self.address = f"127.0.0.1:{running.port}"
        native = self.native("lite")
        native.exec("create table things (id integer primary key, note text)")
        return running

    def end(self, running):
        running.close()
        self.assertEqual(cluster.query("select count(*) from things"), [["0"]])

    def wire(self, database="pg", **parameters):
        client = PgClient(self.address, database=database, **parameters)
        self.addCleanup(client.close)
        return client

    def native(self, database="pg", **options):
        connection = self.enterContext(based_client.connect(self.address))
        return connection.session(database=database, **options)

    def refusal(self, session, sql):
        with self.assertRaises(based_client.Error) as refused:
            session.exec(sql)
        return refused.exception


class WhoWaited(Turns):
    def test_a_client_hears_who_has_the_turn_and_what_it_ran_last(self):
        self.daemon('timeout = "400ms"')
        for database in ("pg", "lite"):
            with self.subTest(database):
                holder = self.wire(database, application_name="the importer")
                holder.query("begin")
                holder.query("insert into things values (1, 'first')")
                session = self.native(database)
                impatient = self.native(database)
                said = self.wire(database).error(query("select 1"))
                told = self.refusal(impatient, "select 1")
                self.assertEqual((said["C"], told.code, told.executed, told.retry), ("55P03", "55P03", "no", True))
                for detail in (said["D"], told.detail):
                    self.assertRegex(detail, r"held by session \d+.*127\.0\.0\.1:\d+.*idle for \d+.*insert into things")
                    if database == "pg":
                        self.assertIn("(the importer) of postgres at", detail)
                self.assertIn("turns", said["H"])
                self.assertEqual(said["H"], told.hint)
                holder.query("rollback")
                self.assertEqual(list(impatient.exec("select count(*) from things").rows), [[0]])

                session = self.native(database, label="the report")
                session.tx("begin")
                session.exec("select 42")
                said = self.wire(database).error(extended("select 1"), sync())
                self.assertRegex(said["D"], r"the report.*127\.0\.0\.1:\d+.*select 42")
                session.tx("rollback")

    def test_each_in_the_order_of_its_arrival(self):
        self.daemon()
        first = self.wire()
        first.query("begin; create temp sequence numbers; insert into things values (0, '')")
        waiting = lambda count: wait_until(lambda: self.waiting() == count, f"{count} that wait")
        self.watched = self.enterContext(based_client.connect(self.address))
        insert = "insert into things values (%s, nextval('numbers')::text)"
        wires, natives = [self.wire() for _ in range(3)], [self.native() for _ in range(3)]
        for client in natives:
            client.opened.wait()
        began = []
        for number in range(3):
            wires[number].send(query(insert % (number * 2 + 1)))
            waiting(number * 2 + 1)
            began.append(natives[number].start(EXEC, insert % (number * 2 + 2)))
            waiting(number * 2 + 2)
        first.query("commit")
        self.assertEqual([client.answers() for client in wires], ["C:INSERT 0 1 Z:I"] * 3)
        for request in began:
            request.wait()
        self.assertEqual(first.rows("select string_agg(note, ' ' order by id) from things where id > 0"), [["1 2 3 4 5 6"]])

    def waiting(self):
        return self.watched.status()["databases"][0]["sandboxes"][0]["waiting"]

    def test_two_sandboxes_that_two_clients_hold_crosswise(self):
        self.daemon(server="max_sandboxes = 4")
        for database in ("pg", "lite"):
            with self.subTest(database):
                alice, bob = (self.enterContext(based_client.connect(self.address)) for _ in range(2))
                mine, others = (client.session(database=f"{database}#{name}")
                                for client, name in ((alice, "w1"), (bob, "w2")))
                for session in (mine, others):
                    session.tx("begin")
                    session.exec("select 1")
                crossed = alice.session(database=f"{database}#w2").start(EXEC, "select 7")
                alice.ping()
                refused = self.refusal(bob.session(database=f"{database}#w1"), "select 1")
                self.assertEqual((refused.code, refused.retry), ("40P01", True))
                for name in ("w1", "w2"):
                    self.assertIn(f"{database}#{name}", refused.detail)
                self.assertTrue(re.search("2 clients wait for each other", refused.message))
                others.tx("rollback")
                self.assertEqual(list(crossed.wait().rows), [[7]])
                mine.tx("rollback")


if __name__ == "__main__":
    unittest.main()
