"""Who waits for a turn in a sandbox: in which order, for how long, and what is said of who has it."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import based_client
from based_client import EXEC
from pg_client import PgClient, bind, close, copy_data, copy_done, describe, execute, extended, flush, parse, query, sync
from servers import Daemon, PostgresCluster, temporary_folder, wait_until

cluster = None


def setUpModule():
    global cluster
    cluster = PostgresCluster()
    cluster.query("create table things (id int primary key, note text)")


def tearDownModule():
    cluster.close()


class Turns(unittest.TestCase):
    """A daemon with a sandbox of each backend: pg and lite."""

    def daemon(self, table="", server=""):
        folder = temporary_folder()
        url = f"postgresql://postgres@127.0.0.1:{cluster.port}/postgres"
        running = Daemon(config=f'[server]\n{server}\n[databases.pg]\nurl = "{url}"\nforce_rollback = true\n{table}\n'
                                f'[databases.lite]\nurl = "sqlite:///{folder}/lite.db"\nforce_rollback = true\n'
                                'timeout = "400ms"\n')
        self.addCleanup(self.end, running)
        self.running = running
        self.address = f"127.0.0.1:{running.port}"
        native = self.native("lite")
        native.exec("create table things (id integer primary key, note text)")
        return running

    def end(self, running):
        running.close()
        self.assertEqual(cluster.query("select count(*) from things"), [["0"]])

    def wire(self, database="pg", **parameters):
        client = PgClient(self.address, database=database, **parameters)
        self.addCleanup(client.close)
        return client

    def native(self, database="pg", **options):
        connection = self.enterContext(based_client.connect(self.address))
        return connection.session(database=database, **options)

    def refusal(self, session, sql):
        with self.assertRaises(based_client.Error) as refused:
            session.exec(sql)
        return refused.exception


class WhoWaited(Turns):
    def test_a_client_hears_who_has_the_turn_and_what_it_ran_last(self):
        self.daemon('timeout = "400ms"')
        for database in ("pg", "lite"):
            with self.subTest(database):
                holder = self.wire(database, application_name="the importer")
                holder.query("begin")
                holder.query("insert into things values (1, 'first')")
                session = self.native(database)
                impatient = self.native(database)
                said = self.wire(database).error(query("select 1"))
                told = self.refusal(impatient, "select 1")
                self.assertEqual((said["C"], told.code, told.executed, told.retry), ("55P03", "55P03", "no", True))
                for detail in (said["D"], told.detail):
                    self.assertRegex(detail, r"held by session \d+.*127\.0\.0\.1:\d+.*idle for \d+.*insert into things")
                    if database == "pg":
                        self.assertIn("(the importer) of postgres at", detail)
                self.assertIn("turns", said["H"])
                self.assertEqual(said["H"], told.hint)
                holder.query("rollback")
                self.assertEqual(list(impatient.exec("select count(*) from things").rows), [[0]])

                session = self.native(database, label="the report")
                session.tx("begin")
                session.exec("select 42")
                said = self.wire(database).error(extended("select 1"), sync())
                self.assertRegex(said["D"], r"the report.*127\.0\.0\.1:\d+.*select 42")
                session.tx("rollback")

    def test_each_in_the_order_of_its_arrival(self):
        self.daemon()
        first = self.wire()
        first.query("begin; create temp sequence numbers; insert into things values (0, '')")
        waiting = lambda count: wait_until(lambda: self.waiting() == count, f"{count} that wait")
        self.watched = self.enterContext(based_client.connect(self.address))
        insert = "insert into things values (%s, nextval('numbers')::text)"
        wires, natives = [self.wire() for _ in range(3)], [self.native() for _ in range(3)]
        for client in natives:
            client.opened.wait()
        began = []
        for number in range(3):
            wires[number].send(query(insert % (number * 2 + 1)))
            waiting(number * 2 + 1)
            began.append(natives[number].start(EXEC, insert % (number * 2 + 2)))
            waiting(number * 2 + 2)
        first.query("commit")
        self.assertEqual([client.answers() for client in wires], ["C:INSERT 0 1 Z:I"] * 3)
        for request in began:
            request.wait()
        self.assertEqual(first.rows("select string_agg(note, ' ' order by id) from things where id > 0"), [["1 2 3 4 5 6"]])

    def waiting(self):
        return self.watched.status()["databases"][0]["sandboxes"][0]["waiting"]

    def test_two_sandboxes_that_two_clients_hold_crosswise(self):
        self.daemon(server="max_sandboxes = 4")
        for database in ("pg", "lite"):
            with self.subTest(database):
                alice, bob = (self.enterContext(based_client.connect(self.address)) for _ in range(2))
                mine, others = (client.session(database=f"{database}#{name}")
                                for client, name in ((alice, "w1"), (bob, "w2")))
                for session in (mine, others):
                    session.tx("begin")
                    session.exec("select 1")
                crossed = alice.session(database=f"{database}#w2").start(EXEC, "select 7")
                alice.ping()
                refused = self.refusal(bob.session(database=f"{database}#w1"), "select 1")
                self.assertEqual((refused.code, refused.retry), ("40P01", True))
                for name in ("w1", "w2"):
                    self.assertIn(f"{database}#{name}", refused.detail)
                self.assertTrue(re.search("2 clients wait for each other", refused.message))
                others.tx("rollback")
                self.assertEqual(list(crossed.wait().rows), [[7]])
                mine.tx("rollback")


class Abandoned(Turns):
    def test_a_client_that_goes_takes_only_its_own_with_it(self):
        self.daemon()
        one = self.wire()
        one.query("insert into things values (1, 'kept')")  # the root is young: nobody has asked it for its writes yet
        two = self.wire()
        two.query("begin; insert into things values (2, 'gone')")
        two.close()
        self.assertEqual(one.rows("select id from things"), [["1"]])


class Failed(Turns):
    """A transaction that has failed, and has no savepoint to go back to, holds nobody up."""

    COUNT = "select count(*) from things"
    ABORTED = "E:25P02 Z:E"

    def go_wrong(self, client):
        client.query("begin; insert into things values (1, 'gone')")
        self.assertEqual(client.query("select 1/0"), "E:22012 Z:E")

    def test_others_have_the_turn_at_once_and_the_client_sees_a_failed_transaction(self):
        self.daemon('timeout = "400ms"')
        failed, other = self.wire(), self.wire()
        for text, answer in (("rollback", "C:ROLLBACK Z:I"), ("commit", "C:ROLLBACK Z:I"), ("end", "C:ROLLBACK Z:I")):
            with self.subTest(text):
                self.go_wrong(failed)
                self.assertEqual(other.value(self.COUNT), "0")
                self.assertEqual(failed.query(self.COUNT), self.ABORTED)
                self.assertEqual(failed.query("begin"), self.ABORTED)
                self.assertEqual(failed.ask(extended("select 2"), sync()), self.ABORTED)
                self.assertEqual(failed.ask(extended(self.COUNT), extended("select 2"), sync(), sync()), self.ABORTED + " Z:E")
                self.assertEqual(failed.query("rollback to nowhere"), "E:3B001 Z:E")
                other.query("begin; insert into things values (2, '')")
                self.assertEqual(failed.query(text), answer)  # it needs no turn
                other.query("rollback")
                self.assertEqual(failed.query("begin; insert into things values (3, ''); rollback"),
                                 "C:BEGIN C:INSERT 0 1 C:ROLLBACK Z:I")

    def test_its_end_in_the_extended_protocol(self):
        self.daemon('timeout = "400ms"')
        failed, other = self.wire(), self.wire()
        failed.ask(parse("r", "rollback"), sync())
        ends = ((extended("rollback", describing=True), "1 2 n C:ROLLBACK Z:I"), (bind("", "r") + execute(), "2 C:ROLLBACK Z:I"),
                (parse("n", "commit") + describe("S", "n") + bind("p", "n") + execute("p") + close("P", "p"),
                 "1 t: n 2 C:ROLLBACK 3 Z:I"))
        for messages, answer in ends:
            self.go_wrong(failed)
            other.query("begin; insert into things values (2, '')")
            self.assertEqual(failed.ask(messages, sync()), answer)
            other.query("rollback")
            self.assertEqual(failed.value(self.COUNT), "0")
        self.assertEqual(failed.ask(bind("", "n"), execute(), sync()), "2 N:25P01 C:COMMIT Z:I")

    def test_what_comes_behind_its_end_in_the_same_unit(self):
        self.daemon('timeout = "400ms"')
        failed, other = self.wire(), self.wire()
        failed.ask(parse("r", "rollback"), parse("i", "insert into things values (7, '')"), sync())
        end, keeps = bind("", "r") + execute(), "2 C:ROLLBACK"
        insert = bind("", "i") + execute()
        for messages, answer, left in (
                (end + extended("select 1") + sync(), f"{keeps} 1 2 D:1 C:SELECT 1 Z:I", "0"),
                (extended("rollback") + insert + sync(), f"1 {keeps} 2 C:INSERT 0 1 Z:I", "1"),
                (end + describe("S", "i") + insert + sync(), f"{keeps} t: n 2 C:INSERT 0 1 Z:I", "1"),
                (end + insert + extended("select 1/0") + insert + sync(), f"{keeps} 2 C:INSERT 0 1 1 E:22012 Z:I", "0"),
                (end + extended("begin") + insert + sync() + query("rollback"),
                 f"{keeps} 1 2 C:BEGIN 2 C:INSERT 0 1 Z:T C:ROLLBACK Z:I", "0"),
                (end + extended("begin") + sync() + query("rollback"), f"{keeps} 1 2 C:BEGIN Z:T C:ROLLBACK Z:I", "0"),
                (end + execute() + insert + sync(), f"{keeps} N:25P01 C:ROLLBACK 2 C:INSERT 0 1 Z:I", "1"),
                (end + execute("nosuch") + insert + sync(), f"{keeps} E:34000 Z:I", "0"),
                (end + query("select 2") + insert + sync(), f"{keeps} T:?column? D:2 C:SELECT 1 Z:I 2 C:INSERT 0 1 Z:I", "1"),
                (end + close("S", "nosuch") + insert + sync(), f"{keeps} 3 2 C:INSERT 0 1 Z:I", "1")):
            for of_two in (False, True):
                with self.subTest(answer=answer, of_two=of_two):
                    self.go_wrong(failed)
                    if of_two:  # its messages come one by one
                        failed.send(messages[:len(end)])
                    self.assertEqual(failed.ask(messages[len(end) * of_two:], ready=answer.count("Z:")), answer)
                    self.assertEqual(other.value("select count(*) from things where id = 7"), left)
                    other.query("delete from things where id = 7")

    def test_what_comes_behind_its_end_waits_for_its_turn(self):
        self.daemon('timeout = "400ms"')
        failed, other = self.wire(), self.wire()
        self.go_wrong(failed)
        other.query("begin; insert into things values (2, '')")
        self.assertEqual(failed.ask(extended("rollback"), extended("select 1"), extended("select 2"), sync()),
                         "1 2 C:ROLLBACK E:55P03 Z:I")
        failed.send(extended("begin"), extended("select 1/0"), sync(), extended("rollback"), extended("select 1"), sync())
        other.query("rollback")
        self.assertEqual(failed.answers(2), "1 2 C:BEGIN 1 E:22012 Z:E 1 2 C:ROLLBACK 1 2 D:1 C:SELECT 1 Z:I")

    def test_an_empty_text_is_no_statement_to_refuse(self):
        self.daemon('timeout = "400ms"')
        failed, other = self.wire(), self.wire()
        for texts in (["begin"], ["begin", "insert into things values (2, '')"]):
            self.go_wrong(failed)
            for text in texts:
                other.query(text)
            for empty in ("", ";", " ; ;", "-- nothing", "/* nor */ ;"):
                self.assertEqual(failed.query(empty), "I Z:E")
                self.assertEqual(failed.ask(parse("", empty), sync()), "1 Z:E")
                self.assertEqual(failed.ask(extended(empty), sync()), "1 " + self.ABORTED)
                self.assertEqual(failed.ask(parse("", empty, [25]), describe("S"), sync()), "1 t:25 n Z:E")
            self.assertEqual(failed.ask(query(""), query("select 1"), query(""), query("commit")),
                             f"I Z:E {self.ABORTED} I Z:E C:ROLLBACK Z:I")
            other.query("rollback")

    def test_what_stands_behind_the_end_waits_for_its_turn(self):
        self.daemon('timeout = "400ms"')
        failed, other = self.wire(), self.wire()
        self.go_wrong(failed)
        self.assertEqual(failed.query("rollback; " + self.COUNT), "C:ROLLBACK T:count D:0 C:SELECT 1 Z:I")
        self.go_wrong(failed)
        self.assertEqual(failed.query("rollback and chain"), "C:ROLLBACK Z:T")
        self.assertEqual(other.error(query("select 1"))["C"], "55P03")
        self.assertEqual(failed.query("commit"), "C:COMMIT Z:I")
        self.go_wrong(failed)
        failed.close()
        self.assertEqual(other.value(self.COUNT), "0")

    def test_settings_are_as_they_were(self):
        self.daemon()
        client = self.wire()
        client.query("set work_mem = '7MB'")
        client.query("begin; set work_mem = '8MB'; create table gone (n int)")
        self.assertEqual(client.query("select 1/0"), "E:22012 Z:E")
        client.query("rollback")
        self.assertEqual(client.value("show work_mem"), "7MB")

    def test_one_with_a_savepoint_keeps_its_turn(self):
        self.daemon('timeout = "400ms"')
        client, other = self.wire(), self.wire()
        client.query("begin; insert into things values (1, ''); savepoint s")
        self.assertEqual(client.query("select 1/0"), "E:22012 Z:E")
        self.assertEqual(other.error(query("select 1"))["C"], "55P03")
        self.assertEqual(client.query("rollback to s"), "C:ROLLBACK Z:T")
        self.assertEqual(client.value(self.COUNT), "1")
        client.query("rollback")

    def test_a_native_session(self):
        self.daemon()
        failed, other = self.native(), self.native(queue_timeout_ms=400)
        for end in ("rollback", "commit"):
            failed.tx("begin")
            failed.exec("insert into things values (1, '')")
            self.assertEqual(self.refusal(failed, "select 1/0").code, "22012")
            self.assertEqual(failed.state, ["failed", 1])
            other.tx("begin")
            self.assertEqual(list(other.exec(self.COUNT)), [[0]])
            self.assertEqual(self.refusal(failed, "select 1").code, "25P02")
            if end == "rollback":
                failed.tx(end)
            else:
                with self.assertRaises(based_client.Error) as refused:
                    failed.tx(end)
                self.assertEqual(refused.exception.code, "40000")
            self.assertEqual(failed.state, ["idle", 0])
            other.tx("rollback")
            self.assertEqual(list(failed.exec(self.COUNT)), [[0]])
        failed.tx("begin")
        failed.exec("insert into things values (1, '')")
        failed.tx("begin")
        self.assertEqual(self.refusal(failed, "select 1/0").code, "22012")
        self.assertEqual(self.refusal(other, "select 1").code, "55P03")  # the outer level is sound
        failed.tx("rollback")
        self.assertEqual(list(failed.exec(self.COUNT)), [[1]])
        failed.tx("rollback")


class Rewritten(Turns):
    """What PostgreSQL takes outside of a transaction only."""

    TEXTS = (("create index concurrently i on things (note)", "CREATE INDEX"),
             ("reindex index concurrently i", "REINDEX"), ("reindex (concurrently) table things", "REINDEX"),
             ("drop index concurrently i", "DROP INDEX"), ("vacuum analyze things", "VACUUM"),
             ("vacuum (analyze, verbose false) things (id)", "VACUUM"), ("vacuum", "VACUUM"), ("vacuum full things", "VACUUM"),
             ("create materialized view v as select id from things", "SELECT 0"),
             ("create unique index on v (id)", "CREATE INDEX"),
             ("refresh materialized view concurrently v", "REFRESH MATERIALIZED VIEW"))
    NEVER = ("create database d", "drop database d", "alter system set work_mem = '9MB'", "cluster",
             "reindex database postgres", "reindex schema concurrently public", "drop tablespace s")

    def test_it_runs_in_a_form_that_the_root_can_hold(self):
        self.daemon()
        for name, ask in (("simple", lambda client, text: client.query(text)),
                          ("extended", lambda client, text: client.ask(extended(text), sync())),
                          ("prepared", lambda client, text: client.ask(parse("p", text), describe("S", "p"), bind("", "p"),
                                                                       execute(), close("S", "p"), sync()))):
            client = self.wire()
            for text, tag in self.TEXTS:
                with self.subTest(text, way=name):
                    answer = ask(client, text)
                    self.assertIn(f"C:{tag} ", answer)
                    self.assertEqual("N:01000" in answer, text in ("vacuum", "vacuum full things"))
                    self.assertTrue(answer.endswith("Z:I"))
            for text in self.NEVER if name != "prepared" else ():
                with self.subTest(text, way=name):
                    self.assertRegex(ask(client, text), "E:25001 Z:I$")
            client.query("sandbox reset")
        native = self.native()
        for text, tag in self.TEXTS:
            with self.subTest(text, way="native"):
                self.assertEqual(native.exec(text).tag, tag.split(" 0")[0])
        for text in self.NEVER:
            self.assertEqual(self.refusal(native, text).code, "25001")

    def test_it_does_what_it_says(self):
        self.daemon()
        client = self.wire()
        client.query("insert into things select n, n::text from generate_series(1, 100) n")
        analyzed = "select count(*) from pg_stats where tablename = 'things'"
        self.assertEqual(client.value(analyzed), "0")
        client.query("/* first */ vacuum (analyze) things")
        self.assertEqual(client.value(analyzed), "2")
        client.query("create unique index concurrently i on things (note)")
        self.assertEqual(client.value("select to_regclass('i')"), "i")
        self.assertEqual(client.error(query("insert into things values (200, '1')"))["C"], "23505")
        wrong = client.error(query("/* first */ create index concurrently j on things (nothing)"))
        self.assertEqual(wrong["C"], "42703")
        self.assertEqual(client.query("vacuum"), "N:01000 C:VACUUM Z:I")
        self.assertEqual(client.notices[-1]["M"], "VACUUM does nothing in a sandbox")
        syntax = client.error(query("\n  create index concurrently j onn things (id)"))
        self.assertEqual((syntax["C"], syntax["P"]), ("42601", "32"))

    def test_in_a_transaction_it_fails_as_it_does_everywhere(self):
        self.daemon()
        client = self.wire()
        for text, name in (("vacuum things", "VACUUM"), ("create index concurrently i on things (id)", "CREATE INDEX CONCURRENTLY")):
            message = f"{name} cannot run inside a transaction block"
            client.query("begin")
            self.assertEqual(client.error(query(text))["M"], message)
            client.query("rollback")
            self.assertEqual(client.error(query("select 1; " + text))["M"], message)
        native = self.native()
        native.tx("begin")
        wrong = self.refusal(native, "vacuum things")
        self.assertEqual((wrong.code, wrong.message), ("25001", "VACUUM cannot run inside a transaction block"))
        native.tx("rollback")

    def test_copy_loses_freeze(self):
        self.daemon()
        client = self.wire()
        data = copy_data("1\tone\n") + copy_done()
        client.send(query("copy things from stdin (freeze)"))
        self.assertEqual(client.take(1), "G:2")
        client.send(data)
        self.assertEqual(client.answers(), "C:COPY 1 Z:I")
        client.query("delete from things")
        client.send(extended("copy things from stdin with (format text, freeze)"), flush())
        self.assertEqual(client.take(3), "1 2 G:2")
        client.send(data, sync())
        self.assertEqual(client.answers(), "C:COPY 1 Z:I")

    def test_off(self):
        self.daemon("rewrite = false")
        client, native = self.wire(), self.native()
        for text in ("vacuum", "create index concurrently i on things (id)"):
            wrong = client.error(query(text))
            self.assertEqual((wrong["C"], self.refusal(native, text).code), ("25001", "25001"))
            self.assertIn("cannot run inside a transaction block", wrong["M"])
            self.assertIn("force_rollback", wrong["H"])
        client.send(query("copy things from stdin (freeze)"))
        self.assertEqual(client.take(2), "G:2 E:25000")

    def test_two_phase_commit_is_refused(self):
        self.daemon()
        client, native = self.wire(), self.native()
        for text in ("prepare transaction 'x'", "commit prepared 'x'", "rollback prepared 'x'"):
            client.query("begin")
            client.query("begin")
            wrong = client.error(query(text))
            over = "N:25P01 C:ROLLBACK Z:I" if text.startswith("prepare") else "C:ROLLBACK Z:I"
            self.assertEqual((wrong["C"], client.query("rollback")), ("0A000", over))
            self.assertIn("two-phase", wrong["M"])
            self.assertIn("COMMIT", wrong["H"])
            client.query("rollback")
            self.assertEqual(client.query("insert into things values (1, 'x'); " + text), "C:INSERT 0 1 E:0A000 Z:I")
            self.assertEqual(self.refusal(native, text).code, "0A000")

    def test_a_refused_prepare_is_the_end_of_its_transaction(self):
        """As where the server refuses it: a driver sends no ROLLBACK behind it."""
        self.daemon()
        client, other = self.wire(), self.wire()
        client.query("begin; insert into things values (1, 'x')")
        client.query("savepoint s")
        self.assertEqual(client.query("prepare transaction 'x'"), "E:0A000 Z:I")
        self.assertEqual(other.rows("select count(*) from things"), [["0"]])
        client.query("begin; insert into things values (1, 'x'); set local search_path = other")
        client.send(parse("", "prepare transaction 'x'") + bind() + execute() + sync())
        self.assertEqual(client.answers(), "1 2 E:0A000 Z:I")
        self.assertEqual(client.rows("select count(*) from things"), [["0"]])
        client.query("begin")
        client.error(query("select nothing"))
        self.assertEqual(client.query("prepare transaction 'x'"), "C:ROLLBACK Z:I")
        self.assertEqual(client.query("prepare transaction 'x'"), "N:25P01 C:ROLLBACK Z:I")
        client.query("begin")
        self.assertEqual(client.query("commit prepared 'x'"), "E:0A000 Z:E")
        self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")

    def test_the_hint_of_what_only_a_commit_would_give(self):
        self.daemon()
        client, native = self.wire(), self.native()
        client.query("create type color as enum ('red'); create table paints (c color)")
        client.query("alter type color add value 'blue'")
        wrong = client.error(query("insert into paints values ('blue')"))
        self.assertEqual(wrong["C"], "55P04")
        self.assertIn("migration", wrong["H"])
        refused = self.refusal(native, "insert into paints values ('blue')")
        self.assertEqual((refused.code, refused.hint), ("55P04", wrong["H"]))
        ends = "do $$ begin commit; end $$"
        wrong, refused = client.error(query(ends)), self.refusal(native, ends)
        self.assertEqual((wrong["C"], refused.code, refused.hint), ("2D000", "2D000", wrong["H"]))
        self.assertIn("savepoint", wrong["H"])
        raised = "do $$ begin raise exception 'out of shared memory' using errcode = '53200'; end $$"
        self.assertIn("SANDBOX RESET", client.error(query(raised))["H"])
        self.assertIn("SANDBOX RESET", self.refusal(native, raised).hint)
        own = client.error(query(raised.replace("'53200'", "'53200', hint = 'its own'")))
        self.assertRegex(own["H"], "its own .*SANDBOX RESET")


if __name__ == "__main__":
    unittest.main()
