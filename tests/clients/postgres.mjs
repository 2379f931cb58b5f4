// node-postgres and postgres.js through the SQL proxy in transaction mode: what an app does with them all day. CLIENT: pg or postgres; URL.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test, run } from './suite.mjs'

const load = createRequire(process.env.PACKAGES + '/')
const { CLIENT, URL: url } = process.env
const table = `people_${CLIENT}`
const names = ['Ada', 'Grace', 'Barbara']

if (CLIENT === 'pg') {
  const { Pool } = load('pg')
  const pool = new Pool({ connectionString: url, max: 8 })
  test('a table is written and read', async () => {
    await pool.query(`CREATE TABLE ${table} (id serial PRIMARY KEY, name text, born date, data jsonb)`)
    for (const name of names) await pool.query(`INSERT INTO ${table} (name, data) VALUES ($1, $2)`, [name, { name }])
    const client = await pool.connect()
    await client.query(`INSERT INTO ${table} (name) VALUES ($1)`, ['Joan'])
    const { rows } = await client.query(`SELECT name FROM ${table} ORDER BY id`)
    client.release()
    assert.deepEqual(rows.map((row) => row.name), [...names, 'Joan'])
  })
  test('named statements are prepared once and run on many connections', async () => {
    const asked = Array.from({ length: 200 }, (_, n) => pool.query({ name: 'plus', text: 'SELECT $1::int + 1 AS n', values: [n] }))
    assert.deepEqual((await Promise.all(asked)).map(({ rows }) => rows[0].n), Array.from({ length: 200 }, (_, n) => n + 1))
  })
  test('a transaction is rolled back whole', async () => {
    const client = await pool.connect()
    await client.query('BEGIN')
    await client.query(`DELETE FROM ${table}`)
    await client.query('ROLLBACK')
    const { rows } = await client.query(`SELECT count(*)::int AS n FROM ${table}`)
    client.release()
    assert.equal(rows[0].n, 4)
  })
  test('an error is the server’s and the client goes on', async () => {
    await assert.rejects(pool.query('SELECT * FROM nowhere'), { code: '42P01' })
    assert.equal((await pool.query('SELECT 1 AS one')).rows[0].one, 1)
  })
  await run(() => pool.end())
} else {
  const postgres = load('postgres')
  const sql = postgres(url, { max: 8, onnotice: () => {} })
  test('a table is written and read', async () => {
    await sql`CREATE TABLE ${sql(table)} (id serial PRIMARY KEY, name text)`
    await sql`INSERT INTO ${sql(table)} ${sql(names.map((name) => ({ name })), 'name')}`
    const mine = await sql.reserve()
    await mine`INSERT INTO ${mine(table)} (name) VALUES (${'Joan'})`
    const rows = await mine`SELECT name FROM ${mine(table)} ORDER BY id`
    mine.release()
    assert.deepEqual(rows.map((row) => row.name), [...names, 'Joan'])
  })
  test('many queries are pipelined on few connections', async () => {
    const rows = await Promise.all(Array.from({ length: 200 }, (_, n) => sql`SELECT ${n}::int + 1 AS n`))
    assert.deepEqual(rows.map(([row]) => row.n), Array.from({ length: 200 }, (_, n) => n + 1))
  })
  test('a transaction is rolled back whole', async () => {
    await assert.rejects(sql.begin(async (inner) => {
      await inner`DELETE FROM ${inner(table)}`
      throw new Error('no')
    }), /no/)
    const left = await sql.begin((inner) => inner`SELECT count(*)::int AS n FROM ${inner(table)}`)
    assert.equal(left[0].n, 4)
  })
  test('a cursor comes in parts, and an error is the server’s', async () => {
    const seen = []
    await sql`SELECT generate_series(1, 50) AS n`.cursor(7, (rows) => { seen.push(...rows.map((row) => row.n)) })
    assert.deepEqual(seen, Array.from({ length: 50 }, (_, n) => n + 1))
    await assert.rejects(sql`SELECT * FROM nowhere`, { code: '42P01' })
  })
  await run(() => sql.end())
}
