// The ordinary work of Prisma, as one program: conversation.js HOST PORT DATABASE. Prints "ok" at its end. Run by
// tests/e2e/test_driver_prisma.py beside the client that Prisma has generated.
'use strict';

const assert = require('assert');
const { PrismaPg } = require('@prisma/adapter-pg');
const { Prisma, PrismaClient } = require(process.env.GENERATED);

const [host, port, database] = process.argv.slice(2);
const where = { host, port: Number(port), database, user: 'postgres' };

const tables = [
  'drop table if exists "Entry", "Account"',
  `create table "Account" (id serial primary key, owner text not null unique, amount decimal(65, 30), extra jsonb,
     at timestamptz(6))`,
  'create table "Entry" (id serial primary key, "accountId" int not null references "Account" (id), note text not null)',
];

async function records(db) {
  const at = new Date('2024-02-29T12:00:00.123Z');
  const made = await db.account.create({
    data: { owner: 'zoe', amount: '12.5', extra: { deep: [1, null] }, at, entries: { create: [{ note: 'a' }, { note: 'b' }] } },
    include: { entries: { orderBy: { note: 'asc' } } },
  });
  assert.deepStrictEqual([made.owner, String(made.amount), made.extra, made.at, made.entries.map((entry) => entry.note)],
    ['zoe', '12.5', { deep: [1, null] }, at, ['a', 'b']]);
  await assert.rejects(db.account.create({ data: { owner: 'zoe' } }), { code: 'P2002' });
  await assert.rejects(db.entry.create({ data: { accountId: -1, note: 'nobody\'s' } }), { code: 'P2003' });
  await assert.rejects(db.account.update({ where: { owner: 'nobody' }, data: { amount: 1 } }), { code: 'P2025' });
  const owners = [...Array(300).keys()].map((n) => ({ owner: `owner ${n}`, amount: n }));
  assert.strictEqual((await db.account.createMany({ data: owners })).count, 300);
  assert.strictEqual((await db.account.createMany({ data: owners.slice(0, 5), skipDuplicates: true })).count, 0);
  const found = await db.account.upsert({ where: { owner: 'zoe' }, create: { owner: 'zoe' }, update: { amount: { increment: 1 } } });
  assert.strictEqual(Number(found.amount), 13.5);
  const { _sum: sum } = await db.account.aggregate({ _sum: { amount: true }, where: { owner: { startsWith: 'owner' } } });
  assert.strictEqual(Number(sum.amount), 44850);
  assert.strictEqual((await db.account.deleteMany({ where: { owner: { startsWith: 'owner' } } })).count, 300);
}

async function raw(db) {
  assert.deepStrictEqual(await db.$queryRaw`select ${2}::int * 2 as four, ${'x'} as text`, [{ four: 4, text: 'x' }]);
  assert.strictEqual(await db.$executeRaw`update "Account" set amount = ${7} where owner = ${'zoe'}`, 1);
  await assert.rejects(db.$queryRawUnsafe('selec'), (error) => error.code === 'P2010' && error.message.includes('42601'));
}

const amount = async (db) => Number((await db.account.findUnique({ where: { owner: 'zoe' } })).amount);

async function transactions(db) {
  const [, read] = await db.$transaction([
    db.account.update({ where: { owner: 'zoe' }, data: { amount: 8 } }),
    db.account.findUnique({ where: { owner: 'zoe' } }),
  ]);
  assert.strictEqual(Number(read.amount), 8);
  await assert.rejects(db.$transaction([
    db.account.update({ where: { owner: 'zoe' }, data: { amount: 9 } }),
    db.account.create({ data: { owner: 'zoe' } }),
  ]), { code: 'P2002' });
  assert.strictEqual(await amount(db), 8);

  await db.$transaction(async (tx) => {
    await tx.account.update({ where: { owner: 'zoe' }, data: { amount: 10 } });
    assert.strictEqual(await amount(tx), 10);
  });
  await assert.rejects(db.$transaction(async (tx) => {
    await tx.account.update({ where: { owner: 'zoe' }, data: { amount: 11 } });
    throw new Error('changed my mind');
  }), { message: 'changed my mind' });
  await assert.rejects(db.$transaction(async (tx) => {
    await assert.rejects(tx.account.create({ data: { owner: 'zoe' } }), { code: 'P2002' });
    await tx.account.count();  // in a failed transaction
  }), (error) => /25P02|aborted/.test(error.message + JSON.stringify(error.meta)));
  await db.$transaction(async (tx) => {
    const [{ transaction_isolation: level }] = await tx.$queryRaw`show transaction_isolation`;
    assert.strictEqual(level, 'serializable');
  }, { isolationLevel: Prisma.TransactionIsolationLevel.Serializable });
  await assert.rejects(db.$transaction(async (tx) => {
    await tx.account.update({ where: { owner: 'zoe' }, data: { amount: 12 } });
    await new Promise((resolve) => { setTimeout(resolve, 400); });
    await tx.account.count();
  }, { timeout: 200 }), { code: 'P2028' });
  assert.strictEqual(await amount(db), 10);
}

// More at once than Based has links, or turns.
async function atOnce(db) {
  await Promise.all([...Array(30).keys()].map((n) => db.$transaction(async (tx) => {
    const account = await tx.account.create({ data: { owner: `at once ${n}`, amount: n } });
    await tx.entry.create({ data: { accountId: account.id, note: 'first' } });
  }, { maxWait: 20000, timeout: 20000 })));
  assert.strictEqual(await db.entry.count({ where: { note: 'first' } }), 30);
  const counts = await Promise.all([...Array(30).keys()].map((n) => db.account.count({ where: { amount: n } })));
  assert.strictEqual(counts.length, 30);
}

async function main() {
  const db = new PrismaClient({ adapter: new PrismaPg({ ...where, max: 6 }), errorFormat: 'minimal' });
  for (const sql of tables) await db.$executeRawUnsafe(sql);
  await records(db);
  await raw(db);
  await transactions(db);
  await atOnce(db);
  await db.$disconnect();
  console.log('ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
