"""Sessions that share their transactions by a token: who may join, whose work is whose, and in which order it ends."""

import contextlib
import pathlib
import random
import sqlite3
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import psycopg
import psycopg2

import based_client
from pg_client import PgClient, Refused, bind, execute, extended, flush, parse, query, sync
from servers import Daemon, PostgresCluster, temporary_folder, wait_until

cluster = None


def setUpModule():
    global cluster
    cluster = PostgresCluster()
    cluster.query("create table things (id int primary key)")


def tearDownModule():
    cluster.close()


class OnPostgres:
    def url(self):
        cluster.query("truncate things")
        return f"postgresql://postgres@127.0.0.1:{cluster.port}/postgres"

    def committed(self, sql):
        """What somebody beside the daemon sees."""
        return cluster.query(sql)


class OnSqlite:
    def url(self):
        self.file = temporary_folder() / "things.db"
        self.committed("create table things (id int primary key)")
        return f"sqlite:///{self.file}"

    def committed(self, sql):
        with contextlib.closing(sqlite3.connect(self.file, timeout=20, isolation_level=None)) as connection:
            return [[str(value) for value in row] for row in connection.execute(sql).fetchall()]


class Sharing(unittest.TestCase):
    """One daemon with a database, app, in which sessions take turns."""

    TABLE = SANDBOX = 'force_rollback = true\ntimeout = "600ms"'
    OUTSIDE = 'timeout = "600ms"'
    COUNT = "select count(*) from things"

    def setUp(self):
        self.daemon(self.TABLE)

    def daemon(self, table):
        self.running = Daemon(config=f'[databases.app]\nurl = "{self.url()}"\n{table}\n')
        self.addCleanup(self.running.close)
        self.address = f"127.0.0.1:{self.running.port}"

    def wire(self, database="app", user="postgres", **options):
        said = " ".join(f"-c based.{name}={value}" for name, value in options.items())
        client = PgClient(self.address, database=database, user=user, **({"options": said} if said else {}))
        self.addCleanup(client.close)
        return client

    def native(self, connection=None, user="postgres", **options):
        connection = connection or self.enterContext(based_client.connect(self.address, user=user))
        session = connection.session(database=options.pop("database", "app"), **options)
        session.opened.wait()
        return session

    def shared(self, native=False):
        """A session that shares its transactions, and its token."""
        if native:
            session = self.native(share=True)
            return session, session.opened.end["session"]["token"]
        client = self.wire(share="on")
        return client, client.value("show based.join_token")

    def rows(self, client, sql):
        if isinstance(client, based_client.Session):
            return [[str(value) for value in row] for row in client.exec(sql)]
        return client.rows(sql)

    def ids(self, client):
        return [int(row[0]) for row in self.rows(client, "select id from things order by 1")]

    def run_in(self, client, sql):
        client.exec(sql) if isinstance(client, based_client.Session) else client.rows(sql)

    def tx(self, client, verb):
        client.tx(verb) if isinstance(client, based_client.Session) else client.rows(verb)

    def failure(self, client, sql):
        """SQLSTATE and detail of what fails."""
        if isinstance(client, based_client.Session):
            with self.assertRaises(based_client.Error) as failed:
                client.exec(sql)
            return failed.exception.code, failed.exception.detail
        error = client.error(query(sql))
        return error["C"], error.get("D")

    def refused(self, **options):
        with self.assertRaises(Refused) as refused:
            self.wire(**options)
        return refused.exception.code

    def native_refusal(self, **options):
        with self.assertRaises(based_client.Error) as refused:
            self.native(**options)
        return refused.exception.code

    def pairs(self):
        """An owner, a member, and somebody else: of both protocols, and mixed."""
        for owner_native in (False, True):
            for member_native in (False, True):
                with self.subTest(owner_native=owner_native, member_native=member_native):
                    owner, token = self.shared(owner_native)
                    member = self.native(join=token) if member_native else self.wire(join=token)
                    self.third = self.wire(join=token)
                    yield owner, member, self.wire()


class Joining:
    """Wherever it is."""

    def test_a_statement_joins_the_transaction_and_goes_with_it(self):
        for owner, member, other in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "insert into things values (1)")
            self.run_in(member, "insert into things values (2)")
            self.assertEqual(self.failure(member, "insert into things values (2)")[0], "23505")
            self.assertEqual(self.ids(owner), [1, 2])
            self.tx(owner, "rollback")
            self.assertEqual(self.ids(member), [])
            self.run_in(member, "insert into things values (4)")  # by itself now
            self.assertEqual(self.ids(other), [4])
            self.run_in(owner, "delete from things")

    def test_what_has_joined_stays_with_a_commit(self):
        for owner, member, other in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "insert into things values (1)")
            self.tx(member, "begin")
            self.run_in(member, "insert into things values (2)")
            self.tx(member, "commit")
            self.tx(member, "begin")
            self.run_in(member, "insert into things values (3)")
            self.tx(member, "rollback")
            self.tx(owner, "commit")
            self.assertEqual(self.ids(other), [1, 2])
            self.run_in(other, "delete from things")

    def test_the_inner_transaction_ends_first(self):
        for owner, member, other in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "insert into things values (1)")
            self.tx(member, "begin")
            self.run_in(member, "insert into things values (2)")
            self.assertEqual(self.failure(owner, self.COUNT)[0], "55P03")
            self.tx(member, "rollback")
            self.assertEqual(self.ids(owner), [1])
            self.tx(owner, "rollback")

    def test_what_waits_in_vain_fails_what_was_sent_behind_it(self):
        rows = "insert into things values ({})".format
        for sent, after, rest in (
                ([query(rows(3)), query(rows(4)), query("commit")], "E:55P03 Z:E", "E:25P02 Z:E C:ROLLBACK Z:I"),
                ([query("commit"), query(rows(4)), query("commit")], "E:55P03 Z:E", "E:25P02 Z:E C:ROLLBACK Z:I"),
                ([extended(rows(3)), sync(), extended(rows(4)), sync(), extended("commit"), sync()], "E:55P03 Z:E",
                 "E:25P02 Z:E 1 2 C:ROLLBACK Z:I"),
                ([extended(rows(3)), extended(rows(4)), sync()], "E:55P03 Z:T", None), ([query(rows(3))], "E:55P03 Z:T", None)):
            owner, token = self.shared()
            member = self.wire(join=token)
            owner.query("begin; insert into things values (1)")
            member.query("begin; insert into things values (2)")
            owner.send(*sent)
            self.assertEqual(owner.answers().removeprefix("1 2 "), after)
            self.assertEqual(member.query("commit"), "C:COMMIT Z:I")
            if rest:
                self.assertEqual(owner.answers(2), rest)
            else:
                self.assertEqual(owner.query("rollback"), "C:ROLLBACK Z:I")
            self.assertEqual(self.ids(member), [])
            member.close()
            owner.close()

    def test_the_owners_end_waits_for_the_inner_transaction(self):
        owner, token = self.shared()
        member = self.wire(join=token)
        owner.query("begin; insert into things values (1)")
        member.query("begin; insert into things values (2)")
        self.assertEqual(owner.query("commit"), "E:55P03 Z:T")
        owner.send(query("commit"))
        self.assertEqual(member.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(owner.answers(), "C:COMMIT Z:I")
        self.assertEqual(self.ids(member), [1, 2])

    def test_who_is_cancelled_as_it_waits_has_a_failed_transaction(self):
        """Else what it has sent behind that would be done without it."""
        self.daemon(self.TABLE.replace("600ms", "20s"))
        for savepoint, left in (("", []), ("; savepoint s", [1])):
            owner, token = self.shared()
            member = self.wire(join=token)
            owner.query("begin; insert into things values (1)" + savepoint)
            member.query("begin; insert into things values (2)")
            owner.send(query("insert into things values (3)"), query("insert into things values (4)"))
            self.assertTrue(owner.quiet(0.1))
            owner.cancel()
            self.assertEqual(owner.answers(), "E:57014 Z:E")
            self.assertEqual(member.query("commit"), "C:COMMIT Z:I")
            self.assertEqual(owner.answers(), "E:25P02 Z:E")
            if savepoint:
                self.assertEqual(owner.query("rollback to s"), "C:ROLLBACK Z:T")
            self.assertEqual(owner.query("commit"), f"C:{'COMMIT' if savepoint else 'ROLLBACK'} Z:I")
            self.assertEqual(self.ids(member), left)
            self.run_in(member, "delete from things")

    def test_a_member_that_goes_takes_its_own_work_only(self):
        owner, token = self.shared()
        for leave in (self.wire, self.native):
            member = leave(join=token)
            self.tx(owner, "begin")
            self.run_in(owner, "insert into things values (1)")
            self.tx(member, "begin")
            self.run_in(member, "insert into things values (2)")
            member.close()
            wait_until(lambda: self.ids(owner) == [1], "its work is gone")
            owner.query("rollback")

    def test_an_owner_that_goes_takes_its_transaction(self):
        for native in (False, True):
            owner, token = self.shared(native)
            member = self.wire(join=token)
            self.tx(owner, "begin")
            self.run_in(owner, "insert into things values (1)")
            self.run_in(member, "insert into things values (2)")
            owner.close()
            wait_until(lambda: self.ids(member) == [], "the transaction is gone")

    def test_several_sessions_of_one_native_connection(self):
        with based_client.connect(self.address, user="postgres") as connection:
            owner = self.native(connection, share=True)
            member = self.native(connection, join=owner.opened.end["session"]["token"])
            owner.tx("begin")
            owner.exec("insert into things values (1)")
            self.assertEqual(self.ids(member), [1])
            owner.tx("rollback")


    def test_what_has_only_begun_is_joined(self):
        owner, token = self.shared()
        for member in (self.wire(join=token), self.native(join=token)):
            self.assertEqual(owner.query("begin"), "C:BEGIN Z:T")
            self.run_in(member, "insert into things values (1)")
            self.assertEqual(owner.query("savepoint s"), "C:SAVEPOINT Z:T")
            self.run_in(member, "insert into things values (2)")
            self.assertEqual(owner.query("rollback to s"), "C:ROLLBACK Z:T")
            self.assertEqual(self.ids(member), [1])
            self.assertEqual(owner.query("rollback and chain"), "C:ROLLBACK Z:T")
            self.run_in(member, "insert into things values (3)")
            self.assertEqual(owner.query("rollback"), "C:ROLLBACK Z:I")
            self.assertEqual(self.ids(member), [])

    def test_what_has_only_begun_takes_what_joins_and_nothing_from_before_it(self):
        for owner, member, _ in self.pairs():
            self.tx(owner, "begin")
            self.run_in(member, "insert into things values (1)")
            self.run_in(owner, "savepoint s")
            self.run_in(member, "insert into things values (2)")
            self.run_in(owner, "rollback to s")
            self.assertEqual(self.ids(member), [1])
            self.run_in(owner, "insert into things values (3)")
            self.run_in(owner, "savepoint t")
            self.run_in(member, "insert into things values (4)")
            self.run_in(owner, "savepoint u")  # it is another's turn
            self.run_in(member, "insert into things values (5)")
            self.run_in(owner, "rollback to u")
            self.assertEqual(self.ids(member), [1, 3, 4])
            self.run_in(owner, "rollback to t")
            self.assertEqual(self.ids(owner), [1, 3])
            self.run_in(owner, "rollback")
            self.assertEqual(self.ids(member), [])

    def test_what_two_have_only_begun_is_one_inside_the_other(self):
        for owner, member, _ in self.pairs():
            third = self.third
            self.tx(owner, "begin")
            self.tx(member, "begin")
            self.run_in(third, "insert into things values (1)")
            self.tx(member, "rollback")
            self.assertEqual(self.ids(third), [])
            self.run_in(third, "insert into things values (2)")
            self.tx(owner, "commit")
            self.assertEqual(self.ids(member), [2])
            self.run_in(owner, "delete from things")

    def test_what_one_that_goes_had_only_begun_keeps_nobody(self):
        owner, token = self.shared(native=True)
        member = self.wire(join=token)
        owner.tx("begin")
        owner.close()
        self.run_in(member, "insert into things values (1)")
        self.assertEqual(self.ids(member), [1])

    def test_a_failed_transaction_is_not_joined(self):
        owner, token = self.shared()
        member = self.wire(join=token)
        owner.query("begin; savepoint s")
        self.assertEqual(owner.query("select * from nowhere"), "E:42P01 Z:E")
        self.assertEqual(self.failure(member, self.COUNT)[0], "55P03")
        owner.query("rollback to s")
        self.assertEqual(self.ids(member), [])
        owner.query("rollback")

    def test_a_transaction_of_a_pipeline_is_not_joined(self):
        owner, token = self.shared()
        member = self.wire(join=token)
        owner.send(parse("", "insert into things values (1)"), bind(), execute(), flush())
        self.assertEqual([owner.message()[0] for _ in range(3)], ["1", "2", "C"])
        self.assertEqual(self.failure(member, self.COUNT)[0], "55P03")
        owner.send(sync())
        self.assertEqual(owner.answers(), "Z:I")
        self.assertEqual(self.ids(member), [1])
        self.run_in(member, "delete from things")


class InASandbox(Joining):
    def test_a_reset_is_told_to_all(self):
        owner, token = self.shared()
        member, native, other = self.wire(join=token), self.native(join=token), self.wire()
        owner.query("begin; insert into things values (1)")
        native.tx("begin")
        native.exec("insert into things values (2)")
        member.query("begin; insert into things values (3)")
        self.assertEqual(other.query("sandbox reset"), "C:SANDBOX RESET Z:I")
        self.assertEqual(self.ids(other), [])
        for client in (owner, member):
            self.assertEqual(client.query(self.COUNT), "E:40001 Z:E")
            self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(self.failure(native, self.COUNT)[0], "25P02")
        native.tx("rollback")
        for client in (owner, member, native):
            self.assertEqual(self.ids(client), [])

    def test_who_has_not_joined_is_outside(self):
        owner, token = self.shared()
        second, its_token = self.shared()
        member, other = self.wire(join=token), self.wire()
        owner.query("begin; insert into things values (1)")
        code, detail = self.failure(other, self.COUNT)
        self.assertEqual(code, "55P03")
        self.assertIn("insert into things values (1)", detail)
        self.assertEqual(self.ids(member), [1])
        self.assertEqual(self.failure(other, self.COUNT)[0], "55P03")  # also behind one that has joined
        self.assertNotEqual(its_token, token)
        self.assertEqual(self.failure(self.wire(join=its_token), self.COUNT)[0], "55P03")
        owner.query("rollback")

    def test_without_a_transaction_each_is_by_itself(self):
        owner, token = self.shared()
        member, other = self.wire(join=token), self.wire()
        member.query("begin; insert into things values (2)")
        self.assertEqual(self.failure(other, self.COUNT)[0], "55P03")
        owner.query("insert into things values (3)")  # of one group: it joins the member's
        member.query("rollback")
        self.assertEqual(self.ids(owner), [])


class Outside(Joining):
    """Where transactions are real ones."""

    TABLE = Sharing.OUTSIDE

    def test_others_see_what_the_outermost_commits(self):
        for owner, member, other in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "insert into things values (1)")
            self.tx(member, "begin")
            self.run_in(member, "insert into things values (2)")
            self.tx(member, "commit")
            self.run_in(member, "insert into things values (3)")
            self.assertEqual(self.committed(self.COUNT), [["0"]])
            self.tx(owner, "commit")
            self.assertEqual(self.committed(self.COUNT), [["3"]])
            self.tx(member, "begin")  # outermost now
            self.run_in(member, "delete from things")
            self.assertEqual(self.ids(owner), [])
            self.assertEqual(self.committed(self.COUNT), [["3"]])
            self.tx(member, "commit")
            self.assertEqual(self.committed(self.COUNT), [["0"]])

    def test_what_fails_inside_is_the_members_own(self):
        for owner, member, other in self.pairs():
            self.tx(owner, "begin")
            self.run_in(owner, "insert into things values (1)")
            self.tx(member, "begin")
            self.run_in(member, "insert into things values (2)")
            self.assertEqual(self.failure(member, "insert into things values (1)")[0], "23505")
            self.assertEqual(self.failure(member, self.COUNT)[0], "25P02")
            self.tx(member, "rollback")
            self.assertEqual(self.ids(owner), [1])
            self.tx(owner, "rollback")

    def test_prepared_control_is_looked_at_where_it_runs(self):
        owner, token = self.shared()
        member = self.wire(join=token)
        for name in ("begin", "commit", "rollback"):
            self.assertEqual(member.ask(parse(name, name), sync()), "1 Z:I")
        run = lambda name: member.ask(bind("", name), execute(), sync())
        for inside in (True, False, True):
            owner.query("begin" if inside else "select 1")
            for end, left in (("rollback", []), ("commit", [2])):
                self.assertEqual(run("begin"), "2 C:BEGIN Z:T")
                self.assertEqual(member.query("insert into things values (2)"), "C:INSERT 0 1 Z:T")
                self.assertEqual(run(end), f"2 C:{end.upper()} Z:I")
                self.assertEqual(self.ids(owner), left)
            owner.query("rollback")
            self.assertEqual(self.committed("delete from things returning id"), [] if inside else [["2"]])

    def test_a_random_crowd(self):
        rnd = random.Random(11)
        owner, token = self.shared()
        clients = [owner, self.wire(join=token), self.native(join=token), self.native(join=token), self.wire(join=token)]
        # What is there at each depth: committed, of the outermost transaction, of the one in it, ...
        inside, there, number = [], [set()], 0
        for _ in range(400):
            free = [client for client in clients if client not in inside]
            client = inside[-1] if inside and (not free or rnd.random() < 0.5) else rnd.choice(free)
            choice = rnd.random()
            if client in inside and choice < 0.4:
                how = "commit" if choice < 0.2 else "rollback"
                self.tx(client, how)
                inside.pop()
                done = there.pop()
                there[-1] |= done if how == "commit" else set()
            elif client not in inside and choice < 0.3:
                self.tx(client, "begin")
                inside.append(client)
                there.append(set())
            elif client not in inside and choice < 0.4:
                self.assertEqual(self.failure(client, "select * from nowhere")[0], "42P01")
            else:
                number += 1
                self.run_in(client, f"insert into things values ({number})")
                there[-1].add(number)
            outside = [client for client in clients if client not in inside]
            reader = rnd.choice(outside + inside[-1:])
            self.assertEqual(set(self.ids(reader)), set().union(*there))
            if not number % 5:
                self.assertEqual(self.committed(self.COUNT), [[str(len(there[0]))]])
        for client in reversed(inside):
            self.tx(client, "rollback")


class InASandboxOfPostgres(OnPostgres, InASandbox, Sharing):
    pass


class InASandboxOfSqlite(OnSqlite, InASandbox, Sharing):
    pass


class OutsideOnPostgres(OnPostgres, Outside, Sharing):
    def links(self):
        return int(cluster.query("select count(*) from pg_stat_activity where backend_type = 'client backend'")[0][0]) - 1

    def test_an_isolation_level_is_the_outermosts_and_what_needs_a_transaction_has_its_own(self):
        owner, token = self.shared()
        member, native = self.wire(join=token), self.native(join=token)
        owner.query("begin isolation level serializable")
        self.assertEqual(member.query("begin isolation level repeatable read"), "E:25001 Z:I")
        self.assertEqual(member.value("show transaction_isolation"), "serializable")
        native.tx("begin", isolation="repeatable read")
        self.assertEqual(self.failure(native, self.COUNT)[0], "25001")
        native.tx("rollback")
        self.assertEqual(self.ids(owner), [])
        # By itself it does nothing, and is only warned of.
        self.assertEqual(native.exec("set transaction isolation level repeatable read").tag, "SET")
        self.assertEqual(native.connection.notices.pop()[3]["message"], "SET TRANSACTION can only be used in transaction blocks")
        for text in ("lock table things", "declare c cursor for select 1"):
            self.assertEqual(self.failure(native, text)[0], "25P01")
        owner.query("rollback")
        self.assertEqual(member.query("begin isolation level repeatable read"), "C:BEGIN Z:T")
        self.assertEqual(member.value("show transaction_isolation"), "repeatable read")
        member.query("rollback")

    def test_listen_is_refused(self):
        owner, token = self.shared()
        for client in (owner, self.wire(join=token)):
            self.assertEqual(client.query("listen a"), "E:0A000 Z:I")
            self.assertEqual(client.query("begin"), "C:BEGIN Z:T")
            self.assertEqual(client.query("listen a"), "E:0A000 Z:E")
            self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        owner.query("begin")
        self.assertEqual(self.wire(join=token).query("listen a"), "E:0A000 Z:I")

    def test_what_the_owner_has_set_for_itself_is_there_behind_a_member(self):
        owner, token = self.shared()
        member = self.wire(join=token)
        owner.query("begin")
        owner.query("set local session characteristics as transaction deferrable, isolation level serializable")
        self.assertEqual(member.value("show default_transaction_isolation"), "read committed")
        self.assertEqual(owner.value("show default_transaction_isolation"), "serializable")
        self.assertEqual(owner.value("show default_transaction_deferrable"), "on")
        owner.query("rollback")
        self.assertEqual(owner.value("show default_transaction_isolation"), "read committed")

    def test_settings_are_each_ones_own(self):
        owner, token = self.shared()
        member = self.wire(join=token)
        owner.query("set work_mem = '7MB'")
        owner.query("begin; set local work_mem = '8MB'")
        member.query("set work_mem = '9MB'")
        self.assertEqual(owner.value("show work_mem"), "8MB")
        self.assertEqual(member.value("show work_mem"), "9MB")
        owner.query("rollback")
        self.assertEqual(owner.value("show work_mem"), "7MB")
        self.assertEqual(member.value("show work_mem"), "9MB")

    def test_what_was_set_and_rolled_back_does_not_come_again(self):
        for owner, member, _ in self.pairs():
            for sets in ("set local work_mem = '8MB'", "select set_config('work_mem', '8MB', true)",
                         "set work_mem = '8MB'", "set local app.who = 'me'", "set local seed = 0.5",
                         "set local role pg_monitor"):
                with self.subTest(sets):
                    self.tx(owner, "begin")
                    self.run_in(owner, "set local work_mem = '7MB'")
                    self.run_in(owner, "savepoint s")
                    self.run_in(owner, sets)
                    self.run_in(owner, "rollback to savepoint s")
                    self.rows(member, "select 1")
                    ask = "select current_setting('work_mem'), current_setting('role')"
                    self.assertEqual(self.rows(owner, ask), [["7MB", "none"]])
                    self.run_in(owner, "release savepoint s")
                    self.tx(owner, "rollback")
                    self.assertEqual(self.rows(owner, "show work_mem"), [["4MB"]])

    def test_who_resets_all_resets_nothing_of_who_has_been_joined(self):
        for owner, member, _ in self.pairs():
            ways = [lambda: self.run_in(member, "reset all")]
            if not isinstance(member, based_client.Session):  # as asyncpg does
                ways += [lambda: member.query("select pg_advisory_unlock_all(); close all; unlisten *; reset all"),
                         lambda: member.ask(parse("", "reset all"), bind(), execute(), sync())]
            self.run_in(owner, "set app.kept = 'kept'")
            self.run_in(owner, "set idle_in_transaction_session_timeout = '7s'")
            self.tx(owner, "begin")
            for setting in ("work_mem = '8MB'", "app.own = ''", "statement_timeout = '9s'"):
                self.run_in(owner, "set local " + setting)
            self.run_in(owner, "savepoint s")
            self.run_in(owner, "set local search_path = pg_catalog")
            self.run_in(owner, "declare c cursor for select 'still there'")
            ask = "select current_setting(n) from unnest(array['work_mem', 'app.own', 'app.kept', 'statement_timeout', " \
                  "'search_path', 'default_transaction_read_only', 'idle_in_transaction_session_timeout']) n"
            for number, reset in enumerate(ways):
                with self.subTest(number):
                    self.run_in(member, "set work_mem = '6MB'")
                    reset()
                    self.assertEqual(self.rows(member, "show work_mem"), [["4MB"]])
                    self.assertEqual(self.rows(owner, ask), [["8MB"], [""], ["kept"], ["9s"], ["pg_catalog"], ["off"], ["7s"]])
            self.assertEqual(self.rows(owner, "fetch c"), [["still there"]])
            self.run_in(owner, "rollback to savepoint s")
            self.assertEqual(self.rows(owner, "select current_setting('work_mem'), current_setting('search_path')"),
                             [["8MB", '"$user", public']])
            self.run_in(owner, "commit")
            self.assertEqual(self.rows(owner, "show work_mem"), [["4MB"]])
            self.assertEqual(self.rows(owner, "show statement_timeout"), [["0"]])

    def test_a_lost_connection_is_told_to_all(self):
        owner, token = self.shared()
        member, native = self.wire(join=token), self.native(join=token)
        owner.query("begin; insert into things values (1)")
        native.tx("begin")
        native.exec("insert into things values (2)")
        member.query("begin; insert into things values (3)")
        gone = "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'"
        self.assertEqual(cluster.query(gone), [["t"]])
        for client in (owner, member):
            self.assertRegex(client.query(self.COUNT), "^E:(57P01|08006) Z:E$")
            self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(self.failure(native, "select 1")[0], "25P02")
        native.tx("rollback")
        for client in (owner, member, native):
            self.assertEqual(self.ids(client), [])

    def test_each_group_has_a_connection_up_to_a_limit(self):
        self.daemon('timeout = "600ms"\nmax_pinned = 2')
        before = self.links()
        groups = [self.shared(), self.shared()]
        members = [self.wire(join=token) for _, token in groups]
        for owner, _ in groups:
            self.run_in(owner, "select 1")
        for member in members:
            self.run_in(member, "select 1")
        self.assertEqual(self.links(), before + 2)
        self.assertEqual(self.refused(share="on"), "53300")
        groups.pop()[0].close()
        members.pop().close()
        wait_until(lambda: self.links() == before + 1, "its connection is closed")
        self.run_in(self.shared()[0], "select 1")


class OutsideOnSqlite(OnSqlite, Outside, Sharing):
    def nested(self):
        """Three that are in transactions, one inside of the other, and one that is in none."""
        owner, token = self.shared()
        native, member = self.native(join=token), self.wire(join=token)
        owner.query("begin; insert into things values (1)")
        native.tx("begin")
        native.exec("insert into things values (2)")
        member.query("begin; insert into things values (3)")
        return owner, native, member, self.wire(join=token)

    def test_what_rolls_back_all_of_it_is_told_to_all(self):
        owner, native, member, fourth = self.nested()
        self.assertEqual(fourth.query("insert or rollback into things values (1)"), "E:23505 Z:I")
        for client in (owner, member):
            self.assertEqual(client.query(self.COUNT), "E:40001 Z:E")
            self.assertEqual(client.query(self.COUNT), "E:25P02 Z:E")
            self.assertEqual(client.query("rollback"), "C:ROLLBACK Z:I")
        self.assertEqual(self.failure(native, self.COUNT)[0], "25P02")
        native.tx("rollback")
        for client in (owner, native, member, fourth):
            self.assertEqual(self.ids(client), [])

    def test_who_waits_hears_of_it_too(self):
        self.daemon('timeout = "20s"')
        owner, native, member, fourth = self.nested()
        owner.send(query(self.COUNT))
        with based_client.connect(self.address) as watcher:
            wait_until(lambda: watcher.status()["databases"][0]["lanes"][0]["waiting"] == 1, "it waits")
        fourth.query("insert or rollback into things values (1)")
        self.assertEqual(owner.answers(), "E:40001 Z:E")
        self.assertEqual(owner.query(self.COUNT), "E:25P02 Z:E")

    def test_one_in_the_middle_takes_what_is_inside(self):
        owner, native, member, fourth = self.nested()
        native.close()
        wait_until(lambda: self.ids(fourth) == [1], "its work and the member's are gone")
        self.assertEqual(member.query("commit"), "E:40001 Z:I")
        self.run_in(member, "insert into things values (4)")
        self.assertEqual(owner.query("commit"), "C:COMMIT Z:I")
        self.assertEqual(self.committed("select id from things order by 1"), [["1"], ["4"]])

    def test_one_that_is_silent_for_too_long(self):
        self.daemon('timeout = "10s"\nidle_in_transaction = "300ms"')
        owner, token = self.shared()
        member = self.wire(join=token)
        owner.query("begin; insert into things values (1)")
        wait_until(lambda: self.ids(member) == [], "it is rolled back")
        self.assertEqual(owner.query(self.COUNT), "E:25P03 Z:E")

    def test_those_outside_wait_for_the_outermost(self):
        self.daemon('timeout = "10s"\nidle_while_waited = "300ms"')
        owner, native, member, fourth = self.nested()
        self.assertEqual(self.ids(self.wire()), [])
        self.assertEqual(owner.query(self.COUNT), "E:25P03 Z:E")
        self.assertRegex(member.query(self.COUNT), "^E:(25P03|40001) Z:E$")

    def test_a_silent_one_is_not_kept_by_who_is_busy_inside_of_it(self):
        self.daemon('timeout = "20s"\nidle_while_waited = "300ms"')
        owner, token = self.shared()
        member, other = self.wire(join=token), self.wire()
        owner.query("begin; insert into things values (1)")
        member.query("begin; insert into things values (2)")
        other.send(query("select id from things"))
        wait_until(lambda: member.query("select 1") == "E:40001 Z:E", "its transaction has gone with the owner's")
        self.assertEqual(other.answers(), "T:id C:SELECT 0 Z:I")
        self.assertEqual(owner.query("select 1"), "E:25P03 Z:E")

    def test_deferred_keys_are_looked_at_by_the_outermost(self):
        owner, token = self.shared()
        member = self.wire(join=token)
        member.query("create table parts (thing int references things deferrable initially deferred)")
        self.assertEqual(member.query("insert into parts values (7)"), "E:23503 Z:I")
        owner.query("begin; insert into things values (1)")
        self.assertEqual(member.query("begin; insert into parts values (7); commit"), "C:BEGIN C:INSERT 0 1 C:COMMIT Z:I")
        self.assertEqual(owner.query("commit"), "E:23503 Z:I")
        self.assertEqual(self.committed("select id from things union all select thing from parts"), [])

    def test_who_may_not_defer_keys_leaves_those_of_the_others_deferred(self):
        owner, token = self.shared()
        owner.query("create table deferred (thing int references things)")
        for member in (self.wire(join=token), self.native(join=token)):
            owner.query("begin; pragma defer_foreign_keys = on; insert into things values (1)")
            self.assertEqual(self.failure(member, "pragma defer_foreign_keys = on")[0], "25P01")
            self.assertEqual(owner.query("insert into deferred values (7)"), "C:INSERT 0 1 Z:T")
            self.assertEqual(owner.query("rollback"), "C:ROLLBACK Z:I")

    def test_read_only_transactions(self):
        owner, token = self.shared()
        for member in (self.wire(join=token), self.native(join=token)):
            insert = "insert into things values (1)"
            owner.query("begin read only")
            self.assertEqual(owner.value(self.COUNT), "0")
            self.assertEqual(self.failure(member, insert)[0], "25006")
            owner.query("commit")
            owner.query("begin")
            member.query("begin read only") if isinstance(member, PgClient) else member.tx("begin", read_only=True)
            self.assertEqual(self.failure(member, insert)[0], "25006")
            self.tx(member, "rollback")
            self.assertEqual(owner.query(insert), "C:INSERT 0 1 Z:T")
            owner.query("rollback")

    def test_what_runs_outside_of_transactions_only(self):
        owner, token = self.shared()
        for member in (self.wire(join=token), self.native(join=token)):
            owner.query("begin; insert into things values (1)")
            self.assertEqual(self.failure(member, "vacuum")[0], "25001")
            self.assertEqual(self.ids(member), [1])
            owner.query("rollback")
            self.run_in(member, "vacuum")

    def test_a_portal_goes_on_behind_what_has_joined(self):
        owner, token = self.shared()
        member = self.wire(join=token)
        self.run_in(owner, "insert into things values (1), (2), (3)")
        owner.query("begin")
        self.assertEqual(owner.ask(parse("", "select id from things order by 1"), bind(), execute("", 1), sync()), "1 2 D:1 s Z:T")
        self.run_in(member, "insert into things values (4)")
        self.assertEqual(owner.ask(execute("", 1), execute(), sync()), "D:2 s D:3 C:SELECT 1 Z:T")
        self.assertEqual(self.ids(owner), [1, 2, 3, 4])
        owner.query("commit")
        self.run_in(member, "delete from things")

    def test_the_last_row_and_the_changes_are_each_ones_own(self):
        owner, token = self.shared()
        member = self.wire(join=token)
        ask = "select changes(), last_insert_rowid()"
        owner.query("begin; insert into things values (1), (2)")
        member.query("insert into things values (3)")
        self.assertEqual((owner.rows(ask), member.rows(ask)), ([["2", "2"]], [["1", "3"]]))
        owner.query("rollback")


class Tokens:
    def test_a_token_ends_with_its_session(self):
        for native in (False, True):
            owner, token = self.shared(native)
            self.wire(join=token).close()
            owner.close()
            wait_until(lambda: self.try_join(token) == "28000", "the token is of no use")
            self.assertEqual(self.native_refusal(join=token), "28000")

    def try_join(self, token):
        try:
            self.wire(join=token).close()
        except Refused as refused:
            return refused.code

    def test_a_token_is_of_one_user_and_one_database(self):
        owner, token = self.shared()
        self.assertRegex(token, "^[0-9a-f]{32}$")
        self.assertEqual(self.refused(join=token, user="somebody"), "28000")
        self.assertEqual(self.refused(join=token, database="app#other"), "28000")
        self.assertEqual(self.native_refusal(join=token, user="somebody"), "28000")
        self.assertEqual(self.native_refusal(join=token, sandbox="other"), "28000")
        for wrong in (token[:-1], token + "0", "0" * 32, token.upper() + "X"):
            self.assertEqual(self.refused(join=wrong), "28000")
            self.assertEqual(self.native_refusal(join=wrong), "28000")

    def test_what_cannot_be_asked_for(self):
        owner, token = self.shared()
        self.assertEqual(self.refused(share="on", join=token), "22023")
        self.assertEqual(self.refused(share="perhaps"), "22023")
        self.assertEqual(self.native_refusal(share=True, join=token), "22023")
        self.assertEqual(self.native_refusal(share="on"), "22023")
        self.assertEqual(self.native_refusal(join="x" * 256), "54000")

    def test_only_the_owner_sees_its_token(self):
        owner, token = self.shared()
        member = self.wire(join=token)
        self.assertEqual(owner.value("show based.join_token"), token)
        self.assertNotIn(token, member.query("show based.join_token"))
        self.assertNotIn("token", self.native(join=token).opened.end["session"])


class TokensOnPostgres(OnPostgres, Tokens, Sharing):
    pass


class TokensOnSqlite(OnSqlite, Tokens, Sharing):
    pass


class Drivers(OnPostgres, Sharing):
    """A test that holds a transaction open while the server under test works, each with a driver as it is."""

    def connect(self, driver, option):
        port = self.address.rpartition(":")[2]
        connection = driver.connect(host="127.0.0.1", port=port, user="postgres", dbname="app",
                                    options=f"-c based.{option}")
        self.addCleanup(connection.close)
        return connection, connection.cursor()

    def test_with_psycopg(self):
        for table in ('force_rollback = true\ntimeout = "5s"', 'timeout = "5s"'):
            for driver in (psycopg, psycopg2):
                with self.subTest(table=table, driver=driver.__name__):
                    self.daemon(table)
                    test, asks = self.connect(driver, "share=on")
                    asks.execute("show based.join_token")
                    server, works = self.connect(driver, f"join={asks.fetchone()[0]}")
                    asks.execute("insert into things values (%s)", (1,))
                    for number in range(2, 12):  # so often that it is prepared
                        works.execute("insert into things values (%s)", (number,))
                        server.commit()
                    with self.assertRaises((psycopg.errors.UniqueViolation, psycopg2.errors.UniqueViolation)):
                        works.execute("insert into things values (%s)", (1,))
                    server.rollback()
                    works.execute("select count(*) from things")
                    self.assertEqual(works.fetchone()[0], 11)
                    server.commit()
                    asks.execute("select count(*) from things")
                    self.assertEqual(asks.fetchone()[0], 11)
                    test.rollback()
                    works.execute("select count(*) from things")
                    self.assertEqual(works.fetchone()[0], 0)
                    server.rollback()


class Refusing(OnPostgres, Sharing):
    TABLE = 'force_rollback = true\ntimeout = "10s"\nturns = "error"'

    def test_those_of_the_group_join_and_others_are_refused_at_once(self):
        owner, token = self.shared()
        member, other = self.wire(join=token), self.wire()
        owner.query("begin; insert into things values (1)")
        self.assertEqual(self.ids(member), [1])
        self.assertEqual(self.failure(other, self.COUNT)[0], "55P03")
        member.query("begin; insert into things values (2)")
        self.assertEqual(self.failure(other, self.COUNT)[0], "55P03")
        member.query("commit")
        self.assertEqual(self.ids(owner), [1, 2])
        owner.query("commit")
        self.assertEqual(self.ids(other), [1, 2])


if __name__ == "__main__":
    unittest.main()
