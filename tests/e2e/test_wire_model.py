"""Random legal conversations, held with PostgreSQL itself and through Based with one link under all sessions.

PostgreSQL is the model: every message has to get the same replies in both places. A run is made from its seed alone,
which a failure names. WIRE_MODEL_SEED=n begins with another one, WIRE_MODEL_SECONDS=n goes on for longer.
"""

import os
import pathlib
import random
import re
import struct
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pg_client as pg
from pg_client import PgClient
from servers import wait_until
from wire_servers import Conversation, Servers

SECONDS = float(os.environ.get("WIRE_MODEL_SECONDS", "12"))
FIRST_SEED = int(os.environ.get("WIRE_MODEL_SEED", "1"))
ASKED = {"WIRE_MODEL_SEED", "WIRE_MODEL_SECONDS"}
STEPS = 60
SESSIONS = 4
SCHEMA = ("create table t(n int primary key, s text); insert into t select i, 'row ' || i from generate_series(1, 5) i; "
          "create schema other; create table other.t(other_n int); create role helper; "
          "grant usage on schema other to helper; grant all on other.t, t to helper; "
          "create function noisy(i int) returns int language plpgsql as $$ begin raise notice 'noise %', i; return i; end $$")

NAMES = ("", "", "", "a", "b", "c")
PORTALS = ("", "", "", "p", "q")
SETTINGS = (("work_mem", ("'5MB'", "'6MB'")), ("search_path", ("other", "public", "other, public")),
            ("timezone", ("'UTC'", "'Asia/Tokyo'")), ("datestyle", ("german", "iso")), ("enable_sort", ("off", "on")),
            ("application_name", ("'one'", "'two'")), ("my.own", ("'x'", "''")), ("role", ("helper", "none")),
            ("statement_timeout", ("'1h'", "0")), ("bytea_output", ("escape", "hex")))


SHOWN_MODEL, SHOWN_BASED = ("D 000100000005" + name.hex() for name in (b"model", b"based"))  # as application_name
ENDS = {"commit", "end", "rollback", "abort", "rollback to s1", "rollback to savepoint s2", "commit and chain", "rollback and chain"}


class Speaker:
    """What a random client says next. The same sequence for the same generator."""

    portals = PORTALS

    def __init__(self, rnd):
        self.rnd = rnd
        self.status = "I"

    def sql(self, one=True):
        """A statement; not `one`: for a Query, which may be several."""
        rnd = self.rnd
        name, values = rnd.choice(SETTINGS)
        number = rnd.randrange(1, 8)
        choices = [
            "select 1", "select * from t order by 1", f"select generate_series(1, {number})", f"select noisy({number})",
            f"select 10 / (n - {number}) from generate_series(1, 5) n", "select 1/0", "selec", "select nothing from t",
            "select current_setting('work_mem'), current_setting('search_path'), current_user, now() is null",
            "select current_setting('timezone'), coalesce(current_setting('my.own', true), ''), '2020-02-03 04:05'::timestamptz",
            f"insert into t values ({number * 100}, 'new') on conflict do nothing", f"insert into t values ({number}, 'twice')",
            f"update t set s = s || '!' where n = {number} returning *", f"delete from t where n > {number * 50}",
            f"set {name} = {rnd.choice(values)}", f"set local {name} to {rnd.choice(values)}", f"reset {name}",
            f"show {name}" if name != "my.own" else "show work_mem", "reset all", "set no_such = 1", "",
            f"prepare {rnd.choice('qrab')} as select {number}, 'prepared'",
            f"prepare {rnd.choice('qr')}(int) as select * from t where n = $1", f"execute {rnd.choice('qrab')}",
            f"execute {rnd.choice('qr')}({number})", f"deallocate {rnd.choice('qrab')}", "deallocate all",
            "copy t to stdout", "explain (costs off) select 1", "values (1), (2)", "table t",
            "select repeat('x', 20000)", "declare cur cursor for select generate_series(1, 9)", "fetch 2 from cur",
            "close cur", "do $$ begin raise warning 'careful'; end $$", "set transaction read only",
            "set session characteristics as transaction isolation level repeatable read", "discard all",
            "select set_config('work_mem', '7MB', true)", "lock table t in share mode", "vacuum t",
        ]
        control = ["begin", "begin isolation level repeatable read", "commit", "commit", "rollback", "rollback", "end",
                   "savepoint s1", "savepoint s2", "rollback to s1", "rollback to savepoint s2", "release s1",
                   "start transaction read only", "commit and chain", "rollback and chain", "abort"]
        text = rnd.choice(control if rnd.random() < 0.25 else choices)
        if not one and rnd.random() < 0.3:
            # Behind the end of a failed transaction Based has none of its client's names on the link.
            texts = [text] + [self.sql() for _ in range(rnd.randrange(1, 3))]
            while any(each.startswith(("prepare", "execute", "deallocate")) for each in texts[1:]) and set(texts) & ENDS:
                texts = [text] + [self.sql() for _ in texts[1:]]
            return "; ".join(texts)
        return text

    def parametrised(self):
        return self.rnd.choice((("select $1::int + 1", 1), ("select $1 || $2", 2), ("select $1::text", 1),
                                ("select n, $2::text from t where n >= $1 order by n", 2),
                                ("insert into t values ($1, $2) on conflict do nothing returning n", 2)))

    def values(self):
        return [self.rnd.choice(("1", "3", "17", None, "x")) for _ in range(self.rnd.choice((0, 0, 0, 0, 1, 1, 2)))]

    def text_of(self, name):
        """What a statement of this name may be: one that itself names a statement depends on when it was parsed."""
        while (text := self.sql()).startswith(("execute", "prepare", "deallocate")) and name:
            pass
        return text

    def part(self, may_execute=True):
        """Messages that belong together: (kinds, bytes). Not `may_execute`: no Execute or Describe of a portal by itself.

        PostgreSQL may crash when a portal that failed is used after its statement was replaced.
        """
        rnd = self.rnd
        way = rnd.random()
        name, portal = rnd.choice(NAMES), rnd.choice(self.portals)
        if way < 0.25:  # as drivers do
            sql, values = (self.text_of(name), []) if rnd.random() < 0.7 else self.parametrised()
            values = [rnd.choice(("2", "4", "y")) for _ in range(values)] if values else []
            describing = rnd.random() < 0.5
            limit = rnd.choice((0, 0, 0, 1, 3))
            return ("PBDE" if describing else "PBE",
                    pg.parse(name, sql) + pg.bind(portal, name, values)
                    + (pg.describe("P", portal) if describing else b"") + pg.execute(portal, limit))
        if way < 0.35:
            sql = self.text_of(name) if rnd.random() < 0.6 else self.parametrised()[0]
            return "P", pg.parse(name, sql, rnd.choice(((), (), (23,), (25,))))
        if way < 0.50:
            return "B", pg.bind(portal, name, self.values(), (), rnd.choice(((), (), (0,), (1,))))
        if way < 0.56:
            kind = rnd.choice("SP") if may_execute else "S"
            return "D" + kind, pg.describe(kind, name if kind == "S" else portal)
        if way < 0.68 and may_execute:
            return "E", pg.execute(portal, rnd.choice((0, 0, 1, 2)))
        if way < 0.74:
            kind = rnd.choice("SSP")
            return "C", pg.close(kind, name if kind == "S" else portal)
        if way < 0.77:
            return "H", pg.flush()
        if way < 0.81:
            return "F", pg.function_call(1397, [b"-7"])  # int4abs
        if way < 0.84:
            rows = b"".join(pg.copy_data(f"{rnd.randrange(1, 900)}\tcopied\n") for _ in range(rnd.randrange(3)))
            return "Q", pg.query("copy t from stdin") + rows + rnd.choice((pg.copy_done(), pg.copy_fail()))
        return "Q", pg.query(self.sql(one=False))

    def batch(self, status):
        """Some parts with Syncs among them, and one at the end: [(kind, bytes)]."""
        self.status = status
        failed = status == "E"
        parts = []
        for _ in range(self.rnd.choice((1, 1, 2, 3, 5, 9))):
            part = self.part(may_execute=not failed and ("S", pg.sync()) not in parts)
            # DISCARD ALL is not allowed in a pipeline; an isolation level is, unless something was parsed before it,
            # which Based may know already.
            while b"discard all" in part[1] or b"isolation level" in part[1] and parts and parts[-1][0] != "S":
                part = self.part(may_execute=False)
            parts.append(part)
            if self.rnd.random() < 0.3:
                parts.append(("S", pg.sync()))
        return parts + [("S", pg.sync())]


def cut(parts):
    """One entry for each message that has replies of its own."""
    return [kind for kinds, _ in parts for kind in ([kinds] if kinds[0] == "D" else kinds)]


class Over(Exception):
    """What follows cannot be compared. PostgreSQL's own, directly asked, has crashed: some releases do, when a portal is used
    whose statement has been replaced; or what was rightly not the same has left other data behind."""


class Side:
    """One of the two places where a session is held."""

    def __init__(self, address, database, **parameters):
        self.client = PgClient(address, database=database, application_name="model", **parameters)
        self.status = "I"

    def converse(self, parts):
        """Sends all, reads what the protocol's grammar has for each: [(kind, replies)]."""
        self.client.send(*[data for _, data in parts])
        said, skipping = [], False
        for kind in cut(parts):
            if skipping and kind != "S" or kind == "H":
                continue
            replies = self.replies(kind)
            said.append((kind, replies))
            failed = any(reply.startswith("E ") for reply in replies)
            skipping = failed and kind[0] not in "SQF"
        return said

    def replies(self, kind):
        found = []
        while True:
            letter, body = self.client.message()
            if letter in "SA":
                continue
            found.append(self.told(letter, body))
            if letter == "Z":
                self.status = body.decode()
            if self.ends(kind, letter):
                return found

    @staticmethod
    def ends(kind, letter):
        """Whether this reply is the last of that message's."""
        if letter == "N":
            return False
        if kind in ("S", "Q", "F"):
            return letter == "Z"
        if letter == "E":
            return True
        endings = {"P": "1", "B": "2", "DS": "Tn", "DP": "Tn", "D": "Tn", "E": "CsI", "C": "3"}
        if letter not in endings[kind] and letter not in "tDHdcGT":
            raise AssertionError(f"{letter} in reply to {kind}")
        return letter in endings[kind]

    @staticmethod
    def told(letter, body):
        if letter in "EN":
            return letter + " " + str({k: v for k, v in sorted(pg.fields(body).items()) if k not in "LFR"})
        if letter == "T":
            return "T " + str(columns_without_oids(body))
        if letter == "Z":
            return "Z " + body.decode()
        return letter + " " + (body.hex() if len(body) < 200 else f"<{len(body)} {hash(body)}>")


def columns_without_oids(body):
    """A RowDescription but for the tables' OIDs."""
    found, at = [], 2
    for _ in range(struct.unpack_from("!H", body)[0]):
        end = body.index(b"\0", at)
        found.append((body[at:end].decode(), *struct.unpack_from("!IHIhih", body, end + 1)[1:]))
        at = end + 19
    return found


class Pair:
    """A session, held in both places."""

    def __init__(self, case):
        self.direct = Side(case.servers.direct, "direct")
        self.through = Side(case.servers.through_based, "one")

    def close(self):
        self.direct.client.close()
        self.through.client.close()


class Model(Conversation):
    maxDiff = None
    speaker = Speaker
    pools = {"direct": "max_size = 1", "one": "max_size = 1"}
    last_seed = sys.maxsize  # if none is asked for

    @classmethod
    def setUpClass(cls):
        Conversation.servers = Servers(pools=cls.pools)
        for database in ("direct", "one"):
            cls.servers.cluster.query(SCHEMA if database == "direct" else SCHEMA.replace("create role helper; ", ""),
                                      database)

    def test_random_conversations_get_the_servers_own_answers(self):
        end = time.monotonic() + SECONDS
        seed = FIRST_SEED
        while time.monotonic() < end and not (seed > self.last_seed and ASKED.isdisjoint(os.environ)):
            with self.subTest(seed=seed):
                self.one_run(seed)
            seed += 1
        print(f"seeds {FIRST_SEED} to {seed - 1}")

    def one_run(self, seed):
        rnd = random.Random(seed)
        speaker = self.speaker(rnd)
        pairs = [Pair(self) for _ in range(SESSIONS)]
        try:
            for step in range(STEPS):
                # Who has a transaction open has the only link.
                busy = [i for i, pair in enumerate(pairs) if pair.direct.status != "I"]
                number = busy[0] if busy else rnd.randrange(SESSIONS)
                pair = pairs[number]
                if rnd.random() < 0.04:
                    pair.close()
                    self.until_rolled_back()
                    pairs[number] = Pair(self)
                    continue
                parts = speaker.batch(pair.direct.status)
                if busy and rnd.random() < 0.2:
                    parts = [("Q", pg.query(rnd.choice(("commit", "rollback"))))]
                self.compare(pair, parts, f"seed {seed}, step {step}, session {number}")
        except Over:
            wait_until(self.is_up, "the server to be up again")
        finally:
            for pair in pairs:
                pair.close()
            self.until_rolled_back()
            self.begin_anew()

    def begin_anew(self):
        for database in ("direct", "one"):
            self.server("truncate t; insert into t select i, 'row ' || i from generate_series(1, 5) i", database)

    def is_up(self):
        try:
            return self.server("select 1", "one")
        except Exception:  # whatever its client says of a server that is not there
            return False

    def until_rolled_back(self):
        """What a client that left had begun is undone in both places."""
        for database in ("direct", "one"):
            while self.server("select count(*) from pg_stat_activity where datname = current_database() and "
                              "state <> 'idle' and pid <> pg_backend_pid()", database) != [["0"]]:
                time.sleep(0.002)

    @staticmethod
    def both_fail(kind, right, said):
        """Whether this message fails for another reason through Based, one that is as true: a name that is taken is
        refused before its text is read, what is prepared again in a failed transaction, or with another search_path, before
        its values are looked at, and there a statement without rows is described only where the server still has it. Where
        settings were made again, the portal without a name that has run is no more."""
        fails = right.startswith("E ")
        code = re.search(r"'C': '(.....)'", said)
        code = code[1] if code and said.startswith("E ") else None
        return (kind == "P" and fails and code in ("42P05", "25P02")
                or kind == "B" and fails and code in ("25P02", "26000", "42601", "42703", "42P01", right[9:14])
                or kind == "DS" and (code == "25P02" and (fails or right == "n ") or fails and code == right[9:14])
                or kind == "E" and "'C': '25P02'" in right and code == "55000"
                or kind == "E" and "'C': '55000'" in right and code == "34000")

    def alike(self, wanted, found):
        """The same, but for where both_fail; what the two skip behind that is not the same."""
        wanted, found = list(wanted), list(found)
        while wanted and found:
            (kind, right), (other, said) = wanted.pop(0), found.pop(0)
            if kind != other:
                return False
            if right == said:
                continue
            if not self.both_fail(kind, right[-1], said[-1]):
                return False
            while wanted and wanted[0][0] != "S":
                wanted.pop(0)
            while found and found[0][0] != "S":
                found.pop(0)
        return not wanted and not found

    @staticmethod
    def go_apart(wanted, found):
        """Whether the first difference is one behind which the two are not the same: a statement whose plan is of no use is
        described, and bound, as it would be prepared now, and its client may go on, where directly it would have to prepare
        it again. Or settings were made again, and a portal without a name or rows is no more, which is then described, or
        run once more. Or a text shows what its own RESET has made of the name that a client has begun with."""
        for (kind, right), (_, said) in zip(wanted, found):
            if right != said and said == [SHOWN_BASED if reply == SHOWN_MODEL else reply for reply in right]:
                return True
            if right != said:
                right, said = right[-1], said[-1]
                gone = "'C': '34000'" in said and 'portal "" does not exist' in said
                heals = "cached plan must not change" in right
                return (kind == "DS" and heals and said.startswith("T ") or kind == "B" and heals and said == "2 "
                        or kind == "DP" and gone and right == "n " or kind == "E" and gone and "'C': '25P02'" in right)
        return False

    def compare(self, pair, parts, where):
        try:
            wanted = pair.direct.converse(parts)
        except ConnectionError:
            raise Over from None
        try:
            found = pair.through.converse(parts)
        except (AssertionError, ConnectionError, TimeoutError) as error:
            found = [("", [repr(error)])]
        self.said = wanted, found
        if wanted != found and not self.alike(wanted, found):
            if self.go_apart(wanted, found):
                raise Over
            lines = [f"{where}: {[data for _, data in parts]}"]
            lines += [f"  wanted {w}\n  found  {f}" for w, f in zip(wanted, found) if w != f][:3]
            self.fail("\n".join(lines)[:4000])
        told, believed = pair.direct.client.parameters, pair.through.client.parameters
        for name, value in told.items():
            if name != "application_name":
                self.assertEqual(believed.get(name), value, f"{where}: {name}: {[data for _, data in parts]}")


if __name__ == "__main__":
    unittest.main()
