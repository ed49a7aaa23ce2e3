"""Values, parameters and results, exact in both directions: the same rules on SQLite and on PostgreSQL."""

import math
import unittest

from based_client import Error, connect, EXEC
from servers import Daemon, PostgresCluster, wait_until

EDGES = sorted({sign * (2**power + step) for power in (7, 8, 15, 16, 31, 32, 53, 62)
                for step in (-1, 0, 1) for sign in (1, -1)} | {0, 1, -1, 2**63 - 1, -(2**63)})
FLOATS = [0.0, 1.0, -1.0, 0.1, 1 / 3, 2.0**53, 5e-324, -5e-324, 2.2250738585072014e-308,
          1.7976931348623157e308, 1e15, 1e16, 123456789.125, math.inf, -math.inf]
TEXTS = ["", " ", "'", '"', "it''s \"quoted\"", "back\\slash", "$1 ? :name --", "line\r\n\ttab", "gr\u00fcn",
         "\U0001f600\u200d",
         "e\u0301", "\uffff", "NULL", "\\x00", "x" * 2**20]
BLOBS = [b"", b"\0", bytes(range(256)), b"\xff" * 70000, b"\\x41", bytes(2**20)]
cluster = None


def setUpModule():
    global cluster
    cluster = PostgresCluster()


def tearDownModule():
    cluster.close()


class Rules:
    """What holds on either backend."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(cls.url())
        cls.addClassCleanup(cls.daemon.close)

    def setUp(self):
        self.db = self.enterContext(connect(f"unix:{self.daemon.socket_path}"))
        self.session = self.db.session()
        self.session.opened.wait()

    def enterContext(self, manager):
        value = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return value

    def exec(self, sql, parameters=None, **options):
        return self.session.exec(sql, parameters, **options)

    def rows(self, sql, parameters=None, **options):
        return list(self.exec(sql, parameters, **options).rows)

    def one(self, sql, parameters=None):
        ((value,),) = self.rows(sql, parameters)
        return value

    def test_status_counts_requests_errors_and_cancels(self):
        def counters():
            native = self.db.status()["native"]
            return [native[name] for name in ("requests_total", "errors_total", "cancels_total")]
        before = counters()
        self.one("select 1")
        self.refused("42601", "selec 1")
        self.exec("select 1").cancel().wait()  # too late: counted all the same
        after = counters()
        self.assertEqual([now - then for now, then in zip(after, before)], [5, 1, 1])

    def refused(self, code, sql, parameters=None, **options):
        with self.assertRaises(Error) as caught:
            self.exec(sql, parameters, **options)
        self.assertEqual(caught.exception.code, code, caught.exception)
        self.assertEqual(caught.exception.executed, "no")
        return caught.exception

    def table(self, columns):
        self.exec("drop table if exists t")
        self.exec(f"create table t ({columns})")
        self.addCleanup(self.exec, "drop table if exists t")

    def same(self, got, sent):
        """Equal, of the same kind, and with the same sign of zero."""
        self.assertEqual((type(got), repr(got)[:200]), (type(sent), repr(sent)[:200]))
        self.assertTrue(got == sent or got != got)

    def stored(self, type_name, values, cast):
        """Each value by a parameter into a column and back, and compared by the database itself."""
        self.table(f"id integer primary key, v {type_name}")
        for i, value in enumerate(values):
            self.exec("insert into t (id, v) values ($1, $2)", [i, value])
        for (i, got), sent in zip(self.rows("select id, v from t order by id"), values):
            with self.subTest(sent=repr(sent)[:60]):
                self.same(got, sent)
                self.same(self.one(f"select {cast}", [sent]), sent)
                self.assertEqual(self.rows("select id from t where id = $1 and v = $2", [i, sent]), [[i]])

    def test_integers_at_every_edge_come_back_as_they_were(self):
        self.stored("bigint", EDGES, "cast($1 as bigint)")

    def test_floats_keep_every_bit_and_never_turn_into_integers(self):
        self.stored("double precision", FLOATS, "cast($1 as double precision)")

    def test_a_parameter_of_negative_zero_keeps_its_sign(self):
        self.same(self.one("select $1", [-0.0]), -0.0)

    def test_texts_keep_every_character(self):
        self.stored("text", TEXTS, "cast($1 as text)")

    def test_bytes_keep_every_byte(self):
        self.stored("bytea" if self.backend == "postgresql" else "blob", BLOBS,
                    "cast($1 as bytea)" if self.backend == "postgresql" else "$1")

    def test_null_and_empty_are_different(self):
        self.table("id integer primary key, a text, b text")
        self.exec("insert into t values (1, $1, $2)", [None, ""])
        self.assertEqual(self.rows("select a, b, a is null, b is null from t")[0][:2], [None, ""])
        self.assertEqual(self.rows("select id from t where a is null and b = $1", [""]), [[1]])

    def test_a_column_of_booleans_gives_booleans(self):
        self.table("id integer primary key, b boolean")
        for i, value in enumerate([True, False, None]):
            self.exec("insert into t values ($1, $2)", [i, value])
        got = self.rows("select b from t order by id")
        self.assertEqual([repr(row) for row in got], ["[True]", "[False]", "[None]"])
        self.assertEqual(self.rows("select id from t where b = $1", [True]), [[0]])

    def test_an_integer_of_2_to_the_63_is_refused_and_the_session_goes_on(self):
        for value in (2**63, 2**64 - 1):
            self.refused("22003", "select $1", [value])
        self.assertEqual(self.one("select cast($1 as bigint)", [2**63 - 1]), 2**63 - 1)

    def test_a_list_or_a_map_is_no_value(self):
        for value in ([1], {"a": 1}):
            self.refused("22023", "select $1", [value])
        self.assertEqual(self.one("select 1"), 1)

    def test_nul_in_the_text_of_a_statement_is_refused(self):
        self.refused("22021", "select 'a\0b'")

    def test_columns_of_one_name_are_all_sent_in_order(self):
        result = self.exec("select 1 as a, 2 as b, 3 as a")
        self.assertEqual(list(result.rows), [[1, 2, 3]])
        self.assertEqual([column[0] for column in result.columns[0]], ["a", "b", "a"])

    def test_a_result_without_rows_still_has_columns(self):
        self.table("id integer primary key, v text")
        result = self.exec("select id, v from t")
        self.assertEqual(([column[0] for column in result.columns[0]], list(result.rows)), (["id", "v"], []))

    def test_the_three_styles_of_placeholders_mean_the_same(self):
        whole = "cast({} as bigint), cast({} as text), cast({} as bigint)"
        for style, parameters in ((("$1", "$2", "$1"), [5, "x"]), (("?", "?", "?"), [5, "x", 5]),
                                  ((":n", ":t", ":n"), {"n": 5, "t": "x"}),
                                  ((":n", ":t", ":n"), {":n": 5, ":t": "x"})):
            with self.subTest(style=style):
                self.assertEqual(self.rows("select " + whole.format(*style), parameters), [[5, "x", 5]])

    def test_placeholders_in_strings_names_and_comments_are_text(self):
        sql = "select '$1 ? :a', cast(:b as text) as \"$2 ? :c\" -- ? :d $3\n /* :e ? $4 */"
        self.assertEqual(self.rows(sql, {"b": "y"}), [["$1 ? :a", "y"]])

    def test_what_does_not_fit_the_placeholders_is_refused(self):
        self.refused("42601", "select :a, $1", [1])
        for sql, parameters in (("select $1, $2", [1]), ("select $1", [1, 2]), ("select :a", {"b": 1}),
                                ("select :a", {"a": 1, "b": 2}), ("select $1", None), ("select :a", None)):
            with self.subTest(sql=sql, parameters=parameters):
                self.refused("42P02", sql, parameters)
        self.refused("42P02", "select 1; select $1", [1])
        self.assertEqual(self.one("select 1"), 1)

    def test_statements_say_what_they_did(self):
        self.table("id integer primary key, v integer")
        for sql, tag, affected in (
                ("insert into t values (1, 1), (2, 2), (3, 3)", "INSERT", 3),
                ("update t set v = v + 1 where id > 1", "UPDATE", 2),
                ("update t set v = 0 where id > 99", "UPDATE", 0),
                ("insert into t select id + 10, v from t", "INSERT", 3),
                ("delete from t where id > 10", "DELETE", 3),
                ("with x as (select 1 as n) update t set v = (select n from x)", "UPDATE", 3),
                ("insert into t values (1, 5) on conflict (id) do update set v = 5", "INSERT", 1),
                ("insert into t values (1, 6) on conflict (id) do nothing", "INSERT", 0)):
            with self.subTest(sql=sql):
                result = self.exec(sql)
                self.assertEqual((result.tag, result.affected), (tag, affected))
        for sql, tag in (("create index t_v on t (v)", "CREATE INDEX"),
                         ("create view w as select * from t", "CREATE VIEW"),
                         ("alter table t add column x text", "ALTER TABLE"), ("drop view w", "DROP VIEW"),
                         ("drop index t_v", "DROP INDEX"), ("begin", "BEGIN"), ("savepoint a", "SAVEPOINT"),
                         ("release a", "RELEASE"), ("rollback", "ROLLBACK"), ("select 1", "SELECT")):
            with self.subTest(sql=sql):
                self.assertEqual(self.exec(sql).tag, tag)

    def test_returning_gives_rows_and_counts(self):
        self.table("id integer primary key, v integer")
        result = self.exec("insert into t values (7, 1), (8, 2) returning id, v + 1 as w")
        self.assertEqual(list(result.rows), [[7, 2], [8, 3]])
        self.assertEqual((result.tag, result.affected, result.end["results"][0]["rows"]), ("INSERT", 2, 2))

    def test_a_script_answers_each_step_and_stops_at_the_first_error(self):
        self.table("id integer primary key")
        result = self.exec("insert into t values (1);; select id from t; delete from t; select id from t;")
        self.assertEqual([step["tag"] for step in result.end["results"]],
                         ["INSERT", "SELECT", "DELETE", "SELECT"])
        self.assertEqual((list(result.rows), sorted(result.columns)), ([[1]], [1, 3]))
        error = self.refused("23505",
                             "insert into t values (1); insert into t values (1); insert into t values (2)")
        self.assertEqual((error.step, [step["affected"] for step in error.results]), (1, [1]))
        self.assertEqual(self.rows("select id from t"), [[1]])
        self.refused("23505", "insert into t values (3); insert into t values (1)", atomic=True)
        self.assertEqual(self.rows("select id from t"), [[1]])
        named = self.exec("insert into t values (:a); insert into t values (:b); select :a + :b",
                          {"a": 10, "b": 20})
        self.assertEqual(list(named.rows), [[30]])

    def test_an_empty_text_has_no_results(self):
        for sql in ("", ";", " ;; -- nothing\n", "/* */"):
            self.assertNotIn("results", self.exec(sql).end)

    def test_five_thousand_sets_run_as_one_step(self):
        self.table("id integer primary key, v text")
        sets = [[i, f"row {i}"] for i in range(5000)]
        result = self.session.batch([["insert into t values ($1, $2)", None, sets]], atomic=True)
        self.assertEqual((result.tag, result.affected, len(result.end["results"])), ("INSERT", 5000, 1))
        self.assertEqual(self.rows("select count(*), min(id), max(id) from t"), [[5000, 0, 4999]])
        again = self.session.batch([["select v from t where id = :id", None,
                                     [{"id": i} for i in (4999, 0, 77)]]])
        self.assertEqual(list(again.rows), [["row 4999"], ["row 0"], ["row 77"]])
        with self.assertRaises(Error) as caught:
            self.session.batch([["delete from t"],
                                ["insert into t values ($1, $2)", None, sets + [[5, "twice"]]]], atomic=True)
        self.assertEqual((caught.exception.code, caught.exception.step), ("23505", 1))
        self.assertEqual(self.one("select count(*) from t"), 5000)
        self.assertEqual(list(self.session.batch([["insert into t values ($1, $2)", None, []]]).rows), [])

    def test_a_batch_that_does_not_stop_keeps_what_succeeded(self):
        self.table("id integer primary key")
        result = self.session.batch([["insert into t values (1)"], ["insert into t values (1)"],
                                     ["insert into t values (2)"]],
                                    stop=False)
        first, failed, last = result.end["results"]
        self.assertEqual((first["affected"], failed["error"]["code"], last["affected"]), (1, "23505", 1))
        self.assertEqual(self.rows("select id from t order by id"), [[1], [2]])

    def numbers(self, count):
        if self.backend == "postgresql":
            return f"select i::int, repeat('x', 100) from generate_series(1, {count}) as i"
        return (f"with recursive n (i) as (select 1 union all select i + 1 from n where i < {count})"
                " select i, replace(hex(zeroblob(50)), '0', 'x') from n")

    def test_a_large_result_passes_through_without_growing_the_daemon(self):
        self.assertEqual(len(self.rows(self.numbers(1000))), 1000)  # warm
        before, peak, expected = self.daemon.rss_kib(), 0, 0
        result = self.session.start(EXEC, self.numbers(200_000))
        for number, text in result:
            expected += 1
            if number != expected or len(text) != 100:
                self.fail(f"row {expected} is {number}, {text!r}")
            if number % 20_000 == 0:
                peak = max(peak, self.daemon.rss_kib())
        self.assertEqual(expected, 200_000)
        self.assertLess(peak - before, 16 * 1024, "KiB more for a result of some 20 MiB")

    def test_credit_of_one_gives_one_row_at_a_time(self):
        result = self.session.start(EXEC, self.numbers(50), None, {"credit": 1})
        while not result.rows:
            self.db.read()
        self.assertEqual(self.db.ping("between"), "between")
        self.assertEqual((len(result.rows), result.end), (1, None))
        self.assertEqual([row[0] for row in result], list(range(1, 51)))
        self.assertEqual(result.end["results"][0]["rows"], 50)

    def test_the_rest_of_a_result_can_be_discarded(self):
        result = self.session.start(EXEC, self.numbers(100_000), None, {"credit": 10})
        while len(result.rows) < 10:
            self.db.read()
        self.assertTrue(result.fetch(0).wait().end["found"])
        result.credit = None
        result.wait()
        self.assertEqual((len(result.rows), result.truncated), (10, True))
        self.assertEqual(self.one("select 1"), 1)

    def test_max_rows_truncates_and_says_so(self):
        for count, limit, sent, truncated in ((10, 3, 3, True), (3, 3, 3, None), (2, 3, 2, None),
                                              (5, 0, 5, None)):
            with self.subTest(count=count, limit=limit):
                result = self.exec(self.numbers(count), None, max_rows=limit)
                self.assertEqual((len(result.rows), result.truncated), (sent, truncated))


class OnSqlite(Rules, unittest.TestCase):
    backend = "sqlite"

    @staticmethod
    def url():
        return "sqlite::memory:"

    def test_a_text_may_hold_nul(self):
        self.stored("text", ["\0", "a\0b", "\0" * 1000], "$1")

    def test_nan_is_refused_instead_of_stored_as_null(self):
        self.table("v real")
        self.refused("22023", "insert into t values ($1)", [math.nan])
        self.assertEqual(self.rows("select * from t"), [])

    def test_a_text_that_is_not_utf8_comes_as_bytes(self):
        for raw in ("ff", "c3", "eda080", "f4908080", "41c0af"):
            self.assertEqual(self.one(f"select cast(x'{raw}' as text)"), bytes.fromhex(raw))
        self.assertEqual(self.one("select cast(x'c3bc' as text)"), "\u00fc")

    def test_values_keep_their_kind_without_declared_types(self):
        values = [None, 0, 1, 1.0, -0.0, "1", b"1", 2**62, ""]
        self.table("id integer primary key, v")
        for value in values:
            self.exec("insert into t (v) values (?)", [value])
        kinds = {int: "integer", float: "real", str: "text", bytes: "blob"}
        for (got, kind), sent in zip(self.rows("select v, typeof(v) from t order by id"), values):
            self.same(got, sent)
            self.assertEqual(kind, kinds.get(type(sent), "null"))

    def test_booleans_are_numbers_except_in_a_column_of_booleans(self):
        self.assertEqual(repr(self.rows("select ?, ?", [True, False])), "[[1, 0]]")
        self.table("a bool, b BOOLEAN, c integer")
        self.exec("insert into t values (1, 0, 1), (2, 'x', 0), (null, 1.5, true)")
        result = self.exec("select a, b, c, a + 0 from t")
        self.assertEqual(repr(list(result.rows)),
                         "[[True, False, 1, 1], [2, 'x', 0, 2], [None, 1.5, 1, None]]")
        self.assertEqual([column[1] for column in result.columns[0]],
                         ["BOOL", "BOOLEAN", "INTEGER", "INTEGER"])

    def test_types_are_the_declared_ones_or_the_storage_class(self):
        self.table("a varchar(10), b Decimal(5, 2), c")
        self.exec("insert into t values ('x', 1.5, x'00')")
        result = self.exec("select a, b, c, a || 'y', 1, 1.5, x'', null from t")
        self.assertEqual([column[1] for column in result.columns[0]],
                         ["VARCHAR(10)", "DECIMAL(5, 2)", "BLOB", "TEXT", "INTEGER", "REAL", "BLOB", "NULL"])

    def test_an_insert_says_the_id_of_its_last_row_and_other_statements_say_none(self):
        self.table("id integer primary key, v integer unique")
        for sql, expected in (("insert into t (v) values (1)", 1), ("insert into t (v) values (2), (3)", 3),
                              ("insert into t values (-5, 4)", -5),
                              ("insert into t values (9223372036854775807, 5)", 2**63 - 1),
                              ("update t set v = 6 where id = 1", None), ("delete from t where id = 1", None),
                              ("insert or ignore into t (id, v) values (2, 2)", None), ("select 1", None),
                              ("replace into t (id, v) values (2, 2)", 2),
                              ("insert into t (id, v) values (2, 9) on conflict (id) do update set v = 9",
                               None)):
            with self.subTest(sql=sql):
                self.assertEqual(self.exec(sql).last_insert_id, expected)
        self.exec("create table w (k text primary key) without rowid")
        self.addCleanup(self.exec, "drop table w")
        self.assertIsNone(self.exec("insert into w values ('x')").last_insert_id)

    def test_two_styles_of_placeholders_in_one_statement_are_refused(self):
        for sql in ("select ?, $1", "select $1 ? 2", "select :a, ?"):
            self.assertEqual(self.refused("42601", sql, [1, 2]).position, max(sql.rfind("?"), sql.find("$1")))

    def test_a_column_declared_real_stores_no_negative_zero_but_one_without_a_type_does(self):
        self.table("r real, n")
        self.exec("insert into t values ($1, $1)", [-0.0])
        self.assertEqual(repr(self.rows("select r, n from t")), "[[0.0, -0.0]]")

    def test_the_arrows_of_json_are_operators(self):
        self.assertEqual(self.rows("select $1 -> '$.a', $1 ->> '$.b', json_extract($1, '$.a[1]')",
                                   ['{"a": [1, 2], "b": "x"}']),
                         [["[1,2]", "x", 2]])


class OnPostgres(Rules, unittest.TestCase):
    backend = "postgresql"

    @staticmethod
    def url():
        return cluster.url()

    def types(self, result):
        return [column[1] for column in result.columns[0]]

    def test_negative_zero_keeps_its_sign_in_a_column(self):
        self.stored("double precision", [-0.0, 0.0], "cast($1 as double precision)")
        self.table("v real")
        self.exec("insert into t values ($1)", [-0.0])
        self.same(self.one("select v from t"), -0.0)

    def test_a_prepared_statement_survives_a_table_of_other_types(self):
        for kind, value in (("boolean", True), ("text", "row"), ("bigint", 2**40), ("text", "again"),
                            ("uuid", None)):
            self.table(f"id integer primary key, v {kind}")
            for i in range(3):  # prepared from the second time on
                with self.subTest(kind=kind, i=i):
                    self.exec("insert into t values ($1, $2)", [i, value])
                    self.assertEqual(self.rows("select * from t where id = $1", [i]), [[i, value]])
            self.session.batch([["insert into t values ($1, $2)", None, [[8, value], [9, value]]]],
                               atomic=True)
            self.assertEqual(self.one("select count(*) from t"), 5)
            self.refused("23505", "insert into t values ($1, $2)", [0, value])

    def test_a_value_that_its_type_refuses_is_refused_every_time(self):
        self.table("id integer primary key, d date")
        for _ in range(4):
            self.refused("22007", "insert into t values ($1, $2)", [1, "never"])
        for i in range(3):
            self.exec("insert into t values ($1, $2)", [i, "2024-02-29"])
            self.refused("22007", "insert into t values ($1, $2)", [9, "never"])
        self.assertEqual(self.one("select count(*) from t"), 3)

    def test_nan_passes(self):
        self.assertTrue(math.isnan(self.one("select $1", [math.nan])))

    def test_nul_in_a_text_is_refused_and_the_session_goes_on(self):
        self.refused("22021", "select cast($1 as text)", ["a\0b"])
        self.assertEqual(self.one("select 1"), 1)

    def test_smaller_numbers_come_back_as_they_are_shown(self):
        result = self.exec("select 1::int2, 2::int4, 3::int8, 0.1::real, 0.1::float8, 1e7::real, '-0'::real")
        self.assertEqual(repr(list(result.rows)), "[[1, 2, 3, 0.1, 0.1, 10000000.0, -0.0]]")
        self.assertEqual(self.types(result), ["int2", "int4", "int8", "float4", "float8", "float4", "float4"])

    def test_other_types_travel_as_the_text_that_the_server_shows_and_are_named(self):
        self.exec("create type mood as enum ('sad', 'happy')")
        self.addCleanup(self.exec, "drop type mood")
        self.exec("create domain small as int check (value < 10)")
        self.addCleanup(self.exec, "drop domain small")
        self.exec("set time zone 'UTC'")
        self.addCleanup(self.exec, "reset time zone")
        for name, text in (("numeric", "12345678901234567890.12345678900"), ("numeric", "NaN"),
                           ("numeric", "0.00"),
                           ("timestamptz", "2024-02-29 23:59:59.123456+00"), ("timestamp", "infinity"),
                           ("date", "2024-02-29"),
                           ("time", "24:00:00"), ("interval", "1 year 2 mons -3 days"),
                           ("json", '{"b": 1,  "a": [1, null]}'),
                           ("jsonb", '{"a": [1, null], "b": 1}'),
                           ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
                           ("inet", "10.0.0.0/8"), ("int4range", "[1,5)"), ("point", "(1,2)"),
                           ("varchar", "x"), ("name", "n"),
                           ("bit", "1"), ("money", "$1.50"), ("mood", "happy")):
            with self.subTest(type=name, text=text):
                result = self.exec(f"select cast($1 as {name})", [text])
                self.assertEqual((list(result.rows), self.types(result)), ([[text]], [name]))
        for name, element, text in (("_int4", "int4[]", "{{1,2},{3,NULL}}"),
                                    ("_text", "text[]", '{a,"b,c","",NULL,"\\"q\\""}'),
                                    ("_mood", "mood[]", "{sad,happy}")):
            with self.subTest(type=element):
                result = self.exec(f"select cast($1 as {element})", [text])
                self.assertEqual((list(result.rows), self.types(result)), ([[text]], [name]))
        self.assertEqual(self.rows("select row(1, 'a b', null)::text, 5::small"), [["(1,\"a b\",)", 5]])

    def test_question_marks_are_operators_where_they_cannot_be_placeholders(self):
        self.assertEqual(self.rows("""select '{"a":1}'::jsonb ? 'a', '{"a":1}'::jsonb ?| array['b','a']"""),
                         [[True, True]])
        self.assertEqual(self.one("""select '{"a":1}'::jsonb ? $1""", ["a"]), True)
        self.assertEqual(self.one("""select '{"a":1}'::jsonb ? :key""", {"key": "b"}), False)
        self.assertEqual(self.one("select cast(? as jsonb) ?? ?", ['{"a":1}', "a"]), True)
        self.assertEqual(self.one("select cast(? as jsonb) ??& array['a', 'b']", ['{"a":1}']), False)
        self.assertEqual(self.rows("select $1::jsonb -> 'a', $1::jsonb #>> '{a,1}'", ['{"a": [1, 2]}']),
                         [["[1, 2]", "2"]])

    def test_integers_and_texts_find_their_types_without_casts(self):
        self.table("id bigint primary key, n numeric, s smallint, d date, u uuid, j jsonb, a int[], x text")
        uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
        values = [2**40, "1.50", 3, "2024-02-29", uuid, '{"a": 1}', "{1,2}", "x"]
        self.exec("insert into t values ($1, $2, $3, $4, $5, $6, $7, $8)", values)
        self.assertEqual(self.rows("select * from t where id = $1 and s = $2 and d = $3 and u = $4",
                                   [2**40, 3, "2024-02-29", uuid]), [values])
        self.exec("update t set n = $1, s = $2, d = $3, j = $4", [None] * 4)
        self.assertEqual(self.rows("select n, s, d, j from t"), [[None] * 4])

    def test_the_same_text_takes_parameters_of_other_kinds_each_time(self):
        for value in (1, 2**40, 1.5, True, b"x", "text", None, 1):
            self.same(self.one("select $1", [value]), value)

    def test_notices_belong_to_their_request(self):
        result = self.exec("drop table if exists not_there")
        wait_until(lambda: self.db.notices, "a notice")
        session, request, kind, fields = self.db.notices[-1]
        self.assertEqual((session, request, kind, fields["severity"]),
                         (self.session.number, result.request, "database", "NOTICE"))


if __name__ == "__main__":
    unittest.main()
