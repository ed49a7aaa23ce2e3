"""Plays a spec against a running daemon and compares its replies."""

import json
import re
import select
import time

from based_client import BATCH, CLOSE, EXEC, OPEN, TX, Error, Session, connect

WAIT_S = 15
BLOCKED_S = 0.15
TRANSACTION = {"begin", "commit", "rollback", "rollback_all", "status"}


class Wrong(Exception):
    """A reply is not what the spec says."""


class Connection(connect):
    """A client that can look whether a frame is there without waiting for one."""

    received = b""

    def receive(self, size):
        while len(self.received) < size:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("the server has closed the connection")
            self.received += data
        data, self.received = self.received[:size], self.received[size:]
        return data

    def disconnect(self):
        self.file.close()
        self.socket.close()

    def has_frame(self, seconds):
        """Waits so long for the beginning of one; the rest of it is on its way then."""
        return bool(self.received) or bool(select.select([self.socket], [], [], max(seconds, 0))[0])


class Conversation:
    """One run of one spec in one world."""

    def __init__(self, address, worlds):
        self.address, self.worlds = address, worlds
        self.connections, self.sessions, self.waiting, self.kept = {}, {}, {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.connections.values():
            connection.disconnect()

    def connection(self, session):
        name = session.partition(".")[0]
        if name not in self.connections:
            self.connections[name] = Connection(self.address, WAIT_S)
        return self.connections[name]

    def open(self, name, options):
        session = self.connection(name).session(**options)
        self.sessions[name] = session
        return session.opened

    def session(self, name):
        if name not in self.sessions:
            self.open(name, {}).wait()
        return self.sessions[name]

    def value(self, option):
        return self.kept[option] if isinstance(option, str) and option.startswith("$") else option

    def send(self, step):
        """Starts the step's request; its Result."""
        options = {name: self.value(value) for name, value in step.options.items()}
        if step.operation == "open":
            return self.open(step.session, options)
        session = self.session(step.session)
        if step.operation in TRANSACTION:
            return session.start(TX, step.operation, options, chain=step.chain)
        if step.operation == "exec":
            return session.start(EXEC, step.text, step.parameters, options, chain=step.chain)
        if step.operation == "batch":
            return session.start(BATCH, json.loads(step.text), options, chain=step.chain)
        if step.operation == "close":
            return session.start(CLOSE, options, chain=step.chain)
        if step.operation == "cancel":
            return self.waiting[step.session][0][1].cancel()
        raise Wrong(f"line {step.line}: cannot {step.operation}")

    def play(self, step, deferred):
        if not step.worlds <= self.worlds:
            return
        if step.operation == "disconnect":
            name = step.session.partition(".")[0]
            self.connections.pop(name).disconnect()
            for session in [s for s in self.sessions if s.partition(".")[0] == name]:
                del self.sessions[session]
                self.waiting.pop(session, None)
        elif step.operation == "wait":
            self.collect(step.session)
        elif step.operation == "blocked":
            self.check_blocked(step)
        elif step.operation == "notice":
            self.check_notice(step)
        elif step.operation == "cancel":
            self.check(step, self.send(step))
        else:
            result = self.send(step)
            self.waiting.setdefault(step.session, []).append((step, result))
            if not deferred and not step.deferred:
                self.collect(step.session)

    def collect(self, session):
        for step, result in self.waiting.pop(session, []):
            self.check(step, result)

    def finish(self):
        for session in list(self.waiting):
            self.collect(session)

    def check_blocked(self, step):
        """Reads what there is for a moment; the session's oldest request must not be among it."""
        connection = self.connection(step.session)
        result = self.waiting[step.session][0][1]
        deadline = time.monotonic() + BLOCKED_S
        while (left := deadline - time.monotonic()) > 0 and result.end is None:
            if connection.has_frame(left):
                connection.read()
        if result.end is not None:
            raise Wrong(f"line {step.line}: it is not blocked: {render(result)}")

    def check_notice(self, step):
        connection, deadline = self.connection(step.session), time.monotonic() + WAIT_S
        number = self.session(step.session).number
        while not any(n[0] == number and n[2] == step.text for n in connection.notices):
            if not connection.has_frame(deadline - time.monotonic()):
                raise Wrong(f"line {step.line}: no notice {step.text}")
            connection.read()

    def check(self, step, result):
        error = None
        try:
            result.wait()
        except Error as failure:
            error = failure
        except OSError as failure:
            raise Wrong(f"line {step.line}: {failure!r}") from None
        found_rows = [json.dumps(row, ensure_ascii=False)[1:-1] for row in result.rows]
        rows = [text for worlds, text in step.rows if worlds <= self.worlds]
        found = f"{''.join(f'| {row}' + chr(10) for row in found_rows)}{render(result)}"
        if [json.loads(f"[{row}]") for row in rows] != [list(row) for row in result.rows]:
            raise Wrong(f"line {step.line}: {step.operation} {step.text}\n  rows differ; the reply was:\n{indent(found)}")
        for worlds, mark, items, line in step.finals:
            if worlds <= self.worlds:
                reason = self.differs(mark, items, result, error)
                if reason:
                    raise Wrong(f"line {line}: {step.operation} {step.text}\n  expected {mark} {', '.join(items)}\n"
                                f"  {reason}; the reply was:\n{indent(found)}")
                return
        raise Wrong(f"line {step.line}: {step.operation} {step.text}\n  no reply is expected here; it was:\n{indent(found)}")

    def differs(self, mark, items, result, error):
        """Why the final frame is not what the items say; nothing if it is."""
        if (mark == "!") != bool(error):
            return "an error was expected" if mark == "!" else "it failed"
        fields = result.end
        plain = [item for item in items if not re.match(r"[a-z_]+[=~]", item)]
        head = summary(result)
        if plain != head:
            return f"{', '.join(head)} is not {', '.join(plain)}"
        asked = [re.match(r"([a-z_]+)([=~])(.*)", item) for item in items if item not in plain]
        for name, relation, wanted in (match.groups() for match in asked):
            value = fields.get(name)
            if relation == "~":
                if not re.search(wanted, str(value)):
                    return f"{name} is {value!r}"
            elif wanted.startswith("$"):
                if value is None or self.kept.setdefault(wanted, value) != value:
                    return f"{name} is {value!r}, and {wanted} is {self.kept.get(wanted)!r}"
            elif value != json.loads(wanted):
                return f"{name} is {value!r}"
        for name in ("joined", "rolled_back"):
            if fields.get(name) and not any(match[1] == name for match in asked):
                return f"{name} is {fields[name]!r}, which is not expected"
        return ""


def summary(result):
    """What each statement did; the error's code; state and depth."""
    fields = result.end
    did = [fields["code"]] if result.error else []
    for each in fields.get("results") or []:
        if each.get("error"):
            did.append(each["error"]["code"])
        else:
            count, tag = each.get("affected", each.get("rows")), each["tag"] or "nothing"
            did.append(tag if count is None else f"{tag} {count}")
            did[-1] += " truncated" if each.get("truncated") else ""
    state, depth = fields["tx"]
    return [*did, f"{state} {depth}"]


def render(result):
    fields = result.end
    rest = {name: value for name, value in fields.items() if name not in ("tx", "code", "results")}
    return f"{'!' if result.error else '='} {', '.join(summary(result))}  {rest if rest else ''}".rstrip()


def indent(text):
    return "\n".join("    " + line for line in text.splitlines())


def clean_slate(address):
    """The tables of the specs, empty; through the daemon, so that it works in a sandbox too."""
    with connect(address, WAIT_S) as connection, connection.session() as session:
        session.exec("drop table if exists child; drop table if exists t; drop table if exists other;"
                     "create table t (n integer primary key, s text);"
                     "create table child (n integer primary key,"
                     " t integer references t (n) deferrable initially deferred)")
