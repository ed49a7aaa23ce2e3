const { db } = require('./sandbox.js')

async function accounts() {
  const { rows } = await db.query('select owner, amount from accounts order by owner')
  return rows.map((row) => `${row.owner} ${row.amount}`)
}

async function run(...texts) {
  const client = await db.connect()
  try {
    await client.query('begin')
    for (const text of texts) await client.query(text)
    await client.query('commit')
  } finally {
    client.release()
  }
}

test('an account is opened', async () => {
  await run("insert into accounts (owner, amount) values ('cem', 0)")
  expect(await accounts()).toEqual(['ann 100', 'bob 20', 'cem 0'])
})

test('money is paid', async () => {
  await run("update accounts set amount = amount - 30 where owner = 'ann'",
    "update accounts set amount = amount + 30 where owner = 'bob'")
  expect(await accounts()).toEqual(['ann 70', 'bob 50'])
})

test('all accounts are closed', async () => {
  await run('delete from accounts')
  expect(await accounts()).toEqual([])
})

test('nothing of the others remains', async () => {
  expect(await accounts()).toEqual(['ann 100', 'bob 20'])
})
