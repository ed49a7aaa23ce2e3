"""A raw client of PostgreSQL's protocol 3, of the standard library alone: it can say anything, well-formed or not.

Messages are made by the functions at the top, sent together, and the answers shown as one line, so that a test reads as
a conversation: `client.ask(parse("", "select 1"), sync())` gives "1 Z:I". See show() for how each message looks.
"""

import base64
import contextlib
import hashlib
import hmac
import itertools
import secrets
import socket
import struct
import time

DEADLINE_S = 20
PROTOCOL_3_0 = 3 << 16
PROTOCOL_3_2 = 3 << 16 | 2
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102


# --- the client's messages

def message(kind, body=b"", length=None):
    """Any message; `length` where it is to lie."""
    return kind.encode() + struct.pack("!I", (len(body) + 4 if length is None else length) & 0xFFFFFFFF) + body


def untyped(body, length=None):
    """A start-up packet: a length and no type."""
    return struct.pack("!I", (len(body) + 4 if length is None else length) & 0xFFFFFFFF) + body


def text(value):
    return (value if isinstance(value, bytes) else value.encode()) + b"\0"


def startup(parameters, version=PROTOCOL_3_0, tail=b"\0"):
    pairs = b"".join(text(name) + text(value) for name, value in parameters.items())
    return untyped(struct.pack("!I", version) + pairs + tail)


def query(sql):
    return message("Q", text(sql))


def parse(name, sql, types=()):
    return message("P", text(name) + text(sql) + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(portal="", statement="", values=(), formats=(), results=()):
    """Values are texts, bytes, or None for NULL."""
    body = text(portal) + text(statement)
    body += struct.pack(f"!H{len(formats)}H", len(formats), *formats) + struct.pack("!H", len(values))
    for value in values:
        data = value.encode() if isinstance(value, str) else value
        body += struct.pack("!i", -1) if data is None else struct.pack("!I", len(data)) + data
    return message("B", body + struct.pack(f"!H{len(results)}H", len(results), *results))


def describe(kind, name=""):
    return message("D", kind.encode() + text(name))


def execute(portal="", rows=0):
    return message("E", text(portal) + struct.pack("!I", rows))


def close(kind, name=""):
    return message("C", kind.encode() + text(name))


def sync():
    return message("S")


def flush():
    return message("H")


def copy_data(data):
    return message("d", data if isinstance(data, bytes) else data.encode())


def copy_done():
    return message("c")


def copy_fail(reason="never mind"):
    return message("f", text(reason))


def function_call(oid, arguments, formats=(), result=0):
    body = struct.pack(f"!IH{len(formats)}H", oid, len(formats), *formats) + struct.pack("!H", len(arguments))
    for value in arguments:
        body += struct.pack("!i", -1) if value is None else struct.pack("!I", len(value)) + value
    return message("F", body + struct.pack("!H", result))


def terminate():
    return message("X")


def extended(sql, values=(), types=(), rows=0, describing=False, results=()):
    """One statement as most drivers send it, without its Sync."""
    parts = [parse("", sql, types), bind("", "", values, results=results)]
    return b"".join(parts + ([describe("P")] if describing else []) + [execute("", rows)])


# --- the server's messages

def texts(body):
    return [part.decode(errors="replace") for part in body.split(b"\0")]


def fields(body):
    """What an error or notice says, by its one-letter names."""
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}


def cells(body):
    """A row's values as bytes, NULL as None."""
    count, at, row = struct.unpack_from("!H", body)[0], 2, []
    for _ in range(count):
        size = struct.unpack_from("!i", body, at)[0]
        at += 4
        row.append(None if size < 0 else body[at:at + size])
        at += max(size, 0)
    if at != len(body):
        raise AssertionError(f"a row of {len(body)} bytes ends at {at}")
    return row


def columns(body):
    """A RowDescription: (name, type's OID, format) of each column."""
    count, at, found = struct.unpack_from("!H", body)[0], 2, []
    for _ in range(count):
        end = body.index(b"\0", at)
        _, _, oid, _, _, form = struct.unpack_from("!IHIhih", body, end + 1)
        found.append((body[at:end].decode(errors="replace"), oid, form))
        at = end + 19
    return found


def show(kind, body):
    """1 2 3 n s as they are; T:name,name D:value|NULL C:tag E:SQLSTATE N:SQLSTATE Z:status S:name=value t:oid,oid
    G/H/W:columns d:data A:channel|payload V:bytes."""
    if kind in ("Z", "C"):
        return f"{kind}:{body.rstrip(bytes(1)).decode(errors='replace')}"
    if kind == "D":
        return "D:" + "|".join("NULL" if cell is None else shown(cell) for cell in cells(body))
    if kind == "T":
        return "T:" + ",".join(name for name, _, _ in columns(body))
    if kind in ("E", "N"):
        return f"{kind}:{fields(body).get('C', '')}"
    if kind == "S":
        return "S:" + "=".join(texts(body)[:2])
    if kind == "t":
        return "t:" + ",".join(str(oid) for oid in struct.unpack_from(f"!{(len(body) - 2) // 4}I", body, 2))
    if kind == "A":
        return "A:" + "|".join(texts(body[4:])[:2])
    if kind in ("G", "H", "W"):
        return f"{kind}:{struct.unpack_from('!BH', body)[1]}"
    if kind == "d":
        return "d:" + shown(body)
    if kind == "V":
        return "V:" + ("NULL" if body[:4] == b"\xff\xff\xff\xff" else shown(body[4:]))
    return kind + (":" + body.hex() if body else "")


def shown(data):
    if len(data) > 60:
        return f"<{len(data)}>"
    try:
        value = data.decode().replace("\n", "\\n")
    except UnicodeDecodeError:
        return data.hex()
    return value if value.isprintable() else data.hex()


class Refused(Exception):
    """The server ended the start with an error."""

    def __init__(self, body):
        self.fields = fields(body)
        self.code = self.fields.get("C", "")
        super().__init__(f"{self.code} {self.fields.get('M')}")


class PgClient:
    """One connection. Messages that may come at any time are in `notices`, `parameters` and `notifications`, too."""

    def __init__(self, address, user="postgres", database="postgres", password=None, version=PROTOCOL_3_0,
                 start=True, receive_buffer=None, **parameters):
        host, _, port = address.rpartition(":")
        self.socket = socket.socket(socket.AF_UNIX if host == "unix" else socket.AF_INET)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        else:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(DEADLINE_S)
        self.address = address
        self.pending = bytearray()
        self.parameters, self.notices, self.notifications = {}, [], []
        self.pid, self.key, self.negotiated = None, None, []
        self.socket.connect(port if host == "unix" else (host, int(port)))
        if start:
            try:
                self.send(startup({"user": user, "database": database, **parameters}, version))
                self.log_in(user, password)
            except BaseException:
                self.close()
                raise

    # --- bytes

    def send(self, *parts):
        """All of it, or as much as the other side takes before it closes."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(b"".join(parts))

    def more(self, deadline):
        """Reads; false at the end."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"nothing more came; so far {bytes(self.pending[:200])!r}")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        finally:
            self.socket.settimeout(DEADLINE_S)
        self.pending += data
        return data != b""

    def bytes(self, size, seconds=DEADLINE_S):
        deadline = time.monotonic() + seconds
        while len(self.pending) < size:
            if not self.more(deadline):
                raise ConnectionError(f"closed behind {bytes(self.pending[:200])!r}")
        data = bytes(self.pending[:size])
        del self.pending[:size]
        return data

    # --- messages

    def message(self, seconds=DEADLINE_S):
        """The next message: (type, body)."""
        head = self.bytes(5, seconds)
        kind, length = chr(head[0]), struct.unpack("!I", head[1:])[0]
        if length < 4:
            raise AssertionError(f"a message {kind} of length {length}")
        body = self.bytes(length - 4, seconds)
        if kind == "S":
            name, value = texts(body)[:2]
            self.parameters[name] = value
        elif kind == "N":
            self.notices.append(fields(body))
        elif kind == "A":
            self.notifications.append(tuple(texts(body[4:])[:2]))
        return kind, body

    def messages(self, ready=1, seconds=DEADLINE_S):
        """All messages up to this many ReadyForQuery, or to the end."""
        found = []
        while ready > 0:
            try:
                found.append(self.message(seconds))
            except ConnectionError:
                if self.pending:
                    raise
                found.append(("closed", b""))
                break
            ready -= found[-1][0] == "Z"
        return found

    def answers(self, ready=1, seconds=DEADLINE_S):
        """The same, shown; ParameterStatus left out, "closed" where the connection was."""
        return " ".join(show(kind, body) if len(kind) == 1 else kind
                        for kind, body in self.messages(ready, seconds) if kind != "S")

    def take(self, count, seconds=DEADLINE_S):
        """So many messages shown, ParameterStatus left out: behind a Flush, say."""
        found = (self.message(seconds) for _ in itertools.count())
        return " ".join(itertools.islice((show(*one) for one in found if one[0] != "S"), count))

    def ask(self, *parts, ready=None, seconds=DEADLINE_S):
        """Sends, and shows what comes up to the ReadyForQuery of each Sync, Query and FunctionCall in it; or up to so many."""
        data = b"".join(parts)
        self.send(data)
        return self.answers(ready_count(data) if ready is None else ready, seconds)

    def query(self, sql, seconds=DEADLINE_S):
        return self.ask(query(sql), seconds=seconds)

    def rows(self, sql):
        """The rows of a simple query as lists of text; raises Refused on an error."""
        self.send(query(sql))
        found, wrong = [], None
        for kind, body in self.messages():
            if kind == "D":
                found.append([None if cell is None else cell.decode() for cell in cells(body)])
            elif kind == "E":
                wrong = wrong or Refused(body)
            elif kind == "closed":
                raise wrong or ConnectionError("closed")
        if wrong:
            raise wrong
        return found

    def value(self, sql):
        return self.rows(sql)[0][0]

    def error(self, *parts):
        """The fields of the one error that this gets."""
        data = b"".join(parts)
        self.send(data)
        found = [fields(body) for kind, body in self.messages(ready_count(data)) if kind == "E"]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} errors: {found}")
        return found[0]

    def quiet(self, seconds=0.2):
        """Whether nothing comes for this time."""
        if self.pending:
            return False
        try:
            self.more(time.monotonic() + seconds)
        except TimeoutError:
            return True
        return False

    def rest(self, seconds=DEADLINE_S):
        """All that is still sent, until the other side closes."""
        deadline = time.monotonic() + seconds
        while self.more(deadline):
            pass
        data = bytes(self.pending)
        self.pending.clear()
        return data

    # --- the start

    def log_in(self, user, password):
        """Up to the first ReadyForQuery."""
        exchange = None
        while True:
            kind, body = self.message()
            if kind == "E":
                raise Refused(body)
            if kind == "v":
                newest = struct.unpack_from("!I", body)[0]
                self.negotiated.append((newest, [name for name in texts(body[8:]) if name]))
            elif kind == "K":
                self.pid, self.key = struct.unpack_from("!I", body)[0], body[4:]
            elif kind == "Z":
                return
            elif kind == "R":
                code = struct.unpack_from("!I", body)[0]
                if code == 3:
                    self.send(message("p", text(password)))
                elif code == 5:
                    inner = hashlib.md5(password.encode() + user.encode()).hexdigest()
                    digest = hashlib.md5(inner.encode() + body[4:8]).hexdigest()
                    self.send(message("p", text("md5" + digest)))
                elif code == 10:
                    exchange = Scram(password)
                    first = exchange.first().encode()
                    self.send(message("p", text("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first))
                elif code == 11:
                    self.send(message("p", exchange.final(body[4:].decode()).encode()))
                elif code == 12:
                    exchange.check(body[4:].decode())

    def cancel(self, pid=None, key=None):
        """Sends a CancelRequest by a connection of its own, and waits for that to be closed."""
        with PgClient(self.address, start=False) as other:
            other.send(untyped(struct.pack("!II", CANCEL_REQUEST, self.pid if pid is None else pid)
                               + (self.key if key is None else key)))
            return other.rest()

    def close(self):
        self.socket.close()

    def vanish(self):
        """Gone without a word, as a killed process is."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ready_count(data):
    """How many ReadyForQuery answer these messages if the server skips none of them."""
    count, at = 0, 0
    while at + 5 <= len(data):
        count += data[at:at + 1] in (b"Q", b"S", b"F")
        at += 1 + struct.unpack_from("!I", data, at + 1)[0]
    return count


class Scram:
    """The client's side of SCRAM-SHA-256 without channel binding: RFC 5802, 7677."""

    def __init__(self, password, nonce=None):
        self.password = password.encode()
        self.nonce = nonce or base64.b64encode(secrets.token_bytes(18)).decode()
        self.bare = f"n=,r={self.nonce}"
        self.signature = None

    def first(self):
        return "n,," + self.bare

    def final(self, server_first):
        parts = dict(part.split("=", 1) for part in server_first.split(","))
        if not parts["r"].startswith(self.nonce) or parts["r"] == self.nonce:
            raise AssertionError(f"the server's nonce does not go on from ours: {server_first}")
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(parts["s"]), int(parts["i"]))
        without_proof = f"c={base64.b64encode(b'n,,').decode()},r={parts['r']}"
        signed = f"{self.bare},{server_first},{without_proof}".encode()
        client_key = self.hmac(salted, b"Client Key")
        proof = self.hmac(hashlib.sha256(client_key).digest(), signed)
        self.signature = self.hmac(self.hmac(salted, b"Server Key"), signed)
        proof = bytes(a ^ b for a, b in zip(client_key, proof))
        return f"{without_proof},p={base64.b64encode(proof).decode()}"

    def check(self, server_final):
        if base64.b64decode(server_final.removeprefix("v=")) != self.signature:
            raise AssertionError("the server does not know the password")

    @staticmethod
    def hmac(key, data):
        return hmac.new(key, data, "sha256").digest()
