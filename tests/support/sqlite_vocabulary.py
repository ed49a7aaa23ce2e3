"""What random native clients say to SQLite (native_programs.py), and the database that they find.

What is not the same in a sandbox is not among it: the pragmas of a file's format, which only a sandbox takes, and those that
tell of the file: wal_checkpoint, data_version, schema_version, journal_mode, locking_mode.
"""

import native_programs

SCHEMA = """
create table t (n integer primary key, s text unique, check (n < 1000));
insert into t select value, 'row ' || value from json_each('[1, 2, 3, 4, 5]');
create table log (what text);
create trigger logged after insert on t begin insert into log values ('new ' || new.n); end;
create table parent (id integer primary key, s text);
create table child (id integer primary key, p int references parent (id) deferrable initially deferred);
create table owned (id integer primary key, n int references t (n) on delete cascade on update set null);
create table counted (id integer primary key autoincrement, v);
create table made_of (a int, b int generated always as (a * 2) stored, c as (a + 1));
create table keyed (k text primary key, v) without rowid;
create trigger fussy before insert on keyed begin
  select raise(abort, 'no abort') where new.v = 'abort'; select raise(fail, 'no fail') where new.v = 'fail';
  select raise(rollback, 'no rollback') where new.v = 'rollback'; select raise(ignore) where new.v = 'ignore'; end;
create table typed (i int, r real, x text, y blob, z any) strict;
create table flags (b boolean, d date, u numeric, e);
create view seen as select n, s from t where n < 4;
create trigger seen_in instead of insert on seen begin insert into t values (new.n, new.s); end;
create virtual table docs using fts5 (body);
create virtual table boxes using rtree (id, x0, x1);
insert into parent values (1, 'a'), (2, 'b');
"""

READS = ("select * from t", "select count(*) from log", "select what from log order by rowid desc limit 2", "select 1",
         "select n, s, s || n as both, n / 2.0 from t where n > {n}", "select * from child", "select * from owned",
         "select * from counted", "select a, b, c from made_of", "select * from keyed", "select * from typed", "select * from flags",
         "select * from seen", "select body from docs where docs match 'word'", "select * from boxes where x0 > {n}",
         "with recursive c(i) as (values (1) union all select i + 1 from c where i < {n}) select i from c",
         "select sum(n) over (order by n), lag(s) over (order by n) from t", "values (1, 'a'), (2, null), (3, x'00')",
         "select json_group_array(n) from t", "select json_object('n', n) from t where n = {n}", "select 10 / (n - {n}) from t",
         "select abs(-9223372036854775808)", "select last_insert_rowid(), changes(), total_changes()", "select last_insert_rowid()",
         "select changes()", "select * from sqlite_sequence", "select type, name from sqlite_schema order by name limit 4",
         "select * from pragma_table_info('t')", "explain query plan select * from t where s = 'x'", "select typeof(v), v from counted",
         "select * from nowhere", "select nothing from t", "selec", "select * from t where", "select zeroblob(10), null, 1e300, -0.0",
         "select n from t where n in (select n from t where n > {n}) union select {n} order by 1", "select raise(abort, 'x')",
         "select s from t where s glob 'row [1-3]'", "select group_concat(s, ',') from t", "select * from made", "select * from made2",
         "select load_extension('x')", "select printf('%5.2f', {n})", "select hex(zeroblob({n}00))", "", "-- nothing", "select 'a;b'; ",
         "select sum(i) from (select 9223372036854775807 as i union all select 1)", "select cast(x'ff' as text)")
WRITES = ("insert into t values ({n}00, 'new')", "insert into t values ({n}, 'twice')", "insert into t (s) values ('row {n}')",
          "insert or ignore into t values ({n}, 'ignored')", "insert or replace into t values ({n}, 'replaced')",
          "insert or abort into t values ({m}, 'a'), ({n}, 'b')", "insert or fail into t values ({m}, 'c{m}'), ({n}, 'd')",
          "insert or rollback into t values ({m}, 'e{m}'), ({n}, 'f')", "insert into t values (5000, 'too much')",
          "insert into t values ({n}, 'up') on conflict (n) do update set s = excluded.s || n returning n, s",
          "insert into t values ({m}, 'row {n}') on conflict do nothing", "insert into t default values returning *",
          "update t set s = s || '!' where n = {n}", "update t set s = 'same'", "update or ignore t set s = 'same'",
          "update or rollback t set s = 'same'", "update or fail t set s = 'same' || (n > {n})", "update t set n = n + 100 where n = {n}",
          "update t set s = n returning n", "delete from t where n = {n}", "delete from t where n > {n}0 returning n, s", "delete from t",
          "delete from log", "insert into parent values ({n}, 'p')", "delete from parent where id = {n}", "insert into child values (null, {n})",
          "insert into child values (null, 999)", "delete from child", "insert into owned values (null, {n})", "insert into owned values (1, 77)",
          "insert into counted (v) values ({n}) returning id", "insert into counted (v) select n from t", "delete from counted where id > {n}",
          "insert into made_of (a) values ({n})", "insert into made_of (b) values (1)", "update made_of set a = a + 1 returning b, c",
          "insert into keyed values ('k{n}', 'abort')", "insert into keyed values ('k{n}', 1), ('k{m}', 'fail')",
          "insert into keyed values ('k{n}', 1), ('k{m}', 'rollback')", "insert into keyed values ('k{n}', 'ignore'), ('k{m}', 2)",
          "replace into keyed values ('k{n}', {m})", "delete from keyed", "insert into typed values ({n}, 1.5, 'x', x'01', null)",
          "insert into typed values ('no', 1, 1, 1, 1)", "insert into flags values (1, '2020-01-01', 1.0, 0)", "insert into flags (b) values (7)",
          "insert into seen values ({m}, 'seen {m}')", "delete from seen", "insert into docs values ('a word {n}')",
          "delete from docs", "insert into docs (docs) values ('optimize')", "insert into boxes values ({n}, {n}, {m})",
          "insert into boxes values ({n}, 5, 1)", "update sqlite_sequence set seq = {n}0", "insert into sqlite_schema values (1, 1, 1, 1, 1)")
DEFINITIONS = ("create table made (n int primary key, s text)", "create table if not exists made (n int)", "drop table made",
               "drop table if exists made", "insert into made values ({n}, 'x')", "create table made as select n, s from t",
               "alter table made add column x int not null default 3", "alter table made drop column x", "select x from made",
               "alter table made rename to made2", "alter table made2 rename to made", "alter table made rename column s to s2",
               "drop table made2", "create index made_s on made (s)", "create unique index made_u on made (s)", "drop index made_s",
               "create view v as select * from made", "select * from v", "drop view v", "drop view if exists v",
               "create trigger more after insert on log begin insert into keyed values (new.what, 1); end", "drop trigger more",
               "create table refers (n references made)", "drop table refers", "drop table parent", "drop table docs", "reindex", "analyze",
               "analyze t", "drop table t", "create virtual table more_docs using fts5 (x)", "drop table more_docs")
ALONE = ("vacuum", "vacuum into 'x.db'", "attach ':memory:' as x", "detach x", "create temp table brief (n)", "create table temp.brief (n)",
         "pragma foreign_keys", "pragma foreign_keys = off", "pragma defer_foreign_keys = on", "pragma defer_foreign_keys",
         "pragma defer_foreign_keys = off", "pragma recursive_triggers = on", "pragma user_version", "pragma user_version = {n}",
         "pragma application_id = {n}", "pragma application_id", "pragma table_info(t)", "pragma foreign_key_check", "pragma index_list(t)",
         "pragma integrity_check", "pragma quick_check(1)", "pragma incremental_vacuum", "pragma optimize", "pragma page_count",
         "pragma freelist_count", "pragma cache_size = 5", "pragma synchronous", "pragma query_only = 1", "pragma writable_schema = 1",
         "pragma case_sensitive_like = 1", "pragma no_such_thing", "pragma encoding", "pragma page_size", "pragma auto_vacuum",
         "pragma busy_timeout", "pragma temp_store", "pragma foreign_key_list(child)", "explain commit", "pragma main.user_version = {m}")
CONTROL = ("begin", "begin", "begin immediate", "begin exclusive transaction", "begin deferred", "start transaction", "commit", "commit",
           "commit", "end", "end transaction", "rollback", "rollback", "rollback transaction", "savepoint s1", "savepoint s2",
           "savepoint \"S1\"", "release s1", "release savepoint s2", "rollback to s1", "rollback transaction to savepoint s2",
           "begin read only", "begin isolation level serializable", "commit and chain", "rollback and chain", "abort")
PARAMETRISED = (("select $1 + 1", 1), ("select $1, $2", 2), ("select typeof($1), $1", 1), ("select * from t where n >= $1", 1),
                ("select n, $2 from t where s = $1 or n < $2", 2), ("insert into t values ($1, $2) on conflict do nothing returning n", 2),
                ("select * from t limit $1", 1), ("update t set s = $2 where n = $1", 2), ("select $1 || $1", 1), ("pragma user_version = $1", 1))
MANY = (("insert into t values ($1, $2)", 2), ("insert or ignore into t values ($1, $2)", 2), ("insert into log values ($1)", 1),
        ("insert into counted (v) values ($1) returning id, v", 1), ("insert into flags values ($1, $2, $3, $4)", 4),
        ("insert into typed (i, z) values ($1, $2)", 2), ("insert into keyed values ($1, $2)", 2), ("delete from t where n = $1", 1),
        ("update t set s = s || $2 where n = $1 returning s", 2), ("select $1, count(*) from t", 1), ("insert into child values (null, $1)", 1),
        ("insert or rollback into t (n) values ($1)", 1), ("create table made (n)", 0))
ORDERED = ("select * from t", "select n, s from t order by n desc", "values (1), (2), (3), (4)", "select * from log",
           "insert into counted (v) select n from t returning id", "update t set s = s || '.' returning n, s",
           "with recursive c(i) as (values (1) union all select i + 1 from c where i < 300) select i, hex(zeroblob(100)) from c",
           "select 1 where 0", "select abs(-9223372036854775808 + (n < 3)) from t order by n desc", "delete from log returning what")
ENDLESS = tuple(text.replace("ALL", "with recursive c(i) as (values (1) union all select i + 1 from c) select ")
                for text in ("ALL count(*) from c", "insert into keyed ALL i, 1 from c", "update t set s = (ALL count(*) from c)",
                             "select n, (ALL max(n + i) from c) from t", "create table made as ALL i from c"))
# In words of which everything is told that there is.
TABLES = "select name from sqlite_schema where type in ('table', 'view') and name not like '%!_%' escape '!' order by name"
TOLD = ("select type, name, tbl_name, sql from sqlite_schema order by 1, 2", "pragma user_version", "pragma application_id",
        "select * from sqlite_sequence order by 1", "pragma integrity_check", "pragma foreign_key_check", "pragma page_count")


class Vocabulary(native_programs.Vocabulary):
    def __init__(self):
        super().__init__(CONTROL, PARAMETRISED, MANY, ENDLESS, ORDERED)

    @staticmethod
    def filled(rnd, text):
        return text.replace("{n}", str(rnd.randrange(1, 8))).replace("{m}", str(rnd.randrange(6, 60)))

    def text(self, rnd):
        of = rnd.choice((READS, READS, WRITES, WRITES, WRITES, WRITES, DEFINITIONS, ALONE))
        return self.filled(rnd, rnd.choice(of))

    def ordered(self, rnd):
        return self.filled(rnd, super().ordered(rnd))
