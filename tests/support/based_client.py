"""A complete client of Based's native protocol (authentication aside) in plain Python; see PROTOCOL.md.

    with connect("127.0.0.1:6432") as db, db.session() as s:
        with s.transaction():
            s.exec("insert into notes (text) values (:text)", {"text": "hello"})
        for id, text in s.exec("select id, text from notes where id > $1", [0]):
            print(id, text)

exec, batch and tx wait for their answer; start does not, so requests can be pipelined and chained."""
import collections, contextlib, itertools, socket, struct

HELLO, WELCOME, AUTH, OPEN, CLOSE, EXEC, BATCH, TX, FETCH = range(1, 10)
CANCEL, PING, COLS, ROWS, END, ERROR, NOTICE, STATUS = range(10, 18)
CHAIN, REPLY, IGNORABLE, PREFACE, HEADER = 1, 2, 4, b"\x1fBSD\1\1\0\0", struct.Struct(">IBBHII")
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
NUMBERS = dict(zip(range(0xCA, 0xD4), (">f", ">d", ">B", ">H", ">I", ">Q", ">b", ">h", ">i", ">q")))
SIZED = {0xC4: (bytes, ">B"), 0xC5: (bytes, ">H"), 0xC6: (bytes, ">I"), 0xD9: (str, ">B"), 0xDA: (str, ">H"),
         0xDB: (str, ">I"), 0xDC: (list, ">H"), 0xDD: (list, ">I"), 0xDE: (dict, ">H"), 0xDF: (dict, ">I")}

def pack(value):  # MessagePack; the server takes any form of it, so the shortest code is good enough
    if value is None or isinstance(value, bool): return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, float): return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, int): return struct.pack(*(">Bq", 0xD3) if value < 2**63 else (">BQ", 0xCF), value)
    if isinstance(value, dict): lead, parts = 0xDF, [pack(k) + pack(v) for k, v in value.items()]
    elif isinstance(value, (list, tuple)): lead, parts = 0xDD, [pack(item) for item in value]
    elif isinstance(value, str): lead, parts = 0xDB, value.encode()
    else: lead, parts = 0xC6, bytes(memoryview(value))
    return struct.pack(">BI", lead, len(parts)) + (parts if isinstance(parts, bytes) else b"".join(parts))

def unpack(data, at=0):  # the value that begins there, and where the next one begins
    lead, at = data[at], at + 1
    if lead < 0x80 or lead >= 0xE0: return lead if lead < 0x80 else lead - 256, at
    if lead in CONSTANTS: return CONSTANTS[lead], at
    if lead in NUMBERS: return struct.unpack_from(NUMBERS[lead], data, at)[0], at + struct.calcsize(NUMBERS[lead])
    kind, form = SIZED.get(lead) or (dict if lead < 0x90 else list if lead < 0xA0 else str, "")
    size = struct.unpack_from(form, data, at)[0] if form else lead & (31 if kind is str else 15)
    at += struct.calcsize(form)
    if kind in (bytes, str): return (bytes if kind is bytes else bytes.decode)(data[at:at + size]), at + size
    items = []
    for _ in range(size * 2 if kind is dict else size):
        item, at = unpack(data, at)
        items.append(item)
    return items if kind is list else dict(zip(items[::2], items[1::2])), at

class Error(Exception):  # its fields are attributes: code, message, scope, executed, retry, tx, ...
    def __init__(self, fields):
        super().__init__(f"{fields['code']}: {fields['message']}")
        self.__dict__.update(fields)
    def __getattr__(self, name): return None  # a field that was not sent

class Result:  # a request, and its answer as it arrives; iterating streams the rows
    def __init__(self, connection, session, request, credit):
        self.connection, self.session, self.request = connection, session, request
        self.columns, self.rows, self.end, self.error = {}, collections.deque(), None, None
        self.credit, self.granted = credit, credit or 0
    def __getattr__(self, name):  # tag, affected, last_insert_id, truncated: of the last statement
        return ((self.__dict__["end"] or {}).get("results") or [{}])[-1].get(name)
    def read(self):  # takes a frame, of any request; with credit used up it asks for more rows first
        if self.credit and self.granted <= 0: self.fetch(self.credit)
        self.connection.read()
    def wait(self):
        while self.end is None: self.read()
        if self.error: raise self.error
        return self
    def __iter__(self):
        while self.rows or self.end is None:
            if self.rows: yield self.rows.popleft()
            else: self.read()
        self.wait()
    def fetch(self, rows):  # grants so many more; 0 discards the rest
        self.granted += rows
        return self.connection.start(FETCH, self.request, rows)
    def cancel(self): return self.connection.start(CANCEL, self.request)

class Session:
    def __init__(self, connection, number, options):
        self.connection, self.number, self.state = connection, number, ["idle", 0]
        self.opened = self.start(OPEN, options)
    def start(self, kind, *payload, chain=False):  # chain: run it only if the request before it succeeded
        return self.connection.start(kind, *payload, session=self, flags=CHAIN if chain else 0)
    def exec(self, sql, parameters=None, **options): return self.start(EXEC, sql, parameters, options).wait()
    def batch(self, items, **options): return self.start(BATCH, items, options).wait()
    def tx(self, op, **options): return self.start(TX, op, options).wait().end
    def close(self, commit=False): return self.start(CLOSE, {"commit": commit}).wait()
    @contextlib.contextmanager
    def transaction(self, **options):
        begun = self.tx("begin", **options)
        level, joined = begun["level"], begun.get("joined")
        try:
            yield level
        except BaseException:
            if self.state[0] == "aborted": self.tx("rollback_all")
            elif not joined and self.state[1] >= begun["tx"][1]: self.tx("rollback", level=level)
            raise
        if not joined: self.tx("commit", level=level)
    def __enter__(self): return self.opened.wait().session
    def __exit__(self, failure, *_):
        with contextlib.suppress(*(Error, OSError) if failure else ()):
            self.close(commit=not failure)

class connect:  # to "host:port" or "unix:/path"
    def __init__(self, address, timeout=30, **hello):
        host, _, port = address.rpartition(":")
        self.socket = (socket.socket(socket.AF_UNIX) if host == "unix" else
                       socket.create_connection((host.strip("[]"), port), timeout))
        self.socket.settimeout(timeout)
        if host == "unix": self.socket.connect(port)
        self.file, self.numbers, self.requests = self.socket.makefile("rb"), itertools.count(1), itertools.count(1)
        self.waiting, self.notices = {}, collections.deque(maxlen=1000)  # (session, request, kind, fields)
        self.socket.sendall(PREFACE)
        greeting = self.start(HELLO, {"client": "based_client.py", **hello})
        if self.receive(8)[:5] != PREFACE[:5]: raise ConnectionError("no server of version 1 of the protocol")
        self.welcome = greeting.wait().end
    def session(self, **options): return Session(self, next(self.numbers), options)
    def ping(self, value="ping"): return self.start(PING, value).wait().end
    def status(self): return self.start(STATUS).wait().end["status"]
    def cancel(self, request, connection, key):  # of another connection: both are in its welcome
        return self.start(CANCEL, request, {"connection": connection, "key": key}).wait().end["found"]
    def start(self, kind, *payload, session=None, flags=0):
        credit = (*payload, {}, {})[2 if kind == EXEC else 1].get("credit") if kind in (EXEC, BATCH) else 0
        result = Result(self, session, next(self.requests), credit)
        self.waiting[result.request] = result
        self.send(kind, flags, session.number if session else 0, result.request, payload)
        return result
    def send(self, kind, flags, session, request, payload):
        data = pack(payload)
        self.socket.sendall(HEADER.pack(len(data), kind, flags, 0, session, request) + data)
    def receive(self, size):
        data = self.file.read(size)
        if len(data) < size: raise ConnectionError("the server has closed the connection")
        return data
    def read(self):  # takes one frame, for whichever request it is
        size, kind, flags, _, session, request = HEADER.unpack(self.receive(HEADER.size))
        data, result = self.receive(size), self.waiting.get(request)
        if not HELLO <= kind <= STATUS and flags & IGNORABLE: return
        payload = unpack(data)[0]
        if kind == PING and not flags & REPLY: self.send(PING, REPLY, session, request, payload)
        elif kind == NOTICE: self.notices.append((session, request, *payload))
        elif kind == COLS: result.columns[payload[0]] = payload[1]
        elif kind == ROWS:
            result.rows += payload[1]
            result.granted -= len(payload[1])
        elif kind == ERROR and not result: raise Error(payload[0])
        else:
            del self.waiting[request]
            result.error, result.end = Error(payload[0]) if kind == ERROR else None, (payload or [{}])[0]
            if result.session: result.session.state = result.end["tx"]
    def __enter__(self): return self
    def __exit__(self, *_): self.file.close(), self.socket.close()
