"""turns = "join" and "error": what others may do while a session of a sandbox rests in its transaction."""

import contextlib
import pathlib
import random
import sqlite3
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import based_client
from pg_client import PgClient, bind, execute, fields, parse, query, sync
from servers import Daemon, PostgresCluster, temporary_folder, wait_until

cluster = None


def setUpModule():
    global cluster
    cluster = PostgresCluster()
    cluster.query("create table things (id int primary key, note text)")


def tearDownModule():
    cluster.close()


class OnPostgres:
    def url(self):
        return f"postgresql://postgres@127.0.0.1:{cluster.port}/postgres"

    def committed(self):
        return int(cluster.query("select count(*) from things")[0][0])


class OnSqlite:
    def url(self):
        self.file = temporary_folder() / "things.db"
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            connection.execute("create table things (id int primary key, note text)")
        return f"sqlite:///{self.file}"

    def committed(self):
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            return connection.execute("select count(*) from things").fetchone()[0]


class Turns(unittest.TestCase):
    def daemon(self, table):
        self.running = Daemon(config=f'[databases.app]\nurl = "{self.url()}"\nforce_rollback = true\n{table}\n')
        self.addCleanup(self.end)
        self.address = f"127.0.0.1:{self.running.port}"
        return self.running

    def end(self):
        self.running.close()
        self.assertEqual(self.committed(), 0)

    def wire(self, **parameters):
        client = PgClient(self.address, database="app", **parameters)
        self.addCleanup(client.close)
        return client

    def native(self, **options):
        connection = self.enterContext(based_client.connect(self.address))
        return connection.session(database="app", **options)

    def refusal(self, session, sql):
        with self.assertRaises(based_client.Error) as refused:
            session.exec(sql)
        return refused.exception


class Joined:
    """turns = "join": others run inside of the transaction of who rests."""

    COUNT = "select count(*) from things"

    def daemon(self, table='timeout = "500ms"\nturns = "join"'):
        return super().daemon(table)

    def test_one_that_has_only_begun_is_joined_too(self):
        self.daemon()
        test, server = self.wire(), self.wire()
        self.assertEqual(server.query("insert into things values (0, 'stays')"), "C:INSERT 0 1 Z:I")
        self.assertEqual(test.query("begin"), "C:BEGIN Z:T")
        self.assertEqual(server.query("insert into things values (2, 'of the server')"), "C:INSERT 0 1 Z:I")
        self.assertEqual(server.query("insert into things values (2, 'twice')"), "E:23505 Z:I")
        self.assertEqual(test.query("insert into things values (1, 'of the test')"), "C:INSERT 0 1 Z:T")
        self.assertEqual(test.query("insert into things values (1, 'twice')"), "E:23505 Z:E")
        self.assertEqual(test.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(server.value(self.COUNT), "1")
        self.assertEqual(test.query("begin"), "C:BEGIN Z:T")
        self.assertEqual(server.query("insert into things values (3, 'of the server')"), "C:INSERT 0 1 Z:I")
        self.assertEqual(test.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(server.value(self.COUNT), "2")

    def test_a_statement_joins_and_is_gone_with_the_transaction(self):
        self.daemon()
        test, server, native = self.wire(), self.wire(), self.native()
        test.query("begin; insert into things values (1, 'of the test')")
        self.assertEqual(server.value(self.COUNT), "1")
        self.assertEqual(server.query("insert into things values (2, 'of the server')"), "C:INSERT 0 1 Z:I")
        self.assertEqual(server.query("insert into things values (2, 'twice')"), "E:23505 Z:I")
        native.exec("insert into things values (3, 'native')")
        self.assertEqual(self.refusal(native, "insert into things values (3, 'twice')").code, "23505")
        self.assertEqual(test.value(self.COUNT), "3")
        self.assertEqual(test.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(server.value(self.COUNT), "0")
        self.running.wait_log("5 turns that had joined a transaction were rolled back with it, by session")
        self.assertEqual(server.rows("sandbox status")[0][14], "5")
        with based_client.connect(self.address) as watcher:
            self.assertEqual(watcher.status()["databases"][0]["sandboxes"][0]["joins_lost"], 5)

    def test_what_has_joined_stays_with_a_commit(self):
        self.daemon()
        test, server = self.native(label="the test"), self.wire()
        test.tx("begin")
        test.exec("insert into things values (1, '')")
        server.query("begin; insert into things values (2, ''); commit")
        test.exec("insert into things values (3, '')")
        server.query("begin; insert into things values (4, ''); rollback")
        test.tx("commit")
        self.assertEqual(server.rows("select id from things order by 1"), [["1"], ["2"], ["3"]])
        self.assertNotIn("rolled back with it", self.running.log())

    def test_a_transaction_that_has_joined_ends_before_the_other_goes_on(self):
        self.daemon()
        for test, server in ((self.wire(), self.wire()), (self.native(), self.wire()), (self.wire(), self.native())):
            self.begin(test)
            self.run_in(test, "insert into things values (1, '')")
            self.begin(server)
            self.run_in(server, "insert into things values (2, '')")
            error = self.failure(test, "insert into things values (3, '')")
            self.assertEqual(error[0], "55P03")
            self.assertIn("insert into things values (2", error[1])
            self.run_in(server, "insert into things values (4, '')")
            self.finish(server, "rollback")
            self.run_in(test, "insert into things values (3, '')")  # the wait has changed nothing
            self.finish(test, "commit")
            watcher = self.wire()
            self.assertEqual(watcher.rows("select id from things order by 1"), [["1"], ["3"]])
            watcher.query("sandbox reset")

    def begin(self, client):
        client.tx("begin") if isinstance(client, based_client.Session) else client.query("begin")

    def finish(self, client, how):
        client.tx(how) if isinstance(client, based_client.Session) else client.query(how)

    def run_in(self, client, sql):
        client.exec(sql) if isinstance(client, based_client.Session) else client.rows(sql)

    def failure(self, client, sql):
        if isinstance(client, based_client.Session):
            error = self.refusal(client, sql)
            return error.code, error.detail
        error = client.error(query(sql))
        return error["C"], error["D"]

    def test_who_waits_for_it_goes_on_in_its_turn(self):
        self.daemon('timeout = "10s"\nturns = "join"')
        test, server = self.wire(), self.wire()
        test.query("begin; insert into things values (1, '')")
        server.query("begin; insert into things values (2, '')")
        test.send(query("select id from things order by 1"))
        watched = self.enterContext(based_client.connect(self.address))
        wait_until(lambda: watched.status()["databases"][0]["sandboxes"][0]["waiting"] == 1, "the test waits")
        self.assertTrue(test.quiet())
        server.query("commit")
        self.assertEqual(test.answers(), "T:id D:1 D:2 C:SELECT 2 Z:T")
        test.query("rollback")

    def test_a_savepoint_of_the_other_takes_what_has_joined_above_it(self):
        self.daemon()
        test, server = self.wire(), self.wire()
        test.query("begin; insert into things values (1, '')")
        server.query("insert into things values (2, '')")
        test.query("savepoint s")
        server.query("insert into things values (3, '')")
        self.assertEqual(test.query("rollback to s"), "C:ROLLBACK Z:T")
        self.assertEqual(server.value(self.COUNT), "2")
        self.running.wait_log("1 turn that had joined")
        test.query("commit")
        self.assertEqual(server.value(self.COUNT), "2")

    def test_one_that_goes_takes_its_transaction_with_it(self):
        self.daemon()
        server = self.wire()
        for leave in (lambda client: client.close(), None):
            test = self.wire() if leave else self.native()
            self.begin(test)
            self.run_in(test, "insert into things values (1, '')")
            server.query("insert into things values (2, '')")
            if leave:
                leave(test)
            else:
                test.close().wait()
            wait_until(lambda: server.value(self.COUNT) == "0", "it is rolled back")

    def test_one_that_has_joined_and_goes(self):
        self.daemon()
        test, server = self.wire(), self.wire()
        test.query("begin; insert into things values (1, '')")
        server.query("begin; insert into things values (2, '')")
        server.close()
        wait_until(lambda: test.value(self.COUNT) == "1", "the joined one is rolled back")
        test.query("rollback")

    def test_a_reset_ends_them_all(self):
        self.daemon()
        test, native, server, other = self.wire(), self.native(), self.wire(), self.wire()
        test.query("begin; insert into things values (1, '')")
        native.tx("begin")
        native.exec("insert into things values (2, '')")
        server.query("begin; insert into things values (3, '')")
        self.assertEqual(other.query("sandbox reset"), "C:SANDBOX RESET Z:I")
        self.assertEqual(other.value(self.COUNT), "0")
        for client in (test, server):
            self.assertEqual(client.query(self.COUNT), "E:40001 Z:E")
            self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
            self.assertEqual(client.value(self.COUNT), "0")
        self.assertEqual(self.refusal(native, "select 1").code, "25P02")
        native.tx("rollback")
        self.assertEqual(list(native.exec(self.COUNT)), [[0]])

    def test_one_that_is_silent_for_too_long_is_ended_also_while_others_are_inside(self):
        self.daemon('timeout = "10s"\nturns = "join"\nidle_in_transaction = "300ms"')
        test, native, server = self.wire(), self.native(), self.wire()
        for client in (test, native):
            self.begin(client)
            self.run_in(client, "insert into things values (1, '')")
            wait_until(lambda: server.value(self.COUNT) == "0", "it is rolled back")
        self.assertEqual(self.told_that_it_is_gone(test), "25P03")
        self.assertEqual(self.refusal(native, "select 1").code, "25P02")

    def test_a_mark_waits_for_the_transaction(self):
        self.daemon()
        test, other = self.wire(), self.wire()
        test.query("begin; insert into things values (1, '')")
        self.assertEqual(other.value(self.COUNT), "1")
        self.assertEqual(other.error(query("sandbox mark m"))["C"], "55P03")
        self.assertEqual(test.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(other.query("sandbox mark m"), "C:SANDBOX MARK Z:I")
        test.query("begin; insert into things values (2, '')")
        other.query("insert into things values (3, '')")
        other.query("sandbox reset to m")
        self.assertEqual(other.value(self.COUNT), "1")
        test.query("rollback")

    def test_a_failed_transaction_is_not_joined(self):
        self.daemon()
        test, server = self.wire(), self.wire()
        test.query("begin; savepoint s")
        test.query("select * from nowhere")
        self.assertEqual(server.error(query("select 1"))["C"], "55P03")
        self.assertEqual(test.query("rollback to s"), "C:ROLLBACK Z:T")
        self.assertEqual(server.value("select 1"), "1")
        test.query("rollback")

    def test_a_random_crowd(self):
        self.daemon('timeout = "10s"\nturns = "join"')
        rnd = random.Random(7)
        clients = [self.wire() for _ in range(4)]
        # What is there at each depth: of nobody's transaction, of the outermost, of the one in it, ...
        inside, there, number = [], [set()], 0
        for _ in range(400):
            # The innermost transaction goes on, or somebody outside of all joins it.
            free = [client for client in clients if client not in inside]
            client = inside[-1] if inside and (not free or rnd.random() < 0.5) else rnd.choice(free)
            choice, status = rnd.random(), "T" if client in inside else "I"
            if client in inside and choice < 0.4:
                how = "commit" if choice < 0.2 else "rollback"
                self.assertEqual(client.query(how), f"C:{how.upper()} Z:I")
                inside.pop()
                done = there.pop()
                there[-1] |= done if how == "commit" else set()
            elif client not in inside and choice < 0.3:
                self.assertEqual(client.query("begin"), "C:BEGIN Z:T")
                inside.append(client)
                there.append(set())
            else:
                number += 1
                self.assertEqual(client.query(f"insert into things values ({number}, '')"), f"C:INSERT 0 1 Z:{status}")
                there[-1].add(number)
            seen = {int(row[0]) for row in (inside[-1] if inside else client).rows("select id from things")}
            self.assertEqual(seen, set().union(*there))
        for client in reversed(inside):
            client.query("rollback")
        self.assertNotIn("LOST", self.running.log())


class Refusing:
    """turns = "error": nobody waits for a transaction."""

    def test_at_once(self):
        self.daemon('timeout = "10s"\nturns = "error"')
        holder, other, native = self.wire(), self.wire(), self.native()
        self.assertEqual(holder.query("insert into things values (1, '')"), "C:INSERT 0 1 Z:I")
        holder.query("begin; insert into things values (2, '')")
        began = time.monotonic()
        said, told = other.error(query("select 1")), self.refusal(native, "select 1")
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual((said["C"], told.code, told.retry), ("55P03", "55P03", True))
        self.assertIn("insert into things values (2", said["D"])
        self.assertIn("turns", said["H"])
        holder.query("commit")
        self.assertEqual(other.value("select count(*) from things"), "2")
        self.assertEqual(list(native.exec("select count(*) from things")), [[2]])


class JoinedOnPostgres(OnPostgres, Joined, Turns):
    def test_a_commit_closes_the_cursors_of_its_own_transaction(self):
        self.daemon()
        for test, server in ((self.wire(), self.wire()), (self.native(), self.wire()), (self.wire(), self.native())):
            self.begin(test)
            self.run_in(test, "declare outer_one cursor for select 1")
            for end in ("commit", "rollback"):
                self.begin(server)
                self.run_in(server, "declare c cursor for select 2")
                inner = self.wire()
                inner.query("begin; declare inner_one cursor for select 3; commit")
                self.assertEqual(self.code(inner, "fetch 1 from inner_one"), "34000")
                self.run_in(server, "fetch 1 from c")
                self.finish(server, end)
                self.assertEqual(self.code(server, "fetch 1 from c"), "34000")
            self.run_in(test, "fetch 1 from outer_one")
            self.finish(test, "commit")
            self.assertEqual(self.code(test, "fetch 1 from outer_one"), "34000")

    def code(self, client, sql):
        if isinstance(client, based_client.Session):
            return self.refusal(client, sql).code
        return client.error(query(sql))["C"]

    def told_that_it_is_gone(self, client):
        kind, body = client.message()
        self.assertEqual(kind, "E")
        return fields(body)["C"]

    def test_settings_and_what_is_prepared_are_each_ones_own(self):
        self.daemon()
        test, server = self.wire(), self.wire(application_name="server", options="-c search_path=pg_catalog")
        test.query("set work_mem = '7MB'")
        test.ask(parse("p", "select 'of the test'"), sync())
        test.query("begin; set local lock_timeout = '3s'; set work_mem = '8MB'")
        server.ask(parse("p", "select 'of the server'"), sync())
        server.query("set work_mem = '9MB'")
        self.assertEqual(server.rows("select current_setting('work_mem'), current_setting('search_path')"),
                         [["9MB", "pg_catalog"]])
        ask = "select current_setting('work_mem'), current_setting('lock_timeout'), current_setting('search_path')"
        self.assertEqual(test.rows(ask), [["8MB", "3s", '"$user", public']])
        self.assertEqual(test.ask(bind("", "p"), execute(), sync()), "2 D:of the test C:SELECT 1 Z:T")
        self.assertEqual(server.ask(bind("", "p"), execute(), sync()), "2 D:of the server C:SELECT 1 Z:I")
        test.query("rollback")
        self.assertEqual(test.rows(ask), [["7MB", "5s", '"$user", public']])
        self.assertEqual(server.value("show work_mem"), "9MB")

    def test_who_resets_all_resets_nothing_of_who_has_been_joined(self):
        self.daemon()
        test, server, native = self.wire(), self.wire(), self.native()
        test.query("begin; declare c cursor for select 'still there'; set local work_mem = '8MB'; set local app.own = ''")
        test.query("savepoint s; set local statement_timeout = '9s'; set local search_path = pg_catalog")
        for number, reset in enumerate((
                lambda: server.query("select pg_advisory_unlock_all(); close all; unlisten *; reset all"),  # as asyncpg does
                lambda: server.ask(parse("", "reset all"), bind(), execute(), sync()),
                lambda: server.query("select set_config('work_' || 'mem', '6MB', false)"),  # which is reset at its end
                lambda: native.exec("reset all"),
                lambda: native.exec("select set_config('work_' || 'mem', '6MB', false)"))):
            with self.subTest(number):
                reset()
                self.assertEqual(test.rows("select current_setting('work_mem'), current_setting('app.own'), "
                                           "current_setting('search_path')"), [["8MB", "", "pg_catalog"]])
                self.assertEqual(test.value("show statement_timeout"), "9s")
        self.assertEqual(test.value("fetch c"), "still there")
        self.assertEqual(test.query("rollback to s"), "C:ROLLBACK Z:T")
        self.assertEqual(test.rows("select current_setting('work_mem'), current_setting('search_path')"),
                         [["8MB", '"$user", public']])
        test.query("commit")
        self.assertEqual(test.value("show work_mem"), "4MB")

    def test_a_lost_root_is_told_to_all_of_them(self):
        self.daemon()
        test, native, server = self.wire(), self.native(), self.wire()
        test.query("begin; insert into things values (1, '')")
        native.tx("begin")
        native.exec("insert into things values (2, '')")
        server.query("begin; insert into things values (3, '')")
        roots = "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'"
        self.assertEqual(cluster.query(roots), [["t"]])
        self.running.wait_log("was LOST")
        for client in (test, server):
            self.assertRegex(client.query(self.COUNT), "^E:(40000|57P01|08006) Z:E$")
            self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
            self.assertEqual(client.value(self.COUNT), "0")
        self.assertEqual(self.refusal(native, "select 1").code, "25P02")
        native.tx("rollback")
        self.assertEqual(list(native.exec(self.COUNT)), [[0]])


class JoinedOnSqlite(OnSqlite, Joined, Turns):
    def told_that_it_is_gone(self, client):
        return client.error(query("select 1"))["C"]


class RefusingOnPostgres(OnPostgres, Refusing, Turns):
    pass


class RefusingOnSqlite(OnSqlite, Refusing, Turns):
    def test_a_file_that_is_no_sandbox_has_no_turns(self):
        program = self.daemon('turns = "error"').process.args[0]
        (self.file.parent / "c.toml").write_text('[databases.a]\nurl = "sqlite:///x.db"\nturns = "join"\n')
        checked = subprocess.run([program, "--config", self.file.parent / "c.toml", "--check-config"], capture_output=True, text=True)
        self.assertEqual(checked.returncode, 78)
        self.assertIn("turns", checked.stdout + checked.stderr)


if __name__ == "__main__":
    unittest.main()
