"""Who moves money in a storm (storm.py), by both protocols and in many ways, and what it was told of it."""

import collections
import contextlib
import itertools
import random
import threading
import time

import based_client
import pg_client
from pg_client import PgClient, Refused, copy_data, describe, execute, extended, flush, parse, query, sync

ANSWER_S = 40  # an answer that takes longer is a failure
ACCOUNTS = 8
# What a statement may have done that ends so is not known: the connection, or Based's link, was lost.
LOST = {"08006", "08007", "08003", "08P01", "57P01", "57P02", "57P03", "closed"}
SERVED = {"app": "max_size = 3", "nested": "max_size = 2\nnested_transactions = true", "each": 'pool_mode = "session"',
          "box": "force_rollback = true", "joined": 'force_rollback = true\nturns = "join"', "anew": "force_rollback = true"}
FILES = {"file": "", "filebox": "force_rollback = true", "filejoined": 'force_rollback = true\nturns = "join"',
         "fileanew": "force_rollback = true"}
JOINED = {"joined", "filejoined"}  # what is committed there may go with what is around it
ANEW = {"anew", "fileanew"}  # clients put them back: nobody knows what is there, but that it is whole


class Transfer:
    numbers = itertools.count(1)

    def __init__(self, dice):
        self.id, self.amount = next(self.numbers), dice.randrange(1, 50)
        self.giver, self.taker = dice.sample(range(ACCOUNTS), 2)
        moves = sorted(((self.giver, -self.amount), (self.taker, self.amount)))  # few deadlocks
        self.statements = [f"update accounts set balance = balance + {change} where id = {account}"
                           for account, change in moves]
        self.statements.append(f"insert into ledger values ({self.id}, {self.giver}, {self.taker}, {self.amount})")
        dice.shuffle(self.statements)


class Client(threading.Thread):
    """`known` has each transfer's end: True for there, False for not there; not in it is what nobody can know."""

    def __init__(self, storm, database, seed):
        super().__init__(daemon=True)
        self.storm, self.database, self.dice = storm, database, random.Random(seed)
        self.known, self.failure, self.ended = {}, None, collections.Counter()
        self.answer, self.heard = None, {}  # the last one, and each transfer's: for who looks for a failure's cause

    def run(self):
        while not self.storm.over and not self.failure:
            try:
                self.work()
            except (OSError, EOFError, Refused, based_client.Error):
                self.ended["again"] += 1
                time.sleep(0.01)
            except Exception as error:  # told by whoever joins this thread
                self.failure = error

    def know(self, transfer, code, committed):
        """An end with this SQLSTATE ("" for none) and this answer."""
        self.ended[code or ("committed" if committed else "rolled back")] += 1
        self.heard[transfer.id] = self.answer
        if committed and self.database in JOINED:
            return  # it goes with what is around it
        if committed or code not in LOST:
            self.known[transfer.id] = committed

    def sometimes(self, chance):
        return self.dice.random() < chance


class WireClient(Client):
    def work(self):
        with PgClient(self.storm.address, database=self.database) as client:
            self.memory = None
            while not self.storm.over:
                self.dice.choice([self.steps] * 3 + [self.one_text, self.one_sync, self.many_syncs, self.implicit, self.single,
                                  self.back_and_forth, self.inner, self.vanishing, self.settings, self.prepared, self.noise])(client)

    def messages(self, client, data):
        """(tags, first SQLSTATE or "", last status) of all that answers this; sometimes it is cancelled meanwhile."""
        client.send(data)
        if self.sometimes(0.05):
            time.sleep(self.dice.random() * 0.003)
            client.cancel()
        tags, code, status, self.answer = [], "", "I", [data]
        for kind, body in client.messages(pg_client.ready_count(data), ANSWER_S):
            self.answer.append((kind, body if kind in "ECZN" else len(body)))
            if kind == "C":
                tags.append(pg_client.texts(body)[0])
            elif kind == "E":
                code = code or pg_client.fields(body)["C"]
            elif kind == "closed":
                raise EOFError(code or "closed")
            elif kind == "Z":
                status = body.decode()
        return tags, code, status

    def clear(self, client):
        """Out of whatever transaction there is."""
        for _ in range(5):
            if self.messages(client, query("rollback"))[2] == "I":
                return
        raise AssertionError("five ROLLBACKs do not end it")

    def judged(self, client, transfer, data, committing="COMMIT", times=1):
        try:
            tags, code, status = self.messages(client, data)
        except (OSError, EOFError):
            self.ended["closed"] += 1
            raise
        self.know(transfer, code, tags.count(committing) >= times and (not code or committing == "COMMIT"))
        if status != "I":
            self.clear(client)

    def texts(self, transfer):
        end = self.dice.choice(("commit", "commit", "end", "rollback"))
        savepoint = self.sometimes(0.3)
        first, *others = transfer.statements
        return ["begin", first, *(["savepoint s", "delete from ledger", "rollback to s"] if savepoint else []), *others, end]

    def steps(self, client):
        transfer = Transfer(self.dice)
        for text in self.texts(transfer):
            ends = text in ("commit", "end")
            if self.sometimes(0.01):
                if ends:
                    del self.known[transfer.id]
                client.send(query(text) if self.sometimes(0.5) else query(text)[:7])
                client.vanish()
                raise EOFError
            if not ends:
                self.known[transfer.id] = False
            else:
                self.known.pop(transfer.id, None)
            data = query(text) if self.sometimes(0.5) else extended(text) + sync()
            tags, code, status = self.messages(client, data)
            if code:
                break
        self.know(transfer, code if ends else "refused", "COMMIT" in tags and not code)
        if status != "I":
            self.clear(client)

    def one_text(self, client):
        transfer = Transfer(self.dice)
        self.judged(client, transfer, query("; ".join(self.texts(transfer))))

    def one_sync(self, client):
        transfer = Transfer(self.dice)
        self.judged(client, transfer, b"".join(map(extended, self.texts(transfer))) + sync())

    def begun(self, client):
        """What is sent behind a BEGIN that is refused would stand for itself."""
        tags, _, status = self.messages(client, query("begin"))
        if status != "I" and not tags:
            self.clear(client)
        return tags

    def many_syncs(self, client):
        transfer = Transfer(self.dice)
        if self.begun(client):
            self.judged(client, transfer, b"".join(extended(text) + sync() for text in self.texts(transfer)[1:]))

    def implicit(self, client):
        transfer = Transfer(self.dice)
        tail = self.dice.choice(("select 1", "select 1", "select 1/0" if self.database not in FILES else "selec"))
        if self.sometimes(0.5):
            data = query("; ".join([*transfer.statements, tail]))
        else:
            data = b"".join(map(extended, [*transfer.statements, tail])) + sync()
        self.judged(client, transfer, data, "SELECT 1")

    def single(self, client):
        if self.database in FILES:
            return
        transfer = Transfer(self.dice)
        data = extended("with g as (update accounts set balance = balance - $4::int where id = $2::int), "
                        "t as (update accounts set balance = balance + $4::int where id = $3::int) "
                        "insert into ledger values ($1::int, $2::int, $3::int, $4::int)",
                        [str(value) for value in (transfer.id, transfer.giver, transfer.taker, transfer.amount)])
        self.judged(client, transfer, data + sync(), "INSERT 0 1")

    def back_and_forth(self, client):
        """What is rolled back to a savepoint, and what comes behind it in the same transaction."""
        gone, transfer = Transfer(self.dice), Transfer(self.dice)
        texts = ["savepoint a", *gone.statements, "rollback to a", *transfer.statements, "commit"]
        if not self.begun(client):
            return
        self.judged(client, transfer, query(";".join(texts)) if self.sometimes(0.5) else
                    b"".join(extended(text) + self.dice.choice((sync(), flush(), b"")) for text in texts) + sync())
        if transfer.id in self.known:
            self.known[gone.id] = False

    def inner(self, client):
        """Most of it in nested transactions, and others in them that are rolled back."""
        if self.database != "nested" or not self.begun(client):
            return
        gone, transfer = Transfer(self.dice), Transfer(self.dice)
        first, *others = transfer.statements
        texts = [first, "begin", *gone.statements, "rollback", "begin", "savepoint b", "delete from ledger", "rollback to b",
                 *others, "begin", "commit", "commit", "commit"]
        # In one unit: behind an error in several of them the ends of levels would end others than are meant.
        data = query(";".join(texts)) if self.sometimes(0.5) else b"".join(map(extended, texts)) + sync()
        self.judged(client, transfer, data, times=3)
        if transfer.id in self.known:
            self.known[gone.id] = False

    def vanishing(self, client):
        if not self.sometimes(0.1):
            return
        transfer = Transfer(self.dice)
        data = self.dice.choice((
            query("; ".join(self.texts(transfer))), b"".join(map(extended, self.texts(transfer))) + sync(),
            query("copy ledger from stdin") + copy_data("no end"), query("select * from ledger"), b"Q\0\0", b"\0" * 5))
        client.send(data[:self.dice.randrange(len(data) + 1)])
        time.sleep(self.dice.random() * 0.005)
        client.vanish()
        raise EOFError

    def settings(self, client):
        """What a session has set is there whichever link it is on."""
        if self.database in FILES:
            return
        if self.memory is None or self.sometimes(0.2):
            memory = self.dice.randrange(1, 60)
            if not self.messages(client, query(f"set work_mem = '{memory}MB'"))[1]:
                self.memory = memory
            else:
                self.messages(client, query("set work_mem = '60MB'"))
                self.memory = None
            return
        client.send(query("show work_mem"))
        for kind, body in client.messages(1, ANSWER_S):
            if kind == "D" and pg_client.cells(body) != [f"{self.memory}MB".encode()]:
                raise AssertionError(f"work_mem is {body}, not {self.memory}MB")

    def prepared(self, client):
        code = self.messages(client, parse("mine", "select id from ledger where id > $1 order by id", [23]) + sync())[1]
        if code not in ("", "42P05"):
            if code not in LOST | {"57014", "55P03", "40001"}:
                raise AssertionError(f"Parse: {code}")
            return
        data = pg_client.bind("p", "mine", ["0"]) + describe("P", "p") + execute("p", 3) + execute("p", 2) + sync()
        code = self.messages(client, data)[1]
        if code and code not in LOST | {"57014", "55P03", "25P03", "40001"} and not (code == "26000" and self.database == "each"):
            raise AssertionError(f"a statement that is prepared: {code}")

    def noise(self, client):
        big = "select repeat('x', 900) from generate_series(1, 3000)"
        if self.database in FILES:
            big = "select hex(zeroblob(400)), id from ledger, accounts limit 3000"
        texts = [big, "select 1/0", "selec", "begin; select 1; rollback"]
        if self.database not in FILES:
            texts += ["create temp table if not exists mine (n int); insert into mine values (1); discard all",
                      "select pg_advisory_lock(1); select pg_advisory_unlock(1)", "listen c; notify c; unlisten c",
                      "copy (select 1 from generate_series(1, 1000)) to stdout", "select pg_sleep(0.01)"]
        if self.database in ANEW:
            texts += ["sandbox reset", "sandbox mark a; select 1", "sandbox mark a", "sandbox reset to a"]
        status = self.messages(client, query(self.dice.choice(texts)))[2]
        if status != "I":
            self.clear(client)
        self.memory = None


class NativeClient(Client):
    def work(self):
        with based_client.connect(self.storm.address, timeout=ANSWER_S) as client:
            session = client.session(database=self.database)
            while not self.storm.over:
                self.dice.choice((self.nested, self.texts, self.chained))(client, session)
                if session.state[0] != "idle":
                    session.tx("rollback_all")

    def ends(self, transfer, ask):
        try:
            ask()
        except based_client.Error as error:
            unknown = error.executed == "unknown" or error.code in LOST
            return self.know(transfer, "closed" if unknown else error.code, False)
        self.know(transfer, "", True)

    def nested(self, client, session):
        transfer = Transfer(self.dice)
        self.known[transfer.id] = False
        try:
            session.tx("begin")
            for text in transfer.statements:
                if self.sometimes(0.5):
                    session.exec(text)
                    continue
                session.tx("begin")
                session.exec("delete from ledger")
                session.tx("rollback")
                session.tx("begin")
                session.exec(text)
                session.tx("commit")
        except based_client.Error as error:
            self.ended[error.code] += 1
            return
        if self.sometimes(0.02):
            client.socket.close()
            raise EOFError
        if self.sometimes(0.2):
            return
        del self.known[transfer.id]
        self.ends(transfer, lambda: session.tx("commit"))

    def texts(self, client, session):
        transfer = Transfer(self.dice)
        text = "; ".join(["begin", *transfer.statements, "commit"])

        def ask():
            sent = session.start(based_client.EXEC, text, None, {})
            if self.sometimes(0.1):
                sent.cancel()
            if self.sometimes(0.02):
                client.socket.close()
                raise EOFError
            sent.wait()

        self.ends(transfer, ask)

    def chained(self, client, session):
        transfer = Transfer(self.dice)
        started = [session.start(based_client.TX, "begin", {})]
        started += [session.start(based_client.EXEC, text, None, {}, chain=True) for text in transfer.statements]
        started.append(session.start(based_client.TX, "commit", {}, chain=True))
        if self.sometimes(0.2):
            self.dice.choice(started).cancel()
        for one in started[:-1]:
            with contextlib.suppress(based_client.Error):
                one.wait()
        self.ends(transfer, started[-1].wait)
