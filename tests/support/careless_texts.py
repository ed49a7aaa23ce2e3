"""What a careless or a hostile client sends to a sandbox, and the databases that it is sent to.

Some of it succeeds in the sandbox, some is refused: nothing remains.
"""

SQLITE_BASE = """
    create table notes (id integer primary key, text text not null, n integer default 0 unique);
    create table pairs (a integer references notes (id), b text);
    insert into notes (id, text, n) values (1, 'one', 1), (2, 'two', 2), (3, 'three', 3);
    create trigger guard before insert on pairs when new.b = 'boom' begin select raise(rollback, 'boom'); end;
    pragma user_version = 4;
"""
POSTGRES_BASE = """
    create table notes (id integer primary key, text text not null, n integer default 0 unique);
    create table pairs (a integer references notes (id) deferrable initially deferred, b text);
    insert into notes (id, text, n) values (1, 'one', 1), (2, 'two', 2), (3, 'three', 3);
    create type mood as enum ('sad', 'happy');
    create function twice(x int) returns int language sql as 'select 2 * x';
"""
BOTH_TEXTS = [
    "commit", "COMMIT;", "end", "rollback", "Rollback;;", "commit; insert into notes values (60, 'x', 60)",
    "rollback; insert into notes values (61, 'x', 61); commit", "/* ; */ commit -- rollback",
    "--\ncommit\n;insert into notes values (62, 'x', 62)",
    "begin; insert into notes values (63, 'x', 63); commit",
    "savepoint a; insert into notes values (64, 'x', 64); release a", "release a", "rollback to a",
    "begin; savepoint a; delete from notes; rollback to a; insert into notes values (65, 'x', 65); "
    "commit; commit", "begin; begin; begin; delete from pairs; end; end; end", "delete from notes",
    "update notes set text = 'changed'", "create table made (a integer)",
    "alter table notes add column more text", "drop table pairs", "create view v as select 1",
    "create index by_text on notes (text)", "insert into notes values (1, 'again', 9)",
]
SQLITE_TEXTS = BOTH_TEXTS + [
    "begin exclusive; insert into notes values (66, 'x', 66); commit", "commit transaction",
    "END TRANSACTION;", "insert or rollback into notes values (1, 'twice', 70)",
    "insert or fail into notes values (71, 'x', 71), (1, 'x', 72)",
    "begin; insert into notes values (73, 'x', 73); insert into pairs values (1, 'boom')",
    "insert or replace into notes values (1, 'replaced', 74)", "vacuum", "reindex", "analyze",
    "pragma user_version = 99", "pragma application_id = 5", "pragma journal_mode = wal",
    "pragma journal_mode = off", "pragma journal_mode = delete", "pragma synchronous = off",
    "pragma page_size = 8192; vacuum", "pragma auto_vacuum = full; vacuum",
    "pragma wal_checkpoint(truncate)", "pragma writable_schema = on", "delete from sqlite_master",
    "pragma locking_mode = normal", "pragma query_only = off", "pragma incremental_vacuum",
    "pragma optimize", "pragma encoding = 'UTF-16'", "attach 'other.db' as o", "vacuum into 'copy.db'",
    "detach main", "pragma temp_store_directory = '.'", "drop trigger guard",
]
POSTGRES_TEXTS = BOTH_TEXTS + [
    "COMMIT AND CHAIN", "commit /* x */ and /* y */ chain; insert into notes values (66, 'x', 66)",
    "ROLLBACK AND CHAIN", "prepare transaction 'kept'",
    "begin; insert into notes values (67, 'x', 67); prepare transaction 'kept'", "commit prepared 'kept'",
    "do $$ begin commit; end $$", "do $$ begin insert into notes values (68, 'x', 68); commit; end $$",
    "create procedure ender() language plpgsql as 'begin insert into notes values (69, $q$x$q$, 69); "
    "commit; end'", "call ender()", "select 'a;b'; commit", "select $$;commit;$$; commit",
    "select $q$'$q$; end", 'select 1 as "x;commit"; commit', "abort", "abort and chain",
    "start transaction; insert into notes values (70, 'x', 70); commit work", "END TRANSACTION",
    "commit work", "set default_transaction_read_only = off",
    "set session characteristics as transaction read write", "close all", "close _based_root",
    'close "_based_root"', "close U&\"\\005fbased_root\"", "discard all", "reset all", "vacuum",
    "vacuum full", "create database other", "alter system set work_mem = '9MB'", "truncate notes cascade",
    "create type color as enum ('red')", "alter type mood add value 'fine'", "create role somebody",
    "create schema apart create table apart.t (a int)", "drop type mood",
    "comment on table notes is 'changed'", "alter table notes rename to letters",
    "grant select on notes to public", "create extension if not exists plpgsql",
    "alter database postgres set work_mem = '9MB'", "create temp table tt (a int)", "copy notes to stdout",
    "copy notes from stdin", "copy (select 1) to program 'cat > /dev/null'", "prepare p as commit", "execute p",
    "select set_config('default_transaction_read_only', 'off', false)", "reindex table notes",
    "cluster notes using notes_pkey", "create index concurrently slowly on notes (n)",
    "set transaction read only", "declare c cursor with hold for select 1", "select pg_advisory_lock(1)",
    "notify somewhere", "lock table notes", "set constraints all immediate",
]
