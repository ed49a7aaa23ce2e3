const { Pool } = require('pg')

// For Jest, and for Vitest with `globals: true`.
const worker = process.env.VITEST_POOL_ID ?? process.env.JEST_WORKER_ID ?? '1'
const db = new Pool({ // your application's
  host: '127.0.0.1', port: Number(process.env.BASED_PORT ?? 6432), user: 'postgres', database: `app#js${worker}`,
})

beforeAll(async () => {
  await db.query('sandbox reset')
  await db.query("insert into accounts (owner, amount) values ('ann', 100), ('bob', 20)")
  await db.query('sandbox mark fixtures')
})
beforeEach(() => db.query('sandbox reset to fixtures'))
afterAll(() => db.end())

module.exports = { db }
