"""A connection that says what a client never would: any bytes, any frame, and what comes back as it is."""

import contextlib
import socket

import based_client as client
from based_client import HEADER, PREFACE, pack, unpack

DEADLINE_S = 20
SERVER_PREFACE = PREFACE[:5] + bytes(3)


class RawClient:
    def __init__(self, address, preface=PREFACE, hello=True, receive_buffer=None):
        host, _, port = address.rpartition(":")
        self.socket = socket.socket(socket.AF_UNIX if host == "unix" else socket.AF_INET)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(port if host == "unix" else (host, int(port)))
        self.pending = b""
        self.request = 0
        if preface:
            self.socket.sendall(preface)
        if hello:
            self.frame(client.HELLO, [{}])
            assert self.bytes(8) == SERVER_PREFACE
            self.welcome = self.answer()[4][0]

    def send(self, data):
        """All of it, or as much as the daemon takes before it closes."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def frame(self, kind, payload, session=0, request=None, flags=0, length=None):
        """Sends a frame whose payload is a value, or bytes as they are; gives its request number."""
        self.request = self.request + 1 if request is None else request
        data = payload if isinstance(payload, bytes) else pack(payload)
        length = len(data) if length is None else length
        self.send(HEADER.pack(length, kind, flags, 0, session, self.request) + data)
        return self.request

    def more(self):
        """Reads; false at the end."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.pending += data
        return data != b""

    def bytes(self, size):
        while len(self.pending) < size:
            if not self.more():
                raise ConnectionError(f"closed behind {self.pending!r}")
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def answer(self):
        """The next frame: kind, flags, session, request, payload. Frames nobody needs to know are skipped."""
        while True:
            size, kind, flags, _, session, request = HEADER.unpack(self.bytes(HEADER.size))
            payload = self.bytes(size)
            if client.HELLO <= kind <= client.STATUS:
                return kind, flags, session, request, unpack(payload)[0]
            assert flags & client.IGNORABLE

    def final(self, request):
        """The payload's map of the END, ERROR, or PING of this request; what comes before it is dropped."""
        while True:
            kind, _, _, number, payload = self.answer()
            if number == request and kind in (client.END, client.ERROR, client.PING):
                return kind, payload[0] if payload else None

    def rest(self):
        """All that is still sent, until the daemon closes."""
        while self.more():
            pass
        data, self.pending = self.pending, b""
        return data

    def ask(self, kind, payload, session=0, **options):
        return self.final(self.frame(kind, payload, session, **options))

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
