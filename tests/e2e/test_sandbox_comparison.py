"""Conversations that have to go in a sandbox as on the database itself: by the simple protocol, the extended one and natively.

Each is held with both, and every answer compared; behind it the rows are. What differs by nature is named at its end.
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import based_client
from pg_client import PgClient, describe, extended, parse, query, sync
from servers import Daemon, PostgresCluster

SCHEMA = """
    create table keyed (id int primary key, note text);
    create table child (id int primary key, parent int constraint of_parent references keyed deferrable initially deferred);
    create table numbered (id serial primary key, v int);
    create function tries() returns int language plpgsql as $$ begin insert into keyed values (1, 'x');
      begin insert into keyed values (1, 'y'); exception when unique_violation then null; end; return 1; end $$;
    create procedure commits() language plpgsql as $$ begin insert into keyed values (50, 'p'); commit; end $$
"""
ALIKE = {
    "a function that catches an error": ["select tries()", "select * from keyed", "begin; select tries()", "commit", "delete from keyed"],
    "large objects (H21)": ["select lo_create(4711)", "begin; select lo_put(4711, 0, 'abc'); rollback", "select lo_get(4711)",
                            "select lo_unlink(4711)", "select lo_get(4711)"],
    "sequences (H3)": ["insert into numbered (v) values (1) returning id", "select currval('numbered_id_seq'), lastval()",
                       "begin; insert into numbered (v) values (2); rollback", "insert into numbered (v) values (1) returning id",
                       "alter sequence numbered_id_seq restart", "select nextval('numbered_id_seq')"],
    "rows have versions (H16)": ["insert into keyed values (1, 'a')", "begin; select xmin <> 0 as v, note from keyed",
                                 "update keyed set note = 'b' where xmin = (select xmin from keyed) returning note", "commit",
                                 "delete from keyed"],
    "locks (H11, H12)": ["select pg_advisory_lock(5)", "select pg_advisory_unlock(5)", "select pg_advisory_unlock(5)",
                         "begin; select pg_try_advisory_xact_lock(6); commit", "insert into keyed values (1, 'a')",
                         "select id from keyed for update skip locked", "begin; select id from keyed for update nowait; commit",
                         "lock table keyed", "begin; lock table keyed; commit", "delete from keyed"],
    "pending triggers (H1)": ["begin; insert into keyed values (1, 'p'); insert into child values (1, 1); commit",
                              "alter table child add column z int", "alter table child drop column z",
                              "begin; insert into child values (2, 2); alter table child add column z int", "rollback",
                              "delete from child; delete from keyed"],
    "chains keep their modes": ["begin isolation level serializable, read only", "commit and chain", "show transaction_isolation",
                                "show transaction_read_only", "insert into keyed values (9, '')", "rollback"],
    "outside of a transaction": ["commit", "rollback", "savepoint s", "release s", "rollback to s", "commit and chain",
                                 "rollback and chain", "set local work_mem = '7MB'", "set constraints all immediate",
                                 "declare c cursor for select 1", "show work_mem"],
    "savepoints are the client's": ["begin; release nowhere", "rollback", "begin; savepoint a; insert into keyed values (1, '')",
                                    "savepoint b; insert into keyed values (2, ''); rollback to a", "select count(*) from keyed",
                                    "rollback to b", "rollback to a; release a", "commit", "begin; savepoint a; savepoint a",
                                    "release a; release a", "release a", "rollback"],
    "read only (H15)": ["begin read only", "insert into keyed values (1, '')", "rollback", "begin read only; select 1; commit",
                        "insert into keyed values (1, '')", "delete from keyed"],
    "several statements": ["insert into keyed values (1, 'a'); commit; insert into keyed values (2, 'b')", "select id from keyed",
                           "insert into keyed values (3, 'a'); insert into keyed values (3, 'b')",
                           "insert into keyed values (4, ''); begin; insert into keyed values (5, ''); rollback; select 1",
                           "rollback", "delete from keyed where id > 0"],
    "definitions": ["create table made (a int primary key)", "begin; alter table made add b text; insert into made values (1); rollback",
                    "insert into made values (1)", "insert into made values (1)", "alter table made rename to made2",
                    "select * from made2", "truncate made2", "select * from made2", "analyze made2", "drop table made2"],
}
# The text, and its SQLSTATE in a sandbox, where the database itself does it.
APART = (("call commits()", "2D000"), ("do $$ begin commit; end $$", "2D000"),  # H19
         ("select pg_export_snapshot()", "25001"))  # H14


class Comparison(unittest.TestCase):
    def setUp(self):
        self.cluster = PostgresCluster()
        self.addCleanup(self.cluster.close)
        for database in ("real", "box"):
            self.cluster.query(f"create database {database}")
            self.cluster.query(SCHEMA, database)
        url = self.cluster.url
        self.daemon = Daemon(config=f'[databases.real]\nurl = "{url("real")}"\n'
                                    f'[databases.box]\nurl = "{url("box")}"\nforce_rollback = true\n')
        self.addCleanup(self.daemon.close)

    def wires(self):
        for address, database in ((f"127.0.0.1:{self.cluster.port}", "real"), (f"127.0.0.1:{self.daemon.port}", "box")):
            client = PgClient(address, database=database)
            self.addCleanup(client.close)
            yield client

    def natives(self):
        for database in ("real", "box"):
            connection = based_client.connect(f"127.0.0.1:{self.daemon.port}")
            self.addCleanup(connection.__exit__)
            yield connection.session(database=database)

    @staticmethod
    def by_session(session, text):
        try:
            done = session.exec(text)
            return done.tag, [list(row) for row in done.rows], session.state
        except based_client.Error as wrong:
            return wrong.code, wrong.message, session.state

    @staticmethod
    def extended(client, text):
        return client.ask(parse("", text), describe("S"), sync()) + " " + client.ask(extended(text, describing=True), sync())

    def compare(self, plain, box, ask):
        for name, texts in ALIKE.items():
            for text in texts:
                with self.subTest(name, text=text):
                    self.assertEqual(ask(box, text), ask(plain, text))
        for text, code in APART:
            self.assertIn(code, str(ask(box, text)))
        self.assertIn("SANDBOX RESET", str(ask(box, "sandbox reset")))  # a root keeps its locks
        self.assertNotIn("LOST", self.daemon.log())
        self.assertEqual(self.cluster.query("select (select count(*) from keyed), (select count(*) from numbered)", "box"),
                         [["0", "0"]])

    def test_by_the_simple_protocol(self):
        self.compare(*self.wires(), lambda client, text: client.ask(query(text)))

    def test_by_the_extended_protocol(self):
        self.compare(*self.wires(), self.extended)

    def test_natively(self):
        self.compare(*self.natives(), self.by_session)


if __name__ == "__main__":
    unittest.main()
