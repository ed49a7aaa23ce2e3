"""Everybody at once, while what they stand on breaks: transfers of money by both protocols, in pooled, nested, session-mode
and sandboxed databases of both backends, and beside them whoever cancels, vanishes, terminates and kills.

Each transfer is one transaction that moves money between two accounts and enters itself into a ledger, sent in one of many
ways. What its client was told decides what must be there at the end: the entry of each COMMIT that was confirmed, none of
what was refused or rolled back, and each account as the ledger says. tests/e2e/test_storm.py runs a short one,
tests/bench/storm as long a one as it is told.
"""

import collections
import contextlib
import os
import pathlib
import random
import signal
import sqlite3
import time

from pg_client import PgClient, Refused
from servers import Daemon, PostgresCluster, temporary_folder, wait_until
from storm_clients import ACCOUNTS, ANEW, ANSWER_S, FILES, SERVED, Client, NativeClient, WireClient

BOOKS = ("create table accounts (id int primary key, balance int not null)",
         "create table ledger (id int primary key, giver int not null, taker int not null, amount int not null)",
         *(f"insert into accounts values ({number}, 1000)" for number in range(ACCOUNTS)))


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
            self.served = {name: rows for name, rows in SERVED.items() if "force" not in rows or not crashes}
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
            # The last strike may be felt a little later.
            ledger, found = wait_until(lambda: self.books(name), f"{name} to be served")
            self.check_books(name, ledger, found)
        idle = ("select count(*) from pg_stat_activity where datname in ('app', 'nested', 'each') "
                "and (state <> 'idle' or wait_event = 'advisory')")
        wait_until(lambda: self.cluster.query(idle) == [["0"]], "idle links")
        if "box" in self.served and "LOST" in self.daemon.log():
            raise AssertionError(self.daemon.log())

    def books(self, name):
        try:
            with PgClient(self.address, database=name) as client:
                ledger = client.rows("select id, giver, taker, amount from ledger")
                return [tuple(map(int, row)) for row in ledger], dict(
                    map(int, row) for row in client.rows("select id, balance from accounts"))
        except (OSError, EOFError, Refused):
            return None

    def check_books(self, name, ledger, found):
        there = {row[0] for row in ledger}
        known = {number: kept for one in self.clients if one.database == name and name not in ANEW
                 for number, kept in one.known.items()}
        missing = sorted(number for number, kept in known.items() if kept and number not in there)
        too_many = sorted(number for number, kept in known.items() if not kept and number in there)
        balances = dict.fromkeys(range(ACCOUNTS), 1000)
        for _, giver, taker, amount in ledger:
            balances[giver] -= amount
            balances[taker] += amount
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
