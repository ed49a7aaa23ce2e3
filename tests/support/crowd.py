"""A crowd: more clients than links, who all pipeline at once, and what each of them must hear of its own statements.

Every statement's row says whose it is, which one, or what its session has set, so that an answer that is somebody else's,
that comes twice, or that does not come, is known for what it is. Some members of the crowd are cancelled, some vanish, and
links are taken from under them if `strikes` says so: who is struck may hear an error instead, but never something false.
tests/e2e/test_crowd.py says of which databases.
"""

import collections
import itertools
import random
import select
import struct
import time

import pg_client as pg
from pg_client import PgClient

MEMBERS = 6
STEPS = 160
AHEAD = 4  # units that a member sends before it has an answer
PATIENCE_S = 15
NAMES = ("a", "b", "c")
CANCELLED = {"57014"}
STRUCK = {"57P01", "08006", "08007", "25P02"}  # and what follows from it
COPIES = 700

Unit = collections.namedtuple("Unit", "messages effects ends")  # ends: how the server tells that it is over


def text_of(effect):
    kind, value = effect
    return {"row": f"select '{value}'", "big": f"select repeat('{value} ', {COPIES})", "set": f"set my.token = '{value}'",
            "show": "select current_setting('my.token', true)", "fail": "select 1/0"}.get(kind, kind)


class Session:
    """What a session is known to be: of what is not, all that it may be."""

    def __init__(self, nests):
        self.nests = nests
        self.outer = []  # the settings that each open transaction began with
        self.failed = self.lost = False  # lost: all that is open has failed
        self.setting = {""}
        self.names = {name: {None} for name in NAMES}

    @property
    def status(self):
        return "E" if self.failed else "T" if self.outer else "I"

    def apply(self, effects):
        """What rows an untroubled server sends, as sets of what each may be, and whether it ends with an error."""
        rows, before = [], self.setting
        for kind, value in effects:
            if kind == "close":
                self.names[value] = {None}
                continue
            if kind in ("commit", "rollback"):
                self.end(kind == "commit")
                continue
            fails = self.failed or kind == "fail" or kind == "run" and self.names[value] == {None}
            if fails:
                if self.outer:
                    self.failed = True
                else:
                    self.setting = before
                return rows, True
            if kind == "begin" and (self.nests or not self.outer):
                self.outer.append(self.setting)
            elif kind == "set":
                self.setting = {value}
            elif kind == "parse":
                self.names[value[0]] = {value[1]}
            elif kind == "deallocate all":
                self.names = {name: {None} for name in NAMES}
            elif kind == "run":
                rows.append(self.names[value])
            elif kind != "begin":
                rows.append({"row": {value}, "big": {f"{value} " * COPIES}, "show": self.setting}[kind])
        return rows, False

    def end(self, commits):
        if self.outer:
            before = self.outer.pop()
            if self.failed or not commits:
                self.setting = before
        self.failed = self.lost = self.lost and self.outer != []

    def doubt(self, before, status, lost, told):
        """Its newest unit has failed, and whether it was executed is not known; but that of which its client was told."""
        self.setting = self.setting | before.setting
        outer = self.outer if told else before.outer
        self.outer = [kept | self.setting for kept in outer or [self.setting]] if status != "I" else []
        self.names = {name: self.names[name] | before.names[name] for name in NAMES}
        self.failed = status == "E"
        self.lost = self.failed and (lost or before.lost)

    def copy(self):
        made = Session(self.nests)
        made.outer, made.failed, made.lost = list(self.outer), self.failed, self.lost
        made.setting, made.names = self.setting, dict(self.names)
        return made


class Member:
    numbers = itertools.count(1)

    def __init__(self, crowd, dice):
        self.crowd, self.dice = crowd, dice
        self.number = next(Member.numbers)
        self.session = Session(crowd.nests)
        self.tokens = itertools.count(1)
        self.tolerates = set(STRUCK if crowd.strikes else ())
        self.client = PgClient(crowd.address, database=crowd.database)
        self.waiting = collections.deque()
        self.heard, self.past = [], collections.deque(maxlen=12)

    # --- what it says

    def token(self):
        """Of a text that is its own, or one that many say."""
        return self.dice.choice((f"{self.number}.{next(self.tokens)}", f"{self.number}.{next(self.tokens)}",
                                 f"all.{self.dice.randrange(3)}"))

    def effect(self):
        way = self.dice.random()
        kind = "show" if way < 0.2 else "set" if way < 0.3 else "fail" if way < 0.35 else "big" if way < 0.4 else "row"
        return kind, self.token()

    def unit(self):
        way, dice = self.dice.random(), self.dice
        if way < 0.3:
            kind = dice.choice(("begin", "commit", "rollback") if way < 0.2 else ("commit", "rollback", "deallocate all"))
            effects = [(kind, None)]
        else:
            effects = [self.effect() for _ in range(dice.choice((1, 1, 1, 2, 3)))]
        if dice.random() < 0.3:
            return Unit(pg.query("; ".join(map(text_of, effects))), effects, "Q")
        said, made = [], []
        for effect in effects:
            if effect[0] in ("row", "big") and dice.random() < 0.5:
                name, row = dice.choice(NAMES), effect[1] * (effect[0] == "row") or f"{effect[1]} " * COPIES
                if dice.random() < 0.5:
                    said += [pg.close("S", name), pg.parse(name, text_of(effect))]
                    made += [("close", name), ("parse", (name, row))]
                said += [pg.bind("", name), pg.execute()]
                made.append(("run", name))
            else:
                said.append(pg.extended(text_of(effect)))
                made.append(effect)
        return Unit(b"".join(said) + pg.sync(), made, "S")

    def say(self, unit=None):
        unit = unit or self.unit()
        self.waiting.append(unit)
        self.client.send(unit.messages)

    # --- what it hears

    def listen(self):
        """All that has come."""
        while select.select([self.client.socket], [], [], 0)[0] or self.client.pending:
            kind, body = self.client.message()
            if kind in "CDEZ":
                self.heard.append((kind, body))
            if kind == "Z":
                said, self.heard = self.heard, []
                self.judge(said)

    def judge(self, said):
        rows = [(pg.cells(body)[0] or b"").decode() for kind, body in said if kind == "D"]
        errors = [pg.fields(body)["C"] for kind, body in said if kind == "E"]
        status = said[-1][1].decode()
        if not self.waiting:
            raise AssertionError(f"{self}: an answer to nothing: {rows} {errors} {status}")
        unit = self.waiting.popleft()
        self.past.append((unit.effects, [row[:20] for row in rows], errors, status))
        before = self.session.copy()
        wanted, fails = self.session.apply(unit.effects)
        known = all(row in may for row, may in zip(rows, wanted))
        as_wanted = known and len(rows) == len(wanted) and bool(errors) == fails and status == self.session.status
        if not as_wanted:
            # A name of which it is not known whether it is there, or somebody's strike.
            doubted = any(None in before.names[value] for kind, value in unit.effects if kind == "run")
            excused = errors and (errors[0] in self.tolerates or doubted and errors[0] == "26000" and self.tolerates)
            if self.crowd.strikes and not errors and status == "E" and self.session.status == "T":
                # What it has ended was lost, and so is what is around it.
                self.session.failed = self.session.lost = True
                self.session.setting = self.session.setting | before.setting
                return
            if len(errors) > 1 or not known or len(rows) > len(wanted) or not excused:
                raise AssertionError(f"{self}: {status} is not {self.session.status}, {rows} not {wanted}, {errors}")
        if not as_wanted or errors and errors[0] in self.tolerates:
            for kind, value in unit.effects:
                if kind == "close":
                    self.session.names[value] = self.session.names[value] | {None}
            self.session.doubt(before, status, errors[0] in STRUCK - {"25P02"}, any(kind == "C" for kind, _ in said))

    def __str__(self):
        return f"client {self.number}, {self.session.status}, behind {list(self.past)}"


class Crowd:
    def __init__(self, seed, daemon, database, nests=False, observer=None, strikes=0.0, cancels=0.0):
        """`observer`: a client of the server itself, who takes links away."""
        self.dice = random.Random(seed)
        self.daemon, self.database, self.nests = daemon, database, nests
        self.observer, self.strikes, self.cancels = observer, strikes, cancels
        self.address = f"127.0.0.1:{daemon.port}"
        self.members = [Member(self, self.dice) for _ in range(MEMBERS)]

    def run(self):
        try:
            for _ in range(STEPS):
                self.step(self.dice.random(), self.dice.randrange(MEMBERS))
                self.listen(self.dice.choice((0, 0, 0.001, 0.004)))
            self.come_to_rest()
        finally:
            for member in self.members:
                member.client.close()

    def step(self, way, number):
        member = self.members[number]
        if way < self.strikes:
            return self.strike()
        if way < self.strikes + self.cancels:
            member.tolerates |= CANCELLED | {"25P02"}
            return self.cancel(member.client)
        if way > 0.99:
            member.client.close()
            self.members[number] = Member(self, self.dice)
        elif len(member.waiting) < AHEAD:
            member.say()

    def strike(self):
        found = self.observer.rows(f"select pid from pg_stat_activity where datname = '{self.database}'")
        if found:
            self.observer.rows(f"select pg_terminate_backend({self.dice.choice(found)[0]})")

    def cancel(self, client):
        with PgClient(self.address, start=False) as other:
            other.send(pg.untyped(struct.pack("!II", pg.CANCEL_REQUEST, client.pid) + client.key))

    def listen(self, seconds):
        sockets = [member.client.socket for member in self.members]
        if select.select(sockets, [], [], seconds)[0]:
            for member in self.members:
                member.listen()

    def come_to_rest(self):
        """Every unit gets its answer."""
        end = time.monotonic() + PATIENCE_S
        while any(member.waiting or member.session.status != "I" for member in self.members):
            for member in self.members:
                if not member.waiting and member.session.status != "I":
                    member.say(Unit(pg.query("rollback"), [("rollback", None)], "Q"))
            self.listen(0.05)
            if time.monotonic() > end:
                late = [f"{member} waits for {list(member.waiting)}" for member in self.members if member.waiting]
                raise AssertionError("no answer: " + "\n".join(late))
