"""Everybody at once, while what they stand on breaks: transfers of money by both protocols, in pooled, nested, session-mode
and sandboxed databases of both backends, and beside them whoever cancels, vanishes, terminates and kills.

Each transfer is one transaction that moves money between two accounts and enters itself into a ledger, sent in one of many
ways. What its client was told decides what must be there at the end: the entry of each COMMIT that was confirmed, none of
what was refused or rolled back, and each account as the ledger says. tests/e2e/test_storm.py runs a short one,
tests/bench/storm as long a one as it is told.
"""

import collections
import contextlib
import itertools
import os
import pathlib
import random
import signal
import sqlite3
import threading
import time

import based_client
import pg_client
from pg_client import PgClient, Refused, copy_data, describe, execute, extended, flush, parse, query, sync
from servers import Daemon, PostgresCluster, temporary_folder, wait_until

ANSWER_S = 40  # an answer that takes longer is a failure
ACCOUNTS = 8
# What a statement may have done that ends so is not known: the connection, or Based's link, was lost.
LOST = {"08006", "08007", "08003", "08P01", "57P01", "57P02", "57P03", "closed"}
SERVED = {"app": "max_size = 3", "nested": "max_size = 2\nnested_transactions = true", "each": 'pool_mode = "session"',
          "box": "force_rollback = true"}
FILES = {"file": "", "filebox": "force_rollback = true"}
BOOKS = ("create table accounts (id int primary key, balance int not null)",
         "create table ledger (id int primary key, giver int not null, taker int not null, amount int not null)",
         *(f"insert into accounts values ({number}, 1000)" for number in range(ACCOUNTS)))


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
                                  self.back_and_forth, self.vanishing, self.settings, self.prepared, self.noise])(client)

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

    def judged(self, client, transfer, data, committing="COMMIT"):
        try:
            tags, code, status = self.messages(client, data)
        except (OSError, EOFError):
            self.ended["closed"] += 1
            raise
        self.know(transfer, code, committing in tags and (not code or committing == "COMMIT"))
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
            if code not in LOST | {"57014", "55P03"}:
                raise AssertionError(f"Parse: {code}")
            return
        data = pg_client.bind("p", "mine", ["0"]) + describe("P", "p") + execute("p", 3) + execute("p", 2) + sync()
        code = self.messages(client, data)[1]
        if code and code not in LOST | {"57014", "55P03", "25P03"} and not (code == "26000" and self.database == "each"):
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
        for one in started[:-1]:
            with contextlib.suppress(based_client.Error):
                one.wait()
        self.ends(transfer, started[-1].wait)


class Striker(Client):
    """Takes the ground from under Based: its server's processes are cancelled, terminated, stopped for a while, killed."""

    def work(self):
        with PgClient(self.storm.server, database="postgres") as observer:
            while not self.storm.over:
                time.sleep(self.dice.random() * 0.1)
                found = [int(row[0]) for row in observer.rows(
                    "select pid from pg_stat_activity where datname in ('app', 'nested', 'each')")]
                if found:
                    self.strike(observer, self.dice.choice(found), self.dice.random())

    def strike(self, observer, process, what):
        if what < 0.45:
            observer.rows(f"select pg_cancel_backend({process})")
        elif what < 0.85:
            observer.rows(f"select pg_terminate_backend({process})")
        elif what < 1 - self.storm.crashes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
                time.sleep(self.dice.random() * 0.2)
                os.kill(process, signal.SIGCONT)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)  # the server ends all the others, too


class Storm:
    def __init__(self, seed, seconds, crashes=0.0, log_level="warning"):
        """`crashes`: the part of the strikes that kill a process of the server, so that it recovers; sandboxes are lost
        by that, and are not asked then."""
        self.crashes, self.over = crashes, False
        dice = random.Random(seed)
        folder = temporary_folder()
        with PostgresCluster(max_connections=100, deadlock_timeout="100ms", synchronous_commit="on") as cluster:
            self.cluster, self.server = cluster, f"127.0.0.1:{cluster.port}"
            self.served = {name: rows for name, rows in SERVED.items() if name != "box" or not crashes}
            self.prepare(folder)
            with Daemon(config=self.config(folder), log_level=log_level, env={"TMPDIR": str(folder)}) as daemon:
                self.daemon, self.address = daemon, f"127.0.0.1:{daemon.port}"
                self.clients = [kind(self, name, dice.random()) for name in (*self.served, *FILES)
                                for kind in (WireClient, WireClient, NativeClient, *[WireClient] * (name == "app"))]
                self.blow(seconds, [*self.clients, Striker(self, None, dice.random())])
                self.check()
                if daemon.terminate() != 0:
                    raise AssertionError(f"the daemon ended with {daemon.process.returncode}\n{daemon.log()}")

    def prepare(self, folder):
        for name in self.served:
            self.cluster.query(f"create database {name}")
            self.cluster.query(";".join(BOOKS), name)
        for name in FILES:
            with contextlib.closing(sqlite3.connect(folder / f"{name}.db", isolation_level=None)) as file:
                for text in BOOKS:
                    file.execute(text)

    def config(self, folder):
        urls = {**{name: self.cluster.url(name) for name in self.served},
                **{name: f"sqlite:///{pathlib.Path(folder, name)}.db" for name in FILES}}
        return "".join(f'[databases.{name}]\nurl = "{url}"\ntimeout = "10s"\n{ {**SERVED, **FILES}[name]}\n'
                       for name, url in urls.items())

    def blow(self, seconds, threads):
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.daemon.process.poll() is None and not any(t.failure for t in threads):
            time.sleep(0.05)
        self.over = True
        for thread in threads:
            thread.join(2 * ANSWER_S)
        for thread in threads:
            if thread.failure or thread.is_alive():
                raise AssertionError(f"{type(thread).__name__} of {thread.database}: {thread.failure!r}\n"
                                     f"{self.daemon.log()}") from thread.failure
        if self.daemon.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.daemon.process.returncode}\n{self.daemon.log()}")

    def check(self):
        for name in (*self.served, *FILES):
            client = wait_until(lambda: self.reached(name), f"{name} to be served")
            with client:
                self.check_books(name, client)
        idle = ("select count(*) from pg_stat_activity where datname in ('app', 'nested', 'each') "
                "and (state <> 'idle' or wait_event = 'advisory')")
        wait_until(lambda: self.cluster.query(idle) == [["0"]], "idle links")
        if "box" in self.served and "LOST" in self.daemon.log():
            raise AssertionError(self.daemon.log())

    def reached(self, name):
        try:
            client = PgClient(self.address, database=name)
            client.rows("select 1")
            return client
        except (OSError, EOFError, Refused):
            return None

    def check_books(self, name, client):
        ledger = [tuple(map(int, row)) for row in client.rows("select id, giver, taker, amount from ledger")]
        there = {row[0] for row in ledger}
        known = {number: kept for one in self.clients if one.database == name for number, kept in one.known.items()}
        missing = sorted(number for number, kept in known.items() if kept and number not in there)
        too_many = sorted(number for number, kept in known.items() if not kept and number in there)
        balances = dict.fromkeys(range(ACCOUNTS), 1000)
        for _, giver, taker, amount in ledger:
            balances[giver] -= amount
            balances[taker] += amount
        found = {int(number): int(balance) for number, balance in client.rows("select id, balance from accounts")}
        if missing or too_many or balances != found:
            wrong = {*missing, *too_many}
            heard = [answer for one in self.clients for number, answer in one.heard.items() if number in wrong]
            raise AssertionError(f"{name}: confirmed and not there {missing}; refused and there {too_many}; "
                                 f"{found} is not {balances}\n{heard}\n{self.daemon.log()}")

    def ended(self):
        """How transfers ended, by database."""
        return {name: sum((one.ended for one in self.clients if one.database == name), collections.Counter())
                for name in (*self.served, *FILES)}


def weather(seed, seconds, crashes=0.0):
    """A Storm, and how transfers ended, by database."""
    try:
        return Storm(seed, seconds, crashes).ended()
    except AssertionError as error:
        raise AssertionError(f"storm {seed}, {seconds} s, {crashes}: {error}") from error
