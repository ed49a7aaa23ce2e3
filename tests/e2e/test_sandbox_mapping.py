"""What transaction control means in a sandbox, row by row: each text in each state, said in each way that the protocol has,
beside PostgreSQL itself. Every message has to be the same: rows, tags, warnings, errors with all their fields, states."""

import pathlib
import sys
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "support"), str(pathlib.Path(__file__).resolve().parent)]
from pg_client import PgClient, bind, describe, execute, extended, parse, query, ready_count, sync
from test_wire_model import Side
from wire_servers import Conversation, Servers

SCHEMA = """
    create table t (n int primary key); insert into t values (1);
    create table later (id int primary key, p int constraint of_t references t deferrable initially deferred);
"""
INSERT = "insert into t values (100)"
STATES = {
    "I": [],
    "T, nothing done": ["begin"],
    "T": ["begin", INSERT],
    "T, behind a savepoint": ["begin", INSERT, "savepoint s", "insert into t values (101)"],
    "E": ["begin", INSERT, "select 1/0"],
    "E, behind a savepoint": ["begin", INSERT, "savepoint s", "insert into t values (101)", "select 1/0"],
}
TEXTS = (
    # BEGIN, START TRANSACTION
    "begin", "/* x */ bEgIn WORK -- y", "start transaction", "begin isolation level serializable",
    "begin isolation level read committed, read write", "begin read only", "begin not deferrable", "begin frobnicate",
    # COMMIT, END, ROLLBACK, ABORT
    "commit", "/* x */ cOmMiT -- y", "end transaction", "END WORK", "commit and chain", "commit work and no chain",
    "commit frobnicate", "rollback", "abort work", "rollback transaction", "rollback and chain", "abort and no chain",
    # savepoints
    "savepoint s", 'savepoint "S ""x"', "release s", "release savepoint S", 'release "S"', "release nix", "rollback to s",
    "rollback work to savepoint S", "abort to s", "rollback to nix", "savepoint", "savepoint x; release x",
    "rollback to s; release s",
    # what is for a transaction
    "set transaction isolation level serializable", "set transaction read only", "set transaction read write",
    "set transaction deferrable", "set local work_mem = '7MB'", "set local transaction_isolation = 'serializable'",
    "set local no_such = 1", "set constraints all immediate", "set constraints of_t deferred", "set constraints nix deferred",
    "lock table t", "lock t in share mode", "lock table nix", "declare c cursor for select 1",
    "declare c binary cursor for select 1 as a", "prepare transaction 'x'",
    # everything else
    "insert into t values (200)", "insert into t values (1)", "insert into later values (1, 99)", "select n from t order by n",
    "insert into later values (1, 99) returning id", "select nix from t", "selec", "values (1), (2)", "discard all",
    "do $$ begin raise exception 'x' using errcode = 'AB123', detail = 'd', hint = 'h'; end $$", "set work_mem = '8MB'",
    "select set_config('work_mem', '8MB', true)", "select set_config('work_mem', '8MB', false)", "copy t to stdout",
    "create table made (a int)", "show work_mem", "fetch c", "close c", "deallocate nix", "execute nix", "", ";;", "-- nothing",
    "commit; begin", "begin; commit", "commit and chain; rollback", "commit; select 1/0", "rollback; select 1/0",
    "insert into t values (300); commit; insert into t values (301)", "insert into t values (300); rollback; selec",
    "insert into t values (300); rollback; insert into t values (301)",
    "insert into t values (300); begin; insert into t values (301)", "begin; savepoint q; insert into t values (1)",
    "set transaction read only; insert into t values (300)")
LONG = "a_name_that_is_longer_than_postgresql_takes_it_which_is_sixty_three_bytes"
MANY = ", ".join(["read write", "isolation level /* ; */ serializable", "deferrable"] * 40)
SHOWN = "|".join(f"show default_transaction_{mode}" for mode in ("isolation", "read_only", "deferrable"))
# Modes, and what else is told over several statements: one after the other, as one batch, and as one text.
ALIKE = (
    "begin read only|set transaction read write|insert into t values (5)|commit",
    "begin|set transaction read only|set transaction read write|insert into t values (5)|commit",
    "begin read only|set work_mem = '7MB'|set transaction read write|insert into t values (5)|rollback|show work_mem",
    "begin read only|set transaction read write|savepoint s|insert into t values (5)|rollback to s|commit",
    "begin read only|set transaction_read_only = off|insert into t values (5)|commit",
    "begin read only|set local transaction_read_only = off|insert into t values (5)|rollback",
    "begin read only|select 1|set transaction read write|rollback",
    "begin read only|savepoint s|set transaction read write|rollback",
    "begin|savepoint s|set transaction read only|set transaction read write|rollback",
    "begin|savepoint s|set transaction read only|release s|insert into t values (5)|commit",
    "begin read only|commit and chain|set transaction read write|insert into t values (5)|commit",
    "begin read only|set transaction read write|commit and chain|insert into t values (5)|commit",
    "begin read only|select 1|begin read write|rollback", "begin|select 1|begin read only|insert into t values (5)|rollback",
    "begin read only|set transaction read write|begin read only|insert into t values (5)|rollback",
    "begin|select 1|begin deferrable|rollback", "begin|select 1|set transaction deferrable|rollback",
    "begin|savepoint s|set transaction not deferrable|rollback", "select 1|begin not deferrable|rollback",
    "begin|select 1|set transaction isolation level read committed|set transaction isolation level serializable|rollback",
    "select 1|set transaction isolation level serializable", "select 1|set transaction read only|insert into t values (5)",
    "begin|insert into t values (7)|set transaction read only|select 1|commit and chain|insert into t values (8)|commit",
    'begin|savepoint "Ä ""x"|rollback to "Ä ""x"|release savepoint "Ä ""x"|commit',
    "begin|savepoint s|savepoint s|release s|release s|release s|rollback",
    "begin|savepoint s|insert into t values (1)|rollback to savepoint s|insert into t values (2)|release s|commit",
    "begin|select 1/0|commit and chain|insert into t values (6)|commit", "set local nix.x = 1|show nix.x",
    "begin|declare c cursor for select 1|fetch c|commit|fetch c", "release nix|rollback to nix|savepoint x",
    # other spellings, and several modes, in their order
    "begin|set session transaction read only|set transaction read write|insert into t values (5)|rollback",
    "set session session characteristics as transaction read only|show default_transaction_read_only|insert into t values (5)",
    "begin|set local session characteristics as transaction isolation level serializable|commit|show transaction_isolation",
    *(f"{begin}set local session characteristics as transaction {modes}|{SHOWN}|{end}|{SHOWN}"
      for modes in ("isolation level repeatable read, deferrable", "read only", "deferrable, read only, not deferrable")
      for begin, end in (("", "select 1"), ("begin|", "commit"), ("begin|", "rollback"), ("begin|savepoint s|", "rollback to s"),
                         ("begin|savepoint s|", "release s"), ("begin|", "commit and chain"),
                         ("set session characteristics as transaction read only, isolation level serializable|begin|", "commit"),
                         ("begin|", "set session characteristics as transaction read write, isolation level read committed"))),
    "set local statement_timeout = '7s'|show statement_timeout", "set local statement_timeout = 'x'|show statement_timeout",
    "set local default_transaction_read_only = on|show default_transaction_read_only|insert into t values (5)",
    "begin|set transaction_read_only = 'tru'|set transaction_read_only = 0|insert into t values (5)|rollback",
    "set transaction_read_only = ' on'", "set default_transaction_read_only = ' on'",
    "begin|select 1|set transaction deferrable, isolation level serializable|rollback",
    "begin read only|select 1|set transaction deferrable, read write|rollback",
    "begin read only|set transaction read write, read only|insert into t values (5)|rollback",
    "begin read only read write, deferrable, not deferrable|insert into t values (5)|show transaction_deferrable|rollback",
    "begin isolation level serializable, isolation level repeatable read|show transaction_isolation|rollback",
    f"begin {MANY}, read only|insert into t values (5)|commit", f"begin|set transaction {MANY} read only|select 1|commit",
    f"begin {MANY} frob|begin {MANY},|begin {MANY},, read only|set transaction {MANY} read|show transaction_isolation",
    f"set session characteristics as transaction {MANY}|show transaction_isolation|show default_transaction_deferrable",
    # what a transaction has, and what the next one begins with
    "begin deferrable|show transaction_deferrable|select current_setting('transaction_deferrable')|rollback",
    "begin|set transaction deferrable|commit and chain|show transaction_deferrable|rollback|show transaction_deferrable",
    "set default_transaction_deferrable = on|show transaction_deferrable|begin|show transaction_deferrable|rollback",
    "set default_transaction_isolation = serializable|show transaction_isolation|begin|select 1|commit",
    "begin|set default_transaction_isolation = serializable|show transaction_isolation|commit and chain|"
    "show transaction_isolation|commit|show transaction_isolation",
    "begin|set session characteristics as transaction deferrable|show transaction_deferrable|commit|show transaction_deferrable",
    "begin isolation level serializable deferrable|select 1/0|rollback and chain|show transaction_isolation|"
    "show transaction_deferrable|rollback",
    "begin|set transaction isolation level serializable, deferrable|commit and chain|set transaction not deferrable|select 1/0|"
    "rollback and chain|show transaction_isolation|show transaction_deferrable|rollback",
    "begin|savepoint s|set transaction read only|commit and chain|insert into t values (5)|rollback",
    # set_config, which is a query, and so comes too late for all but the same again, and read only
    *(f"begin{begun}|{between}select set_config('transaction_{mode}', '{value}', {local})|show transaction_isolation|"
      "show transaction_deferrable|set transaction read write|rollback"
      for begun in ("", " isolation level serializable", " read only deferrable") for between in ("", "savepoint s|")
      for mode, value, local in (("isolation", "Serializable", "true"), ("isolation", "read committed", "false"),
                                 ("read_only", "on", "true"), ("read_only", "off", "false"), ("deferrable", "on", "true"),
                                 ("isolation", "strong", "true"), ("read_only", "maybe", "true"))),
    "begin|select set_config('transaction_read_only', 'on', true)|commit and chain|insert into t values (5)|rollback",
    "begin|select 1, set_config('transaction_read_only', 'on', false) as x|commit and chain|insert into t values (5)|rollback",
    "begin|savepoint s|select set_config('transaction_read_only', 'on', true)|release s|insert into t values (5)|commit and chain|"
    "insert into t values (6)|commit", "select set_config('transaction_read_only', 'on', true)|insert into t values (5)",
    "select set_config('transaction_isolation', 'READ committed', false)::text as level",
    "begin isolation level serializable|select current_setting('transaction_isolation', true)::text as \"Level\"|rollback",
    # RESET, which never comes too late
    "reset transaction_isolation", "reset transaction isolation level", "reset transaction_read_only|reset transaction_deferrable",
    "set transaction_isolation to default", "set local transaction_isolation to default", "set local transaction_read_only to default",
    "begin isolation level serializable|select 1|reset transaction_isolation|show transaction_isolation|rollback",
    "begin isolation level serializable|savepoint s|reset transaction isolation level|rollback to s|show transaction_isolation|"
    "set transaction_isolation to default|release s|show transaction_isolation|rollback",
    "begin read only deferrable|select 1|reset transaction_deferrable|reset transaction_read_only|insert into t values (5)|"
    "show transaction_deferrable|rollback",
    "begin read only|savepoint s|reset transaction_read_only|insert into t values (5)|release s|insert into t values (6)|rollback",
    "begin read only|reset transaction_read_only|set transaction read only|set transaction read write|insert into t values (5)|rollback",
    # what needs a snapshot
    "begin||set transaction isolation level serializable|rollback", "begin|close all|set transaction isolation level serializable|rollback",
    "begin|select current_setting('transaction_isolation')|set transaction isolation level serializable|rollback",
    "begin|show transaction_isolation|set transaction isolation level serializable|rollback",
    "set local default_transaction_read_only to maybe", "set default_transaction_deferrable to maybe",
    "|discard all", "set default_transaction_read_only = on|discard all|savepoint s",
    # names
    r'begin|savepoint u&"d\0061t\+000061"|savepoint "data"|release data|release u&"\0064ata"|release data|rollback',
    """begin|savepoint u&"d!0061t!+000061!!" uescape '!'|release "data!"|commit""",
    r'begin|savepoint u&"\d83d\de00 ""x"|rollback to "😀 ""x"|commit', r'begin|savepoint u&"\d83d"|rollback',
    r'begin|savepoint u&"d\006"|rollback', r'begin|release u&"d\0061ta"|rollback', 'savepoint ""',
    *(f"begin|{made}|{told} {LONG}|rollback" for made in (f'savepoint "{LONG}"', "select 1/0", f"release {LONG}")
      for told in ("savepoint", "rollback to", "release savepoint")),
    f"savepoint {LONG}", f"release {LONG}", "begin|savepoint " + "ä" * 40 + "|release " + "Ä" * 40 + "|commit",
    # what can be run inside of a transaction only, if it can be parsed
    "declare c cursor for selec", "declare c cursor for select nix", "declare c cursor for", "lock", "lock t in frob mode",
    "select 1; declare c cursor for selec", "create database",
)
AS_DEFAULT = ("begin|set transaction read write|insert into t values (5)|commit", "begin read write|insert into t values (5)|commit",
              "begin|insert into t values (5)|rollback", "insert into t values (5)", "begin|select 1|set transaction read write|rollback",
              "begin|commit and chain|set transaction read write|insert into t values (5)|commit",
              "set work_mem = '7MB'; begin read write; insert into t values (5); rollback; show work_mem",
              "select 1; begin read write", "reset transaction_read_only; insert into t values (5); select 1/0",
              "set transaction read write; insert into t values (5); select 1/0", "show transaction_read_only")
LOOK = [query("select n from t order by n"), query("show work_mem"), query("rollback"), query("select n from t order by n"),
        query("show work_mem"), query("show transaction_read_only"), query("select name from pg_cursors where name = 'c'")]
CLEAN = ["discard all", "delete from later", "delete from t", "insert into t values (1)", "drop table if exists made"]


def is_several(text):
    return ";" in text and "$$" not in text


def ways(setup, text):
    """(how it is said, parts that are sent and answered one after the other)."""
    said = [query(one) for one in setup]
    yield "a Query", [*said, query(text)]
    yield "in the middle of a text", [*said, query(f"select 1 as before; {text}; select 2 as behind")]
    yield "one text with its transaction", [query("; ".join([*setup, text, "select 2 as behind"]))]
    yield "Queries in a pipeline", [b"".join([*said, query(text), query("select 2 as behind")])]
    if is_several(text):
        return
    yield "extended", [*said, extended(text, describing=True) + sync()]
    yield "in steps", [*said, parse("", text) + describe("S") + sync(), bind() + describe("P") + execute() + sync()]
    yield "its first row", [*said, extended(text, rows=1) + sync()]
    yield "in a batch", [*said, extended("select 1") + extended(text) + extended("select 2 as behind") + sync()]
    yield "one batch with its transaction", [b"".join(map(extended, [*setup, text, "select 2 as behind"])) + sync()]
    yield "batches in a pipeline", [b"".join(extended(one) + sync() for one in [*setup, text, "select 2 as behind"])]
    yield "prepared", [parse("p", text) + describe("S", "p") + sync(), *said, bind("", "p") + execute() + sync(),
                       bind("", "p") + execute() + sync()]


class Mapping(Conversation):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        Conversation.servers = Servers(pools={"plain": "", "box": "force_rollback = true\n"})
        for database in cls.servers.pools:
            cls.servers.cluster.query(SCHEMA, database)

    def setUp(self):
        self.plain = PgClient(self.servers.direct, database="plain")
        self.box = PgClient(self.servers.through_based, database="box")
        for client in (self.plain, self.box):
            self.addCleanup(client.close)

    def tearDown(self):
        self.assertNotIn("LOST", self.log())
        self.assertEqual(self.server("select count(*) from t where n <> 1", "box"), [["0"]])

    @staticmethod
    def told(client, parts):
        """Settings that are reported may come a message earlier."""
        found = []
        for part in parts:
            client.send(part)
            found.append([Side.told(kind, body) for kind, body in client.messages(ready_count(part)) if kind != "S"])
        return found

    def clean(self):
        self.plain.send(*map(query, CLEAN))
        self.assertNotIn("E", [kind for kind, _ in self.plain.messages(len(CLEAN))])
        self.box.send(query("discard all") + query("sandbox reset"))
        self.assertNotIn("E", [kind for kind, _ in self.box.messages(2)])

    def same(self, parts):
        right, found = (self.told(client, [*parts, *LOOK]) for client in (self.plain, self.box))
        self.clean()
        self.assertEqual(found, right)

    @staticmethod
    def apart(way, state, text):
        """Two-phase commit, which a sandbox has not; and a Bind to go back to a savepoint where there is none: that it is
        for nothing is told at once, without a turn."""
        prepares = text.startswith("prepare ") and (state.startswith("T") or state == "I" and "text" in way)
        goes_back = " to " in text and text.startswith(("rollback", "abort"))
        return prepares or goes_back and (way == "prepared" or way == "in steps" and state == "E")

    def each(self, *states):
        for state in states:
            for text in TEXTS:
                for way, parts in ways(STATES[state], text):
                    if not self.apart(way, state, text):
                        with self.subTest(text, way=way):
                            self.same(parts)

    def test_outside_of_a_transaction(self):
        self.each("I")

    def test_in_one_that_has_done_nothing(self):
        self.each("T, nothing done")

    def test_in_one_that_has_written(self):
        self.each("T")

    def test_behind_a_savepoint(self):
        self.each("T, behind a savepoint")

    def test_in_one_that_has_failed(self):
        self.each("E")

    def test_in_one_that_has_failed_behind_a_savepoint(self):
        self.each("E, behind a savepoint")

    def conversations(self, texts, before=()):
        for text in texts:
            said = text.split("|")
            for way, parts in (("each", [query(one) for one in said]), ("extended", [extended(one) + sync() for one in said]),
                               ("batch", [b"".join(map(extended, said)) + sync()]), ("text", [query("; ".join(said))])):
                with self.subTest(text, way=way):
                    self.same([*before, *parts])

    def test_modes(self):
        self.conversations(ALIKE)

    def test_what_is_done_only_with_the_commit_behind_it_is_not_told_before(self):
        first = "insert into later values (1, 99)"
        for last in ("show transaction_isolation", "set constraints all deferred", "set local transaction_isolation = 'serializable'",
                     "set transaction read only", "show statement_timeout", "set statement_timeout = 70000", "reset all",
                     "select current_setting('transaction_read_only')", "close all", "set local statement_timeout = 9000"):
            for said in (query(f"{first}; {last}"), extended(first) + query(last) + sync()):
                with self.subTest(last):
                    self.same([said])

    def test_an_execute_is_a_query_before_the_modes_that_it_executes(self):
        for setup, text in (("select 1", "begin isolation level serializable"), ("select 1", "begin read only"), ("select 1", "begin"),
                            ("begin", "set transaction isolation level serializable"), ("select 1", "begin deferrable"),
                            ("begin", "set transaction read only"), ("begin read only", "set transaction read write")):
            for run in (query("execute known"), extended("execute known") + sync()):
                with self.subTest(setup, text=text):
                    self.same([parse("known", text) + sync(), query(setup), run, query("set transaction deferrable"),
                               query("insert into t values (5)"), query("rollback")])

    def test_an_execute_of_control_that_has_other_values_than_were_declared(self):
        for setup in ("select 1", "begin", "begin; select 1/0"):
            for text in ("show transaction_isolation", "begin", "commit", "rollback", "set work_mem = '5MB'", "reset all"):
                for types, run in (([25], "execute known"), ([], "execute known(1)"), ([25], "execute known('x')"), ([25, 25], "execute known('x')")):
                    for said in (query(run), extended(run) + sync(), query(f"select 2; {run}; select 3")):
                        with self.subTest(setup, text=text, run=run):
                            self.same([parse("known", text, types) + sync(), query(setup), said, query("show work_mem"), query("rollback")])

    def test_what_is_parsed_or_bound_is_a_query_before_the_modes(self):
        for text in ("select 1", "(select 1)", "table t", "insert into t values (99)", "declare c cursor for select 1", "explain select 1",
                     "show work_mem", "lock table t", "create table x (n int)", "fetch 1 from c", "copy t to stdout", "savepoint s", ""):
            for modes in ("set transaction isolation level serializable", "set transaction deferrable"):
                with self.subTest(text, modes=modes):
                    self.same([query("begin"), parse("", text) + sync(), query(modes), query("rollback")])
                    self.same([parse("known", text) + sync(), query("begin"), bind("p", "known") + sync(), query(modes), query("rollback")])
                    self.same([parse("", text) + query(modes) + sync()])

    def test_what_is_parsed_behind_a_setting_in_the_same_batch(self):
        asked, known = "select n from t", parse("known", "select n from t") + sync()
        for database in self.servers.pools:
            self.server("create schema other; create table other.t (other_n int)", database)
            self.addCleanup(self.server, "drop schema other cascade", database)
        for setup, setting in (("begin", "set local search_path to other"), ("begin", "set search_path to other"),
                               ("select 1", "set local search_path to other"), ("select 1", "set search_path to other"),
                               ("begin; savepoint s; set local search_path to other", "rollback to s"),
                               ("begin; set local search_path to other; savepoint s; set local search_path to public", "rollback to s"),
                               ("begin; set local search_path to other", "set local search_path to default")):
            with self.subTest(setup, setting=setting):
                self.same([known, query(setup), extended(setting) + parse("again", asked) + bind("", "again") + execute() + sync(),
                           query("rollback")])

    def test_modes_of_a_session_that_reads_only(self):
        self.conversations(AS_DEFAULT, [query("set default_transaction_read_only = on")])

    def test_what_is_reported_of_it(self):
        for text in ("set default_transaction_read_only = on", "set session characteristics as transaction read only",
                     "select set_config('default_transaction_read_only', 'on', false)"):
            for client in (self.plain, self.box):
                client.query(text)
                self.assertEqual(client.parameters["default_transaction_read_only"], "on")
                client.query("discard all")
                self.assertEqual(client.parameters["default_transaction_read_only"], "off")
        self.box.query("set default_transaction_read_only = on")
        other = PgClient(self.servers.through_based, database="box")
        self.addCleanup(other.close)
        for client, value in ((other, "off"), (self.box, "on"), (other, "off")):
            client.query("select 1")
            self.assertEqual(client.parameters["default_transaction_read_only"], value)
        self.box.query("discard all")


if __name__ == "__main__":
    unittest.main()
