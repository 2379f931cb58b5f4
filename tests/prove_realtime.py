"""The hub's proof against malformed input: handshakes, frames and messages of every wrong kind, by a seed; then everything still works.

    tools/prove realtime [--inputs 100000] [--seed N]

It holds when Headroom neither ends nor stops serving a client that was there all the time, gives back every connection, and keeps its memory.
Run it with HEADROOM_BINARY of a sanitizer's build, and HEADROOM_SANITIZED=1 (its memory is not its own), for what only that sees.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import socket
import struct
import sys
import unittest

from harness.edge import SANITIZED, eventually, metric
from harness.hub import KEY, HubScenario, publish

WORDS = ["event", "data", "channel", "auth", "channel_data", "type", "since", "token", "pusher:subscribe", "pusher:unsubscribe", "pusher:signin", "pusher:ping",
         "subscribe", "publish", "client-x", "private-a", "presence-a", "cache-a", "user_id", "user_data", "resume_after", "position", "ack", "\u0000", "\u2028", "é" * 40]


class Wrong:
    """Inputs that a client should not send, one after the other, by a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def frame(self, opcode, payload, fin=1, rsv=0, masked=True, size=None):
        size = len(payload) if size is None else size
        first = fin << 7 | rsv << 4 | opcode
        mask = self.random.randbytes(4)
        length = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size) if size < 65536 else b"\x7f" + struct.pack(">Q", size & (1 << 64) - 1)
        head = bytes([first, length[0] | (0x80 if masked else 0)]) + length[1:]
        return head + (mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) if masked else payload)

    def value(self, depth=0):
        r = self.random
        kind = r.randrange(9 if depth < 4 else 6)
        if kind < 2:
            return r.choice(WORDS)
        if kind == 2:
            return r.choice([0, -1, 1 << 63, 1e308, True, False, None, ""])
        if kind < 6:
            return "".join(r.choice(WORDS) for _ in range(r.randrange(4)))
        if kind == 6:
            return [self.value(depth + 1) for _ in range(r.randrange(5))]
        return {r.choice(WORDS): self.value(depth + 1) for _ in range(r.randrange(6))}

    def message(self):
        """Something that is nearly a message of the protocol."""
        r = self.random
        event = r.choice(["pusher:subscribe", "pusher:unsubscribe", "pusher:signin", "client-a", "pusher:ping", "subscribe", "publish", "auth", self.value()])
        data = self.value()
        if r.random() < 0.3:
            data = json.dumps(data)
        text = json.dumps({r.choice(["event", "type"]): event, "data": data, **({r.choice(WORDS): self.value()} if r.random() < 0.5 else {})}).encode()
        if r.random() < 0.3 and text:
            spot = r.randrange(len(text))
            text = text[:spot] + r.randbytes(r.randrange(3)) + text[spot + r.randrange(3):]
        return text

    def frames(self):
        r = self.random
        kind = r.randrange(12)
        if kind < 4:
            return self.frame(1, self.message())
        if kind == 4:
            return r.randbytes(r.randrange(1, 200))
        if kind == 5:
            return self.frame(r.randrange(16), r.randbytes(r.randrange(300)), fin=r.randrange(2), rsv=r.randrange(8), masked=r.random() < 0.8)
        if kind == 6:  # a size that is not there
            return self.frame(1, b"x", size=r.choice([126, 65535, 65536, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]))
        if kind == 7:
            return self.frame(1, r.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"]))
        if kind == 8:
            return self.frame(8, r.choice([b"", b"\x03", b"\x03\xe8", b"\x00\x00", b"\x03\xed", b"\x03\xe8\xff", r.randbytes(130)]))
        if kind == 9:  # pieces of a message, in any order
            return b"".join(self.frame(r.choice([0, 1, 9]), r.randbytes(r.randrange(20)), fin=r.randrange(2)) for _ in range(r.randrange(1, 8)))
        if kind == 10:
            return self.frame(9, r.randbytes(r.randrange(200)))
        whole = self.frame(1, self.message())
        return whole[:r.randrange(len(whole))]

    def handshake(self, good):
        r = self.random
        path = r.choice([f"/app/{KEY}?protocol=7", "/_headroom/realtime", "/_headroom/realtime/events?channels=public", "/_headroom/realtime/poll?channels=public&since=" + "z" * r.randrange(50)])
        if good:
            path = r.choice([f"/app/{KEY}?protocol=7", "/_headroom/realtime"])
        key = base64.b64encode(r.randbytes(16)).decode()
        lines = [f"GET {path} HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        if not good:
            for _ in range(r.randrange(1, 4)):
                kind, spot = r.randrange(5), r.randrange(len(lines))
                if kind == 0:
                    lines[spot] = lines[spot][:r.randrange(len(lines[spot]) + 1)]
                elif kind == 1:
                    lines.insert(spot, lines[r.randrange(len(lines))])
                elif kind == 2:
                    lines.append("Sec-WebSocket-Protocol: " + r.choice([",,,", "token.", "token." + "a." * 30, "headroom.v1+json, token.x.y.z", "é"]))
                elif kind == 3:
                    lines.append("Sec-WebSocket-Extensions: " + r.choice(["permessage-deflate", "permessage-deflate; client_max_window_bits=99", "x;" * 40, ";=\""]))
                else:
                    lines[spot] = lines[spot].replace(r.choice("aeo13:"), r.choice(["", "\x00", "  ", ":", "é"]))
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


class Malformed(HubScenario):
    inputs = int(os.environ.get("REALTIME_INPUTS", "2000"))
    seed = int(os.environ.get("REALTIME_SEED", "1"))

    def attack(self, server, wrong, count):
        """`count` inputs over connections of some each; what the server answers is read and thrown away."""
        sent = 0
        while sent < count:
            with socket.socket() as raw:
                raw.settimeout(10)
                raw.connect(server.edge)
                good = wrong.random.random() < 0.8
                try:
                    raw.sendall(wrong.handshake(good))
                    sent += 1
                    if good:
                        raw.recv(65536)
                        for _ in range(wrong.random.randrange(1, 12)):
                            raw.sendall(wrong.frames())
                            sent += 1
                    raw.setblocking(False)
                    raw.recv(1 << 20)
                except OSError:
                    pass  # it was refused

    def test_malformed_frames_and_handshakes_end_only_their_own_connection(self):
        server = self.hub("[realtime]\nclient_publish = true\n", set={"server.workers": 2})
        wrong = Wrong(self.seed)

        async def use():
            async with self.connect(server) as good:
                await good.subscribe("news")
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(None, self.attack, server, wrong, self.inputs // 10)
                before = server.resident_bytes()
                for part in range(10):
                    await loop.run_in_executor(None, self.attack, server, wrong, self.inputs // 10)
                    await good.send("pusher:ping")
                    await good.event("pusher:pong")
                    await loop.run_in_executor(None, publish, server, "news", "still", f"there {part}")
                    self.assertEqual((await good.event("still"))["data"], f"there {part}")
                if not SANITIZED:  # whose memory is not its own
                    self.assertLess(server.resident_bytes() - before, 8 << 20)

        self.play(use(), 3600)
        eventually(lambda: metric(server, "headroom_realtime_connections_open") == 0, 60)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    given = parser.parse_args()
    Malformed.inputs, Malformed.seed = given.inputs, given.seed
    print(f"seed {given.seed}, {given.inputs} inputs", flush=True)
    unittest.main(argv=sys.argv[:1])
