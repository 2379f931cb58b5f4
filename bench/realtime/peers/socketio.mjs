// The same with socket.io's rooms, over a WebSocket alone.
import { createRequire } from 'module'
import { createServer } from 'http'
const { Server } = createRequire(process.env.PACKAGES + '/')('socket.io')

const http = createServer()
const server = new Server(http, { transports: ['websocket'], perMessageDeflate: false, serveClient: false })
server.on('connection', socket => {
  socket.on('subscribe', channel => {
    socket.join(channel)
    socket.emit('subscribed', channel)
  })
  socket.on('publish', (channel, data) => socket.to(channel).emit('n', data))
})
http.listen(0, '127.0.0.1', () => console.log(`listening on ${http.address().port}`))
