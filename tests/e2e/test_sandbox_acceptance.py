"""What a sandbox has to do right, item by item; by PostgreSQL's protocol beside PostgreSQL itself, and by the native one.

Here are the items that no other file has:

the mapping, row by row      test_sandbox_mapping
unique violation, syntax     test_sandbox_acceptance   a_unique_violation_..., an_error_in_a_transaction_...
the unnamed statement        test_sandbox_acceptance   the_unnamed_statement_...
COMMIT in the middle         test_sandbox_acceptance   a_commit_in_the_middle_...; test_sandbox_wire
what careless clients send   test_sandbox_texts; natively test_force_rollback
its spellings                test_sandbox_acceptance   every_spelling_...; test_sandbox_nets without the tokenizer;
                             test_sandbox_turns        two_phase_commit_is_refused
deferred constraints         test_sandbox_acceptance   Deferred
SET LOCAL, roles             test_sandbox_state        set_local_..., a_local_role_...; natively test_sandbox_native_state
ON COMMIT DROP twice         test_sandbox_state        on_commit_drop; natively test_sandbox_native_state
many writes and errors       test_sandbox_many
turns                        test_sandbox_turns; test_force_rollback sessions_take_turns_...
SIGKILL                      test_sandbox_kills
drivers                      test_sandbox_drivers; test_recipes
COPY                         test_sandbox_acceptance   Copy; natively it is refused
a cancel                     test_sandbox_acceptance   Cancel
the same key                 test_sandboxes            the_same_key_..., who_waits_..., eight_that_write_...
a SQLite file's bytes        test_sandboxes_sqlite, test_force_rollback SqliteFile, test_sandbox_kills
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import (bind, copy_data, copy_done, copy_fail, describe, execute, extended, fields, flush, parse, query,
                       sync)
from wire_servers import Conversation, Servers, both

SCHEMA = """
    create table keyed (id int primary key, note text);
    create table child (id int primary key,
                        parent int constraint of_parent references keyed deferrable initially deferred);
    create table told (what text);
    create function tell() returns trigger language plpgsql as $$ begin insert into told values ('child'); return null; end $$;
    create constraint trigger tells after insert on child deferrable initially deferred for each row execute function tell()
"""


def setUpModule():
    Conversation.servers = Servers(pools={"one": "force_rollback = true\n", "plain": ""})
    for database in ("one", "plain"):
        Conversation.servers.cluster.query(SCHEMA, database)


class Fresh:
    """Each case begins with empty tables, directly and in the sandbox."""

    def setUp(self):
        self.pool = "plain" if self.directly else "one"  # a root would hold up whoever truncates
        self.client = self.connect()
        if self.directly:
            self.client.query("truncate keyed, child, told")
        else:
            self.client.query("sandbox reset")

    def tearDown(self):
        if not self.directly:
            self.assertNotIn("LOST", self.log())
            self.assertEqual(self.server("select (select count(*) from keyed), (select count(*) from child), "
                                         "(select count(*) from pg_prepared_xacts)"), [["0", "0", "0"]])
        else:
            self.client.query("rollback; truncate keyed, child, told")


@both
class Mapping(Fresh):
    def test_a_unique_violation_leaves_what_was_there(self):
        insert = parse("i", "insert into keyed values ($1, $2)", [23, 25])
        self.assertEqual(self.client.ask(insert, bind("", "i", ["1", "a"]), execute(), sync()), "1 2 C:INSERT 0 1 Z:I")
        wrong = self.client.error(bind("", "i", ["1", "b"]), execute(), sync())
        self.assertEqual((wrong["C"], wrong["t"], wrong["n"]), ("23505", "keyed", "keyed_pkey"))
        self.assertEqual(self.client.ask(bind("", "i", ["2", "c"]), execute(), sync()), "2 C:INSERT 0 1 Z:I")
        self.assertEqual(self.client.rows("select * from keyed order by 1"), [["1", "a"], ["2", "c"]])

    def test_an_error_in_a_transaction_fails_it_until_its_end(self):
        self.client.query("insert into keyed values (1, 'before')")
        for end in ("commit", "end", "rollback", "abort"):
            self.assertEqual(self.client.query("begin"), "C:BEGIN Z:T")
            self.assertEqual(self.client.query("insert into keyed values (2, 'x')"), "C:INSERT 0 1 Z:T")
            self.assertEqual(self.client.query("selct"), "E:42601 Z:E")
            self.assertEqual(self.client.query("select 1"), "E:25P02 Z:E")
            self.assertEqual(self.client.ask(extended("select 1"), sync()), "E:25P02 Z:E")
            self.assertEqual(self.client.query(end), "C:ROLLBACK Z:I")
        self.assertEqual(self.client.rows("select * from keyed"), [["1", "before"]])

    def test_the_unnamed_statement_is_there_until_the_next_parse(self):
        self.assertEqual(self.client.ask(parse("", "select $1::int + 1 as n"), describe("S"), sync()), "1 t:23 T:n Z:I")
        for value in ("1", "2"):
            self.assertEqual(self.client.ask(bind(values=[value]), execute(), sync()),
                             f"2 D:{int(value) + 1} C:SELECT 1 Z:I")
        self.assertEqual(self.client.query("begin"), "C:BEGIN Z:T")  # a Query takes it
        self.assertEqual(self.client.ask(bind(values=["3"]), execute(), sync()), "E:26000 Z:E")
        self.client.query("rollback")

    def test_a_commit_in_the_middle_of_a_text_commits_what_is_before(self):
        text = "insert into keyed values (1, 'a'); commit; insert into keyed values (2, 'b')"
        self.assertEqual(self.client.query(text), "C:INSERT 0 1 N:25P01 C:COMMIT C:INSERT 0 1 Z:I")
        text = "begin; insert into keyed values (3, 'c'); commit; insert into keyed values (3, 'd')"
        self.assertEqual(self.client.query(text), "C:BEGIN C:INSERT 0 1 C:COMMIT E:23505 Z:I")
        self.assertEqual(self.client.value("select string_agg(id::text, ' ' order by id) from keyed"), "1 2 3")

    def test_every_spelling_of_an_end(self):
        cases = (("/* x */ cOmMiT", "C:COMMIT Z:I"), ("END", "C:COMMIT Z:I"), ("-- x\nend transaction ;", "C:COMMIT Z:I"),
                 ("Commit Work", "C:COMMIT Z:I"), ("COMMIT AND CHAIN", "C:COMMIT Z:T"), ("end and /**/ chain", "C:COMMIT Z:T"),
                 ("commit and no chain", "C:COMMIT Z:I"), ("ABORT", "C:ROLLBACK Z:I"), ("rollback and chain", "C:ROLLBACK Z:T"))
        for number, (text, answer) in enumerate(cases):
            for send in (query, lambda sql: extended(sql) + sync()):
                with self.subTest(text):
                    self.client.query("delete from keyed")
                    self.client.query(f"begin; insert into keyed values ({number}, 'x')")
                    self.assertEqual(self.client.ask(send(text)).removeprefix("1 2 "), answer)
                    self.client.query("rollback")
                    kept = "1" if "COMMIT" in answer else "0"
                    self.assertEqual(self.client.value("select count(*) from keyed"), kept)
        for text in ("commit and chain", "rollback and chain"):
            self.assertEqual(self.client.query(text), "E:25P01 Z:I")

    def test_no_snapshot_is_taken_over(self):
        for send in (query, lambda sql: extended(sql) + sync()):
            text = "set transaction snapshot '00000003-0000001B-1'"
            alone, inside = ("0A000", "22023") if self.directly else ("25001", "25001")  # there is none; it is a savepoint
            self.assertRegex(self.client.ask(send(text)), f"N:25P01 E:{alone} Z:I$")
            self.client.query("begin isolation level repeatable read")
            self.assertRegex(self.client.ask(send(text)), f"E:{inside} Z:E$")
            self.client.query("rollback")


@both
class Deferred(Fresh):
    def test_a_foreign_key_is_checked_at_commit_and_stays_deferred(self):
        for _ in range(2):  # the second time as the first
            self.client.query("begin")
            self.assertEqual(self.client.query("insert into child values (1, 7)"), "C:INSERT 0 1 Z:T")
            wrong = self.client.error(query("commit"))
            self.assertEqual((wrong["C"], wrong["t"], wrong["n"]), ("23503", "child", "of_parent"))
            self.assertEqual(self.client.query("select 1 as n"), "T:n D:1 C:SELECT 1 Z:I")
            self.client.query("begin; insert into child values (1, 7); insert into keyed values (7, 'late')")
            self.assertEqual(self.client.query("commit"), "C:COMMIT Z:I")
            self.assertEqual(self.client.value("select count(*) from child"), "1")
            self.client.query("delete from child; delete from keyed")

    def test_by_itself_a_statement_is_checked_at_its_end(self):
        for send in (query, lambda sql: extended(sql) + sync()):
            self.assertEqual(self.client.error(send("insert into child values (1, 7)"))["C"], "23503")
        self.assertEqual(self.client.value("select count(*) from child"), "0")

    def test_a_constraint_trigger_fires_once_at_commit(self):
        self.client.query("insert into keyed values (7, 'parent')")
        for number in (1, 2):
            self.client.query(f"begin; insert into child values ({number}, 7)")
            self.assertEqual(self.client.value("select count(*) from told"), str(number - 1))
            self.client.query("commit")
            self.assertEqual(self.client.value("select count(*) from told"), str(number))
        self.client.query("begin; insert into child values (3, 7); rollback")
        self.assertEqual(self.client.value("select count(*) from told"), "2")

    def test_one_that_is_made_in_the_transaction_is_as_it_is_declared(self):
        self.client.query("create table at_once (n int constraint by_statement unique deferrable initially immediate)")
        self.addCleanup(self.client.query, "rollback; drop table at_once")
        for _ in range(2):  # others have been fired before
            self.assertEqual(self.client.query("begin; create table later (n int references keyed deferrable initially deferred); "
                                               "insert into later values (9)"), "C:BEGIN C:CREATE TABLE C:INSERT 0 1 Z:T")
            self.assertEqual(self.client.query("commit"), "E:23503 Z:I")
            self.assertEqual(self.client.query("insert into at_once values (1), (1)"), "E:23505 Z:I")
            self.assertEqual(self.client.query("begin; insert into at_once values (1), (1)"), "C:BEGIN E:23505 Z:E")
            self.client.query("rollback")
            self.client.query("begin; set constraints by_statement deferred; insert into at_once values (1), (1)")
            self.assertEqual(self.client.query("commit"), "E:23505 Z:I")
        self.client.query("insert into keyed values (9, 'parent')")
        self.assertEqual(self.client.query("begin; insert into child values (1, 9); delete from keyed; select 1 as n"),
                         "C:BEGIN C:INSERT 0 1 C:DELETE 1 T:n D:1 C:SELECT 1 Z:T")
        self.assertEqual(self.client.query("commit"), "E:23503 Z:I")

    def test_what_is_set_immediate_is_so_for_the_transaction_only(self):
        self.client.query("begin; set constraints of_parent immediate")
        self.assertEqual(self.client.query("insert into child values (1, 7)"), "E:23503 Z:E")
        self.client.query("rollback")
        self.client.query("begin")
        self.assertEqual(self.client.query("insert into child values (1, 7)"), "C:INSERT 0 1 Z:T")
        self.assertEqual(self.client.query("set constraints all immediate"), "E:23503 Z:E")
        self.assertEqual(self.client.query("commit"), "C:ROLLBACK Z:I")


@both
class Copy(Fresh):
    def test_in_and_out(self):
        data = copy_data("1,one\n") + copy_data("2,two\n") + copy_done()
        self.assertEqual(self.client.ask(query("copy keyed from stdin csv") + data), "G:2 C:COPY 2 Z:I")
        self.assertEqual(self.client.query("copy (select * from keyed order by 1) to stdout csv"),
                         "H:2 d:1,one\\n d:2,two\\n c C:COPY 2 Z:I")
        self.client.query("begin")
        self.client.ask(query("copy keyed from stdin csv") + copy_data("3,three\n") + copy_done())
        self.client.query("rollback")
        self.assertEqual(self.client.value("select count(*) from keyed"), "2")

    def test_one_that_fails_leaves_nothing_of_itself(self):
        self.client.query("insert into keyed values (1, 'one')")
        for data, code in ((copy_data("2,two\n") + copy_fail(), "57014"), (copy_data("1,again\n") + copy_done(), "23505"),
                           (copy_data("none,x\n") + copy_done(), "22P02")):
            self.assertEqual(self.client.ask(query("copy keyed from stdin csv") + data), f"G:2 E:{code} Z:I")
        self.assertEqual(self.client.rows("select * from keyed"), [["1", "one"]])

    def test_what_else_comes_while_it_copies_in(self):
        for begin in (query("copy keyed from stdin csv"), extended("copy keyed from stdin csv") + flush()):
            self.client.send(begin)
            self.assertTrue(self.client.take(3 if begin[:1] == b"P" else 1).endswith("G:2"))
            self.client.send(copy_data("1,one\n"), sync(), flush(), copy_data("2,two\n"), copy_done(), sync()[:0 if
                             begin[:1] == b"Q" else None])  # the server takes no notice of a Sync in it
            self.assertEqual(self.client.answers(), "C:COPY 2 Z:I")
            self.client.query("delete from keyed")
        other = self.connect()
        other.query("insert into keyed values (3, 'kept')")
        for wrong in (query("select 1"), extended("select 1") + sync()):
            gone = self.connect()
            gone.send(query("copy keyed from stdin csv") + copy_data("4,four\n"))
            self.assertEqual(gone.take(1), "G:2")
            gone.send(wrong)
            self.assertRegex(gone.answers(), "^E:08P01 (E:08P01 )?closed$")
            self.assertEqual(other.rows("select * from keyed"), [["3", "kept"]])


@both
class Cancel(Fresh):
    def test_ends_its_own_statement_only(self):
        other = self.connect()
        self.client.query("insert into keyed values (1, 'kept')")
        self.client.send(query("select pg_sleep(60)"))
        self.wait_processes("state = 'active' and query like '%pg_sleep(60)%'")
        other.cancel()  # its own: it runs nothing
        self.assertTrue(self.client.quiet())
        self.client.cancel()
        self.assertEqual(self.client.answers(), "T:pg_sleep E:57014 Z:I")
        for client in (other, self.client):
            self.assertEqual(client.rows("select * from keyed"), [["1", "kept"]])


class Native(Conversation):
    def setUp(self):
        self.database = self.enterContext(based_client.connect(self.servers.through_based))
        self.session = self.database.session(database="one")
        self.session.exec("sandbox reset")

    def tearDown(self):
        self.assertNotIn("LOST", self.log())
        self.assertEqual(self.server("select (select count(*) from keyed), (select count(*) from child)"), [["0", "0"]])

    def wrong(self, sql, parameters=None):
        with self.assertRaises(based_client.Error) as caught:
            self.session.exec(sql, parameters)
        return caught.exception.code

    def ids(self):
        return [row[0] for row in self.session.exec("select id from keyed order by id")]

    def test_errors(self):
        self.session.exec("insert into keyed values ($1, $2)", [1, "a"])
        self.assertEqual(self.wrong("insert into keyed values ($1, $2)", [1, "b"]), "23505")
        self.session.tx("begin")
        self.session.exec("insert into keyed values (2, 'x')")
        self.assertEqual((self.wrong("selct"), self.wrong("select 1")), ("42601", "25P02"))
        self.session.tx("rollback")
        self.assertEqual((self.ids(), self.session.state), ([1], ["idle", 0]))

    def test_ends_as_text(self):
        self.session.exec("begin; insert into keyed values (1, 'a'); commit; insert into keyed values (2, 'b')")
        for number, text in enumerate(("/* x */ cOmMiT", "END", "commit and chain"), 3):
            self.session.exec("begin")
            self.session.exec(f"insert into keyed values ({number}, 'x')")
            self.session.exec(text)
        self.session.exec("rollback")
        self.assertEqual(self.ids(), [1, 2, 3, 4, 5])
        self.assertIn(self.wrong("prepare transaction 'kept'"), ("0A000", "25P01"))
        self.assertEqual(self.ids(), [1, 2, 3, 4, 5])

    def test_deferred_constraints(self):
        for _ in range(2):
            self.session.tx("begin")
            self.session.exec("insert into child values (1, 7)")
            with self.assertRaises(based_client.Error) as caught:
                self.session.tx("commit")
            self.assertEqual(caught.exception.code, "23503")
            if self.session.state[0] != "idle":
                self.session.tx("rollback_all")
            with self.session.transaction():
                self.session.exec("insert into child values (1, 7)")
                self.session.exec("insert into keyed values (7, 'late')")
            self.assertEqual(list(self.session.exec("select count(*) from told")), [[1]])
            self.session.exec("delete from child; delete from keyed; delete from told")
        self.assertEqual(self.wrong("insert into child values (1, 7)"), "23503")

    def test_a_text_is_there_again_behind_whatever_ends(self):
        asked = "select $1::int + 1"
        for end in ("commit", "rollback", "sandbox reset", "discard all"):
            if end in ("commit", "rollback"):
                self.session.exec("begin")
            for number in range(3):  # from the second time on it is prepared
                self.assertEqual([list(row) for row in self.session.exec(asked, [number]).rows], [[number + 1]])
            self.session.exec(end)
        self.assertEqual(self.wrong(asked, ["none"]), "22P02")
        self.assertEqual([list(row) for row in self.session.exec(asked, [7]).rows], [[8]])

    def test_every_spelling_of_an_end(self):
        for text, kept, state in (("-- x\nend transaction ;", 1, "idle"), ("Commit Work", 1, "idle"), ("ABORT", 0, "idle"),
                                  ("end and /**/ chain", 1, "open"), ("commit and no chain", 1, "idle"),
                                  ("rollback and chain", 0, "open"), ("/* x */ rollBack work", 0, "idle")):
            with self.subTest(text):
                self.session.exec("delete from keyed")
                self.session.exec("begin; insert into keyed values (1, 'x')")
                self.session.exec(text)
                self.assertEqual(self.session.state[0], state)
                if state == "open":
                    self.session.exec("rollback")
                self.assertEqual(len(self.ids()), kept)
        self.session.exec("begin; insert into keyed values (2, 'x')")
        self.assertEqual(self.wrong("selct"), "42601")
        self.assertEqual(self.wrong("commit"), "40000")  # here it is an error that it has rolled back
        self.assertEqual((self.session.state, self.ids()), (["idle", 0], []))

    def test_copy_is_refused_and_harms_nothing(self):
        self.session.exec("insert into keyed values (1, 'kept')")
        for text in ("copy keyed from stdin", "copy keyed to stdout", "copy (select 1) to stdout"):
            self.assertEqual(self.wrong(text), "0A000")
        self.session.exec("begin; insert into keyed values (2, 'too')")
        self.assertEqual(self.wrong("copy keyed from stdin"), "0A000")
        self.session.exec("rollback")
        self.assertEqual(self.ids(), [1])

    def test_a_cancel_ends_its_own_request_only(self):
        other = self.database.session(database="one")
        self.session.exec("insert into keyed values (1, 'kept')")
        slow = self.session.start(based_client.EXEC, "select pg_sleep(60)", None, {})
        self.wait_processes("state = 'active' and query like '%pg_sleep(60)%'")
        slow.cancel().wait()
        with self.assertRaises(based_client.Error) as caught:
            slow.wait()
        self.assertEqual(caught.exception.code, "57014")
        self.assertEqual(list(other.exec("select id from keyed")), [[1]])


if __name__ == "__main__":
    unittest.main()
