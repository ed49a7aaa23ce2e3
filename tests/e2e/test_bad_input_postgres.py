"""Wrong input for a PostgreSQL database: what the daemon refuses itself, and what the server says."""

import math
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client as client
from pg_client import PgClient, Refused
from servers import Daemon, PostgresCluster

cluster = daemon = None


def setUpModule():
    global cluster, daemon
    cluster = PostgresCluster()
    unittest.addModuleCleanup(cluster.close)
    cluster.query("create user app_scram password 'right'")
    urls = {
        "main": cluster.url(),
        "right": f"postgresql://app_scram:right@127.0.0.1:{cluster.port}/postgres",
        "wrong": f"postgresql://app_scram:wrong@127.0.0.1:{cluster.port}/postgres",
        "no_password": cluster.url(user="app_scram"),
        "no_database": cluster.url(database="nowhere"),
        "no_user": cluster.url(user="nobody_at_all"),
        "no_server": "postgresql://app@127.0.0.1:1/postgres",
    }
    common = "timeout = '2s'\nreconnect_timeout = '1s'\nstatement_timeout = '20s'\n"
    tables = [f'[databases.{name}]\nurl = "{url}"\n{common}' for name, url in urls.items()]
    daemon = Daemon(config="".join(tables))
    unittest.addModuleCleanup(daemon.close)


class OnPostgresql(unittest.TestCase):
    def setUp(self):
        self.db = client.connect(f"127.0.0.1:{daemon.port}")
        self.addCleanup(self.db.__exit__)
        self.session = self.db.session().__enter__()

    def tearDown(self):
        """Whatever was done: the session goes on, and so does another client."""
        self.assertEqual(list(self.session.exec("select 1")), [[1]])
        with client.connect(f"127.0.0.1:{daemon.port}") as db, db.session() as session:
            self.assertEqual(list(session.exec("select 1")), [[1]])

    def failure(self, code, sql, parameters=None, session=None):
        with self.assertRaises(client.Error) as caught:
            (session or self.session).exec(sql, parameters)
        error = caught.exception
        self.assertEqual((error.code, error.executed), (code, "no"), error)
        return error

    def test_a_syntax_error_has_its_place_in_bytes(self):
        for sql, word in (("selec 1", "selec"), ("select 'gr\u00fcn \U0001f600', 1 frm t x", "t x"),
                          ("select '\u00fc'; select '\u00e4' selec fro", "fro"),
                          ("select :a, '\u00fc' from missing", "missing")):
            with self.subTest(sql=sql):
                named = {"a": 1} if ":a" in sql else None
                error = self.failure("42P01" if named else "42601", sql, named)
                self.assertEqual(error.position, len(sql[:sql.rindex(word)].encode()), error.__dict__)

    def test_text_that_cannot_be_cut_is_42601(self):
        for sql in ("select 'open", 'select "open', "select 1 /* open", "select $x$ open"):
            with self.subTest(sql=sql):
                self.failure("42601", sql)

    def test_nul_in_a_text_is_22021_and_in_bytes_it_is_kept(self):
        self.failure("22021", "select $1::text", ["a\0b"])
        self.assertEqual(list(self.session.exec("select $1::bytea", [b"a\0b"])), [[b"a\0b"]])

    def test_numbers_beyond_what_a_value_holds(self):
        self.failure("22003", "select $1", [2**63])
        self.failure("22003", "select $1::smallint", [70_000])
        self.assertTrue(math.isnan(list(self.session.exec("select $1::float8", [math.nan]))[0][0]))

    def test_parameters_that_are_missing_too_many_or_mixed(self):
        for sql, parameters in (("select $2::int", [1]), ("select 1", [1]), ("select ?::int", [1, 2]),
                                ("select :a::int", {}), ("select :a::int", {"a": 1, "b": 2})):
            with self.subTest(sql=sql, parameters=parameters):
                self.failure("42P02", sql, parameters)
        self.failure("42601", "select $1::int, :a::int", {"a": 1})

    def test_more_than_65535_parameters_are_refused_and_65535_are_not(self):
        self.failure("54000", "select $1::int", [0] * 70_000)
        marks = ",".join(["?"] * 65_535)
        self.assertEqual(list(self.session.exec(f"select 1 in ({marks})", [0] * 65_535)), [[False]])

    def test_what_a_pooled_session_cannot_have_is_0a000(self):
        for sql in ("prepare transaction 'x'", "copy pg_class to stdout", "copy t from stdin", "listen x",
                    "unlisten *", "prepare x as select 1", "execute x", "deallocate all"):
            with self.subTest(sql=sql):
                self.failure("0A000", sql)

    def test_a_value_of_the_wrong_type_is_the_servers_error(self):
        self.failure("22P02", "select $1::int", ["seven"])
        self.failure("42883", "select $1::int || $2::int", [1, 2])

    def test_a_write_in_a_read_only_session_is_25006(self):
        with self.db.session(read_only=True) as session:
            self.failure("25006", "create table u (a int)", session=session)

    def test_a_connection_that_the_server_refuses_is_the_servers_own_error(self):
        for name, code in (("wrong", "28P01"), ("no_database", "3D000"), ("no_user", "28000")):
            with self.subTest(database=name), self.db.session(database=name) as session:
                message = self.failure(code, "select 1", session=session).message
                with self.assertRaises(Refused) as caught:
                    PgClient(f"127.0.0.1:{daemon.port}", database=name)
                self.assertEqual((caught.exception.code, caught.exception.fields["M"]), (code, message))
                self.assertIn("does not exist" if name != "wrong" else "password authentication failed", message)
                for said in ("connection", "127.0.0.1", str(cluster.port), "FATAL"):
                    self.assertNotIn(said, message)
        with self.db.session(database="right") as session:
            self.assertEqual(list(session.exec("select current_user::text")), [["app_scram"]])
        self.assertNotIn(":right@", daemon.log())
        self.assertNotIn(":wrong@", daemon.log())

    def test_a_password_that_is_asked_for_and_not_there_is_a_clear_error(self):
        with self.db.session(database="no_password") as session:
            self.assertIn("no password", self.failure("28P01", "select 1", session=session).message)

    def test_a_server_that_is_not_there_is_08001(self):
        with self.db.session(database="no_server") as session:
            self.assertTrue(self.failure("08001", "select 1", session=session).retry)
