"""A Headroom with a hub, spoken to by hand: the Pusher protocol's signatures, publishing, and a client of Debian's python3-websockets.

    class Rooms(HubScenario):
        def test_subscribers_get_what_is_published(self):
            server = self.hub()
            async def use():
                async with self.client(server) as client:
                    await client.subscribe("news")
                    publish(server, "news", "headline", "hello")
                    self.assertEqual((await client.event("headline"))["data"], "hello")
            self.play(use())
"""

import asyncio
import hashlib
import hmac
import json
import socket
import time
import urllib.parse

import websockets

from .client import request
from .edge import EdgeScenario, answering

ID, KEY, SECRET = "shop", "shop-key", "shop-secret"

APP = f"""
[[realtime.apps]]
id = "{ID}"
key = "{KEY}"
secret = "{SECRET}"
client_events = true
"""


def sign(text, secret=SECRET):
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def channel_auth(socket_id, channel, channel_data=None):
    text = f"{socket_id}:{channel}" + (f":{channel_data}" if channel_data is not None else "")
    return f"{KEY}:{sign(text)}"


def signed(method, path, body=b"", query=None, secret=SECRET, at=None):
    """The path with its signed query."""
    fields = {"auth_key": KEY, "auth_timestamp": str(int(at or time.time())), "auth_version": "1.0", **(query or {})}
    if body:
        fields["body_md5"] = hashlib.md5(body).hexdigest()
    text = "\n".join([method, path, "&".join(f"{k}={fields[k]}" for k in sorted(fields))])
    return path + "?" + urllib.parse.urlencode({**fields, "auth_signature": sign(text, secret)})


def call(server, method, path, body=None, query=None, **options):
    """A signed call of the HTTP API."""
    data = json.dumps(body).encode() if body is not None else b""
    target = signed(method, f"/apps/{ID}/{path}", data, query, **options)
    return request(server.edge, method, target, {"Content-Type": "application/json"} if data else {}, data or None)


def publish(server, channels, name, data, **more):
    channels = [channels] if isinstance(channels, str) else channels
    data = data if isinstance(data, str) else json.dumps(data)
    answer = call(server, "POST", "events", {"name": name, "channels": channels, "data": data, **more})
    if answer.status != 200:
        raise AssertionError(f"{answer.status}: {answer.text()}")
    return json.loads(answer.text())


class Client:
    """A connection that speaks the Pusher protocol; what it has received is `log`."""

    def __init__(self, socket):
        self.socket = socket
        self.log = []
        self.socket_id = None

    async def receive(self, timeout=10):
        message = json.loads(await asyncio.wait_for(self.socket.recv(), timeout))
        self.log.append(message)
        return message

    async def event(self, name, channel=None, timeout=10):
        """The next event of that name, whatever comes before it."""
        deadline = time.monotonic() + timeout
        while True:
            message = await self.receive(max(0.01, deadline - time.monotonic()))
            if message["event"] == name and (channel is None or message.get("channel") == channel):
                return message

    async def send(self, event, data=None, **more):
        await self.socket.send(json.dumps({"event": event, **({} if data is None else {"data": data}), **more}))

    async def hello(self):
        data = json.loads((await self.event("pusher:connection_established"))["data"])
        self.socket_id = data["socket_id"]
        return data

    async def subscribe(self, channel, user=None, wait=True, **more):
        data = {"channel": channel, **more}
        if user is not None:
            data["channel_data"] = json.dumps(user)
        if channel.startswith(("private-", "presence-")) and "auth" not in data:
            data["auth"] = channel_auth(self.socket_id, channel, data.get("channel_data"))
        await self.send("pusher:subscribe", data)
        return await self.event("pusher_internal:subscription_succeeded", channel) if wait else None

    async def silence(self, seconds=0.3):
        """What has come, though nothing should."""
        try:
            return await self.receive(seconds)
        except asyncio.TimeoutError:
            return None


class Connection:
    def __init__(self, server, query="protocol=7&client=test&version=1", hello=True, door="edge", **options):
        host, port = server.doors[door]
        self.hello = hello
        scheme = "wss" if "ssl" in options else "ws"
        self.made = websockets.connect(f"{scheme}://{host}:{port}/app/{KEY}?{query}", max_size=None, ping_interval=None, **options)

    async def __aenter__(self):
        client = Client(await self.made.__aenter__())
        if self.hello:
            await client.hello()
        return client

    async def __aexit__(self, *error):
        await self.made.__aexit__(*error)


def free_port():
    """For who must name a port before it is listened on."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


class StalledReader:
    """A raw subscriber with a small receive buffer, that reads nothing more after its subscriptions."""

    def __init__(self, server, channels):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(server.edge)
        self.socket.sendall(f"GET /app/{KEY}?protocol=7 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        for channel in channels:
            self.say("pusher:subscribe", {"channel": channel})
        seen = b""
        while seen.count(b"subscription_succeeded") < len(channels):
            seen += self.socket.recv(4096)

    def say(self, event, data):
        text = json.dumps({"event": event, "data": data}).encode()
        size = bytes([0x80 | len(text)]) if len(text) < 126 else bytes([0xFE, len(text) >> 8, len(text) & 255])
        self.socket.sendall(b"\x81" + size + bytes(4) + text)

    def __getattr__(self, name):
        return getattr(self.socket, name)


def stalled_reader(test, server, channel, more=()):
    made = StalledReader(server, [channel, *more])
    test.addCleanup(made.close)
    return made


class HubScenario(EdgeScenario):
    def hub(self, config="", app=None, **options):
        """An edge with a hub for one app, in front of `app`, or of one that answers everything with 200."""
        app = app or self.script(answering(lambda request: b"the app's own"))
        return self.serve(app, config=config + APP, **options)

    def connect(self, server, *arguments, **options):
        return Connection(server, *arguments, **options)

    def play(self, story, timeout=60):
        return asyncio.run(asyncio.wait_for(story, timeout))
