"""What is no client, a broken client and a wrong statement get: a clear answer, and nobody else notices."""

import pathlib
import random
import sqlite3
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client as client
from raw_client import SERVER_PREFACE, RawClient
from servers import Daemon, temporary_folder

SEED = 20240229
daemon = None


def setUpModule():
    global daemon
    daemon = Daemon("sqlite:///first.db")
    unittest.addModuleCleanup(daemon.close)


def address():
    return f"127.0.0.1:{daemon.port}"


class Tester(unittest.TestCase):
    def tearDown(self):
        """Whatever was done to the daemon: a client that comes now is served."""
        with client.connect(address()) as db, db.session() as session:
            self.assertEqual(list(session.exec("select 1")), [[1]])

    def raw(self, **options):
        connection = RawClient(address(), **options)
        self.addCleanup(connection.close)
        return connection

    def error(self, answer, code, scope="statement", executed="no"):
        """An answer that is this error; gives its fields."""
        kind, fields = answer
        self.assertEqual(kind, client.ERROR, fields)
        found = (fields["code"], fields["scope"], fields["executed"])
        self.assertEqual(found, (code, scope, executed), fields)
        return fields

    def refused(self, code, sql, *arguments, session=None, scope="statement", **options):
        """The error of a statement, in a session of its own unless one is given."""
        if session is None:
            with client.connect(address()) as db, db.session() as own:
                return self.refused(code, sql, *arguments, session=own, scope=scope, **options)
        with self.assertRaises(client.Error) as caught:
            session.exec(sql, *arguments, **options)
        error = caught.exception
        self.assertEqual((error.code, error.scope, error.executed), (code, scope, "no"), error)
        return error

    def ends(self, connection, code, request):
        """The connection gets this error for this request, and is closed."""
        kind, _, _, number, payload = connection.answer()
        self.error((kind, payload[0]), code, "connection")
        self.assertEqual(number, request, payload)
        self.assertEqual(connection.rest(), b"")


class Strangers(Tester):
    def test_a_version_that_the_server_does_not_know_is_answered_with_0_and_closed(self):
        connection = self.raw(preface=b"\x1fBSD\x02\x09\0\0", hello=False)
        self.assertEqual(connection.rest(), b"\x1fBSD\0\0\0\0")

    def test_of_a_range_of_versions_the_highest_common_one_is_chosen(self):
        connection = self.raw(preface=b"\x1fBSD\x01\xff\0\0", hello=False)
        self.assertEqual(connection.bytes(8), SERVER_PREFACE)

    def test_wrong_magic_is_closed_whatever_its_first_byte(self):
        for magic in (b"\x1fBSX\x01\x01\0\0", b"\xff" * 8, b"\x01", b"based\n", bytes(range(128, 256))):
            with self.subTest(magic=magic):
                self.assertNotIn(b"BSD\x01", self.raw(preface=magic, hello=False).rest())

    def test_tls_gets_an_alert_of_its_own_protocol(self):
        hello = bytes.fromhex("16030100c8010000c40303") + bytes(193)
        self.assertEqual(self.raw(preface=hello, hello=False).rest(), b"\x15\x03\x01\0\x02\x02\x46")

    def test_http_gets_an_answer_in_http(self):
        answer = self.raw(preface=b"GET / HTTP/1.1\r\nHost: based\r\n\r\n", hello=False).rest()
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"), answer)
        head, _, body = answer.partition(b"\r\n\r\n")
        self.assertIn(b"Content-Length: %d" % len(body), head)

    def test_postgresql_gets_n_for_ssl_and_an_error_that_psql_shows(self):
        connection = self.raw(preface=struct.pack(">II", 8, 80877103), hello=False)
        self.assertEqual(connection.bytes(1), b"N")
        startup = struct.pack(">I", 3 << 16) + b"user\0app\0database\0nothing_here\0\0"
        connection.send(struct.pack(">I", len(startup) + 4) + startup)
        answer = connection.rest()
        self.assertEqual((answer[:1], struct.unpack(">I", answer[1:5])[0]), (b"E", len(answer) - 1))
        self.assertIn(b"C3D000\0", answer)
        shown = subprocess.run(["psql", "-X", "-h", "127.0.0.1", "-p", str(daemon.port), "-U", "app", "nothing_here", "-c", ""],
                               capture_output=True, text=True, timeout=20)
        self.assertIn('database "nothing_here" does not exist', shown.stderr)

    def test_random_bytes_never_stop_the_daemon(self):
        source = random.Random(SEED)
        for _ in range(100):
            beginning = source.choice([b"", client.PREFACE])
            self.raw(preface=beginning + source.randbytes(200), hello=False).close()
        kinds = [client.EXEC, client.BATCH, client.TX, client.OPEN, client.FETCH, client.CANCEL]
        with self.raw() as connection:
            for _ in range(100):
                connection.frame(source.choice(kinds), source.randbytes(source.randrange(40)), session=1)
            request = connection.frame(client.PING, ["still here"])
            self.assertEqual(connection.final(request), (client.PING, "still here"))


class Frames(Tester):
    def opened(self):
        connection = self.raw()
        self.assertEqual(connection.ask(client.OPEN, [], 1)[0], client.END)
        return connection

    def goes_on(self, connection):
        self.assertEqual(connection.ask(client.EXEC, ["select 7"], 1)[0], client.END)

    def test_a_frame_over_the_limit_ends_the_connection_before_its_payload_comes(self):
        connection = self.opened()
        limit = connection.welcome["limits"]["frame_bytes"]
        request = connection.frame(client.EXEC, b"", 1, length=limit + 1)
        self.ends(connection, "54000", request)
        connection = self.opened()
        request = connection.frame(client.EXEC, bytes(limit + 1), 1)
        kind, _, _, number, payload = connection.answer()
        self.assertEqual((kind, number, payload[0]["code"]), (client.ERROR, request, "54000"))

    def test_before_welcome_the_limit_is_64_kib(self):
        connection = self.raw(hello=False)
        connection.frame(client.HELLO, b"", length=65537)
        self.assertEqual(connection.bytes(8), SERVER_PREFACE)
        self.ends(connection, "54000", 1)

    def test_a_frame_cut_off_by_the_end_of_the_connection_costs_nobody_else(self):
        for part in (1, 8, 15, 16, 20):
            connection = self.opened()
            whole = client.HEADER.pack(30, client.EXEC, 0, 0, 1, 9) + bytes(30)
            connection.send(whole[:part])
            connection.close()
        for part in range(len(client.PREFACE)):
            self.raw(preface=client.PREFACE[:part], hello=False).close()

    def test_a_malformed_payload_costs_its_request_only(self):
        connection = self.opened()
        rows = [
            (b"", "08P01"), (b"\xc1", "08P01"), (b"\x93", "08P01"), (b"\xdb\xff\xff\xff\xff", "08P01"),
            (b"\xdd\xff\xff\xff\xff", "08P01"), (client.pack([]), "08P01"), (client.pack([7]), "22023"),
            (client.pack({"sql": "select 1"}), "22023"), (client.pack(["select 1"]) + b"\0", "08P01"),
            (b"\x91\xd4\x01\x00", "0A000"), (b"\x92\xa8select 1\x91\xd4\x01\x00", "0A000"),
            (client.pack(["select $1", [[1]]]), "22023"), (client.pack(["select 1", 5]), "22023"),
            (b"\x93\xa8select 1\xc0\x82\xa6credit\x01\xa6credit\x01", "22023"),
            (b"\x92\xa9select :a\x82\xa1a\x01\xa1a\x01", "22023"),
            (client.pack(["select 1", None, {"credit": -1}]), "22023"),
            (client.pack(["select 1", None, {"credit": "many"}]), "22023"),
        ]
        for payload, code in rows:
            with self.subTest(payload=payload[:30]):
                kind, fields = connection.ask(client.EXEC, payload, 1)
                self.assertEqual(kind, client.ERROR, fields)
                self.assertEqual(fields["code"], code, fields)
                self.assertEqual((fields["scope"], fields["executed"]), ("statement", "no"))
                self.goes_on(connection)

    def test_nesting_beyond_16_is_refused_and_a_million_levels_too(self):
        connection = self.opened()
        for depth in (17, 1000, 1_000_000):
            payload = b"\x94\xa8select 1\xc0\xc0" + b"\x91" * depth + b"\xc0"
            self.error(connection.ask(client.EXEC, payload, 1), "54000")
        self.goes_on(connection)

    def test_elements_and_keys_that_nobody_knows_are_skipped(self):
        connection = self.opened()
        payload = ["select 7", [], {"of the future": [1, {"a": None}]}, "more", {"and": ["more"]}]
        self.assertEqual(connection.ask(client.EXEC, payload, 1)[0], client.END)

    def test_an_unknown_type_is_a_connection_error_unless_it_is_ignorable(self):
        connection = self.opened()
        for kind in (0, 18, 255):
            connection.frame(kind, b"anything", 1, flags=client.IGNORABLE)
        self.goes_on(connection)
        request = connection.frame(99, b"anything", 1)
        self.ends(connection, "08P01", request)

    def test_a_frame_before_hello_is_a_connection_error(self):
        for kind in (client.EXEC, client.PING, client.OPEN, client.CANCEL):
            connection = self.raw(hello=False)
            connection.frame(kind, ["select 1"], 1)
            connection.bytes(8)
            self.ends(connection, "08P01", 1)

    def test_a_bad_hello_is_a_connection_error(self):
        rows = ([], [1], b"\xc1", [{"frame_bytes_max": 100}], [{"features": "all"}],
                [{"features": ["x"] * 65}], [{"client": b"\xff"}])
        for payload in rows:
            with self.subTest(payload=str(payload)[:40]):
                connection = self.raw(hello=False)
                connection.frame(client.HELLO, payload)
                connection.bytes(8)
                kind, _, _, request, answer = connection.answer()
                self.assertEqual((kind, request, answer[0]["scope"]), (client.ERROR, 1, "connection"), answer)
                self.assertEqual(connection.rest(), b"")

    def test_what_only_a_server_says_and_what_has_no_place_ends_the_connection(self):
        servers = (client.WELCOME, client.COLS, client.ROWS, client.END, client.ERROR, client.NOTICE)
        queued = (client.OPEN, client.CLOSE, client.EXEC, client.BATCH, client.TX)
        rows = [(kind, 1, "08P01") for kind in servers] + [(kind, 0, "08P01") for kind in queued]
        rows += [(client.HELLO, 0, "08P01"), (client.AUTH, 0, "08P01")]
        for kind, session, code in rows:
            with self.subTest(kind=kind, session=session):
                connection = self.opened()
                request = connection.frame(kind, [{}], session)
                self.ends(connection, code, request)

    def test_request_numbers_increase(self):
        for number in (2, 1, 0):
            with self.subTest(number=number):
                connection = self.opened()
                connection.frame(client.EXEC, ["select 1"], 1, request=number)
                self.ends(connection, "08P01", number)
        connection = self.opened()
        self.assertEqual(connection.ask(client.PING, [], request=2**32 - 1)[0], client.PING)

    def test_a_session_that_is_not_open_is_08003_and_may_be_opened_then(self):
        connection = self.raw()
        for kind, payload in ((client.EXEC, ["select 1"]), (client.TX, ["begin"]), (client.CLOSE, []),
                              (client.BATCH, [[["select 1"]]])):
            self.error(connection.ask(kind, payload, 5), "08003", "session")
        self.assertEqual(connection.ask(client.OPEN, [], 5)[0], client.END)
        self.error(connection.ask(client.OPEN, [], 5), "08P01")
        self.assertEqual(connection.ask(client.EXEC, ["select 1"], 5)[0], client.END)
        self.assertEqual(connection.ask(client.CLOSE, [], 5)[0], client.END)
        self.error(connection.ask(client.EXEC, ["select 1"], 5), "08003", "session")
        self.assertEqual(connection.ask(client.OPEN, [], 5)[0], client.END)


class Statements(Tester):
    def test_an_unknown_database_is_3d000(self):
        with client.connect(address()) as db:
            with self.assertRaises(client.Error) as caught, db.session(database="nowhere"):
                self.fail("it was opened")
            self.assertEqual((caught.exception.code, caught.exception.scope), ("3D000", "session"))

    def test_a_syntax_error_has_its_place_in_bytes(self):
        for sql, word in (("selec 1", "selec"), ("select 'gr\u00fcn \U0001f600', 1 frm t x", "t x"),
                          ("select '\u00fc'; select '\u00e4' selec fro", "fro")):
            with self.subTest(sql=sql):
                error = self.refused("42601", sql)
                self.assertEqual(error.position, len(sql[:sql.rindex(word)].encode()), error.__dict__)
        self.assertEqual(self.refused("42601", "select 1; selec 2").step, 1)

    def test_text_that_cannot_be_cut_is_42601(self):
        for sql in ("select 'open", 'select "open', "select [open", "select x'4"):
            with self.subTest(sql=sql):
                self.refused("42601", sql)

    def test_nul_and_invalid_utf_8_are_22021(self):
        with RawClient(address()) as connection:
            connection.ask(client.OPEN, [], 1)
            for payload in (b"\x91\xa9select \0'", b"\x91\xa9select \xff1",
                            b"\x92\xa9select $1\x91\xa2\xc3\x28", b"\x92\xa9select $1\x91\xa3\xed\xa0\x80"):
                with self.subTest(payload=payload):
                    self.error(connection.ask(client.EXEC, payload, 1), "22021")
        with client.connect(address()) as db, db.session() as session:
            self.assertEqual(list(session.exec("select $1", ["a\0b"])), [["a\0b"]])

    def test_an_integer_beyond_63_bits_is_22003_and_nan_is_22023(self):
        self.refused("22003", "select $1", [2**63])
        self.refused("22003", "select :a", {"a": 2**64 - 1})
        self.refused("22023", "select $1", [float("nan")])
        with client.connect(address()) as db, db.session() as session:
            edges = [2**63 - 1, -2**63, float("inf"), -0.0]
            self.assertEqual(list(session.exec("select $1, $2, $3, $4", edges)), [edges])

    def test_parameters_that_are_missing_or_too_many_are_42p02(self):
        rows = (("select $2", [1]), ("select $1", []), ("select $1", [1, 2]), ("select 1", [1]),
                ("select ?, ?", [1]), ("select ?", [1, 2]), ("select :a", {}), ("select :a", {"b": 1}),
                ("select :a", {"a": 1, "b": 2}), ("select 1; select $1", [1]))
        for sql, parameters in rows:
            with self.subTest(sql=sql, parameters=parameters):
                self.refused("42P02", sql, parameters)
        named = self.refused("42P02", "select :a", {"a": 1, "surplus": 2})
        self.assertIn("surplus", named.message + (named.detail or ""))

    def test_two_styles_of_placeholders_are_42601(self):
        for sql, parameters in (("select $1, ?", [1, 2]), ("select $1, :a", [1]), ("select ?, :a", {"a": 1})):
            with self.subTest(sql=sql):
                self.refused("42601", sql, parameters)

    def test_too_many_parameters_are_refused_and_not_cut(self):
        self.refused("54000", "select $1", [0] * 70_000)
        marks = ",".join(["?"] * 40_000)
        error = self.refused("54000", f"select 1 in ({marks})", [0] * 40_000)
        self.assertIn("32766", error.message + (error.detail or ""), error)
        with client.connect(address()) as db, db.session() as session:
            marks = ",".join(["?"] * 32_766)
            self.assertEqual(list(session.exec(f"select 1 in ({marks})", [0] * 32_766)), [[0]])

    def test_too_many_statements_are_54000(self):
        self.refused("54000", "select 1;" * 1001)

    def test_what_the_session_cannot_have_is_0a000(self):
        for sql in ("prepare transaction 'x'", "commit prepared 'x'"):
            with self.subTest(sql=sql):
                self.refused("0A000", sql)


class Files(Tester):
    """A database whose file is not what it should be: its clients get the reason, others' do not notice."""

    def daemon_for(self, url, prepare=lambda folder: None, settings=""):
        """A daemon with a good database and this one."""
        folder = daemon.folder / self.id()
        folder.mkdir(exist_ok=True)
        prepare(folder)
        good, other = '[databases.good]\nurl = "sqlite::memory:"\n', f'url = "{url.format(folder)}"\n'
        running = Daemon(config=f"{good}[databases.other]\n{other}{settings}")
        self.addCleanup(running.close)
        return running

    def statement(self, running, sql, code):
        with client.connect(f"unix:{running.socket_path}") as db:
            with self.assertRaises(client.Error) as caught, db.session(database="other") as session:
                session.exec(sql)
            self.assertEqual(caught.exception.code, code, caught.exception)
            with db.session(database="good") as session:
                self.assertEqual(list(session.exec("select 1")), [[1]])
        return caught.exception

    @staticmethod
    def table(folder):
        with sqlite3.connect(folder / "t.db") as made:
            made.execute("create table t (a)")
            made.executemany("insert into t values (?)", [("x" * 3000,)] * 100)
        made.close()

    def test_a_database_said_to_be_read_only_refuses_writes_with_25006(self):
        running = self.daemon_for("sqlite:///{}/t.db", self.table, "read_only = true")
        for sql in ("insert into t values (1)", "create table u (a)", "drop table t"):
            self.statement(running, sql, "25006")
        with client.connect(f"unix:{running.socket_path}") as db, db.session(database="other") as session:
            self.assertEqual(list(session.exec("select count(*) from t")), [[100]])

    def test_a_session_said_to_be_read_only_refuses_writes_with_25006(self):
        with client.connect(address()) as db, db.session(read_only=True) as session:
            self.refused("25006", "create table u (a)", session=session)
            self.assertEqual(list(session.exec("select 1")), [[1]])

    def test_a_file_that_is_no_database_is_xx001(self):
        def scribble(folder):
            (folder / "t.db").write_bytes(b"no database " * 999)
        running = self.daemon_for("sqlite:///{}/t.db", scribble)
        self.statement(running, "select * from sqlite_master", "XX001")

    def test_a_corrupt_file_is_xx001(self):
        def corrupt(folder):
            self.table(folder)
            data = bytearray((folder / "t.db").read_bytes())
            data[4096:] = b"\xa5" * (len(data) - 4096)
            (folder / "t.db").write_bytes(data)
        running = self.daemon_for("sqlite:///{}/t.db", corrupt)
        self.statement(running, "select count(a) from t", "XX001")
        self.statement(running, "insert into t values (1)", "XX001")

    def test_a_folder_in_the_place_of_a_file_is_a_clear_error(self):
        running = self.daemon_for("sqlite:///{}/t.db", lambda folder: (folder / "t.db").mkdir())
        error = self.statement(running, "select 1", "58P01")
        self.assertIn("t.db: unable to open database file", error.message)

    def on_a_read_only_file_system(self, journal_mode, settings=""):
        """A daemon whose other database is a file that was made before its file system became read-only."""
        folder = temporary_folder()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "based-test", str(folder)],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("mounting a small file system takes root's rights")
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
        made = sqlite3.connect(folder / "t.db")
        made.execute("pragma journal_mode = " + journal_mode)
        made.close()
        self.table(folder)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        return self.daemon_for(f"sqlite:///{folder}/t.db", settings=settings)

    def rows(self, running):
        with client.connect(f"unix:{running.socket_path}") as db, db.session(database="other") as session:
            return list(session.exec("select count(*) from t"))

    def test_a_file_that_cannot_be_written_is_read_and_refuses_writes_with_25006(self):
        for settings in ("", 'journal_mode = "wal"', "read_only = true"):
            with self.subTest(settings):
                running = self.on_a_read_only_file_system("delete", settings)
                self.assertEqual(self.rows(running), [[100]])
                for sql in ("insert into t values (1)", "create table u (a)", "drop table t", "delete from t"):
                    self.assertEqual(self.statement(running, sql, "25006").executed, "no")
                self.assertEqual(self.rows(running), [[100]])

    def test_a_wal_file_where_nothing_can_be_written_says_what_it_lacks(self):
        for settings in ("", "read_only = true"):
            with self.subTest(settings):
                running = self.on_a_read_only_file_system("wal", settings)
                for sql in ("select count(*) from t", "insert into t values (1)"):
                    error = self.statement(running, sql, "58P01")
                    self.assertIn("t.db: unable to open database file", error.message)
                    self.assertRegex(error.detail, "it is in WAL mode, .* cannot be written; a sandbox")

    def test_a_sandbox_on_a_file_that_cannot_be_written_takes_writes(self):
        for journal_mode in ("delete", "wal"):
            with self.subTest(journal_mode):
                running = self.on_a_read_only_file_system(journal_mode, "force_rollback = true")
                with client.connect(f"unix:{running.socket_path}") as db, db.session(database="other") as session:
                    session.exec("insert into t values (1)")
                    session.exec("create table u (a)")
                    self.assertEqual(list(session.exec("select count(*) from t, (select count(*) from u)")), [[101]])
                with client.connect(f"unix:{running.socket_path}") as db, db.session(database="good") as session:
                    self.assertEqual(list(session.exec("select 1")), [[1]])
