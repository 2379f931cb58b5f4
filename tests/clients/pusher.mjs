// pusher-js, laravel-echo and pusher (npm), unmodified, against a hub: every kind of channel. Started by realtime_clients_test.py.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { run, test } from './suite.mjs'

const { PACKAGES, PORT, ID, KEY, SECRET } = process.env
const require = createRequire(PACKAGES + '/any.js')
const PusherClient = require('pusher-js')
const PusherServer = require('pusher')
const { default: Echo } = await import(PACKAGES + '/node_modules/laravel-echo/dist/echo.js')
const naclUtil = require('tweetnacl-util')

const master = naclUtil.encodeBase64(new Uint8Array(32).fill(7))
const server = new PusherServer({ appId: ID, key: KEY, secret: SECRET, host: '127.0.0.1', port: PORT, useTLS: false, encryptionMasterKeyBase64: master })
const open = []

function options(user) {
  return {
    cluster: '', wsHost: '127.0.0.1', wsPort: PORT, forceTLS: false, enabledTransports: ['ws'], disableStats: true,
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, done) => {
        if (channelName.includes('forbidden')) return setImmediate(() => done(new Error('the app says no'), null))
        const data = channelName.startsWith('presence-') ? { user_id: user, user_info: { name: user.toUpperCase() } } : undefined
        done(null, server.authorizeChannel(socketId, channelName, data))
      },
    },
    userAuthentication: { customHandler: ({ socketId }, done) => done(null, server.authenticateUser(socketId, { id: user, name: user })) },
  }
}

function client(user = 'ann', more = {}) {
  const made = new PusherClient(KEY, { ...options(user), ...more })
  open.push(made)
  return made
}

// The next event, or a failure with what was waited for.
function next(emitter, event, milliseconds = 10000) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no ${event} within ${milliseconds} ms`)), milliseconds)
    const take = data => { clearTimeout(late); emitter.unbind(event, take); resolve(data) }
    emitter.bind(event, take)
  })
}
const joined = channel => channel.subscribed ? Promise.resolve() : next(channel, 'pusher:subscription_succeeded')

test('public channels: trigger to one, to several, in a batch, and not to the sender', async () => {
  const a = client(), b = client('bob')
  const [one, two, other] = [a.subscribe('one'), a.subscribe('two'), b.subscribe('one')]
  await Promise.all([joined(one), joined(two), joined(other)])
  let got = next(one, 'hello')
  await server.trigger('one', 'hello', { text: 'wörld' })
  assert.deepEqual(await got, { text: 'wörld' })
  got = Promise.all([next(one, 'both'), next(two, 'both')])
  await server.trigger(['one', 'two'], 'both', { n: 1 })
  assert.deepEqual(await got, [{ n: 1 }, { n: 1 }])
  got = Promise.all([next(one, 'first'), next(two, 'second')])
  await server.triggerBatch([{ channel: 'one', name: 'first', data: 1 }, { channel: 'two', name: 'second', data: 2 }])
  assert.deepEqual(await got, [1, 2])
  let own = 0
  one.bind('excluded', () => own++)
  got = next(other, 'excluded')
  await server.trigger('one', 'excluded', {}, { socket_id: a.connection.socket_id })
  await got
  got = next(one, 'after')
  await server.trigger('one', 'after', {})
  await got
  assert.equal(own, 0)
})

test('private channels: signed by the app, refused by the app', async () => {
  const a = client()
  const channel = a.subscribe('private-orders')
  await joined(channel)
  const got = next(channel, 'created')
  await server.trigger('private-orders', 'created', { id: 5 })
  assert.deepEqual(await got, { id: 5 })
  await next(a.subscribe('private-forbidden'), 'pusher:subscription_error')
})

test('a signature made for another connection is refused by the hub', async () => {
  const a = client('ann', { channelAuthorization: { customHandler: ({ channelName }, done) => done(null, server.authorizeChannel('1.1', channelName)) } })
  const error = await next(a.subscribe('private-orders'), 'pusher:subscription_error')
  assert.equal(error.status, 401)
})

test('presence channels: members, who comes, who goes', async () => {
  const a = client('ann'), b = client('bob')
  const room = a.subscribe('presence-room')
  await joined(room)
  assert.equal(room.members.count, 1)
  assert.deepEqual(room.members.me, { id: 'ann', info: { name: 'ANN' } })
  const added = next(room, 'pusher:member_added')
  const theirs = b.subscribe('presence-room')
  await joined(theirs)
  assert.deepEqual(await added, { id: 'bob', info: { name: 'BOB' } })
  assert.deepEqual(Object.keys(theirs.members.members).sort(), ['ann', 'bob'])
  const { users } = await (await server.get({ path: '/channels/presence-room/users' })).json()
  assert.deepEqual(users, [{ id: 'ann' }, { id: 'bob' }])
  const removed = next(room, 'pusher:member_removed')
  b.disconnect()
  assert.equal((await removed).id, 'bob')
  assert.equal(room.members.count, 1)
})

test('encrypted channels pass through', async () => {
  const a = client()
  const channel = a.subscribe('private-encrypted-secrets')
  await joined(channel)
  const got = next(channel, 'whisper')
  await server.trigger('private-encrypted-secrets', 'whisper', { secret: 42 })
  assert.deepEqual(await got, { secret: 42 })
})

test('client events reach the others with the user that sent them', async () => {
  const a = client('ann'), b = client('bob')
  const [mine, theirs] = [a.subscribe('presence-typing'), b.subscribe('presence-typing')]
  await Promise.all([joined(mine), joined(theirs)])
  const got = new Promise(resolve => theirs.bind('client-typing', (data, metadata) => resolve([data, metadata.user_id])))
  assert.equal(mine.trigger('client-typing', { on: true }), true)
  assert.deepEqual(await got, [{ on: true }, 'ann'])
})

test('users sign in, are sent to, and are ended', async () => {
  const a = client('carl')
  a.signin()
  await a.user.signinDonePromise
  const got = next(a.user, 'news')
  await new Promise(resolve => setTimeout(resolve, 100))  // pusher-js subscribes to the user's channel by itself and tells nobody when it is in
  await server.sendToUser('carl', 'news', { x: 1 })
  assert.deepEqual(await got, { x: 1 })
  const failed = next(a.connection, 'disconnected')
  await server.terminateUserConnections('carl')
  await failed
})

test('cache channels: a miss, then the last event', async () => {
  const a = client(), b = client('bob')
  await next(a.subscribe('cache-score'), 'pusher:cache_miss')
  await server.trigger('cache-score', 'score', { home: 1 })
  assert.deepEqual(await next(b.subscribe('cache-score'), 'score'), { home: 1 })
})

test('channels are listed with their counts', async () => {
  const a = client('dora')
  await joined(a.subscribe('presence-counted'))
  const { channels } = await (await server.get({ path: '/channels', params: { filter_by_prefix: 'presence-counted', info: 'user_count' } })).json()
  assert.deepEqual(channels, { 'presence-counted': { user_count: 1 } })
  const wrong = new PusherServer({ appId: ID, key: KEY, secret: 'wrong', host: '127.0.0.1', port: PORT, useTLS: false })
  await assert.rejects(wrong.trigger('one', 'x', {}), error => error.status === 401)
})

test('a connection that is lost comes back by itself and is subscribed again', async () => {
  const a = client()
  const channel = a.subscribe('steady')
  await joined(channel)
  const before = a.connection.socket_id
  const back = next(a.connection, 'connected')
  a.connection.connection.transport.socket.close(4200)  // what a network does to it
  await back
  assert.notEqual(a.connection.socket_id, before)
  await next(channel, 'pusher:subscription_succeeded')
  const got = next(channel, 'still')
  await server.trigger('steady', 'still', 'there')
  assert.equal(await got, 'there')
})

test('laravel-echo: listen, private, presence and whisper', async () => {
  const echo = user => new Echo({ broadcaster: 'pusher', client: client(user), key: KEY })
  const ann = echo('ann'), bob = echo('bob')
  const listening = channel => new Promise((resolve, reject) => channel.subscribed(resolve).error(reject))
  const orders = ann.channel('orders')
  await listening(orders)
  const shipped = new Promise(resolve => orders.listen('.order.shipped', resolve))
  await server.trigger('orders', 'order.shipped', { id: 1 })
  assert.deepEqual(await shipped, { id: 1 })
  const event = new Promise(resolve => orders.listen('OrderPaid', resolve))
  await server.trigger('orders', 'App\\Events\\OrderPaid', { id: 2 })
  assert.deepEqual(await event, { id: 2 })
  const [mine, theirs] = [ann.private('desk'), bob.private('desk')]
  await Promise.all([listening(mine), listening(theirs)])
  const whispered = new Promise(resolve => theirs.listenForWhisper('typing', resolve))
  mine.whisper('typing', { name: 'ann' })
  assert.deepEqual(await whispered, { name: 'ann' })
  const here = new Promise(resolve => ann.join('lobby').here(resolve))
  assert.deepEqual((await here).map(user => user.name), ['ANN'])
  const joining = new Promise(resolve => ann.join('lobby').joining(resolve))
  bob.join('lobby')
  assert.equal((await joining).name, 'BOB')
  const leaving = new Promise(resolve => ann.join('lobby').leaving(resolve))
  bob.leave('lobby')
  assert.equal((await leaving).name, 'BOB')
})

test('the watchlist tells who of the others is online', async () => {
  const watcher = client('watcher', { userAuthentication: { customHandler: ({ socketId }, done) => done(null, server.authenticateUser(socketId, { id: 'watcher', watchlist: ['carl', 'dora'] })) } })
  const carl = client('carl')
  carl.signin()
  await carl.user.signinDonePromise
  const first = next(watcher.user.watchlist, 'online')
  watcher.signin()
  assert.deepEqual((await first).user_ids, ['carl'])
  const second = next(watcher.user.watchlist, 'online')
  const dora = client('dora')
  dora.signin()
  assert.deepEqual((await second).user_ids, ['dora'])
  const gone = next(watcher.user.watchlist, 'offline')
  carl.disconnect()
  assert.deepEqual((await gone).user_ids, ['carl'])
})

test('subscribers are told how many they are', async () => {
  const a = client(), b = client('bob')
  const counted = a.subscribe('counted')
  let got = next(counted, 'pusher:subscription_count')
  await joined(counted)
  assert.equal((await got).subscription_count, 1)
  got = next(counted, 'pusher:subscription_count')
  await joined(b.subscribe('counted'))
  assert.equal((await got).subscription_count, 2)
  assert.equal(counted.subscriptionCount, 2)
})

test('webhooks are what the server library takes', async () => {
  const http = await import('node:http')
  const heard = new Promise(resolve => {
    const hook = http.createServer((request, response) => {
      let body = ''
      request.on('data', piece => (body += piece)).on('end', () => {
        response.end()
        const webhook = server.webhook({ headers: request.headers, rawBody: body })
        const known = webhook.isValid() && webhook.getEvents().find(event => event.channel === 'hooked')
        if (known) hook.close(), resolve(known)
      })
    }).listen(+process.env.HOOKS, '127.0.0.1')
  })
  await joined(client().subscribe('hooked'))
  assert.deepEqual(await heard, { name: 'channel_occupied', channel: 'hooked' })
})

await run(() => open.forEach(client => client.disconnect()))
