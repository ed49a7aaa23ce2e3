"""What a group's transactions on PostgreSQL leave to each other: the same in a sandbox as outside of one."""

import pathlib
import sys
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "support"), str(pathlib.Path(__file__).resolve().parent)]

import test_joins
from pg_client import copy_data, copy_done, copy_fail, describe, extended, function_call, parse, query, sync


def setUpModule():
    test_joins.setUpModule()
    test_joins.cluster.query("create table parts (thing int constraint one references things deferrable initially deferred)")


def tearDownModule():
    test_joins.tearDownModule()


class Parts:
    """What has joined is a part of the outermost transaction, and ends with that."""

    def url(self):
        test_joins.cluster.query("truncate parts, things")
        return f"postgresql://postgres@127.0.0.1:{test_joins.cluster.port}/postgres"

    def commit(self, client, *texts):
        self.tx(client, "begin")
        for text in texts:
            self.run_in(client, text)
        self.tx(client, "commit")

    def heard(self, listener, last):
        """What has come before that payload."""
        self.wire().query(f"notify news, '{last}'")
        heard = []
        while not heard or heard[-1] != last:
            letter, body = listener.message()
            if letter == "A":
                heard.append(body[4:].split(b"\0")[1].decode())
        return heard[:-1]

    def test_its_commit_leaves_cursors_open(self):
        for owner, member, _ in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "declare c cursor for select generate_series(1, 9)")
            self.assertEqual(self.rows(owner, "fetch 1 from c"), [["1"]])
            self.commit(member, "insert into things values (1)", "declare d cursor for select 7")
            self.run_in(member, "insert into things values (2)")
            self.assertEqual(self.rows(owner, "fetch 1 from c"), [["2"]])
            self.assertEqual(self.rows(owner, "fetch 1 from d"), [["7"]])
            self.tx(owner, "rollback")
            self.assertEqual(self.rows(owner, "select count(*) from pg_cursors where name in ('c', 'd')"), [["0"]])

    def test_the_outermosts_commit_closes_them(self):
        for owner, member, _ in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "select 1")
            self.commit(member, "declare c cursor for select 7")
            self.tx(owner, "commit")
            self.assertEqual(self.failure(owner, "fetch 1 from c")[0], "34000")

    def test_what_is_deferred_is_checked_by_the_outermost(self):
        for owner, member, _ in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "insert into parts values (7)")
            self.run_in(member, "insert into parts values (8)")
            self.commit(member, "insert into parts values (9)")
            self.assertEqual(self.rows(owner, "select count(*) from parts"), [["3"]])
            self.assertEqual(self.end_fails(owner), "23503")
            self.assertEqual(self.rows(member, "select count(*) from parts"), [["0"]])
            self.tx(owner, "begin")
            self.run_in(owner, "insert into parts values (7)")
            self.commit(member, "insert into things values (7)")
            self.tx(owner, "commit")
            self.run_in(owner, "delete from parts")
            self.run_in(owner, "delete from things")

    def end_fails(self, client):
        with self.assertRaises(Exception) as failed:
            self.tx(client, "commit")
        return getattr(failed.exception, "code", None) or str(failed.exception)[:5]

    def test_what_it_notifies_is_heard_when_the_outermost_commits(self):
        listener = self.wire()
        listener.query("listen news")
        for owner, member, _ in self.pairs():
            for end in ("rollback", "commit"):
                self.tx(owner, "begin")
                self.run_in(owner, "select pg_notify('news', 'first')")
                self.run_in(member, "select pg_notify('news', 'alone')")
                self.commit(member, "select pg_notify('news', 'second')", "select pg_notify('news', 'alone')")
                self.run_in(owner, "savepoint s")
                self.commit(member, "select pg_notify('news', 'undone')")
                self.run_in(owner, "rollback to savepoint s")
                self.run_in(owner, "release savepoint s")
                self.tx(member, "begin")
                self.run_in(member, "select pg_notify('news', 'rolled back')")
                self.tx(member, "rollback")
                self.run_in(owner, "select pg_notify('news', 'last')")
                self.tx(owner, end)
                told = [] if end == "rollback" else ["first", "alone", "second", "last"]
                self.assertEqual(self.heard(listener, f"after {end}"), told)

    def test_what_one_that_goes_has_notified_is_not_heard(self):
        listener = self.wire()
        listener.query("listen news")
        for owner, member, _ in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "select 1")
            self.commit(member, "select pg_notify('news', 'gone')")
            owner.close()
            self.run_in(member, "select 1")
            self.assertEqual(self.heard(listener, "after"), [])

    def test_what_ends_with_the_transaction_ends_with_the_outermost(self):
        for owner, member, _ in self.pairs():
            for end, there in (("commit", [["1"]]), ("rollback", [["0"]])):
                self.tx(owner, "begin")
                self.run_in(owner, "select 1")
                self.commit(member, "create temp table brief (n int) on commit drop", "insert into brief values (1)",
                            "create temp table cleared (n int) on commit delete rows", "insert into cleared values (1)")
                self.assertEqual(self.rows(owner, "select count(*) from brief, cleared"), [["1"]])
                self.tx(owner, end)
                self.assertEqual(self.failure(owner, "select * from brief")[0], "42P01")
                self.assertEqual(self.rows(owner, "select count(*) from pg_class where relname = 'cleared'"), there)
                self.assertEqual(self.rows(owner, "select count(*) from pg_class where relname = 'brief'"), [["0"]])
                if end == "commit":
                    self.assertEqual(self.rows(member, "select count(*) from cleared"), [["0"]])
                    self.run_in(owner, "drop table cleared")

    def test_inside_of_three(self):
        listener = self.wire()
        listener.query("listen news")
        owner, token = self.shared()
        native, member = self.native(join=token), self.wire(join=token)
        owner.query("begin; declare c cursor for select 1; notify news, 'outer'")
        native.tx("begin")
        native.exec("select pg_notify('news', 'middle')")
        self.commit(member, "notify news, 'inner'", "insert into parts values (4)")
        native.tx("commit")
        self.assertEqual(owner.rows("fetch 1 from c"), [["1"]])
        self.assertEqual(owner.query("insert into things values (4); commit"), "C:INSERT 0 1 C:COMMIT Z:I")
        self.assertEqual(self.heard(listener, "after"), ["outer", "middle", "inner"])

    def test_what_runs_outside_of_a_transaction_only_is_refused(self):
        for owner, member, _ in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "insert into things values (1)")
            for text in ("create index concurrently on things (id)", "vacuum things", "discard all", "reindex table concurrently things"):
                with self.subTest(text):
                    self.assertEqual(self.failure(member, text)[0], "25001")
            self.assertEqual(self.ids(owner), [1])
            self.tx(owner, "rollback")

    def test_its_modes_are_those_of_the_outermost(self):
        for owner, member, _ in self.pairs():
            self.run_in(owner, "set default_transaction_isolation = 'repeatable read'")
            self.run_in(member, "set default_transaction_read_only = on")
            self.run_in(member, "set default_transaction_isolation = 'serializable'")
            self.tx(owner, "begin")
            self.run_in(owner, "insert into things values (1)")
            self.run_in(member, "insert into things values (2)")
            self.tx(member, "begin")
            self.run_in(member, "insert into things values (3)")
            self.assertEqual(self.rows(member, "show transaction_isolation"), [["repeatable read"]])
            self.assertEqual(self.rows(member, "show transaction_read_only"), [["off"]])
            self.assertEqual(self.failure(member, "set transaction isolation level serializable")[0], "25001")
            self.tx(member, "rollback")
            self.tx(owner, "rollback")
            self.assertEqual(self.failure(member, "insert into things values (2)")[0], "25006")

    def test_an_outermost_that_is_read_only_has_nothing_written(self):
        for owner, member, _ in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "set transaction read only")
            self.run_in(owner, "select 1")
            self.assertEqual(self.failure(member, "insert into things values (2)")[0], "25006")
            self.tx(member, "begin")
            self.assertEqual(self.failure(member, "set transaction read write")[0], "25001")
            self.tx(member, "rollback")
            self.tx(member, "begin")
            self.assertEqual(self.failure(member, "insert into things values (2)")[0], "25006")
            self.tx(member, "rollback")
            for begin in ("begin read write", "start transaction read write"):
                self.run_in(member, begin)
                self.assertEqual(self.rows(member, "show transaction_read_only"), [["on"]])
                self.assertEqual(self.failure(member, "insert into things values (2)")[0], "25006")
                self.tx(member, "rollback")
            self.tx(owner, "rollback")

    def test_a_session_for_reading_writes_nothing_there(self):
        owner, token = self.shared()
        member = self.native(join=token, read_only=True)
        owner.query("begin; insert into things values (1)")
        self.assertEqual(self.failure(member, "insert into things values (2)")[0], "25006")
        member.tx("begin")
        self.assertEqual(self.failure(member, "insert into things values (2)")[0], "25006")
        member.tx("rollback")
        self.assertEqual(self.ids(member), [1])
        self.assertEqual(owner.query("insert into things values (2); rollback"), "C:INSERT 0 1 C:ROLLBACK Z:I")

    def test_what_is_read_only_in_it_ends_with_it(self):
        for owner, member, _ in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "select 1")
            self.tx(member, "begin")
            self.run_in(member, "set transaction read only")
            self.assertEqual(self.failure(member, "insert into things values (2)")[0], "25006")
            self.tx(member, "rollback")
            self.commit(member, "set transaction read only", "select 1")
            self.run_in(member, "insert into things values (3)")
            self.run_in(owner, "insert into things values (4)")
            self.tx(owner, "rollback")

    def test_what_a_function_sets_is_its_own(self):
        for owner, member, _ in self.pairs():
            for local, value in (("false", "mine"), ("true", None)):
                self.run_in(owner, f"select set_config('my.own', 'mine', {local}), set_config('work_mem', '7MB', {local})")
                ask = "select coalesce(current_setting('my.own', true), ''), current_setting('work_mem')"
                self.assertEqual(self.rows(member, ask), [["", "4MB"]])
                self.assertEqual(self.rows(owner, ask), [["mine", "7MB"]] if value else [["", "4MB"]])
                self.run_in(owner, "reset all")

    def test_constraints_are_set_by_a_transaction_only(self):
        for owner, member, _ in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "insert into parts values (7)")
            self.run_in(member, "set constraints all immediate")  # by itself: nothing
            self.run_in(owner, "insert into parts values (8)")
            self.tx(member, "begin")
            self.assertEqual(self.failure(member, "set constraints all immediate")[0], "23503")
            self.tx(member, "rollback")
            self.run_in(owner, "insert into things values (7), (8)")
            self.commit(member, "set constraints all immediate")
            self.assertEqual(self.failure(member, "insert into parts values (9)")[0], "23503")
            self.tx(owner, "rollback")
        self.assertEqual(self.tag(member, "set constraints all immediate"), "SET CONSTRAINTS")

    def tag(self, client, sql):
        return client.query(sql).split("C:")[1].removesuffix(" Z:I") if hasattr(client, "query") else client.exec(sql).tag

    def test_the_tag_of_what_does_nothing_is_its_own(self):
        for owner, member, _ in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "select 1")
            for text, tag in (("set constraints all immediate", "SET CONSTRAINTS"), ("set transaction read only", "SET"),
                              ("set local work_mem = '5MB'", "SET")):
                self.assertIn(tag, self.tag(member, text))
            self.assertEqual(self.failure(member, "set local work_mem = 'much'")[0], "22023")
            self.assertEqual(self.rows(owner, "show work_mem"), [["4MB"]])
            self.tx(owner, "rollback")

    def test_copy_data_behind_a_failed_transaction_hold_up_nobody(self):
        self.daemon(self.TABLE.replace("400ms", "20s"))
        owner, token = self.shared()
        owner.query("begin")
        for data in (copy_done(), copy_fail("no"), copy_data("1\n") + copy_done()):
            member = self.wire(join=token)
            told = member.ask(query("begin"), parse("", "select nosuch"), sync(), query("copy things from stdin"), data, sync(),
                              seconds=4)
            self.assertEqual(told, "C:BEGIN Z:T E:42703 Z:E E:25P02 Z:E Z:E")
            self.assertEqual(member.query("rollback"), "C:ROLLBACK Z:I")

    def test_who_has_failed_is_answered_inside_of_the_others_transaction(self):
        owner, token = self.shared()
        owner.query("begin")
        member = self.wire(join=token)
        for messages, told in (((describe("S", "nosuch"), sync()), "E:26000 Z:E"),
                               ((describe("S", "nosuch"), query("copy things from stdin"), copy_done(), sync()), "E:26000 Z:E"),
                               ((function_call(1397, [b"-7"]),), "E:25P02 Z:E"),
                               ((query("rollback; insert into things values (1)"),), "C:ROLLBACK C:INSERT 0 1 Z:I"),
                               ((query("rollback and chain"),), "C:ROLLBACK Z:T")):
            member.query("begin; select nosuch")
            self.assertEqual(member.ask(*messages, ready=1), told)
            member.query("rollback")
        owner.query("commit")
        self.assertEqual(self.ids(member), [1])

    def test_listen_is_refused(self):
        owner, token = self.shared()
        for client in (owner, self.wire(join=token)):
            self.assertEqual(client.query("listen news"), "E:0A000 Z:I")
            skipped = client.ask(parse("", "select nosuch"), query("listen news"), sync(), query("listen news"), ready=2)
            self.assertEqual(skipped, "E:42703 Z:I E:0A000 Z:I")
            self.assertEqual(client.ask(extended("select 1"), query("listen news"), sync(), query("unlisten news")),
                             "1 2 D:1 C:SELECT 1 E:0A000 Z:I Z:I C:UNLISTEN Z:I")


class InASandbox(Parts, test_joins.Sharing):
    pass


class Outside(Parts, test_joins.Sharing):
    TABLE = test_joins.Sharing.OUTSIDE

    def test_who_has_lost_its_own_is_answered_inside_of_anothers(self):
        owner, token = self.shared()
        member = self.wire(join=token)
        member.query("begin read only")
        backend = member.value("select pg_backend_pid()")
        test_joins.cluster.query(f"select pg_terminate_backend({backend}, 10000)")
        self.assertEqual(member.query("select 1"), "E:57P01 Z:E")
        owner.query("begin; insert into things values (1)")
        self.assertEqual(member.ask(describe("S", "nosuch"), sync()), "E:26000 Z:E")
        self.assertEqual(member.query("rollback and chain"), "C:ROLLBACK Z:T")
        self.assertEqual(member.query("insert into things values (2)"), "C:INSERT 0 1 Z:T")
        self.assertEqual(member.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(owner.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(self.ids(member), [1, 2])


if __name__ == "__main__":
    unittest.main()
