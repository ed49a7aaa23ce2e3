// The ordinary work of Node's `pg` and `postgres` on a SQLite file: sqlite.js HOST PORT DATABASE. Prints "ok" at its end. Run by
// tests/e2e/test_sqlite_programs.py.
'use strict';

const assert = require('assert');
const { Client } = require('pg');
const postgres = require('postgres');

const [host, port, database] = process.argv.slice(2);
const when = new Date(Date.UTC(2024, 4, 6, 7, 8, 9, 123));

async function withPg() {
  const client = new Client({ host, port: Number(port), database, user: 'ann' });
  await client.connect();
  await client.query('drop table if exists node_t');
  await client.query('create table node_t (a integer primary key, b jsonb, s text, f real, ok boolean, at timestamptz, x blob)');
  for (let n = 1; n <= 10; n++) {
    const text = 'insert into node_t values ($1, $2, $3, $4, $5, $6, $7) returning a';
    const values = [n, { k: [1, null] }, `it's ${n}`, n / 2, n % 2 === 0, when, Buffer.from([0, 255])];
    const { rows, rowCount } = await client.query(n % 2 ? { text, values } : { name: 'insert', text, values });
    assert.deepStrictEqual([rows, rowCount], [[{ a: String(n) }], 1]);
  }
  const { rows } = await client.query('select * from node_t where a = $1 and s = $2', [2, "it's 2"]);
  assert.deepStrictEqual(rows, [
    { a: '2', b: { k: [1, null] }, s: "it's 2", f: 1, ok: true, at: when, x: Buffer.from([0, 255]) },
  ]);
  await client.query('begin');
  await client.query('savepoint s');
  await assert.rejects(client.query('insert into node_t (a) values ($1)', [1]), { code: '23505' });
  await assert.rejects(client.query('select 1'), { code: '25P02' });
  await client.query('rollback to s');
  await client.query('commit');
  const sums = await client.query('select count(*) as n, sum(f) as f from node_t; select $$ as x').catch((error) => error.code);
  assert.strictEqual(sums, '42601');
  await assert.rejects(client.query('listen x'), { code: '0A000' });
  await client.end();
}

async function withPostgres() {
  const sql = postgres({ host, port: Number(port), database, user: 'ann', max: 3 });
  const numbers = await Promise.all(Array.from({ length: 20 }, (_, n) => sql`select ${n}::int as n`));
  assert.deepStrictEqual(numbers.map((rows) => rows[0].n), Array.from({ length: 20 }, (_, n) => n));
  await sql`drop table if exists js_t`;
  await sql`create table js_t (a integer primary key, s text, ok boolean, at timestamptz)`;
  await sql`insert into js_t ${sql([{ a: 1, s: 'x', ok: true, at: when }, { a: 2, s: 'y', ok: false, at: when }])}`;
  assert.deepStrictEqual([...(await sql`select s, ok, at from js_t where a in ${sql([1, 2])} order by a`)], [
    { s: 'x', ok: true, at: when },
    { s: 'y', ok: false, at: when },
  ]);
  const inside = sql.begin(async (tx) => {
    await tx`delete from js_t`;
    await tx.savepoint(async (point) => {
      await point`insert into js_t (a, s) values (9, 'z')`;
      throw new Error('undone');
    }).catch((error) => assert.strictEqual(error.message, 'undone'));
    assert.deepStrictEqual([...(await tx`select count(*)::int as n from js_t`)], [{ n: 0 }]);
    throw new Error('all of it');
  });
  await assert.rejects(inside, /all of it/);
  let rows = 0;
  await sql`select a from js_t`.cursor(1, (batch) => { rows += batch.length; });
  assert.strictEqual(rows, 2);
  await sql.end();
}

withPg()
  .then(withPostgres)
  .then(() => process.stdout.write('ok\n'))
  .catch((error) => { console.error(error); process.exit(1); });
