"""clients/headroom in Debian's Chromium: over each transport, through cut connections, a killed server and a drain."""

import gzip
import json
import pathlib
import subprocess
import time
import unittest

from harness.browser import Browser
from harness.edge import eventually, reply
from harness.hub import HubScenario, free_port
from harness.scenario import Scenario
from realtime_plain_test import SECRET, token

MODULE = pathlib.Path(__file__).resolve().parent.parent / "clients" / "headroom" / "headroom.js"
CONFIG = f"""
[realtime]
client_publish = true
poll_wait = "2s"
heartbeat = "5s"
drain = "1s"
[realtime.jwt]
secret = "{SECRET}"
[[realtime.channels]]
match = "kept"
history = 500
[[realtime.channels]]
match = "presence-*"
history = 100
"""


class Module(HubScenario):
    _end = Scenario._end  # servers end in the midst of these

    def setUp(self):
        super().setUp()
        self.browser = Browser(self.directory)
        self.addCleanup(self.browser.stop)
        self.unsure = 0  # how often the app does not say who may listen
        self.app = self.answers(lambda request: self.say() if request.target == "/ask" else reply(200, MODULE.read_bytes() if request.target == "/headroom.js" else b"<title>page</title>",
                                                      ["Content-Type: " + ("text/javascript" if request.target == "/headroom.js" else "text/html"), "Cache-Control: no-store"]))
        self.port = free_port()
        self.server = self.begin()

    def say(self):
        self.unsure -= 1
        return reply(503 if self.unsure >= 0 else 200, b"{}")

    def begin(self, **options):
        return self.hub(CONFIG, app=self.app, set={"server.workers": 2, "edge.listen": f"127.0.0.1:{self.port}", **options.pop("set", {})}, **options)

    def page(self, name, transports):
        """A page with a Headroom that notes what comes on `kept` in `got` and its states in `states`."""
        page = self.browser.page()
        page.go(f"http://localhost:{self.port}/")
        page.run(f"""
            const {{ Headroom }} = await import('/headroom.js')
            window.got = []; window.states = []; window.lost = 0
            window.hub = new Headroom({{ token: '{token(name)}', transports: {transports}, base: 100 }})
            hub.onstate = (state, detail) => states.push(state === 'connected' ? detail : state)
            hub.subscribe('kept', message => message.type === 'n' ? got.push(message.data) : message.type === 'lost' && lost++)""")
        self.until(page, "hub.state === 'connected' && hub.channels.get('kept').epoch")
        return page

    def until(self, page, condition, timeout=20):
        eventually(lambda: page.run(f"return !!({condition})"), timeout, 0.05, condition)

    def publish(self, numbers, channel="kept", **more):
        for i in numbers:
            self.assertEqual(self.server.api("POST", "/api/v1/realtime/publish", {"type": "n", "data": i, "channels": [channel], **more}).status, 200)

    def test_each_transport_gives_every_message_once_through_cuts(self):
        for transports in ("['socket']", "['events']", "['poll']"):
            with self.subTest(transports):
                page = self.page("ann", transports)
                self.publish(range(10))
                self.until(page, "got.length === 10")
                cut = self.server.api("POST", "/api/v1/realtime/users/ann/disconnect")  # and messages meanwhile
                self.assertEqual(cut.status, 200)
                if "poll" not in transports:  # whose connections come and go by themselves
                    self.assertEqual(cut.json()["ended"], 1)
                self.publish(range(10, 20))
                self.publish(["now"], priority="critical")
                self.until(page, "got.length >= 21")
                time.sleep(0.3)
                got = page.run("return got")
                self.assertEqual([each for each in got if each != "now"], list(range(20)))
                self.assertEqual((got.count("now"), page.run("return lost")), (1, 0))
                page.run("hub.close()")

    def test_a_killed_server_is_found_again_and_what_is_lost_is_said(self):
        page = self.page("ann", "['socket']")
        self.publish(range(3))
        self.until(page, "got.length === 3")
        self.server.kill()
        self.until(page, "hub.state === 'failing'")  # five attempts have failed; it goes on
        self.server = self.begin()
        self.until(page, "hub.state === 'connected' && lost === 1", 40)
        self.publish(range(3, 6))
        self.until(page, "got.length === 6")
        self.assertEqual(page.run("return got"), list(range(6)))

    def test_pages_go_over_to_the_next_server(self):
        pages = [self.page(f"user{i}", transports) for i, transports in enumerate(("['socket']", "['events']", "['poll']"))]
        self.publish(range(3))
        old, self.server = self.server, self.begin(arguments=["--take-over"])
        self.publish(range(3, 6))  # some are the old one's still
        self.assertEqual(old.wait(40), 0)
        self.publish(range(6, 9))
        for page in pages:
            self.until(page, "got.length >= 9 && hub.state === 'connected'")
            self.assertEqual(page.run("return [got, lost]"), [list(range(9)), 0])

    def test_without_a_websocket_it_falls_back(self):
        page = self.browser.page()
        page.go(f"http://localhost:{self.port}/")
        page.run(f"""
            const {{ Headroom }} = await import('/headroom.js')
            window.WebSocket = class {{ constructor() {{ setTimeout(() => this.onclose(), 10) }} close() {{}} }}
            window.EventSource = class {{ constructor() {{ setTimeout(() => this.onerror(), 10) }} close() {{}} }}
            window.got = []
            window.hub = new Headroom({{ token: () => '{token("ann")}', base: 20 }})
            hub.subscribe('kept', message => message.type === 'n' && got.push(message.data))""")
        self.until(page, "hub.state === 'connected' && hub.channels.get('kept').epoch")
        self.assertEqual(page.run("return hub.transports[hub.way]"), "poll")
        self.publish([1])
        self.until(page, "got.length === 1")

    def test_a_page_asks_again_where_the_app_did_not_say_who_may_listen(self):
        self.server.stop()
        self.unsure = 3
        self.server = self.begin(set={"realtime.authorization.url": self.app.url + "/ask"})
        page = self.page("ann", "['socket']")  # which waits until it is subscribed
        self.assertLess(self.unsure, 0)
        self.publish([1])
        self.until(page, "got.length === 1")

    def test_pages_publish_to_each_other_and_see_who_is_there(self):
        ann, bob = self.page("ann", "['socket']"), self.page("bob", "['socket']")
        for page in (ann, bob):
            page.run("window.room = []; hub.subscribe('presence-room', message => room.push(message)); return 0")
            self.until(page, "room.some(message => message.type === 'subscribed')")
        self.until(ann, "room.some(message => message.type === 'presence_joined' && message.data.user_id === 'bob')")
        bob.run("hub.publish('presence-room', 'wave', {hand: 'left'})")
        self.until(ann, "room.some(message => message.type === 'wave' && message.user_id === 'bob' && message.data.hand === 'left')")
        bob.run("hub.close()")
        self.until(ann, "room.some(message => message.type === 'presence_left' && message.data.user_id === 'bob')")


class Package(unittest.TestCase):
    FOLDER = MODULE.parent

    def test_it_is_a_folder_as_npm_has_them_and_small(self):
        self.assertLess(len(gzip.compress(MODULE.read_bytes(), 9)), 3072)
        packed = json.loads(subprocess.run(["npm", "pack", "--dry-run", "--json"], cwd=self.FOLDER, check=True, capture_output=True, text=True).stdout)
        self.assertEqual({file["path"] for file in packed[0]["files"]}, {"README.md", "headroom.d.ts", "headroom.js", "package.json"})

    def test_node_finds_what_it_exports(self):
        script = "import * as all from './headroom.js'; console.log(Object.keys(all).join())"
        done = subprocess.run(["node", "--input-type=module", "-e", script], cwd=self.FOLDER, capture_output=True, text=True)
        self.assertEqual(done.stdout.strip(), "Headroom", done.stderr)


if __name__ == "__main__":
    unittest.main()
