"""The Python client by itself: its MessagePack against a library, and its conversation with a scripted server."""

import math
import pathlib
import random
import socket
import struct
import sys
import tempfile
import threading
import unittest

import msgpack

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client as client

IDLE = ["idle", 0]
SEED = 20240229


def values(random):
    """Scalars around the edges of every form, then nested lists and maps."""
    edges = [0, 31, 32, 255, 256, 65535, 65536]
    yield from [None, True, False, 0.0, -0.0, 0.1, math.inf, -math.inf, 5e-324, "", "gr\u00fcn", "\U0001f600\0", b""]
    for power in range(64):
        yield from [2**power - 1, -(2**power) if power < 64 else 0, 2**power if power < 63 else 2**63 - 1]
    for size in edges:
        yield from ["x" * size, b"\xff" * size, [1] * size, {str(n): n for n in range(size)}]
    for _ in range(200):
        yield [random.getrandbits(63), {"a": [random.random(), None, {"b": bytes([random.randrange(256)])}]}]


class Codec(unittest.TestCase):
    def test_the_library_reads_what_the_client_packs(self):
        for value in values(random.Random(SEED)):
            with self.subTest(value=repr(value)[:80]):
                read = msgpack.unpackb(client.pack(value), strict_map_key=False)
                self.assertEqual((read, repr(read)), (value, repr(value)))

    def test_the_client_unpacks_what_the_library_writes(self):
        for value in values(random.Random(SEED)):
            with self.subTest(value=repr(value)[:80]):
                data = msgpack.packb(value)
                read, end = client.unpack(data)
                self.assertEqual((read, repr(read), end), (value, repr(value), len(data)))
        single = client.unpack(msgpack.packb(1.5, use_single_float=True))
        self.assertEqual(single, (1.5, 5))

    def test_an_integer_beyond_64_bits_and_a_foreign_type_are_refused(self):
        self.assertEqual(client.pack(2**63), b"\xcf\x80" + bytes(7))  # the server answers 22003
        for value in [2**64, -(2**63) - 1]:
            self.assertRaises(struct.error, client.pack, value)
        self.assertRaises(TypeError, client.pack, object())


class ScriptedServer(threading.Thread):
    """Serves one connection by a generator, which is given (kind, flags, session, request, payload) and yields lists
    of frames of the same form to send."""

    def __init__(self, script):
        super().__init__(daemon=True)
        self.folder = tempfile.TemporaryDirectory(prefix="based-test-")
        self.address = f"unix:{self.folder.name}/socket"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.address[5:])
        self.listener.listen(1)
        self.listener.settimeout(10)
        self.script, self.heard, self.failure = script, [], None

    def run(self):
        try:
            peer, _ = self.listener.accept()
            peer.settimeout(10)
            with peer, peer.makefile("rwb") as file:
                assert file.read(8) == client.PREFACE
                file.write(b"\x1fBSD\1\0\0\0")
                script = self.script()
                next(script)
                while header := file.read(16):
                    size, kind, flags, _, session, request = struct.unpack(">IBBHII", header)
                    self.heard.append((kind, flags, session, request, msgpack.unpackb(file.read(size))))
                    if kind == client.HELLO:
                        answer = [(client.WELCOME, 0, 0, request, [{"server": "script"}])]
                    else:
                        answer = script.send(self.heard[-1])
                    for kind, flags, session, request, payload in answer:
                        data = msgpack.packb(payload)
                        file.write(struct.pack(">IBBHII", len(data), kind, flags, 0, session, request) + data)
                    file.flush()
        except Exception as failure:  # shown by the test, in its own thread
            self.failure = failure

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.join(10)
        self.listener.close()
        self.folder.cleanup()


def end(number, request, tx=IDLE, **fields):
    return (client.END, 0, number, request, [{"tx": tx, **fields}])


def answers(replies):
    """A script that looks up its answer by the kind of the request: a function of (session, request, payload)."""
    heard = yield
    while True:
        kind, _, session, request, payload = heard
        if kind in (client.OPEN, client.CLOSE) and kind not in replies:
            heard = yield [end(session, request, session={"database": "main"})]
        else:
            heard = yield replies[kind](session, request, payload)


class Conversation(unittest.TestCase):
    def converse(self, replies):
        server = ScriptedServer(lambda: answers(replies))
        return server

    def check(self, server):
        self.assertIsNone(server.failure)

    def test_rows_stream_and_more_are_asked_for_when_the_credit_is_used_up(self):
        def run(session, request, payload):
            self.assertEqual(payload, ["select n", None, {"credit": 2}])
            self.run_request = request
            return [(client.COLS, 0, session, request, [0, [["n", "int4", 23]]]),
                    (client.ROWS, 0, session, request, [0, [[1], [2]]])]

        def more(session, request, payload):
            self.assertEqual(payload, [self.run_request, 2])
            return [end(session, request, found=True), (client.ROWS, 0, 1, self.run_request, [0, [[3]]]),
                    end(1, self.run_request, results=[{"tag": "SELECT", "rows": 3}])]

        with self.converse({client.EXEC: run, client.FETCH: more}) as server:
            with client.connect(server.address) as db, db.session() as s:
                result = s.start(client.EXEC, "select n", None, {"credit": 2})
                self.assertEqual(list(result), [[1], [2], [3]])
                self.assertEqual((result.tag, result.columns[0][0][0]), ("SELECT", "n"))
        self.check(server)

    def test_an_error_is_an_exception_with_every_field_and_the_session_goes_on(self):
        fields = {"code": "23505", "message": "exists", "scope": "statement", "executed": "no", "tx": ["failed", 1],
                  "object": {"constraint": "t_a_key"}, "native": [2067, "SQLITE_CONSTRAINT_UNIQUE"]}

        def run(session, request, payload):
            if payload[0] == "bad":
                return [(client.ERROR, 0, session, request, [fields])]
            return [end(session, request, results=[{"tag": "INSERT", "affected": 3, "last_insert_id": 9}])]

        with self.converse({client.EXEC: run}) as server, client.connect(server.address) as db, db.session() as s:
            with self.assertRaises(client.Error) as caught:
                s.exec("bad")
            self.assertEqual((caught.exception.code, caught.exception.object), ("23505", fields["object"]))
            self.assertIsNone(caught.exception.hint)
            self.assertEqual(s.state, ["failed", 1])
            good = s.exec("good")
            self.assertEqual((good.affected, good.last_insert_id, s.state), (3, 9, IDLE))

    def test_pings_of_the_server_are_answered_notices_kept_and_unknown_ignorable_frames_skipped(self):
        def run(session, request, payload):
            return [(client.PING, 0, 0, 0, ["here?"]), (99, client.IGNORABLE, 0, 0, ["grease"]),
                    (client.NOTICE, 0, 0, 0, ["goaway", {"reason": "shutdown"}]), end(session, request)]

        def pinged(session, request, payload):
            return []

        with self.converse({client.EXEC: run, client.PING: pinged}) as server:
            with client.connect(server.address) as db, db.session() as s:
                s.exec("select")
                self.assertEqual(list(db.notices), [(0, 0, "goaway", {"reason": "shutdown"})])
        self.check(server)
        self.assertIn((client.PING, client.REPLY, 0, 0, ["here?"]), server.heard)

    def test_a_transaction_commits_its_level_and_rolls_it_back_when_its_block_fails(self):
        depth = [0]

        def tx(session, request, payload):
            op = payload[0]
            depth[0] += {"begin": 1, "commit": -1, "rollback": -1}[op]
            state = ["open", depth[0]] if depth[0] else IDLE
            return [end(session, request, state, **({"level": 10 + depth[0]} if op == "begin" else {}))]

        with self.converse({client.TX: tx}) as server:
            with client.connect(server.address) as db, db.session() as s:
                with s.transaction(isolation="serializable"):
                    with self.assertRaises(ZeroDivisionError), s.transaction():
                        1 / 0
        self.check(server)
        self.assertEqual([heard[4] for heard in server.heard if heard[0] == client.TX],
                         [["begin", {"isolation": "serializable"}], ["begin", {}], ["rollback", {"level": 12}],
                          ["commit", {"level": 11}]])

    def test_pipelined_requests_carry_chain_and_their_answers_may_come_late(self):
        waiting = []

        def run(session, request, payload):
            waiting.append(end(session, request, results=[{"tag": payload[0]}]))
            return waiting if len(waiting) == 3 else []

        with self.converse({client.EXEC: run}) as server, client.connect(server.address) as db, db.session() as s:
            first = s.start(client.EXEC, "a")
            second = s.start(client.EXEC, "b", chain=True)
            third = s.start(client.EXEC, "c")
            self.assertEqual([third.wait().tag, first.wait().tag, second.wait().tag], ["c", "a", "b"])
        self.assertEqual([heard[1] for heard in server.heard if heard[0] == client.EXEC], [0, client.CHAIN, 0])

    def test_a_session_commits_at_its_end_only_if_its_block_did_not_fail(self):
        with self.converse({}) as server, client.connect(server.address) as db:
            with db.session(transaction={}):
                pass
            with self.assertRaises(ZeroDivisionError), db.session(transaction={}):
                1 / 0
        closes = [heard[4] for heard in server.heard if heard[0] == client.CLOSE]
        self.assertEqual(closes, [[{"commit": True}], [{"commit": False}]])

    def test_a_connection_that_ends_is_an_error_not_a_hang(self):
        with self.converse({client.EXEC: lambda *_: 1 / 0}) as server, client.connect(server.address) as db:
            session = db.session().__enter__()
            self.assertRaises(ConnectionError, session.exec, "select")


class Documented(unittest.TestCase):
    def test_the_client_is_shorter_than_150_lines_and_uses_the_standard_library_only(self):
        text = pathlib.Path(client.__file__).read_text()
        self.assertLess(len(text.splitlines()), 150)
        imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
        self.assertEqual(imports, ["import collections, contextlib, itertools, socket, struct"])

    def test_the_frames_of_the_specification_unpack_as_they_should(self):
        page = client.__file__.replace("tests/support/based_client.py", "protocol/native/PROTOCOL.md")
        shown = pathlib.Path(page).read_text().split("```frame\n")[1:]
        self.assertGreater(len(shown), 20)
        for block in shown:
            lines = block.split("```")[0].splitlines()
            data = bytes.fromhex("".join(lines[1:[line[:2] for line in lines].index("= ")]))
            size, kind, *_ = client.HEADER.unpack(data[:16])
            payload, used = client.unpack(data[16:])
            self.assertEqual((used, payload), (size, msgpack.unpackb(data[16:])))
            self.assertEqual(getattr(client, lines[0].split()[0]), kind)


if __name__ == "__main__":
    unittest.main()
