"""Whose role a client of a PostgreSQL sandbox has: the URL's user; and where the URL names none, its own, on the one connection."""

import getpass
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import PgClient, query
from servers import Daemon, PostgresCluster

OWN = getpass.getuser()  # who connects to the server where the URL names nobody
WHO = "select current_user || ' ' || session_user"


def setUpModule():
    global cluster
    cluster = PostgresCluster()
    cluster.query("create role ann login; create role bob login; create role reader; grant reader to ann, bob;"
                  f'create role "{OWN}" login; grant create on schema public to ann, bob;'
                  "create table of_ann (n int); alter table of_ann owner to ann; insert into of_ann values (1)")


def tearDownModule():
    cluster.close()


class Native:
    def __init__(self, address, user):
        self.connection = based_client.connect(address, user=user)
        self.session = self.connection.session(database="app")
        self.session.opened.wait()

    def rows(self, sql):
        return [list(row) for row in self.session.exec(sql).rows]

    def close(self):
        self.connection.__exit__()


class Roles(unittest.TestCase):
    def start(self, user="", superuser=True):
        cluster.query(f'alter role "{OWN}" {"superuser" if superuser else "nosuperuser"}')
        url = f"postgresql://{user and user + '@'}127.0.0.1:{cluster.port}/postgres"
        self.daemon = Daemon(config=f'[databases.app]\nurl = "{url}"\nforce_rollback = true\n')
        self.addCleanup(self.daemon.close)

    def clients(self):
        """Makers of clients of each protocol, by their user's name."""
        address = f"127.0.0.1:{self.daemon.port}"
        for kind in (lambda user: PgClient(address, user=user, database="app"), lambda user: Native(address, user)):
            def connect(user, kind=kind):
                client = kind(user)
                self.addCleanup(client.close)
                return client
            yield connect

    def who(self, client):
        return client.rows(WHO)[0][0]

    def test_the_urls_user_is_everybodys(self):
        self.start(user="postgres")
        for connect in self.clients():
            ann = connect("ann")
            self.assertEqual(self.who(ann), "postgres postgres")
            self.assertEqual(ann.rows("sandbox status")[0][18], "postgres")

    def test_without_one_each_client_has_its_own(self):
        self.start()
        for connect in self.clients():
            ann, bob = connect("ann"), connect("bob")
            for _ in range(3):
                self.assertEqual([self.who(ann), self.who(bob)], ["ann ann", "bob bob"])
            self.assertEqual(len(ann.rows("select n from of_ann")), 1)
            ann.rows("begin")
            ann.rows("create table made_by_ann (n int)")
            self.assertEqual(self.who(ann), "ann ann")
            ann.rows("commit")
            self.assertEqual(bob.rows("select tableowner::text from pg_tables where tablename = 'made_by_ann'"), [["ann"]])
            for sql in ("select * from made_by_ann", "drop table made_by_ann", "truncate of_ann"):
                self.assertIn("42501", str(self.code(bob, sql)), sql)
            self.assertEqual(self.who(bob), "bob bob")
            ann.rows("drop table made_by_ann")
            self.assertEqual(ann.rows("sandbox status")[0][18], f"each client's own, by {OWN}")

    def test_a_role_that_a_client_sets_is_its_own(self):
        self.start()
        for connect in self.clients():
            ann, bob = connect("ann"), connect("bob")
            ann.rows("set role reader")
            for _ in range(2):
                self.assertEqual([self.who(ann), self.who(bob)], ["reader ann", "bob bob"])
            bob.rows("set role reader")
            for _ in range(2):
                self.assertEqual([self.who(ann), self.who(bob)], ["reader ann", "reader bob"])
            bob.rows("begin")
            bob.rows("reset role")
            self.assertEqual(self.who(bob), "bob bob")
            bob.rows("rollback")
            self.assertEqual([self.who(ann), self.who(bob)], ["reader ann", "reader bob"])
            for sql in ("reset role", "reset all", "discard all", "reset session authorization"):
                ann.rows(sql)
                self.assertEqual(self.who(ann), "ann ann", sql)
            ann.rows("sandbox reset")
            self.assertEqual([self.who(ann), self.who(bob)], ["ann ann", "reader bob"])

    def test_a_user_that_the_connection_may_not_be_is_told_so(self):
        self.start(superuser=False)
        for connect in self.clients():
            self.assertEqual(self.who(connect(OWN)), f"{OWN} {OWN}")
            code = self.refusal(connect, "ann")
            self.assertIn("28000", code)
            self.assertIn("superuser", code)
            self.assertEqual(self.who(connect(OWN)), f"{OWN} {OWN}")

    def test_a_user_that_the_server_does_not_know_is_told_so(self):
        self.start()
        for connect in self.clients():
            self.assertEqual(self.who(connect("ann")), "ann ann")
            self.assertIn("28000", self.refusal(connect, "eve"))
            self.assertEqual(self.who(connect("ann")), "ann ann")

    def code(self, client, sql):
        try:
            return client.query(sql) if isinstance(client, PgClient) else client.rows(sql)
        except based_client.Error as error:
            return f"{error.code} {error.hint}"

    def refusal(self, connect, user):
        try:
            client = connect(user)
        except Exception as error:  # noqa: B902
            return str(getattr(error, "fields", error))
        if not isinstance(client, PgClient):
            return self.code(client, WHO)
        client.send(query(WHO))
        return str(client.messages())


if __name__ == "__main__":
    unittest.main()
