"""Logs in to Based's native protocol with a password: HELLO, AUTH, AUTH. PROTOCOL.md, section 4."""

import based_client as based
from pg_client import Scram


class Login(based.connect):
    """A based_client.connect that proves who it is before anything else is sent."""

    def __init__(self, address, user, password, **hello):
        super().__init__(address, user=user, **hello)
        try:
            if self.welcome["auth"] != "ok":
                self.prove(password)
        except BaseException:
            self.__exit__()
            raise

    def prove(self, password):
        if self.welcome["auth"] != "SCRAM-SHA-256":
            raise ConnectionError(f"the server wants {self.welcome['auth']}")
        exchange = Scram(password)
        (challenge,) = self.auth(exchange.first(), "SCRAM-SHA-256")
        (self.welcome,) = self.auth(exchange.final(challenge))
        exchange.check(self.welcome["auth_data"])

    def auth(self, *payload):
        """Sends one AUTH; the payload of its answer."""
        request = next(self.requests)
        self.send(based.AUTH, 0, 0, request, payload)
        size, kind, _, _, _, answered = based.HEADER.unpack(self.receive(based.HEADER.size))
        answer = based.unpack(self.receive(size))[0]
        if kind == based.ERROR:
            raise based.Error(answer[0])
        if kind not in (based.AUTH, based.WELCOME) or answered != request:
            raise ConnectionError(f"a frame of type {kind} for {answered}")
        return answer
