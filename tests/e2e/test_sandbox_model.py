"""Random legal conversations, held with PostgreSQL itself and in a sandbox: force_rollback changes no answer.

As in test_wire_model.py, several clients take their transactions one after the other. WIRE_MODEL_SEED=n begins with
another seed, WIRE_MODEL_SECONDS=n goes on for longer. What a sandbox cannot do is left out, and what does not have one
right answer: a VACUUM by itself, set_config, values of transaction control's declared parameters, and rows in no order,
as those of the sandbox lie elsewhere. Who is in a failed transaction has given its turn back and is refused by Based, which
does not know all that the server would say: there the conversations may end.
"""

import pathlib
import re
import sys
import time
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "support"), str(pathlib.Path(__file__).resolve().parent)]
import test_wire_model
from pg_client import PgClient

LEFT_OUT = ("vacuum", "set_config")
IN_ORDER = {"table t": "table t order by 1", "copy t to stdout": "copy (table t order by 1) to stdout"}
UNUSED = "'M': 'skipping cleanup for portal"
DATABASES = ("for database direct'", "for database one'")
TYPED = b"\0\1\0\0\0"  # a Parse's end, but for the type's last byte
REFUSED = re.compile("'C': '(25P02|3B001)'")
# Definitions, and what depends on them. What two sessions of a sandbox would share is not among them: temporary tables and
# holdable cursors that outlive a transaction, currval().
MORE = ("create table made (n int primary key, s text)", "create table made (n int primary key, s text)", "drop table made",
        "drop table if exists made cascade", "insert into made values (1, 'x'), (2, 'y')", "insert into made values (2, 'twice')",
        "select n, s from made order by 1", "update made set s = s || '!' returning n, s", "delete from made", "truncate made",
        "alter table made add column x int not null default 3", "alter table made drop column x", "select x from made",
        "alter table made rename to other_name", "alter table other_name rename to made", "create index on made (s)",
        "create unique index made_s on made (s)", "drop index made_s", "alter table made add check (n < 2)",
        "create view seen as select n, s from made", "select n from seen order by 1", "drop view seen",
        "create table child (n int references t deferrable initially deferred)", "insert into child values (999)",
        "insert into child values (1)", "delete from t where n = 1", "set constraints all immediate",
        "set constraints all deferred", "select n from child order by 1", "drop table child",
        "create sequence counted", "select nextval('counted')", "select setval('counted', 7)", "drop sequence counted",
        "create function twice(int) returns int language sql as 'select 2 * $1'", "select twice(21)",
        "drop function twice(int)", "create temp table brief (n int) on commit drop", "insert into brief values (1)",
        "select n from brief", "drop table brief", "create schema apart create table placed (n int)",
        "insert into apart.placed values (1)", "drop schema apart", "comment on table t is 'said'", "analyze made",
        "lock table made", "create type color as enum ('red')", "select 'red'::color::text", "drop type color", "listen news",
        "notify news, 'x'", "unlisten news", "copy (select n, s from made order by 1) to stdout")
CLEAN = ("drop table if exists made, other_name, child cascade; drop sequence if exists counted; drop function if exists twice; "
         "drop schema if exists apart cascade; drop type if exists color")
CONTROL = re.compile(rb"\0(begin|start|commit|end|rollback|abort|savepoint|release|set local|set transaction|set constraints|reset all|discard)")


class Speaker(test_wire_model.Speaker):
    def sql(self, one=True):
        text = self.rnd.choice(MORE) if self.rnd.random() < 0.3 else super().sql(one)
        while any(what in text for what in LEFT_OUT):
            text = super().sql(one)
        for read, in_order in IN_ORDER.items():
            if text == read or text.startswith(read + "; "):  # what comes behind it has been here
                return in_order + text[len(read):]
        return text

    def text_of(self, name):
        """A text that the link has under another name is not parsed again: what is wrong with it is told by its Bind."""
        while (text := super().text_of(name)) in MORE and name:
            pass
        return text

    def part(self, may_execute=True):
        kinds, data = super().part(may_execute=False)  # portals of one unit are seen in the next one
        while kinds == "P" and data.endswith((TYPED + b"\x17", TYPED + b"\x19")) and CONTROL.search(data):
            kinds, data = super().part(may_execute=False)
        return kinds, data


class SandboxModel(test_wire_model.Model):
    speaker = Speaker
    pools = {"direct": "max_size = 1", "one": "force_rollback = true"}

    def alike(self, wanted, found):
        """Also where PostgreSQL warns of a portal that a failed transaction was given for its end, and has not used: in
        a sandbox the server has none."""
        warned = [(kind, [line.replace(*DATABASES) for line in lines if UNUSED not in line]) for kind, lines in wanted]
        return super().alike(warned, found)

    def compare(self, pair, parts, where):
        failed = pair.direct.status == "E"
        try:
            super().compare(pair, parts, where)
        except AssertionError:
            if not self.refused_in_failed(failed):
                raise
            raise test_wire_model.Over from None

    def refused_in_failed(self, failed):
        """Whether what is told otherwise first is told in a failed transaction."""
        for (kind, right), (_, said) in zip(*self.said):
            if right != said:
                return failed and (REFUSED.search(" ".join(said)) or kind in ("B", "DS"))
            failed = failed or right[-1] == "Z E"
        return False

    def until_rolled_back(self):
        """Of the sandbox nobody sees it; who comes next waits for it."""
        while self.server("select count(*) from pg_stat_activity where datname = current_database() and "
                          "state <> 'idle' and pid <> pg_backend_pid()", "direct") != [["0"]]:
            time.sleep(0.002)

    def begin_anew(self):
        self.server("set search_path = other; " + CLEAN, "direct")  # a session may have made it there
        self.server(CLEAN, "direct")
        self.server("truncate t; insert into t select i, 'row ' || i from generate_series(1, 5) i", "direct")
        client = PgClient(self.servers.through_based, database="one")
        self.assertEqual(client.query("sandbox reset"), "C:SANDBOX RESET Z:I")
        client.close()


if __name__ == "__main__":
    unittest.main()
