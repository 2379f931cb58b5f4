// The same with Bun's topics, which are uWebSockets's.
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response('', { status: 400 })
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 0,
    message(socket, text) {
      const message = JSON.parse(text)
      if (message.type === 'subscribe') {
        socket.subscribe(message.channel)
        socket.send(JSON.stringify({ type: 'subscribed', channel: message.channel }))
      } else if (message.type === 'publish') {
        socket.publish(message.channel, JSON.stringify({ type: message.event, channel: message.channel, data: message.data }))
      }
    },
  },
})
console.log(`listening on ${server.port}`)
