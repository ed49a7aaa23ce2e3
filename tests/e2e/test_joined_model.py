"""Random legal conversations of a group, whose sessions join each other's transactions, in a sandbox and beside it.

As in test_sandbox_model.py, but that what is right is what the same group is told outside of a sandbox. Each session goes on
where it is the innermost in a transaction, or joins the innermost one, where that is sound. What they NOTIFY is heard by
somebody else, and what they leave is compared. Where PostgreSQL itself breaks off, as it does at an EXECUTE of a SAVEPOINT
outside of a block, a conversation ends.
"""

import pathlib
import random
import re
import sys
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "support"), str(pathlib.Path(__file__).resolve().parent)]
import pg_client as pg
import test_native_model
import test_sandbox_model
import test_wire_model
from test_wire_model import SESSIONS, STEPS, Side

MORE = ("notify news, 'x'", "notify news, 'y'", "select pg_notify('news', 'z')", "declare c2 cursor for select n from t order by n",
        "fetch 1 from c2", "fetch 1 from cur", "set constraints all immediate", "insert into kept values (999)", "delete from kept",
        "insert into kept values (2)", "show transaction_isolation", "show transaction_read_only", "set transaction read write",
        "set default_transaction_read_only = on", "reset default_transaction_read_only", "begin read only", "set transaction_read_only = on",
        "create index concurrently if not exists by_s on t (s)", "discard all", "create temp table gone (n int) on commit drop", "insert into gone values (3)",
        "select n from gone", "savepoint s1; set constraints all deferred; release s1", "set local work_mem = '5MB'", "show work_mem")
DECLARED = re.compile(rb"\0(show|reset|set) [^\0]*\0\0\1")  # what Based answers looks at no values (test_sandbox_model.py)
KEPT = "create table kept (n int references t (n) deferrable initially deferred)"


class Speaker(test_sandbox_model.Speaker):
    def sql(self, one=True):
        if self.rnd.random() < 0.2:
            return self.rnd.choice([text for text in MORE if one is False or ";" not in text])
        while "listen" in (text := super().sql(one)):  # is refused in a group
            pass
        return text

    def part(self, may_execute=True):
        """PostgreSQL itself forgets a portal that has committed while it ran: its name is taken for good."""
        while (said := super().part(may_execute))[0][0] == "P" and (b"concurrently" in said[1] or DECLARED.search(said[1])):
            pass
        return said


class Member:
    """A session of the group, in both places."""

    def __init__(self, case, tokens):
        address = case.servers.through_based
        options = [f"-c based.join={token}" for token in tokens] if tokens else ["-c based.share=on"] * 2
        self.direct = Side(address, "direct", options=options[0])
        self.through = Side(address, "one", options=options[1])

    def tokens(self):
        return [side.client.value("show based.join_token") for side in (self.direct, self.through)]

    def close(self):
        self.direct.client.close()
        self.through.client.close()


class JoinedModel(test_sandbox_model.SandboxModel):
    speaker = Speaker
    pools = {"direct": "max_size = 4", "one": "force_rollback = true"}
    last_seed = 300

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.servers.cluster.query(KEPT, "one")

    def one_run(self, seed):
        rnd = random.Random(seed)
        speaker = self.speaker(rnd)
        self.begin_anew()
        listeners = [pg.PgClient(self.servers.through_based, database=database) for database in ("direct", "one")]
        for listener in listeners:
            listener.query("listen news")
        members = [Member(self, None)]
        tokens = members[0].tokens()
        members += [Member(self, tokens) for _ in range(1, SESSIONS)]
        held, self.conversation = [], []
        try:
            for step in range(STEPS):
                number = self.next_of(rnd, members, held)
                if number != 0 and rnd.random() < 0.04:
                    self.conversation.append((number, "closed"))
                    members[number].close()
                    members[number] = Member(self, tokens)
                    if number in held:
                        held.remove(number)
                    continue
                speaker.portals = ("", "", "", f"p{number}", f"q{number}")  # those of one name collide
                parts = speaker.batch(members[number].direct.status)
                if number in held and rnd.random() < 0.3:
                    parts = [("Q", pg.query(rnd.choice(("commit", "rollback"))))]
                self.conversation.append((number, [data for _, data in parts]))
                if not self.goes_on(members[number], parts, f"seed {seed}, step {step}, session {number}"):
                    return
                if (members[number].direct.status != "I") != (number in held):
                    held.remove(number) if number in held else held.append(number)
            while held:
                self.compare(members[held.pop()], [("Q", pg.query("commit"))], f"seed {seed}, last")
            self.leaves_the_same(listeners, seed)
        finally:
            for one in (*members, *listeners):
                one.close()
            self.until_rolled_back()

    def alike(self, wanted, found):
        both = ([(kind, [re.sub("database (one|direct)", "database", line) for line in lines]) for kind, lines in said]
                for said in (wanted, found))
        return super().alike(*both)

    @staticmethod
    def next_of(rnd, members, held):
        free = [number for number in range(SESSIONS) if number not in held]
        if held and (members[held[-1]].direct.status == "E" or not free or rnd.random() < 0.6):
            return held[-1]
        return rnd.choice(free)

    def goes_on(self, member, parts, where):
        """False: the two may go apart here. What SQL has prepared, a link is given in front of its Bind: what the server takes
        outside of a pipeline only is refused behind that; or it is refused before anything else of it is looked at."""
        failed = member.direct.status == "E"
        try:
            test_wire_model.Model.compare(self, member, parts, where)
        except AssertionError:
            breaks_off = any("'XX000'" in line or "within a pipeline" in line
                             for said in self.said for _, lines in said for line in lines)
            if not breaks_off and not self.refused_in_failed(failed):
                raise
            return False
        return True

    def leaves_the_same(self, listeners, seed):
        found = []
        for database, listener in zip(("direct", "one"), listeners):
            client = pg.PgClient(self.servers.through_based, database=database)
            told = [(text, client.query(text)) for text in (*test_native_model.TOLD, "select n from kept order by 1")]
            client.query("notify news, 'the last one'")
            client.close()
            heard = []
            while "the last one" not in heard:
                letter, body = listener.message()
                if letter == "A":
                    heard.append(body[4:].split(b"\0")[1].decode())
            found.append(told + [("heard", str(heard))])
        for (text, wanted), (_, said) in zip(*found):
            self.assertEqual(said, wanted, f"seed {seed}: {text}")

    def begin_anew(self):
        self.server("drop table if exists kept; drop index if exists by_s; comment on table t is null", "direct")
        super().begin_anew()
        self.server(KEPT, "direct")


if __name__ == "__main__":
    unittest.main()
