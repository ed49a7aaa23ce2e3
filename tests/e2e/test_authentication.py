"""Who may log in, over both protocols: passwords, peer credentials, and that a stranger learns nothing."""

import os
import pathlib
import pwd
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import based_client
from native_login import Login
from pg_client import PROTOCOL_3_2, PgClient, Refused, Scram, message, startup, text
from servers import BASED, Daemon, PostgresCluster

PASSWORD = "pencil $1"


def hashed(password, *options):
    done = subprocess.run([BASED, "hash-password", *options], input=password + "\n", capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


class Authentication(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = PostgresCluster()
        cls.addClassCleanup(cls.postgres.close)
        cls.verifier = hashed(PASSWORD)[1]
        cls.daemon = Daemon(config=cls.config())
        cls.addClassCleanup(cls.daemon.close)
        cls.address = f"127.0.0.1:{cls.daemon.port}"

    @classmethod
    def config(cls, server="", name="alice"):
        return "\n".join(("[server]", server, "[users]", f'{name} = "{cls.verifier}"', "[databases.app]",
                          f'url = "postgresql://postgres@127.0.0.1:{cls.postgres.port}/postgres"', ""))

    def refusal(self, *arguments, **options):
        with self.assertRaises(Refused) as refused:
            PgClient(self.address, *arguments, **options)
        return refused.exception.fields

    # --- PostgreSQL's protocol

    def test_psql_logs_in_with_the_password(self):
        def psql(user, password):
            return subprocess.run(["psql", "-XAtqw", "-h", "127.0.0.1", "-p", str(self.daemon.port), "-U", user,
                                   "-d", "app", "-c", "select 'here'"], capture_output=True, text=True, timeout=60,
                                  env={**os.environ, "PGPASSWORD": password})
        self.assertEqual(psql("alice", PASSWORD).stdout, "here\n")
        wrong = psql("alice", "pencil")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn('password authentication failed for user "alice"', wrong.stderr)
        self.assertIn('password authentication failed for user "bob"', psql("bob", PASSWORD).stderr)

    def test_protocol_3_2_logs_in_with_the_password(self):
        with PgClient(self.address, "alice", "app", PASSWORD, version=PROTOCOL_3_2) as client:
            self.assertEqual(client.value("select 1"), "1")
            self.assertEqual(len(client.key), 32)

    def test_an_unknown_user_is_asked_like_any_other(self):
        def challenge(user):
            with PgClient(self.address, start=False) as client:
                client.send(startup({"user": user, "database": "app"}))
                self.assertEqual(client.message(), ("R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"))
                first = Scram("x").first().encode()
                client.send(message("p", text("SCRAM-SHA-256") + len(first).to_bytes(4, "big") + first))
                kind, body = client.message()
                self.assertEqual((kind, body[:4]), ("R", b"\0\0\0\x0b"))
                return dict(part.split("=", 1) for part in body[4:].decode().split(","))
        known, unknown, again = challenge("alice"), challenge("bob"), challenge("bob")
        self.assertEqual((known["i"], len(known["s"])), (unknown["i"], len(unknown["s"])))
        self.assertEqual(unknown["s"], again["s"])
        self.assertNotEqual(unknown["r"], again["r"])
        for user in ("alice", "bob"):
            refused = self.refusal(user, "app", "wrong")
            self.assertEqual((refused["S"], refused["C"]), ("FATAL", "28P01"))
            self.assertEqual(refused["M"], f'password authentication failed for user "{user}"')

    def test_a_stranger_does_not_learn_which_databases_there_are(self):
        self.assertEqual(self.refusal("alice", "nowhere", "wrong")["C"], "28P01")
        self.assertEqual(self.refusal("alice", "nowhere", PASSWORD)["C"], "3D000")

    def test_only_a_proof_is_heard_from_who_has_to_prove(self):
        second = startup({"user": "alice", "database": "app"})
        initial = text("SCRAM-SHA-256") + (9).to_bytes(4, "big") + b"n,,n=,r=x"
        cases = {
            "a query": (message("Q", text("select 1")), "08P01"),
            "a second start-up": (second, "08P01"),
            "a password in the clear": (message("p", text(PASSWORD)), "08P01"),
            "another mechanism": (message("p", initial.replace(b"256", b"512")), "08P01"),
            "a length that lies": (message("p", initial, length=3), "08P01"),
            "a huge message": (message("p", b"", length=1 << 20), "08P01"),
            "a length beyond the message": (message("p", text("SCRAM-SHA-256") + b"\xff\xff\xff\xff"), "08P01"),
            "channel binding": (message("p", initial.replace(b"n,,n=,", b"p=x,,n")), "0A000"),
        }
        for what, (data, code) in cases.items():
            with self.subTest(what), PgClient(self.address, start=False) as client:
                client.send(startup({"user": "alice", "database": "app"}))
                client.message()
                client.send(data)
                self.assertEqual(client.answers(), f"E:{code} closed")

    def test_refusals_are_logged_without_what_was_sent(self):
        self.refusal("alice", "app", "guess-that-nobody-logs")
        self.daemon.wait_log(r"refused.*password authentication failed for user \"alice\"")
        self.assertNotIn("guess-that-nobody-logs", self.daemon.log())
        self.assertNotIn(self.verifier.split("$")[2], self.daemon.log())

    # --- the native protocol

    def test_a_native_client_logs_in_with_the_password(self):
        with Login(self.address, "alice", PASSWORD) as client, client.session() as session:
            self.assertEqual(list(session.exec("select 1")), [[1]])
            self.assertEqual([database["name"] for database in client.welcome["databases"]], ["app"])

    def test_a_native_client_with_a_wrong_password_or_name_is_refused_alike(self):
        for user in ("alice", "bob"):
            with self.assertRaises(based_client.Error) as refused:
                Login(self.address, user, "wrong")
            self.assertEqual((refused.exception.code, refused.exception.scope), ("28P01", "connection"))

    def test_a_native_client_that_does_not_prove_who_it_is_gets_nothing(self):
        with based_client.connect(self.address, user="alice") as client:
            self.assertEqual((client.welcome["auth"], client.welcome["databases"]), ("SCRAM-SHA-256", []))
            self.assertNotIn("cancel_key", client.welcome)
            with self.assertRaises(based_client.Error) as refused:
                client.status()
            self.assertEqual(refused.exception.code, "28000")
        with self.assertRaises(based_client.Error) as refused:
            based_client.connect(self.address)
        self.assertEqual(refused.exception.code, "28000")

    # --- the unix socket

    def test_with_peer_the_kernel_says_who_is_there(self):
        me = pwd.getpwuid(os.getuid()).pw_name
        with Daemon(config=self.config('unix_auth = "peer"', me)) as daemon:
            socket = f"unix:{daemon.socket_path}"
            with PgClient(socket, me, "app") as client:
                self.assertEqual(client.value("select 1"), "1")
            with based_client.connect(socket, user=me) as client:
                self.assertEqual(client.welcome["auth"], "ok")
            for user in ("postgres", "alice"):
                with self.assertRaises(Refused) as refused:
                    PgClient(socket, user, "app")
                self.assertEqual(refused.exception.code, "28000")
                with self.assertRaises(based_client.Error) as refused:
                    based_client.connect(socket, user=user)
                self.assertEqual(refused.exception.code, "28000")
            with self.assertRaises(based_client.Error):
                based_client.connect(socket)
            # TCP still asks for the password.
            with self.assertRaises(based_client.Error):
                Login(f"127.0.0.1:{daemon.port}", me, "wrong")

    # --- what each user may do

    def test_a_user_may_use_the_databases_that_its_table_names_and_no_others(self):
        url = f"postgresql://postgres@127.0.0.1:{self.postgres.port}/postgres"
        config = "\n".join(("[users]", f'alice = "{self.verifier}"', "[users.bob]", f'password = "{self.verifier}"',
                            'databases = ["other", "third"]', "[databases.app]", f'url = "{url}"', "[databases.other]",
                            f'url = "{url}"', 'statement_timeout = "7s"', "[databases.third]", f'url = "{url}"', ""))
        for method, password in (("scram", PASSWORD), ("trust", None)):
            with self.subTest(method), Daemon(config=f'[server]\nauth = "{method}"\n{config}') as daemon:
                address = f"127.0.0.1:{daemon.port}"
                for user, databases in (("alice", ("app", "other", "third")), ("bob", ("other", "third"))):
                    for database in databases:
                        with PgClient(address, user, database, password) as client:
                            self.assertEqual(client.value("select 1"), "1")
                for database in ("app", "nowhere"):
                    with self.assertRaises(Refused) as refused:
                        PgClient(address, "bob", database, password)
                    self.assertEqual((refused.exception.fields["S"], refused.exception.code), ("FATAL", "28000"))
                    self.assertEqual(refused.exception.fields["M"],
                                     f'user "bob" may not use database "{database}"')

                def login(user):
                    return Login(address, user, password) if password else based_client.connect(address, user=user)
                with login("bob") as client:
                    self.assertEqual([database["name"] for database in client.welcome["databases"]], ["other", "third"])
                    self.assertEqual(client.welcome["limits"]["statement_timeout_ms"], 7000)
                    for database in ("app", "nowhere"):
                        with self.assertRaises(based_client.Error) as refused:
                            client.session(database=database).opened.wait()
                        self.assertEqual((refused.exception.code, refused.exception.scope), ("28000", "session"))
                    for database in (None, "third"):
                        with client.session(**({"database": database} if database else {})) as session:
                            self.assertEqual(list(session.exec("select 1")), [[1]])
                            self.assertEqual(session.opened.end["session"]["database"], database or "other")
                with login("alice") as client:
                    self.assertEqual(len(client.welcome["databases"]), 3)
                    self.assertEqual(client.welcome["limits"]["statement_timeout_ms"], 0)

    def test_a_wrong_password_is_told_before_what_a_user_may_use(self):
        config = self.config().replace("[databases.app]", f'[users.bob]\npassword = "{self.verifier}"\n'
                                       'databases = ["app"]\n[databases.app]')
        with Daemon(config=config) as daemon:
            with self.assertRaises(Refused) as refused:
                PgClient(f"127.0.0.1:{daemon.port}", "bob", "nowhere", "wrong")
            self.assertEqual(refused.exception.code, "28P01")

    def test_a_users_pool_mode_is_before_the_databases(self):
        url = f"postgresql://postgres@127.0.0.1:{self.postgres.port}/postgres"
        config = "[users]\n" + "".join(f'[users.{name}]\npassword = "{self.verifier}"\npool_mode = "{mode}"\n'
                                        for name, mode in (("s", "session"), ("t", "transaction"), ("d", "database")))
        config += "".join(f'[databases.{mode}]\nurl = "{url}"\nmax_size = 1\ntimeout = "300ms"\npool_mode = "{mode}"\n'
                          for mode in ("session", "transaction"))
        expected = {("s", "session"): True, ("s", "transaction"): True, ("t", "session"): False,
                    ("t", "transaction"): False, ("d", "session"): True, ("d", "transaction"): False}
        with Daemon(config=config) as daemon:
            address = f"127.0.0.1:{daemon.port}"
            for (user, database), keeps in expected.items():
                with self.subTest(user=user, database=database), PgClient(address, user, database, PASSWORD) as client:
                    client.query("select 1")
                    with PgClient(address, "t", database, PASSWORD) as other:
                        self.assertEqual(other.query("select 1"),
                                         "E:53300 Z:I" if keeps else "T:?column? D:1 C:SELECT 1 Z:I")

    # --- the settings

    def test_hash_password_makes_verifiers_that_postgresql_takes(self):
        code, verifier, _ = hashed("secret", "--iterations", "5000")
        self.assertEqual(code, 0)
        self.assertRegex(verifier, r"^SCRAM-SHA-256\$5000:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$")
        self.postgres.query(f"create role hashed_scram login password '{verifier}'")
        done = subprocess.run(["psql", "-XAtqw", "-h", "127.0.0.1", "-p", str(self.postgres.port), "-U",
                               "hashed_scram", "-d", "postgres", "-c", "select 1"], capture_output=True, text=True,
                              timeout=60, env={**os.environ, "PGPASSWORD": "secret"})
        self.assertEqual((done.stdout, done.stderr), ("1\n", ""))
        self.assertNotEqual(hashed("secret")[1], hashed("secret")[1])

    def test_hash_password_refuses_what_drivers_might_prepare_differently(self):
        for password in ("", "na\u00efve", "tab\there"):
            code, verifier, reason = hashed(password)
            self.assertEqual((code, verifier), (64, ""), password)
            self.assertIn("password", reason)
        self.assertEqual(hashed("x", "--iterations", "0")[0], 64)

    def test_a_verifier_of_postgresql_itself_is_taken(self):
        self.postgres.query("create role taken_scram login password 'from the server'")
        verifier = self.postgres.query("select rolpassword from pg_authid where rolname = 'taken_scram'")[0][0]
        config = self.config().replace(self.verifier, verifier)
        with Daemon(config=config) as daemon:
            with PgClient(f"127.0.0.1:{daemon.port}", "alice", "app", "from the server") as client:
                self.assertEqual(client.value("select 1"), "1")


if __name__ == "__main__":
    unittest.main()
