// The hub's browser module: comes back by itself, goes on where it was cut, falls back from a WebSocket to Server-Sent Events to long-poll.
// docs/realtime.md says what the messages are.
//
//   const hub = new Headroom({ token: async () => jwt })          // token: a text, a function, or nothing
//   const stop = hub.subscribe('orders', message => show(message.type, message.data))
//   hub.publish('orders', 'wave', { hand: 'left' })
//   hub.onstate = (state, detail) => ...                          // 'connecting', 'connected', 'waiting', 'failing' (after `attempts`), 'closed'
//
// Handlers get {type, channel, data, offset, priority, user_id?}, each once; besides the app's types: 'subscribed' (with members, in a presence
// channel), 'presence_joined', 'presence_left', 'missed', 'paused', 'error', and 'lost': what came while away cannot be had; load the state anew.
// Without a WebSocket there is no publishing, and own channels ('user:...', 'broadcast') must be subscribed to.

const SILENCE = 40000 // ms after which a quiet socket is asked for a sign of life; and closed after a quarter of it more

export class Headroom {
  constructor({ url = '/_headroom/realtime', token, transports = ['socket', 'events', 'poll'], attempts = 5, base = 500, cap = 15000 } = {}) {
    Object.assign(this, { token, transports, attempts, base, cap })
    this.url = new URL(url, location.href)
    this.channels = new Map() // name: {handlers, epoch, offset, seen}
    this.onstate = () => {}
    this.failures = 0
    this.way = 0 // in transports
    this.proven = false // the first of them has worked in this page: what ends it later is an outage
    queueMicrotask(() => this.connect())
  }

  subscribe(name, handler) {
    const channel = this.channel(name)
    const fresh = channel.handlers.size === 0
    channel.handlers.add(handler)
    if (fresh && this.state === 'connected') this.socket ? this.ask(name) : this.again()
    return () => {
      channel.handlers.delete(handler)
      if (channel.handlers.size > 0 || !this.channels.delete(name)) return
      if (this.socket?.readyState === 1) this.say({ type: 'unsubscribe', channel: name })
      else if (!this.socket && this.state === 'connected') this.again()
    }
  }

  publish(channel, event, data) {
    if (this.socket?.readyState !== 1) throw new Error('not connected by a WebSocket')
    this.say({ type: 'publish', channel, event, data })
  }

  close() {
    this.end()
    this.tell('closed')
  }

  // --- the module's own ---

  channel(name) {
    if (!this.channels.has(name)) this.channels.set(name, { handlers: new Set(), seen: new Set(), offset: 0, asked: 0 })
    return this.channels.get(name)
  }

  tell(state, detail) {
    this.state = state
    this.onstate(state, detail)
  }

  say(message) {
    this.socket.send(JSON.stringify(message))
  }

  ask(name) {
    const channel = this.channel(name)
    const { epoch, offset } = channel
    channel.asked++
    this.say({ type: 'subscribe', channel: name, ...(epoch && { since: `${epoch}-${offset}` }) })
  }

  end() {
    clearTimeout(this.timer)
    clearTimeout(this.quiet)
    const run = this.run
    this.run = this.socket = null
    run?.stop?.()
  }

  again() {
    if (this.state === 'closed') return
    this.end()
    this.timer = setTimeout(() => this.connect(), 0)
  }

  async connect() {
    if (this.state === 'closed') return
    this.tell('connecting')
    const run = (this.run = {})
    const mine = f => (...values) => this.run === run && f(...values)
    const open = mine(() => {
      run.opened = true
      this.failures = 0
      this.proven ||= this.way === 0
      this.tell('connected', this.transports[this.way])
    })
    const failed = mine(() => {
      this.end()
      if (run.opened) this.way = 0
      else if (++this.failures % 2 === 0 && !this.proven) this.way = (this.way + 1) % this.transports.length
      const wait = this.wait(this.failures)
      this.tell(this.failures >= this.attempts ? 'failing' : 'waiting', wait)
      this.timer = setTimeout(() => this.connect(), wait)
    })
    try {
      const token = typeof this.token === 'function' ? await this.token() : this.token
      if (this.run === run) this['by_' + this.transports[this.way]](run, token, open, failed, mine(message => this.take(message)))
    } catch {
      failed()
    }
  }

  wait(times) {
    return Math.min(this.cap, this.base * 2 ** times) * (0.5 + Math.random() / 2)
  }

  socket_url() {
    const url = new URL(this.url)
    url.protocol = url.protocol.replace('http', 'ws')
    return url
  }

  query(path, token) {
    const url = new URL(this.url)
    url.pathname += path
    const names = [...this.channels.keys()]
    const positions = names.map(name => this.channels.get(name)).map(({ epoch, offset }) => (epoch ? `${epoch}-${offset}` : ''))
    url.searchParams.set('channels', names)
    if (positions.some(Boolean)) url.searchParams.set('since', positions)
    if (token) url.searchParams.set('token', token)
    return url
  }

  take(message) {
    if (message.type === 'positions') return
    if (message.channels && message.type === 'subscribed') {
      return message.channels.forEach((channel, i) => this.take({ type: 'subscribed', channel, position: message.positions[i], recovered: message.recovered[i] }))
    }
    const channel = this.channels.get(message.channel)
    if (!channel) return
    if (message.type === 'error' && this.socket && channel.asked && /^(over|unav|time)/.test(message.code)) {
      const run = this.run // not the app's no
      setTimeout(() => this.run === run && this.channels.get(message.channel) === channel && this.ask(message.channel), this.wait(channel.asked))
    }
    if (message.type === 'subscribed') {
      channel.asked = 0
      const [epoch, offset] = message.position.split('-')
      const lost = message.recovered === false || (channel.epoch && channel.epoch !== epoch)
      if (!channel.epoch || lost) Object.assign(channel, { epoch, offset: +offset, seen: new Set() })
      if (lost) this.give(channel, { type: 'lost', channel: message.channel })
    } else if (message.offset) {
      if (message.offset <= channel.offset || channel.seen.has(message.offset)) return
      if (message.priority === 'critical') {
        channel.seen.add(message.offset) // it may have overtaken others: the position stays
      } else {
        channel.offset = message.offset
        channel.seen.forEach(offset => offset <= message.offset && channel.seen.delete(offset))
      }
    }
    this.give(channel, message)
    if (message.type === 'paused') this.socket ? this.ask(message.channel) : this.again() // it has caught up
  }

  give(channel, message) {
    channel.handlers.forEach(handler => handler(message))
  }

  by_socket(run, token, open, failed, take) {
    const socket = (this.socket = new WebSocket(this.socket_url(), ['headroom.v1+json']))
    run.stop = () => socket.close()
    const listen = () => {
      clearTimeout(this.quiet)
      this.quiet = setTimeout(() => {
        if (socket.readyState === 1) socket.send('{"type":"ping"}')
        this.quiet = setTimeout(() => (socket.close(), failed()), SILENCE / 4)
      }, SILENCE)
    }
    socket.onopen = () => token && socket.send(JSON.stringify({ type: 'auth', token }))
    socket.onclose = failed
    socket.onmessage = event => {
      if (this.socket !== socket) return
      listen()
      const message = JSON.parse(event.data)
      if (message.type !== 'welcome') return take(message)
      if (token && !message.user) return // the one before the token was looked at
      open()
      this.channels.forEach((_, name) => (message.channels.includes(name) && !this.channel(name).epoch) || this.ask(name))
    }
  }

  by_events(run, token, open, failed, take) {
    if (this.channels.size === 0) return open()
    const source = new EventSource(this.query('/events', token))
    run.stop = () => source.close()
    source.onopen = open
    source.onerror = failed // not its own coming back: the token may have changed
    source.onmessage = event => take(JSON.parse(event.data))
  }

  async by_poll(run, token, open, failed, take) {
    if (this.channels.size === 0) return open()
    const abort = new AbortController()
    run.stop = () => abort.abort()
    try {
      while (this.run === run) {
        const names = [...this.channels.keys()]
        const answer = await fetch(this.query('/poll'), { signal: abort.signal, headers: token ? { Authorization: `Bearer ${token}` } : {} })
        if (!answer.ok) throw new Error(answer.status)
        if (!run.opened) open()
        const lines = (await answer.text()).split('\n').filter(Boolean).map(line => JSON.parse(line))
        lines.forEach(line => take(line))
        // Where it stands behind critical messages, too.
        names.forEach((name, i) => {
          const channel = this.channels.get(name)
          const [epoch, offset] = lines.at(-1).positions[i].split('-')
          if (channel?.epoch === epoch) channel.offset = Math.max(channel.offset, +offset)
        })
      }
    } catch {
      failed()
    }
  }
}
