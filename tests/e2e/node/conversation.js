// The ordinary work of Node's `pg` and `postgres`, as one program: conversation.js HOST PORT DATABASE. Prints "ok" at its end. Run by
// tests/e2e/test_driver_node.py.
'use strict';

const assert = require('assert');
const { Client, Pool } = require('pg');
const postgres = require('postgres');

const [host, port, database] = process.argv.slice(2);
const where = { host, port: Number(port), database, user: 'postgres' };

async function transactions(client) {
  await client.query('create table if not exists node_t (a int primary key, b jsonb)');
  await client.query('truncate node_t');
  await client.query('begin');
  await client.query('insert into node_t values ($1, $2)', [1, { k: [1, null] }]);
  await client.query('savepoint s');
  await assert.rejects(client.query('insert into node_t values ($1, $2)', [1, null]), { code: '23505' });
  await client.query('rollback to s');
  await client.query('commit');
  const { rows } = await client.query('select * from node_t');
  assert.deepStrictEqual(rows, [{ a: 1, b: { k: [1, null] } }]);
}

async function prepared(client) {
  for (let n = 0; n < 50; n++) {
    const { rows } = await client.query({ name: `add-${n % 5}`, text: `select $1::int + ${n % 5} as sum`, values: [n] });
    assert.strictEqual(rows[0].sum, n + (n % 5));
  }
}

async function listens(client) {
  const other = new Client(where);
  await other.connect();
  const heard = new Promise((resolve) => client.once('notification', resolve));
  await client.query('listen node_news');
  await other.query("notify node_news, 'hello'");
  assert.strictEqual((await heard).payload, 'hello');
  await client.query('unlisten *');
  await other.end();
}

async function settings(number) {
  const client = new Client({ ...where, options: `-c work_mem=${number + 1}MB`, statement_timeout: 20000 });
  await client.connect();
  for (let n = 0; n < 20; n++) {
    const { rows } = await client.query('show work_mem');
    assert.strictEqual(rows[0].work_mem, `${number + 1}MB`);
  }
  await client.end();
}

// The other driver: it pipelines what its callers do not wait for.
async function otherDriver() {
  const sql = postgres({ host, port: Number(port), database, user: 'postgres', max: 6, onnotice: () => {} });
  const sums = await Promise.all([...Array(100).keys()].map((n) => sql`select ${n}::int + 1 as next`));
  sums.forEach((rows, n) => assert.strictEqual(rows[0].next, n + 1));
  await sql.begin(async (tx) => {
    await tx`delete from node_t`;
    await tx`insert into node_t ${tx([{ a: 5, b: { deep: true } }, { a: 6, b: null }])}`;
    await assert.rejects(tx.savepoint((inner) => inner`insert into node_t values (5, null)`), { code: '23505' });
  });
  assert.deepStrictEqual([...await sql`select a, b from node_t order by a`], [{ a: 5, b: { deep: true } }, { a: 6, b: null }]);
  let seen = 0;
  await sql`select generate_series(1, 500)`.cursor(50, (rows) => { seen += rows.length; });
  assert.strictEqual(seen, 500);
  const sleeping = sql`select pg_sleep(30)`.execute();
  setTimeout(() => sleeping.cancel(), 300);
  await assert.rejects(sleeping, { code: '57014' });
  const heard = new Promise((resolve) => sql.listen('other_news', resolve).then(() => sql.notify('other_news', 'here')));
  assert.strictEqual(await heard, 'here');
  await sql.end({ timeout: 5 });
}

async function main() {
  const client = new Client(where);
  await client.connect();
  await transactions(client);
  await prepared(client);
  await listens(client);
  await assert.rejects(client.query('selec 1'), { code: '42601' });
  await client.end();
  const pool = new Pool({ ...where, max: 6 });
  const sums = await Promise.all([...Array(60).keys()].map((n) => pool.query('select $1::int * 2 as twice', [n])));
  sums.forEach(({ rows }, n) => assert.strictEqual(rows[0].twice, 2 * n));
  await pool.end();
  await Promise.all([0, 1, 2, 3, 4, 5].map(settings));
  await otherDriver();
  console.log('ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
