const { after, before, beforeEach } = require('node:test')
const { Pool } = require('pg')

const worker = process.env.WORKER ?? '1'
const db = new Pool({ // your application's
  host: '127.0.0.1', port: Number(process.env.BASED_PORT ?? 6432), user: 'postgres', database: `app#node${worker}`,
})

before(async () => {
  await db.query('sandbox reset')
  await db.query("insert into accounts (owner, amount) values ('ann', 100), ('bob', 20)")
  await db.query('sandbox mark fixtures')
})
beforeEach(() => db.query('sandbox reset to fixtures'))
after(() => db.end())

module.exports = { db }
