"""A PostgreSQL sandbox's root: when it is begun and begun anew, what it says of the time, and what a reset undoes."""

import contextlib
import os
import pathlib
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import based_client
from pg_client import PgClient, bind, execute, extended, fields, flush, parse, query, sync
from servers import Daemon, PostgresCluster, wait_until

cluster = None


def setUpModule():
    global cluster
    cluster = PostgresCluster()
    cluster.query("create table things (id int primary key, note text)")
    cluster.query("create function writes() returns int language sql as"
                  " 'insert into things values (77, ''by a function'') returning id'")


def tearDownModule():
    cluster.close()


class Native:
    """A native session, asked as PgClient is."""

    def __init__(self, address, database):
        self.connection = based_client.connect(address)
        self.session = self.connection.session(database=database)
        self.session.opened.wait()

    def rows(self, sql):
        return [[None if value is None else str(value) for value in row] for row in self.session.exec(sql).rows]

    def value(self, sql):
        return self.rows(sql)[0][0]

    def code(self, sql):
        try:
            self.session.exec(sql)
        except based_client.Error as error:
            return error.code
        return None

    def close(self):
        self.connection.__exit__()


class Wire(PgClient):
    def code(self, sql):
        self.send(query(sql))
        messages = self.messages()
        return next((fields(body)["C"] for kind, body in messages if kind == "E"), None)


class Roots(unittest.TestCase):
    TABLE = "force_rollback = true"

    def daemon(self, table="", server="", url=None):
        url = url or cluster.url()
        running = Daemon(config=f'[server]\n{server}\n[databases.app]\nurl = "{url}"\n{self.TABLE}\n{table}\n')
        self.addCleanup(running.close)
        self.running = running
        return running

    def wire(self, database="app", **parameters):
        client = Wire(f"127.0.0.1:{self.running.port}", database=database, **parameters)
        self.addCleanup(client.close)
        return client

    def native(self, database="app"):
        client = Native(f"127.0.0.1:{self.running.port}", database)
        self.addCleanup(client.close)
        return client

    def both(self, **options):
        """A client of each protocol, each with a daemon of its own."""
        for kind in (self.wire, self.native):
            with self.subTest(kind.__name__), contextlib.closing(self.daemon(**options)):
                yield kind

    def root(self):
        """The root's transaction as the server sees it: when it began, its ID, and the snapshot that it holds."""
        return cluster.query("select xact_start::text, backend_xid, backend_xmin from pg_stat_activity"
                             " where application_name = 'based'")


class Time(Roots):
    NOW = "select now()::text"

    def test_reads_see_the_time_and_what_others_commit(self):
        for connect in self.both():
            one, two = connect(), connect()
            first = one.value(self.NOW)
            wait_until(lambda: two.value(self.NOW) > first, "the time to go on")
            second = two.value(self.NOW)
            cluster.query("insert into things values (1, 'outside')")
            self.assertEqual(one.value("select count(*) from things"), "1")
            cluster.query("delete from things")
            self.assertEqual(one.value("select count(*) from things"), "0")
            wait_until(lambda: one.value(self.NOW) > second, "the time to go on")
            # Inside of a transaction it stands still, and moves on behind it.
            one.rows("begin")
            inside = one.value(self.NOW)
            self.assertEqual(one.value(self.NOW), inside)
            one.rows("commit")
            wait_until(lambda: one.value(self.NOW) > inside, "the time to go on")

    def test_between_reads_nothing_is_held(self):
        for connect in self.both():
            one = connect()
            one.rows("select * from things")
            wait_until(lambda: self.root() == [["", "", ""]], "the root to be given up")
            self.assertEqual(cluster.query("select count(*) from pg_locks where relation = 'things'::regclass"), [["0"]])
            one.rows("insert into things values (1, 'x')")
            self.assertNotIn("", self.root()[0])

    def test_what_was_written_keeps_the_root_until_a_reset(self):
        for connect in self.both():
            one, two = connect(), connect()
            one.rows("insert into things values (1, 'x')")
            began = one.value(self.NOW)
            one.rows("select pg_sleep(0.2)")
            self.assertEqual(two.value(self.NOW), began)
            self.assertEqual(two.value("select count(*) from things"), "1")
            two.rows("sandbox reset")
            self.assertGreater(two.value(self.NOW), began)
            self.assertEqual(one.value("select count(*) from things"), "0")

    def test_what_a_read_leaves_behind_is_kept(self):
        for connect in self.both():
            for text, left in (("select writes()", "select count(*) from things"),
                               ("create temp table mine as select 1 as n", "select n from mine"),
                               ("declare c cursor with hold for select 1", "fetch c")):
                with self.subTest(text):
                    one = connect()
                    one.rows(text)
                    one.rows("select pg_sleep(0.2)")
                    self.assertEqual(one.value(left), "1")
                    one.rows("sandbox reset")

    def test_a_mark_keeps_the_root(self):
        for connect in self.both():
            one = connect()
            one.rows("sandbox mark empty")
            began = one.value(self.NOW)
            one.rows("select pg_sleep(0.2)")
            self.assertEqual(one.value(self.NOW), began)
            one.rows("insert into things values (1, 'x')")
            one.rows("sandbox reset to empty")
            self.assertEqual(one.value("select count(*) from things"), "0")
            self.assertEqual(one.value(self.NOW), began)

    def test_a_transaction_whose_client_goes_leaves_nothing_in_a_young_root(self):
        for connect in self.both():
            one = connect()
            one.rows("begin")
            one.rows("insert into things values (1, 'x')")
            self.assertEqual(one.value("select count(*) from things"), "1")
            one.close()
            self.assertEqual(connect().value("select count(*) from things"), "0")

    def test_a_link_that_ends_with_nothing_in_it_is_replaced_unseen(self):
        for connect in self.both():
            one = connect()
            one.rows("select 1")
            wait_until(lambda: self.root() == [["", "", ""]], "the root to be given up")
            cluster.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'based'")
            wait_until(lambda: self.root() == [], "the link to be gone")
            self.running.wait_log("nothing was in it")
            self.assertEqual(one.value("select 2"), "2")
            self.assertNotIn("LOST", self.running.log())

    def test_settings_are_each_clients_in_every_root(self):
        for connect in self.both():
            one, two = connect(), connect()
            one.rows("set timezone = 'Asia/Tokyo'")
            for _ in range(3):
                self.assertEqual(one.value("show timezone"), "Asia/Tokyo")
                self.assertNotEqual(two.value("show timezone"), "Asia/Tokyo")
                one.rows("select pg_sleep(0.15)")

    def test_a_client_is_told_its_own_settings_only(self):
        self.daemon()
        one, two = self.wire(timezone="Asia/Tokyo"), self.wire(timezone="UTC")
        for _ in range(3):
            self.assertEqual(one.query("select 1 as n"), "T:n D:1 C:SELECT 1 Z:I")
            self.assertEqual(two.query("select 1 as n"), "T:n D:1 C:SELECT 1 Z:I")

    def test_init_sql_of_settings_is_there_in_every_root(self):
        for connect in self.both(table="init_sql = [\"set work_mem = '7MB'\"]"):
            one = connect()
            first = one.value(self.NOW)
            wait_until(lambda: one.value(self.NOW) > first, "the time to go on")
            self.assertEqual(one.value("show work_mem"), "7MB")
            one.rows("insert into things values (1, 'x')")
            one.rows("sandbox reset")
            self.assertEqual(one.value("show work_mem"), "7MB")

    def test_init_sql_that_makes_something_keeps_its_root(self):
        for connect in self.both(table="init_sql = ['create temp table fixtures as select 1 as n']"):
            one = connect()
            first = one.value(self.NOW)
            one.rows("select pg_sleep(0.2)")
            self.assertEqual(one.value(self.NOW), first)
            self.assertEqual(one.value("select n from fixtures"), "1")
            one.rows("sandbox reset")
            self.assertEqual(one.value("select n from fixtures"), "1")
            self.assertGreater(one.value(self.NOW), first)

    def test_cancelled_at_any_moment_only_its_own_statement_ends(self):
        self.daemon()
        one = self.wire()
        one.rows("select 1")
        for _ in range(30):
            wait_until(lambda: self.root() == [["", "", ""]], "the root to be given up")
            one.send(query("select pg_sleep(60)"))
            one.cancel()
            self.assertEqual([fields(body)["C"] for kind, body in one.messages() if kind == "E"], ["57014"])
        self.assertEqual(one.value("select 1"), "1")
        self.assertNotIn("LOST", self.running.log())
        self.assertNotIn("nothing was in it", self.running.log())


    def test_a_client_that_goes_before_its_copy_has_begun_leaves_the_root(self):
        self.daemon()
        one = self.wire()
        one.rows("create table copied (id int)")
        for copy in (query, lambda text: extended(text) + sync(), lambda text: extended(text) + flush()):
            for begin in (b"", query("begin")):
                for _ in range(5):
                    gone = self.wire()
                    gone.send(begin + copy("copy copied from stdin"))
                    gone.close()
                    self.assertEqual(one.value("select count(*) from copied"), "0")
        self.assertNotIn("LOST", self.running.log())

    def test_a_reset_in_the_middle_of_a_text_that_has_ended_or_begun_a_transaction(self):
        self.daemon()
        one, other = self.wire(), self.wire()
        for begun, rest, left in (("begin", "commit; select pg_sleep(60)", "Z:I"), ("begin", "select pg_sleep(60)", "Z:E"),
                                  ("select 1", "begin; select pg_sleep(60)", "Z:E"),
                                  ("select 1", "select pg_sleep(60)", "Z:I")):
            with self.subTest(begun=begun, rest=rest):
                one.rows(begun)
                one.send(query(rest))
                wait_until(lambda: cluster.query("select 1 from pg_stat_activity where wait_event = 'PgSleep'"), "the rest")
                other.rows("sandbox reset")
                self.assertTrue(one.answers().endswith(f"E:40001 {left}"))
                self.assertEqual(one.code("select 1"), "25P02" if left == "Z:E" else None)
                one.rows("rollback")
                self.assertEqual(one.value("select 2"), "2")
        self.assertNotIn("LOST", self.running.log())


    def test_a_reset_while_the_server_is_asked_whether_it_can_parse_a_text(self):
        self.daemon()
        one, other = self.wire(), self.wire()
        one.rows("create table parsed (id int)")
        process = int(cluster.query("select pid from pg_stat_activity where application_name = 'based'")[0][0])
        for sql in ("insert into parsed values (1); commit", "insert into parsed values (1); selec; commit"):
            with self.subTest(sql):
                for text in ("begin", "savepoint a", "selec"):
                    one.query(text)
                os.kill(process, signal.SIGSTOP)
                try:
                    one.send(query(sql))
                    other.send(query("sandbox reset"))
                    self.assertEqual(one.answers(), "E:40001 Z:E")
                finally:
                    os.kill(process, signal.SIGCONT)
                self.assertEqual(other.answers(), "C:SANDBOX RESET Z:I")
                self.assertEqual(one.query("rollback"), "C:ROLLBACK Z:I")
                self.assertEqual(one.ask(extended("select 1"), sync()), "1 2 D:1 C:SELECT 1 Z:I")
                one.rows("create table parsed (id int)")
                self.assertEqual(one.value("select count(*) from parsed"), "0")
        self.assertNotIn("LOST", self.running.log())


class Lost(Roots):
    def end_root(self):
        ended = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'based'"
        self.assertEqual(cluster.query(ended), [["t"]])
        self.running.wait_log("LOST")

    def test_everybody_who_was_there_hears_of_it_once_before_it_goes_on_in_another(self):
        for connect in self.both():
            writer, reader, inside = connect(), connect(), connect()
            writer.rows("insert into things values (1, 'gone')")
            self.assertEqual(reader.value("select count(*) from things"), "1")
            inside.rows("begin")
            inside.rows("insert into things values (2, 'gone')")
            self.end_root()
            self.assertEqual(connect().value("select count(*) from things"), "0")  # who comes later hears nothing
            for client in (writer, reader):
                self.assertIn(client.code("select count(*) from things"), ("40000", "57P01", "08006"))
                self.assertEqual(client.value("select count(*) from things"), "0")
            for sql in ("select 1", "insert into things values (3, 'x')"):
                self.assertIn(inside.code(sql), ("40000", "57P01", "08006", "25P02"))
            inside.rows("rollback")
            self.assertEqual(inside.value("select count(*) from things"), "0")
            reader.rows("insert into things values (4, 'in the new one')")
            self.assertEqual(writer.value("select count(*) from things"), "1")

    def test_what_runs_when_the_daemon_is_killed_ends_with_it(self):
        asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
        for connect in self.both():
            client = connect()
            client.rows("insert into things values (1, 'gone')")
            client.rows("select set_config('work' || '_mem', '7MB', true)")  # RESET ALL is run for it
            if connect == self.wire:
                client.send(query("select pg_sleep(600)"))
            else:
                client.session.start(based_client.EXEC, "select pg_sleep(600)", None, {})
            wait_until(lambda: cluster.query(asleep) == [["1"]], "the statement")
            self.running.kill()
            wait_until(lambda: cluster.query(asleep) == [["0"]], "the server to notice")
            self.assertEqual(cluster.query("select count(*) from things"), [["0"]])


class Reset(Roots):
    """What a reset undoes beyond ROLLBACK, and what it leaves."""

    def test_session_locks_and_currval_go_and_what_is_prepared_stays(self):
        cluster.query("create sequence counted")
        self.addCleanup(cluster.query, "drop sequence counted")
        held = "select count(*) from pg_locks where locktype = 'advisory'"
        for connect in self.both():
            one = connect()
            one.rows("select pg_advisory_lock(9)")
            one.rows("select nextval('counted')")
            one.rows("select set_config('my.setting', 'x', false)")
            self.assertEqual(cluster.query(held), [["1"]])
            process = one.value("select pg_backend_pid()")
            one.rows("sandbox reset")
            self.assertEqual(cluster.query(held), [["0"]])
            self.assertEqual(one.code("select currval('counted')"), "55000")
            self.assertEqual(one.value("select pg_backend_pid()"), process)

    def test_prepared_statements_stay(self):
        self.daemon()
        one = self.wire()
        one.ask(parse("plus", "select $1::int + 1"), sync())
        one.rows("prepare minus as select $1::int - 1")
        one.rows("insert into things values (1, 'x')")
        one.rows("sandbox reset")
        self.assertIn("D:42", one.ask(bind(statement="plus", values=[b"41"]), execute(), sync()))
        self.assertEqual(one.value("execute minus(43)"), "42")


class Sequences(Roots):
    def setUp(self):
        cluster.query("create table numbered (id serial primary key, t text)")
        cluster.query("create sequence loose; select setval('loose', 50, false)")

    def tearDown(self):
        for running in [self.running]:
            running.close()
        cluster.query("drop table numbered")
        cluster.query("drop sequence loose")

    def where(self):
        return cluster.query("select last_value, is_called from numbered_id_seq"
                             " union all select last_value, is_called from loose")

    def insert(self, client):
        return client.value("insert into numbered (t) values ('x') returning id")

    START = [["1", "f"], ["50", "f"]]

    def test_they_are_put_back_at_a_reset_at_the_end_and_at_a_drop(self):
        for connect in self.both(table='sequences = "restore"'):
            one = connect()
            self.assertEqual((self.insert(one), self.insert(one)), ("1", "2"))
            self.assertEqual(one.value("select nextval('loose')"), "50")
            one.rows("sandbox reset")
            self.assertEqual(self.where(), self.START)
            self.assertEqual((self.insert(one), one.value("select nextval('loose')")), ("1", "50"))
            one.rows("sandbox drop")
            self.assertEqual(self.where(), self.START)
            self.assertEqual(self.insert(one), "1")
            self.assertEqual(self.running.terminate(), 0)
            self.assertEqual(self.where(), self.START)
            self.running.wait_log("sequences put back: 1")

    def test_a_reset_to_a_mark_puts_them_where_they_were_at_the_mark(self):
        for connect in self.both(table='sequences = "restore"'):
            one = connect()
            one.rows("create table made (id serial primary key)")
            self.assertEqual(self.insert(one), "1")
            one.rows("sandbox mark fixtures")
            for _ in range(2):
                self.assertEqual((self.insert(one), self.insert(one)), ("2", "3"))
                self.assertEqual(one.value("insert into made default values returning id"), "1")
                one.rows("sandbox reset to fixtures")
            one.rows("sandbox reset")
            self.assertEqual(self.where(), self.START)

    def test_they_are_not_put_below_what_others_have_committed(self):
        for connect in self.both(table='sequences = "restore"'):
            one = connect()
            self.insert(one)
            self.assertEqual(cluster.query("insert into numbered (t) values ('outside') returning id"), [["2"]])
            one.rows("sandbox reset")
            self.assertEqual(self.where()[0], ["2", "t"])
            self.assertEqual(self.insert(one), "3")
            one.rows("sandbox reset")
            self.assertEqual(self.where()[0], ["2", "t"])
            cluster.query("truncate numbered restart identity")

    def test_they_stay_while_another_transaction_writes(self):
        for connect in self.both(table='sequences = "restore"'):
            one, other = connect(), PgClient(f"127.0.0.1:{cluster.port}")
            other.rows("begin; insert into numbered (t) values ('outside')")
            self.assertEqual(self.insert(one), "2")
            one.rows("sandbox reset")
            self.assertEqual(self.where()[0], ["2", "t"])
            self.running.wait_log("another transaction writes")
            other.close()
            cluster.query("alter sequence numbered_id_seq restart")

    def test_by_default_they_stay(self):
        for connect in self.both():
            one = connect()
            self.insert(one)
            one.rows("sandbox reset")
            self.assertEqual(self.where()[0], ["1", "t"])
            cluster.query("alter sequence numbered_id_seq restart")


class Vacuum(Roots):
    def setUp(self):
        cluster.query("create table filled (id int); create table quiet (id int)")
        self.addCleanup(cluster.query, "drop table filled, quiet")

    def tearDown(self):
        self.running.close()

    def vacuums(self, table="filled"):
        return int(cluster.query(f"select vacuum_count from pg_stat_user_tables where relname = '{table}'")[0][0])

    def test_after_so_many_resets_the_tables_written_to_are_vacuumed(self):
        for connect in self.both(table="sandbox_vacuum = 3"):
            one = connect()
            before = self.vacuums()
            one.rows("sandbox mark empty")
            for number in range(3):
                self.assertEqual(self.vacuums(), before)
                one.rows("insert into filled select generate_series(1, 3000)")
                one.rows("create table made as select 1 as n")
                one.rows("sandbox reset to empty" if number else "sandbox reset")
                one.rows("sandbox mark empty")
            wait_until(lambda: self.vacuums() > before, "the table to be vacuumed")
            self.assertEqual(self.vacuums("quiet"), 0)
            self.running.wait_log("1 tables vacuumed")
            links = "select count(*) from pg_stat_activity where application_name = 'based'"
            wait_until(lambda: cluster.query(links) == [["1"]], "its link to be closed")
            self.assertEqual(one.value("select count(*) from filled"), "0")

    def test_nobody_waits_for_it(self):
        self.daemon(table="sandbox_vacuum = 1")
        one, other = self.wire(), PgClient(f"127.0.0.1:{cluster.port}")
        self.addCleanup(other.close)
        one.rows("insert into filled values (1)")
        other.rows("begin; lock table filled in share update exclusive mode")  # what VACUUM cannot have
        before = self.vacuums()
        one.rows("sandbox reset")
        self.assertEqual(one.value("select count(*) from filled"), "0")
        self.running.wait_log("1 tables vacuumed")
        self.assertEqual(self.vacuums(), before)
        self.assertEqual(self.running.terminate(), 0)

    def test_who_wants_all_of_a_table_does_not_wait_for_it_to_be_made_shorter(self):
        self.daemon(table="sandbox_vacuum = 1")
        one = self.wire()
        one.rows("insert into filled select generate_series(1, 300000)")
        one.rows("sandbox reset")
        one.rows("begin; lock table filled in row exclusive mode")
        shorter = "select 1 from pg_stat_progress_vacuum where phase = 'truncating heap'"
        wait_until(lambda: cluster.query(shorter) or "1 tables vacuumed" in self.running.log(), "the end of VACUUM")
        self.assertEqual(one.query("set lock_timeout = '2s'; lock table filled; commit"), "C:SET C:LOCK TABLE C:COMMIT Z:I")
        wait_until(lambda: self.vacuums() == 1, "the table to be vacuumed")

    def test_the_end_does_not_wait_for_it_either(self):
        self.daemon(table="sandbox_vacuum = 1")
        one = self.wire()
        for _ in range(10):
            one.rows("insert into filled select generate_series(1, 3000)")
            one.rows("sandbox reset")
        self.assertEqual(self.running.terminate(), 0)
        wait_until(lambda: self.root() == [], "every link to be closed")

    def test_zero_is_never(self):
        self.daemon(table="sandbox_vacuum = 0")
        one = self.wire()
        one.rows("insert into filled values (1)")
        one.rows("sandbox reset")
        one.rows("select 1")
        self.running.terminate()
        self.assertNotIn("vacuumed", self.running.log())


class Status(Roots):
    COLUMNS = ("name state holder waiting units transactions epoch resets age_ms marks kind xid locks sequences"
               " joins_lost subtransactions exclusive_locks locked_tables user warnings").split()

    def status(self, client):
        return dict(zip(self.COLUMNS, client.rows("sandbox status")[0]))

    def test_who_has_gone_holds_nothing_while_its_statement_still_ends(self):
        """The statement ends at the fifth cancel only; each comes later than the one before."""
        stubborn = ("do $$ begin for i in 1..5 loop begin perform pg_sleep(60); exception when query_canceled then end;"
                    " end loop; end $$", "select count(*) from pg_stat_activity where wait_event = 'PgSleep'")
        for connect in self.both():
            one = connect()
            one.rows("create table waited (id int)")
            gone = self.wire()
            gone.send(query(stubborn[0]))
            wait_until(lambda: cluster.query(stubborn[1]) == [["1"]], "the statement")
            self.assertIsNotNone(self.status(one)["holder"])
            gone.close()
            wait_until(lambda: self.status(one)["holder"] is None, "the holder to be gone")
            self.assertEqual(cluster.query(stubborn[1]), [["1"]])
            self.assertEqual(one.value("select count(*) from waited"), "0")

    def test_it_says_what_the_server_says(self):
        for connect in self.both(table='sequences = "restore"'):
            one = connect()
            one.rows("select 1")
            status = self.status(one)
            self.assertEqual((status["kind"], status["xid"], status["sequences"]), ("transaction", None, "restore"))
            one.rows("create table made (id serial primary key, t text)")
            asked = "select txid_current_if_assigned(), (select count(*) from pg_locks where pid = pg_backend_pid())"
            wait_until(lambda: self.status(one)["xid"] == one.value(asked), "the transaction's number")
            wait_until(lambda: abs(int(self.status(one)["locks"]) - int(one.rows(asked)[0][1])) < 5, "its locks")
            self.assertGreater(int(self.status(one)["locks"]), 5)
            one.rows("sandbox reset")
            status = self.status(one)
            self.assertEqual((status["xid"], status["locks"], status["age_ms"]), (None, "0", "0"))

    def test_it_counts_the_subtransactions_that_have_written(self):
        """As the server does, which gives each of them a number, and one to the root."""
        given = lambda: int(cluster.query("select txid_current()")[0][0])  # noqa: E731
        for connect in self.both():
            one = connect()
            one.rows("select 1")
            begun = given()
            for n in range(9):
                one.rows(f"insert into things values ({n})")
                one.rows("select 1")
                one.rows("delete from things where id < 0")
            count = int(self.status(one)["subtransactions"])
            self.assertEqual(count, given() - begun - 2)
            self.assertEqual(count, 9 if connect == self.wire else 18)  # the guard in its turn
            self.assertEqual(self.status(one)["warnings"], None)
            one.rows("begin")
            one.rows("insert into things values (10)")
            one.rows("savepoint a")
            one.rows("insert into things values (11)")
            one.rows("insert into things values (12)")
            one.rows("savepoint b")
            one.rows("release b")
            one.rows("commit")
            before = int(self.status(one)["subtransactions"])
            self.assertEqual(before, given() - begun - 3)
            one.rows("sandbox mark m")
            for n in range(20, 40):
                one.rows(f"insert into things values ({n})")
            self.assertEqual(int(self.status(one)["subtransactions"]), given() - begun - 4)
            one.rows("sandbox reset to m")
            self.assertEqual(int(self.status(one)["subtransactions"]), before)
            one.rows("sandbox reset")
            self.assertEqual(self.status(one)["subtransactions"], "0")

    def test_it_warns_when_they_are_more_than_the_server_keeps_at_hand(self):
        self.daemon()
        one = self.wire()
        for turn in range(2):
            for n in range(64):
                one.rows(f"insert into things values ({n})")
            self.assertEqual(self.status(one)["warnings"], None)
            one.rows("insert into things values (64)")
            self.assertRegex(self.status(one)["warnings"], "^more than 64 subtransactions have written: until a reset")
            one.rows("sandbox reset")
            self.assertEqual(self.status(one)["warnings"], None)
        self.assertEqual(self.running.log().count("more than 64 subtransactions"), 1)

    def test_it_names_the_tables_that_nobody_else_can_use(self):
        for text in ("others", "dropped", *(f"many_{n}" for n in range(6))):
            cluster.query(f"create table {text} (id int)")
            self.addCleanup(cluster.query, f"drop table {text}")
        for connect in self.both():
            one = connect()
            one.rows("create table own (id int primary key, t text)")
            one.rows("drop table own; create temporary table passing (id int); truncate passing")
            one.rows("insert into others values (1)")
            one.rows("alter table others add column t text")
            wait_until(lambda: self.status(one)["locked_tables"] == "others", "the table's name")
            status = self.status(one)
            self.assertEqual((status["exclusive_locks"], status["warnings"]),
                             ("1", "nobody else can use others until a reset (AccessExclusiveLock)"))
            one.rows("sandbox mark m")
            one.rows("drop table dropped")
            wait_until(lambda: self.status(one)["locked_tables"] == "dropped, others", "the table that is gone")
            one.rows("sandbox reset to m")
            wait_until(lambda: self.status(one)["locked_tables"] == "others", "the table that is back")
            one.rows("truncate " + ", ".join(f"many_{n}" for n in range(6)))
            wait_until(lambda: self.status(one)["exclusive_locks"] == "7", "many tables")
            self.assertEqual(self.status(one)["locked_tables"], "many_0, many_1, many_2, many_3, many_4, ...")
            one.rows("sandbox reset")
            status = self.status(one)
            self.assertEqual((status["exclusive_locks"], status["locked_tables"], status["warnings"]), ("0", None, None))
            self.assertIn("nobody else can use others until a reset", self.running.log())
            wait_until(lambda: len(self.root()) == 1, "the question's connection to be closed")

    def test_it_names_its_user(self):
        for connect in self.both():
            one = connect()
            one.rows("select 1")
            self.assertEqual(self.status(one)["user"], one.value("select session_user"))


if __name__ == "__main__":
    unittest.main()
