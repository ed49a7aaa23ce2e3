"""A server of PostgreSQL's protocol 3 that does as it is told: it starts well, and then says what a test scripts.

    with BadServer() as server:
        server.says["select bad"] = row_description("a") + b"D\\0\\0"     # instead of the answer to this text

An entry is bytes, or a function of the Connection that sends and closes as it likes. Every other text is answered
with no rows, but "select whoami" with the number of its connection; BEGIN, COMMIT and ROLLBACK keep the status.
"""

import contextlib
import socket
import struct
import threading

from pg_client import CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, message, text

LOST = "the transaction was lost"  # what the relay says to make a transaction fail


def row_description(*names):
    body = struct.pack("!H", len(names))
    for name in names:
        body += text(name) + struct.pack("!IHIhih", 0, 0, 25, -1, -1, 0)
    return message("T", body)


def data_row(*values):
    return message("D", struct.pack("!H", len(values)) + b"".join(
        struct.pack("!I", len(value)) + value for value in map(str.encode, values)))


def complete(tag):
    return message("C", text(tag))


def ready(status="I"):
    return message("Z", status.encode())


def error(code="XX000", severity="ERROR", said="scripted"):
    pairs = {"S": severity, "V": severity, "C": code, "M": said}
    return message("E", b"".join(name.encode() + text(value) for name, value in pairs.items() if value) + b"\0")


def notice(said="heed this"):
    return message("N", b"SNOTICE\0VNOTICE\0C00000\0M" + text(said) + b"\0")


def parameter_status(name, value):
    return message("S", text(name) + text(value))


def notification(channel, payload=""):
    return message("A", struct.pack("!I", 1) + text(channel) + text(payload))


GREETING = (message("R", struct.pack("!I", 0)) + b"".join(parameter_status(name, value) for name, value in (
    ("server_version", "15.0"), ("server_encoding", "UTF8"), ("client_encoding", "UTF8"), ("DateStyle", "ISO, MDY"),
    ("TimeZone", "UTC"), ("integer_datetimes", "on"), ("standard_conforming_strings", "on"))))


class BadServer:
    def __init__(self):
        self.says = {}
        self.greeting = None  # bytes that come instead of authentication and what follows
        self.connections = []
        self.cancels = 0
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            connection = Connection(self, link)
            threading.Thread(target=connection.run, daemon=True).start()

    def add(self, connection):
        with self.changed:
            self.connections.append(connection)
            return len(self.connections)

    def close(self):
        # A thread that waits in accept() would keep the listener alive.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in list(self.connections):
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Connection:
    """One link of Based's. `heard` are the texts it was sent, `ended` is set when the other side has closed."""

    def __init__(self, server, link):
        self.server, self.socket = server, link
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = 0
        self.status = "I"
        self.skipping = False
        self.statements, self.portals = {}, {}
        self.heard = []
        self.ended = threading.Event()

    def send(self, data):
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def take(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def run(self):
        try:
            if self.start():
                self.number = self.server.add(self)
                while True:
                    kind = self.take(1).decode()
                    self.answer(kind, self.take(struct.unpack("!I", self.take(4))[0] - 4))
        except (EOFError, OSError):
            pass
        self.ended.set()

    def start(self):
        while True:
            length, code = struct.unpack("!II", self.take(8))
            rest = self.take(length - 8)
            if code in (SSL_REQUEST, GSSENC_REQUEST):
                self.send(b"N")
            elif code == CANCEL_REQUEST:
                self.server.cancels += 1
                self.close()
                return False
            else:
                assert code >> 16 == 3, (code, rest)
                if self.server.greeting is not None:
                    self.send(self.server.greeting)
                    return True
                self.send(GREETING + message("K", struct.pack("!II", 4711, 42)) + ready())
                return True

    def answer(self, kind, body):
        if kind == "S":
            self.skipping = False
            return self.send(ready(self.status))
        if self.skipping and kind != "X":
            return None
        parts = body.split(b"\0")
        if kind == "Q":
            if self.execute(parts[0].decode(), simple=True):
                self.send(ready(self.status))
        elif kind == "P":
            self.statements[parts[0]] = parts[1].decode()
            self.send(message("1"))
        elif kind == "B":
            self.portals[parts[0]] = self.statements.get(parts[1], "")
            self.send(message("2"))
        elif kind == "D":
            self.send((message("t", b"\0\0") if body[:1] == b"S" else b"") + message("n"))
        elif kind == "C":
            self.send(message("3"))
        elif kind == "E":
            self.execute(self.portals.get(parts[0], ""), simple=False)
        elif kind == "X":
            raise EOFError
        return None

    def execute(self, sql, simple):
        """False where the script has said everything."""
        if simple and sql.startswith("BEGIN;"):  # in front of a transaction's first statement
            self.status = "T"
            self.send(complete("BEGIN"))
            return self.execute(sql.removeprefix("BEGIN;"), simple)
        self.heard.append(sql)
        scripted = self.server.says.get(sql)
        words = sql.upper().split()
        if callable(scripted):
            scripted(self)
            return False
        if scripted is not None:
            self.send(scripted)
            return False
        if sql == LOST or (self.status == "E" and words[:1] not in (["ROLLBACK"], ["COMMIT"])):
            self.send(error("25P02" if self.status == "E" else "42601"))
            self.status = "E" if self.status in "TE" else "I"
            self.skipping = not simple
            return True
        if words[:1] == ["BEGIN"]:
            self.status = "T"
        elif words[:1] in (["COMMIT"], ["ROLLBACK"]):
            words = ["ROLLBACK"] if self.status == "E" else words
            self.status = "I"
        if sql == "select whoami":
            self.send((row_description("whoami") if simple else b"") + data_row(str(self.number))
                      + complete("SELECT 1"))
        else:
            self.send(complete(" ".join(words[:1]) if words else "SELECT 0") if words else message("I"))
        return True
