"""Limits, seen from outside: who asks for too much or takes too long is told, and others do not pay."""

import contextlib
import pathlib
import resource
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client as client
from native_login import Login
from pg_client import CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, PgClient, Refused, message, query, startup, untyped
from raw_client import RawClient
from servers import BASED, Daemon, temporary_folder, wait_until

CONNECTIONS = 2000
SERIES = "with recursive n(i) as (select 1 union all select i + 1 from n where i < {}) "
FLOOD = SERIES.format(10_000_000) + "select i, hex(zeroblob(500)) from n"


def config(server="", database='url = "sqlite:///limits.db"'):
    return f"[server]\n{server}\n[databases.main]\n{database}\n"


class Tester(unittest.TestCase):
    def daemon(self, server="", database='url = "sqlite:///limits.db"', **options):
        running = Daemon(config=config(server, database), **options)
        self.addCleanup(running.close)
        return running

    def client(self, daemon):
        connection = client.connect(f"127.0.0.1:{daemon.port}")
        self.addCleanup(connection.__exit__)
        return connection

    def raw(self, daemon, **options):
        connection = RawClient(f"127.0.0.1:{daemon.port}", **options)
        self.addCleanup(connection.close)
        return connection

    def works(self, daemon):
        with client.connect(f"127.0.0.1:{daemon.port}") as db, db.session() as session:
            self.assertEqual(list(session.exec("select 1")), [[1]])

    def failure(self, code, action, *arguments, **options):
        with self.assertRaises(client.Error) as caught:
            action(*arguments, **options)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception


class SlowClients(Tester):
    def stops_reading(self, daemon):
        """A connection whose endless result nobody takes."""
        deaf = self.raw(daemon, receive_buffer=4096)
        self.assertEqual(deaf.ask(client.OPEN, [{"label": "deaf"}], 1)[0], client.END)
        deaf.frame(client.EXEC, [FLOOD], 1)
        return deaf

    def test_a_result_that_is_not_taken_costs_little_memory_and_ends_with_its_connection(self):
        daemon = self.daemon('write_timeout = "2s"\noutput_buffer = "256KiB"',
                             'url = "sqlite:///limits.db"\nresult_buffer = "256KiB"')
        other = self.client(daemon)
        before = daemon.rss_kib()
        deaf = [self.stops_reading(daemon) for _ in range(4)]
        sizes = []

        def one_is_closed():
            self.assertEqual(other.ping("you"), "you")
            sizes.append(daemon.rss_kib())
            return "output was not taken for too long" in daemon.log()
        wait_until(one_is_closed, "the write timeout")
        self.assertLess(max(sizes) - before, 16 * 1024)
        for connection in deaf:
            connection.close()
        self.works(daemon)

    def test_other_databases_and_pings_go_on_while_a_client_does_not_read(self):
        daemon = self.daemon(database='url = "sqlite:///a.db"\n[databases.other]\nurl = "sqlite:///b.db"')
        deaf = self.stops_reading(daemon)
        other = self.client(daemon)
        with other.session(database="other") as session:
            for number in range(100):
                self.assertEqual(list(session.exec("select $1", [number])), [[number]])
                self.assertEqual(other.ping(number), number)
        deaf.close()
        self.works(daemon)

    def test_who_does_not_read_loses_the_lane_with_57014_when_somebody_waits(self):
        daemon = self.daemon(database='url = "sqlite:///limits.db"\nslow_reader = "300ms"')
        deaf = self.raw(daemon, receive_buffer=4096)
        deaf.ask(client.OPEN, [], 1)
        request = deaf.frame(client.EXEC, [FLOOD], 1)
        began = time.monotonic()
        with self.client(daemon).session() as session:
            session.exec("create table t (a)")
        self.assertLess(time.monotonic() - began, 5)
        kind, fields = deaf.final(request)
        self.assertEqual((kind, fields["code"]), (client.ERROR, "57014"), fields)
        self.assertEqual(deaf.ask(client.EXEC, ["select 1"], 1)[0], client.END)

    def test_a_paused_result_loses_the_lane_with_57014_when_somebody_waits(self):
        daemon = self.daemon(database='url = "sqlite:///limits.db"\nslow_reader = "300ms"')
        db = self.client(daemon)
        with db.session() as paused:
            result = paused.start(client.EXEC, FLOOD, None, {"credit": 1})
            while not result.rows:
                db.read()
            with self.client(daemon).session() as session:
                session.exec("create table t (a)")
            while result.end is None:
                db.read()
            self.assertEqual(self.failure("57014", result.wait).executed, "no")
        self.works(daemon)

    def test_answers_that_are_not_taken_stop_the_reading_until_they_are(self):
        daemon = self.daemon('output_buffer = "64KiB"')
        before = daemon.rss_kib()
        deaf = self.raw(daemon, receive_buffer=4096, hello=False)
        deaf.frame(client.HELLO, [{"frame_bytes_max": 65536}])
        data = client.pack(["x" * 1000])
        deaf.socket.settimeout(1)
        with self.assertRaises(TimeoutError):
            for _ in range(60_000):
                deaf.request += 1
                frame = client.HEADER.pack(len(data), client.PING, 0, 0, 0, deaf.request) + data
                deaf.socket.sendall(frame)
        self.assertLess(daemon.rss_kib() - before, 16 * 1024)
        self.works(daemon)
        deaf.socket.settimeout(20)
        deaf.bytes(8)
        self.assertEqual(deaf.final(deaf.request - 1)[0], client.PING)  # the last one was cut
        self.works(daemon)

    def test_who_never_completes_hello_is_closed(self):
        daemon = self.daemon('handshake_timeout = "500ms"')
        hello = client.PREFACE + client.HEADER.pack(1000, client.HELLO, 0, 0, 0, 1)
        for beginning in (b"", client.PREFACE[:3], client.PREFACE, hello):
            with self.subTest(beginning=beginning):
                connection = self.raw(daemon, preface=beginning, hello=False)
                began = time.monotonic()
                connection.rest()
                self.assertTrue(0.2 < time.monotonic() - began < 5)
        self.works(daemon)

    def test_a_silent_client_is_asked_and_then_closed(self):
        daemon = self.daemon('ping_interval = "500ms"')
        silent, alive = self.raw(daemon), self.client(daemon)
        kind, flags, session, request, _ = silent.answer()
        self.assertEqual((kind, flags, session, request), (client.PING, 0, 0, 0))
        closed = threading.Event()
        threading.Thread(target=lambda: (silent.rest(), closed.set()), daemon=True).start()
        while not closed.is_set():
            alive.ping()
            closed.wait(0.1)
        self.assertEqual(alive.ping(1), 1)
        self.works(daemon)

    def hear(self, connection, ended, closed):
        try:
            connection.rest()
            ended.append(connection)
        finally:
            closed.set()

    def test_half_a_frame_and_then_silence_is_silence(self):
        daemon = self.daemon('ping_interval = "500ms"')
        whole = client.HEADER.pack(1000, client.OPEN, 0, 0, 1, 2) + bytes(1000)
        with self.client(daemon).session() as other:
            for size in (1, client.HEADER.size - 1, client.HEADER.size, len(whole) - 1):
                with self.subTest(size):
                    half = self.raw(daemon)
                    half.send(whole[:size])
                    closed, ended = threading.Event(), []
                    threading.Thread(target=self.hear, args=(half, ended, closed), daemon=True).start()
                    while not closed.is_set():
                        self.assertEqual(list(other.exec("select 1")), [[1]])
                        closed.wait(0.1)
                    self.assertEqual(ended, [half])

    def test_half_a_start_up_or_proof_and_then_silence_ends_with_the_greetings_time(self):
        hashed = subprocess.run([BASED, "hash-password"], input="hush\n", capture_output=True, text=True, timeout=60)
        users = f'[users]\nann = "{hashed.stdout.strip()}"'
        daemon = self.daemon(f'handshake_timeout = "1s"\n{users}')
        begins = startup({"user": "ann"})
        for before, half in (((), begins[:1]), ((), begins[:5]), ((), begins[:-1]), ((begins,), b""),
                             ((begins,), message("p", bytes(50))[:4]), ((begins,), message("p", bytes(50))[:-1])):
            with self.subTest(half), PgClient(f"127.0.0.1:{daemon.port}", start=False) as wire:
                for packet in before:
                    wire.send(packet)
                    self.assertEqual(wire.message()[0], "R")
                began = time.monotonic()
                wire.send(half)
                wire.rest()
                self.assertTrue(0.3 < time.monotonic() - began < 10)

    def test_a_client_that_asks_nothing_is_closed_after_idle_timeout_unless_a_transaction_is_open(self):
        daemon = self.daemon('idle_timeout = "500ms"')
        idle, busy = self.raw(daemon), self.client(daemon)
        with busy.session() as session, session.transaction():
            self.assertEqual(list(session.exec("select 1")), [[1]])
            idle.rest()
            self.assertEqual(list(session.exec("select 1")), [[1]])
        self.works(daemon)


class SingleBytes(Tester):
    """Clients that send byte by byte, with a pause after each; somebody else is served in every pause."""

    PAUSE_S = 0.05
    OTHERS_S = 5  # for a small statement, on a machine that is busy

    def drip(self, other, sock, data):
        """Sends until all is sent, or until it is cut off: was it?"""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in data:
            try:
                sock.sendall(bytes([byte]))
            except OSError:
                return True
            began = time.monotonic()
            self.assertEqual(list(other.exec("select 1")), [[1]])
            self.assertLess(time.monotonic() - began, self.OTHERS_S)
            if select.select([sock], [], [], self.PAUSE_S)[0]:
                try:
                    if not sock.recv(1, socket.MSG_PEEK):
                        return True
                except ConnectionResetError:
                    return True
                time.sleep(self.PAUSE_S)  # it has an answer already, and so does not wait
        return False

    def strangers(self, daemon):
        """Sockets of clients that are not known yet, and more than they will ever be able to say."""
        hello = client.PREFACE + client.HEADER.pack(60_000, client.HELLO, 0, 0, 0, 1) + bytes(500)
        yield "native hello", self.raw(daemon, preface=b"", hello=False).socket, hello
        asked = self.raw(daemon, hello=False)
        asked.frame(client.HELLO, [{"user": "ann"}])
        self.assertEqual(asked.bytes(8)[:5], client.PREFACE[:5])
        self.assertEqual(asked.answer()[0], client.WELCOME)
        yield "native proof", asked.socket, client.HEADER.pack(60_000, client.AUTH, 0, 0, 0, 2) + bytes(500)
        address = f"127.0.0.1:{daemon.port}"
        for what, before, data in (("start-up", (), startup({"user": "ann", "options": " " * 500})),
                                   ("proof", (startup({"user": "ann"}),), message("p", bytes(500)))):
            wire = PgClient(address, start=False)
            self.addCleanup(wire.close)
            for packet in before:
                wire.send(packet)
                self.assertEqual(wire.message()[0], "R")
            yield what, wire.socket, data

    def test_single_bytes_do_not_lengthen_the_greeting_and_disturb_nobody(self):
        hashed = subprocess.run([BASED, "hash-password"], input="hush\n", capture_output=True, text=True, timeout=60)
        users = f'[users]\nann = "{hashed.stdout.strip()}"'
        daemon = self.daemon(f'handshake_timeout = "1s"\n{users}')
        with Login(f"127.0.0.1:{daemon.port}", "ann", "hush") as other, other.session() as session:
            for what, sock, data in self.strangers(daemon):
                with self.subTest(what):
                    began = time.monotonic()
                    self.assertTrue(self.drip(session, sock, data))
                    self.assertTrue(0.5 < time.monotonic() - began < 10)

    def test_single_bytes_are_served_and_after_the_greeting_take_their_time(self):
        daemon = self.daemon('handshake_timeout = "500ms"')
        native, wire = self.raw(daemon), PgClient(f"127.0.0.1:{daemon.port}", database="main")
        self.addCleanup(wire.close)
        frames = b""
        for request, (kind, payload) in enumerate([(client.OPEN, [{}]), (client.EXEC, ["select 7"])], 2):
            data = client.pack(payload)
            frames += client.HEADER.pack(len(data), kind, 0, 0, 1, request) + data
        with self.client(daemon).session() as other:
            for sock, data in ((native.socket, frames), (wire.socket, query("select 7 as a, 8 as b"))):
                began = time.monotonic()
                self.assertFalse(self.drip(other, sock, data))
                self.assertGreater(time.monotonic() - began, 1)  # twice the greeting's time
            self.assertEqual(native.final(3)[0], client.END)
            self.assertEqual(wire.answers(), "T:a,b D:7|8 C:SELECT 1 Z:I")

    def test_a_greeting_of_single_bytes_is_served(self):
        daemon = self.daemon()
        connection = self.raw(daemon, preface=b"", hello=False)
        data = client.pack([{}])
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in client.PREFACE + client.HEADER.pack(len(data), client.HELLO, 0, 0, 0, 1) + data:
            connection.send(bytes([byte]))
        connection.bytes(8)
        self.assertEqual(connection.answer()[0], client.WELCOME)
        self.works(daemon)


class Crowds(Tester):
    def test_two_thousand_connections_are_all_greeted(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = CONNECTIONS + 200
        if hard != resource.RLIM_INFINITY and hard < wanted:
            self.skipTest(f"only {hard} descriptors are allowed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        daemon = self.daemon()
        data = client.pack([{}])
        hello = client.PREFACE + client.HEADER.pack(len(data), client.HELLO, 0, 0, 0, 1) + data
        crowd = [self.raw(daemon, preface=hello, hello=False) for _ in range(CONNECTIONS)]
        for connection in crowd:
            connection.bytes(8)
            self.assertEqual(connection.answer()[0], client.WELCOME)
        status = self.client(daemon).status()
        self.assertEqual(status["clients"]["connected"], CONNECTIONS + 1)
        for connection in crowd:
            connection.request = 1
            connection.frame(client.PING, [7])
        for connection in crowd:
            self.assertEqual(connection.final(2), (client.PING, 7))
            connection.close()
        other = self.client(daemon)
        wait_until(lambda: other.status()["clients"]["connected"] == 2, "the crowd to be gone")

    def test_out_of_descriptors_the_clients_that_are_there_are_served_and_others_later(self):
        daemon = self.daemon(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48)))
        old = self.client(daemon)
        with old.session() as session:
            session.exec("create table t (a)")
            crowd = []
            for _ in range(100):
                connection = socket.create_connection(("127.0.0.1", daemon.port), 20)
                self.addCleanup(connection.close)
                crowd.append(connection)
            # Nobody is left to wait for an answer that does not come.
            self.assertEqual(crowd[-1].recv(1), b"")
            for number in range(20):
                session.exec("insert into t values (?)", [number])
            self.assertEqual(old.ping("you"), "you")
            self.assertLess(old.status()["clients"]["connected"], 48)
            for connection in crowd:
                connection.close()
            wait_until(lambda: old.status()["clients"]["connected"] == 1, "the crowd to be gone")
            self.works(daemon)
            self.assertEqual(list(session.exec("select count(*) from t")), [[20]])

    def turned_away(self, address):
        """The fields of the ERROR that a native client gets there. What it sends along is not done."""
        with RawClient(address, hello=False) as extra:
            hello = extra.frame(client.HELLO, [{}])
            extra.frame(client.OPEN, [], 1)
            self.assertEqual(extra.bytes(8)[:5], client.PREFACE[:5])
            kind, fields = extra.final(hello)
            self.assertEqual((kind, extra.rest()), (client.ERROR, b""))
            return fields

    def test_a_native_client_above_max_clients_is_told_so_with_53300(self):
        daemon = self.daemon("max_clients = 3")
        held = [self.client(daemon) for _ in range(3)]
        for address in (f"127.0.0.1:{daemon.port}", f"unix:{daemon.socket_path}"):
            error = self.turned_away(address)
            self.assertEqual((error["message"], error["hint"]), ("sorry, too many clients already", "max_clients is 3."))
            self.assertEqual((error["code"], error["scope"], error["executed"]), ("53300", "connection", "no"))
            self.assertTrue(error["retry"])
        daemon.wait_log("turned away, 3 are connected and max_clients is 3")
        status = held[0].status()
        self.assertEqual((status["clients"]["refused_total"], status["clients"]["connected"]), (2, 3))
        held[1].__exit__()
        wait_until(lambda: held[0].status()["clients"]["connected"] == 2, "the client to be gone")
        self.works(daemon)

    def test_a_client_of_postgresqls_protocol_above_max_clients_is_told_so_with_53300(self):
        daemon = self.daemon("max_clients = 1")
        held = PgClient(f"127.0.0.1:{daemon.port}", database="main")
        self.addCleanup(held.close)
        for address in (f"127.0.0.1:{daemon.port}", f"unix:{daemon.socket_path}"):
            for encryption in ((), (SSL_REQUEST,), (GSSENC_REQUEST, SSL_REQUEST)):
                with PgClient(address, start=False) as extra:
                    for request in encryption:
                        extra.send(untyped(struct.pack("!I", request)))
                        self.assertEqual(extra.bytes(1), b"N")
                    extra.send(startup({"user": "ann", "database": "main"}))
                    with self.assertRaises(Refused) as refused:
                        extra.log_in("ann", None)
                    said = refused.exception.fields
                    self.assertEqual((said["S"], said["C"], said["M"], said["H"]),
                                     ("FATAL", "53300", "sorry, too many clients already", "max_clients is 1."))
                    self.assertEqual(extra.rest(), b"")
        self.assertEqual(held.value("select 7"), "7")
        held.close()

        def has_a_place():
            with contextlib.suppress(Refused), PgClient(f"127.0.0.1:{daemon.port}", database="main") as next_one:
                return next_one.value("select 8")
        self.assertEqual(wait_until(has_a_place, "the place of the first"), "8")

    def test_a_statement_can_be_cancelled_when_every_place_is_taken(self):
        daemon = self.daemon("max_clients = 1")
        with PgClient(f"127.0.0.1:{daemon.port}", database="main") as held:
            for encryption in (False, True):
                held.send(query(SERIES.format(10**9) + "select count(*) from n"))
                with PgClient(held.address, start=False) as other:
                    if encryption:
                        other.send(untyped(struct.pack("!I", SSL_REQUEST)))
                        self.assertEqual(other.bytes(1), b"N")
                    other.send(untyped(struct.pack("!II", CANCEL_REQUEST, held.pid) + held.key))
                    self.assertEqual(other.rest(), b"")
                self.assertIn("E:57014", held.answers())
            self.assertEqual(held.value("select 7"), "7")

    def test_a_flood_above_max_clients_is_held_small_and_short(self):
        daemon = self.daemon("max_clients = 8")
        held = [self.client(daemon) for _ in range(8)]
        began, before = time.monotonic(), daemon.rss_kib()
        crowd = []
        for number in range(200):
            crowd.append(self.raw(daemon, preface=(b"", b"\0", client.PREFACE)[number % 3], hello=False))
        wait_until(lambda: held[0].status()["clients"]["refused_total"] == 200, "the crowd")
        first = held[0].status()["clients"]
        self.assertEqual(first["connected"], 8)
        self.assertLessEqual(first["turning_away"], 8 // 8 + 16)
        with held[1].session() as session:
            self.assertEqual(list(session.exec("select 1")), [[1]])
        self.assertLess(daemon.rss_kib() - before, 4 * 1024)
        for connection in crowd:
            connection.rest()
        self.assertLess(time.monotonic() - began, 15)
        wait_until(lambda: held[0].status()["clients"]["turning_away"] == 0, "the crowd to be gone")
        told = [line for line in daemon.log().splitlines() if "turned away, 8 are connected" in line]
        self.assertLessEqual(len(told), 2 + time.monotonic() - began)
        # There is room again for one that is to be told.
        self.assertEqual(self.turned_away(f"127.0.0.1:{daemon.port}")["code"], "53300")

    def test_max_sessions_refuses_the_next_open_with_53300(self):
        daemon = self.daemon("max_sessions = 2")
        db = self.client(daemon)
        self.assertEqual(db.welcome["limits"]["sessions"], 2)
        with db.session() as first:
            with db.session():
                third = db.session()
                error = self.failure("53300", third.__enter__)
                self.assertEqual((error.scope, error.executed, error.retry), ("session", "no", True))
                self.assertEqual(list(first.exec("select 1")), [[1]])
            with db.session() as session:
                self.assertEqual(list(session.exec("select 1")), [[1]])
        self.works(daemon)

    def test_max_inflight_refuses_further_requests_with_53300_and_none_is_lost(self):
        daemon = self.daemon("max_inflight = 4")
        db = self.client(daemon)
        self.assertEqual(db.welcome["limits"]["requests"], 4)
        with db.session() as session:
            slow = session.start(client.EXEC, SERIES.format(10**9) + "select count(*) from n")
            others = [session.start(client.EXEC, "select 1") for _ in range(10)]
            for refused in others[3:]:
                error = self.failure("53300", refused.wait)
                self.assertEqual((error.scope, error.executed, error.retry), ("statement", "no", True))
            self.assertEqual(db.ping(1), 1)
            slow.cancel()
            self.failure("57014", slow.wait)
            for kept in others[:3]:
                self.assertEqual(list(kept), [[1]])
        self.works(daemon)

    def test_request_bytes_waiting_beyond_the_limit_are_refused_with_53200(self):
        daemon = self.daemon()
        db = self.client(daemon)
        with db.session() as session:
            before = daemon.rss_kib()
            slow = session.start(client.EXEC, SERIES.format(10**9) + "select count(*) from n")
            size = 8_000_000
            fit = db.welcome["limits"]["request_bytes"] // size
            sent = [session.start(client.EXEC, "select length(?)", [bytes(size)]) for _ in range(fit + 4)]
            for refused in sent[fit:]:
                error = self.failure("53200", refused.wait)
                self.assertEqual((error.executed, error.retry), ("no", True))
            self.assertLess(daemon.rss_kib() - before, (fit + 4) * size // 1024)
            slow.cancel()
            self.failure("57014", slow.wait)
            for kept in sent[:fit]:
                self.assertEqual(list(kept), [[size]])
        self.works(daemon)

    def test_max_frame_and_max_depth_are_told_and_held(self):
        daemon = self.daemon('max_frame = "64KiB"\nmax_depth = 3')
        db = self.client(daemon)
        self.assertEqual((db.welcome["limits"]["frame_bytes"], db.welcome["limits"]["depth"]), (65536, 3))
        with db.session() as session:
            self.assertEqual(list(session.exec("select length($1)", ["x" * 65000])), [[65000]])
            for _ in range(3):
                session.tx("begin")
            self.failure("54000", session.tx, "begin")
            session.tx("rollback_all")
        error = self.failure("54000", db.ping, "x" * 65536)
        self.assertEqual(error.scope, "connection")
        self.assertRaises((ConnectionError, client.Error), db.ping)
        self.works(daemon)

    def test_a_flood_of_waiting_statements_is_refused_with_53300(self):
        daemon = self.daemon(database='url = "sqlite:///limits.db"\nmax_waiting = 2')
        with self.client(daemon).session(label="holder") as holder:
            holder.tx("begin")
            holder.exec("create table t (a)")
            results = []
            for db in [self.client(daemon) for _ in range(3)]:
                results.append(db.session().start(client.EXEC, "select 1"))
                db.ping()  # it has come
            error = self.failure("53300", results[2].wait)
            self.assertTrue(error.retry)
            holder.tx("rollback_all")
            for result in results[:2]:
                self.assertEqual(list(result), [[1]])
        self.works(daemon)


class Space(Tester):
    def fill(self, session):
        """Inserts until the file may not grow; gives the number of rows that are there."""
        session.exec("create table t (a)")
        with self.assertRaises(client.Error) as caught:
            for _ in range(2000):
                session.exec("insert into t values (zeroblob(20000))")
        error = caught.exception
        self.assertEqual((error.code, error.executed), ("53100", "no"), error)
        self.assertEqual(session.state, ["idle", 0])
        return list(session.exec("select count(*) from t"))[0][0]

    def is_sound(self, daemon, session, rows):
        """What was committed is there, nothing else, and it goes on."""
        self.assertEqual(list(session.exec("select count(*) from t")), [[rows]])
        session.exec("insert into t values (zeroblob(20000))")
        self.assertEqual(list(session.exec("pragma integrity_check")), [["ok"]])
        self.works(daemon)

    def test_a_file_that_may_not_grow_is_53100_until_rows_are_deleted(self):
        daemon = self.daemon(database='url = "sqlite:///limits.db"\nmax_page_count = 200')
        with self.client(daemon).session() as session:
            rows = self.fill(session)
            session.tx("begin")
            self.failure("53100", session.exec, "insert into t values (zeroblob(2000000))")
            self.failure("25P02", session.exec, "select 1")
            session.tx("rollback_all")
            session.exec("delete from t where rowid = 1")
            self.is_sound(daemon, session, rows - 1)

    def test_a_full_disk_is_53100_until_there_is_space(self):
        folder = temporary_folder()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "based-test", str(folder)],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("mounting a small file system takes root's rights")
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
        (folder / "ballast").write_bytes(bytes(2_000_000))
        daemon = self.daemon(database=f'url = "sqlite:///{folder}/limits.db"')
        with self.client(daemon).session() as session:
            rows = self.fill(session)
            session.tx("begin")
            session.exec("insert into t values (zeroblob(4000000))")
            error = self.failure("53100", session.tx, "commit")
            self.assertEqual((error.executed, session.state[0]), ("no", "idle"), error.__dict__)
            (folder / "ballast").unlink()
            self.is_sound(daemon, session, rows)

    def test_a_value_over_max_value_is_refused(self):
        daemon = self.daemon(database='url = "sqlite:///limits.db"\nmax_value = "64KiB"')
        with self.client(daemon).session() as session:
            self.failure("54000", session.exec, "select zeroblob(100000)")
            self.failure("54000", session.exec, "select length($1)", [bytes(100_000)])
            self.assertEqual(list(session.exec("select length(zeroblob(60000))")), [[60000]])
        self.works(daemon)
