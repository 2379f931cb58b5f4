"""Order beside a model: clients come and go while others publish, and each checks that behind its position nothing is missing and nothing comes twice."""

import asyncio
import contextlib
import json
import random
import unittest

import websockets

from harness.hub import HubScenario
from realtime_plain_test import CONFIG, Plain, token

CHANNELS = [f"presence-{i}" for i in range(4)] + [f"public-{i}" for i in range(6)]


class Listener:
    """A client with, of each channel it is in, the offset up to which it has everything."""

    def __init__(self, client):
        self.client = client
        self.wanted, self.reached, self.wrong = set(), {}, []
        self.messages = 0

    async def listen(self):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                self.take(json.loads(await self.client.socket.recv()))

    def take(self, message):
        kind, channel = message["type"], message.get("channel")
        if kind == "subscribed":
            self.reached[channel] = int(message["position"].rsplit("-", 1)[1])
        elif kind == "unsubscribed":
            self.reached.pop(channel, None)
        elif "offset" in message:
            self.messages += 1
            if message["offset"] != self.reached.get(channel, -1) + 1:
                self.wrong.append(f"{channel}: after {self.reached.get(channel)} came {message}")
            self.reached[channel] = message["offset"]
        else:
            self.wrong.append(message)

    async def change(self, channel):
        await self.client.say("unsubscribe" if channel in self.wanted else "subscribe", channel=channel)
        self.wanted ^= {channel}


class Order(HubScenario):
    def check(self, workers):
        rates = 'client_publish = true\nclient_publish_rate = "100000/s"\nsubscribe_rate = "100000/s"'
        server = self.hub(CONFIG.replace("client_publish = true", rates), set={"server.workers": workers})
        seed = random.Random(workers)

        async def connect(name):
            host, port = server.edge
            address = f"ws://{host}:{port}/_headroom/realtime?token={token(name)}"
            client = Plain(await websockets.connect(address, ping_interval=None, compression=None, max_queue=None))
            await client.welcomed()
            return client

        async def use():
            listeners = [Listener(await connect(f"listener-{i}")) for i in range(12)]
            publishers = [Listener(await connect(f"publisher-{i}")) for i in range(3)]
            tasks = [asyncio.create_task(each.listen()) for each in listeners + publishers]
            for publisher in publishers:
                for channel in CHANNELS:
                    await publisher.change(channel)
            for _ in range(300):
                for _ in range(20):
                    await seed.choice(listeners).change(seed.choice(CHANNELS))
                    for _ in range(2):
                        await seed.choice(publishers).client.say("publish", channel=seed.choice(CHANNELS), event="e", data=1, ack=False)
                await asyncio.sleep(0.002)
            await asyncio.sleep(1)
            for each in listeners + publishers:
                await each.client.socket.close()
            await asyncio.gather(*tasks)
            self.assertGreater(sum(each.messages for each in listeners), 10000)
            for each in listeners:
                self.assertEqual(each.wrong[:3], [])
        self.play(use(), 120)

    def test_behind_its_position_nothing_is_missing_with_one_worker(self):
        self.check(1)

    def test_nor_with_three(self):
        self.check(3)


if __name__ == "__main__":
    unittest.main()
