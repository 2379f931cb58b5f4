// The hub that one writes with `ws`: a map from channels to sockets, one JSON text a message for all.
import { createRequire } from 'module'
const { WebSocketServer } = createRequire(process.env.PACKAGES + '/')('ws')

const channels = new Map()
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false }, () => console.log(`listening on ${server.address().port}`))
server.on('connection', socket => {
  const mine = new Set()
  socket.on('message', text => {
    const message = JSON.parse(text)
    if (message.type === 'subscribe') {
      if (!channels.has(message.channel)) channels.set(message.channel, new Set())
      channels.get(message.channel).add(socket)
      mine.add(message.channel)
      socket.send(JSON.stringify({ type: 'subscribed', channel: message.channel }))
    } else if (message.type === 'publish') {
      const out = Buffer.from(JSON.stringify({ type: message.event, channel: message.channel, data: message.data }))
      for (const each of channels.get(message.channel) ?? []) if (each !== socket) each.send(out, { binary: false })
    }
  })
  socket.on('close', () => mine.forEach(channel => channels.get(channel).delete(socket)))
})
