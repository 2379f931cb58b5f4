"""clients/headroom-sw.js in Debian's Chromium, behind Headroom: what it keeps, for how long, and what it shows without a network."""

import pathlib
import time
import unittest

from harness.browser import Browser
from harness.edge import EdgeScenario, eventually, reply
from harness.scenario import Scenario

WORKER = pathlib.Path(__file__).resolve().parent.parent / "clients" / "headroom-sw.js"
STALE = 2.2  # seconds after which what was max-age=1 is stale, by whole seconds of Date


class Worker(EdgeScenario):
    """`pages` says by path what the app answers: (fields, body or None for a number that grows)."""

    def setUp(self):
        super().setUp()
        self.pages, self.status = {}, {}
        self.asked = []
        self.browser = Browser(self.directory)
        self.addCleanup(self.browser.stop)

    def app(self):
        def answer(request):
            path = request.target.split("?")[0]
            self.asked.append(request)
            if path == "/headroom-sw.js":
                return reply(200, WORKER.read_bytes(), ["Content-Type: text/javascript", "Cache-Control: no-cache"])
            kind = "text/html" if path.endswith(("/", ".html")) else "text/plain"
            if path not in self.pages:
                return reply(200 if path == "/" else 404, b"start" if path == "/" else b"none", ["Content-Type: text/html", "Cache-Control: no-store"])
            fields, body = self.pages[path]
            if self.status.get(path):
                return reply(self.status[path], b"failed", [f"Content-Type: {kind}"])
            etag = next((field.split(": ")[1] for field in fields if field.startswith("ETag")), None)
            if etag and request.get("if-none-match") == etag:
                return reply(304, b"", fields)
            content = body if body is not None else b"%d" % self.count(path)
            return reply(200, content, [f"Content-Type: {kind}", *fields])

        return self.answers(answer)

    def count(self, path):
        return sum(request.target.split("?")[0] == path for request in self.asked)

    def begin(self, query=""):
        """Headroom in front of the app, and a page that the worker controls."""
        self.origin = self.app()
        self.server = self.serve(self.origin, config="[edge]\netags = false\n[edge.cache]\nenabled = false")
        self.site = f"http://localhost:{self.server.edge[1]}"
        page = self.browser.page()
        page.go(self.site + "/")
        page.run(f"""
            await navigator.serviceWorker.register('/headroom-sw.js{query}');
            await navigator.serviceWorker.ready;
            while (!navigator.serviceWorker.controller) await new Promise(done => setTimeout(done, 20));""")
        return page

    def get(self, page, path, options="{}"):
        """Status and body, or what fetch() threw."""
        return page.run(f"try {{ const r = await fetch('{path}', {options}); return [r.status, await r.text()] }} catch (e) {{ return [0, e.name] }}")

    def kept(self, page):
        return page.run("const c = await caches.open('headroom-1'); return (await c.keys()).map(r => new URL(r.url).pathname)")

    def will_be_kept(self, page, *paths):
        eventually(lambda: set(paths) <= set(self.kept(page)), what=f"{paths} are kept")

    def go_offline(self):
        """Nobody listens there any more."""
        self.assertEqual(self.server.stop(), 0)

    def come_back(self):
        port = self.server.edge[1]
        self.server = self.headroom([self.origin], set={"edge.listen": f"127.0.0.1:{port}", "edge.cache.enabled": "false"})

    def _end(self, server):
        if server.process.poll() is None:
            super()._end(server)
        else:
            Scenario._end(self, server)  # the test has ended it


class Assets(Worker):
    def test_what_answers_say_is_honoured(self):
        self.pages = {
            "/static/fresh": (["Cache-Control: max-age=600"], None),
            "/static/never": (["Cache-Control: no-store"], None),
            "/static/silent": ([], None),
            "/static/expires": (["Expires: Thu, 01 Jan 2099 00:00:00 GMT"], None),
            "/static/wrong": (["Cache-Control: max-age=soon"], None),
            "/static/mine": (["Cache-Control: max-age=600", "Vary: Accept-Encoding, Cookie"], None),
            "/static/any": (["Cache-Control: max-age=600", "Vary: *"], None),
            "/static/coded": (["Cache-Control: max-age=600", "Vary: Accept-Encoding"], None),
            "/elsewhere": (["Cache-Control: max-age=600"], None),
        }
        page = self.begin("?assets=/static/")
        for path in self.pages:
            self.assertEqual(self.get(page, path), [200, "1"], path)
        self.will_be_kept(page, "/static/fresh", "/static/expires", "/static/coded", "/static/wrong")
        self.assertEqual(set(self.kept(page)), {"/static/fresh", "/static/expires", "/static/coded", "/static/wrong"})
        for path in ("/static/fresh", "/static/coded"):
            self.assertEqual(self.get(page, path), [200, "1"])
            self.assertEqual(self.count(path), 1)
        self.assertEqual(self.get(page, "/static/wrong")[1], "2")  # a max-age that is no number is none
        self.assertEqual(self.get(page, "/static/never")[1], "2")
        # With an Authorization, or for a part, it is none of its business.
        self.assertEqual(self.get(page, "/static/fresh", "{headers: {Authorization: 'x'}, cache: 'no-store'}")[1], "2")
        self.assertEqual(self.get(page, "/static/fresh")[1], "1")
        self.go_offline()
        self.assertEqual([self.get(page, path) for path in ("/static/fresh", "/static/coded")], [[200, "1"]] * 2)
        self.assertEqual(self.get(page, "/static/never")[0], 0)

    def test_scripts_and_styles_are_assets_wherever_they_lie(self):
        self.pages = {"/x.css": (["Cache-Control: max-age=600"], b"body { color: rgb(1, 2, 3) }")}
        page = self.begin()
        link = "const l = document.createElement('link'); l.rel = 'stylesheet'; l.href = '/x.css'; await new Promise(d => { l.onload = () => d(); l.onerror = () => d(); document.head.append(l) });"
        page.run(link)
        self.will_be_kept(page, "/x.css")

    def test_stale_answers(self):
        self.pages = {
            "/static/behind": (["Cache-Control: max-age=1, stale-while-revalidate=600"], None),
            "/static/first": (["Cache-Control: max-age=1", 'ETag: "v"'], b"same"),
            "/static/spare": (["Cache-Control: max-age=1, stale-if-error=600"], None),
            "/static/none": (["Cache-Control: max-age=1"], None),
            "/static/strict": (["Cache-Control: max-age=1, must-revalidate, stale-while-revalidate=600, stale-if-error=600"], None),
            "/static/always": (["Cache-Control: no-cache"], None),
        }
        page = self.begin("?assets=/static/")
        for path in self.pages:
            self.get(page, path)
        self.will_be_kept(page, *self.pages)
        time.sleep(STALE)
        self.assertEqual(self.get(page, "/static/behind"), [200, "1"])  # at once; the new one comes behind it
        eventually(lambda: self.count("/static/behind") == 2)
        eventually(lambda: int(self.get(page, "/static/behind")[1]) >= 2)
        self.assertEqual(self.get(page, "/static/first"), [200, "same"])
        self.assertEqual(self.asked[-1].get("if-none-match"), '"v"')
        self.assertEqual(self.get(page, "/static/always"), [200, "2"])
        for path in ("/static/spare", "/static/none", "/static/strict"):
            self.status[path] = 503
        self.assertEqual(self.get(page, "/static/spare"), [200, "1"])
        self.assertEqual(self.get(page, "/static/none"), [503, "failed"])
        self.assertEqual(self.get(page, "/static/strict"), [503, "failed"])
        self.go_offline()
        self.assertEqual(self.get(page, "/static/none"), [200, "1"])  # without a network it may stand in
        self.assertEqual(self.get(page, "/static/strict")[0], 0)  # it must not
        self.status.clear()
        self.come_back()  # and it recovers
        eventually(lambda: self.get(page, "/static/strict")[0] == 200)
        self.assertNotEqual(self.get(page, "/static/strict")[1], "1")

    def test_what_is_kept_is_bounded(self):
        self.pages = {f"/static/{i}": (["Cache-Control: max-age=600"], b"x" * 1000) for i in range(12)}
        self.pages["/static/large"] = (["Cache-Control: max-age=600"], b"x" * 3000)
        page = self.begin("?assets=/static/&entries=8&bytes=6000")  # 600 bytes are a tenth
        self.get(page, "/static/0")
        self.pages |= {f"/static/{i}": (["Cache-Control: max-age=600"], b"x" * 500) for i in range(12)}
        for i in range(1, 12):
            self.get(page, f"/static/{i}")
        self.will_be_kept(page, "/static/11")
        youngest = sorted(f"/static/{i}" for i in range(4, 12))  # eight; none over a tenth
        eventually(lambda: sorted(self.kept(page)) == youngest, what="what is too much has gone")

    def test_bytes_are_bounded_too(self):
        self.pages = {f"/static/{i}": (["Cache-Control: max-age=600"], b"x" * 900) for i in range(20)}
        page = self.begin("?assets=/static/&entries=100&bytes=10000")
        for i in range(20):
            self.get(page, f"/static/{i}")
        self.will_be_kept(page, "/static/19")
        eventually(lambda: len(self.kept(page)) == 11, what="what is too much has gone")  # it is put away behind the answer

    def test_what_is_written_to_is_dropped_and_all_on_demand(self):
        self.pages = {"/static/a": (["Cache-Control: max-age=600"], None), "/static/b": (["Cache-Control: max-age=600"], None)}
        page = self.begin("?assets=/static/")
        self.get(page, "/static/a")
        self.get(page, "/static/b")
        self.will_be_kept(page, "/static/a", "/static/b")
        self.assertEqual(self.get(page, "/static/a", "{method: 'POST', body: 'x'}")[0], 200)
        eventually(lambda: self.kept(page) == ["/static/b"])
        page.run("""await new Promise(done => { navigator.serviceWorker.onmessage = e => e.data.headroom === 'cleared' && done();
                    navigator.serviceWorker.controller.postMessage({headroom: 'clear'}) })""")
        self.assertEqual(self.kept(page), [])


class Offline(Worker):
    def test_pages_without_a_network(self):
        self.pages = {
            "/offline.html": ([], b"you are offline"),
            "/news.html": (["Cache-Control: max-age=1"], None),
            "/account.html": (["Cache-Control: private, max-age=1"], b"secret"),
            "/strict.html": (["Cache-Control: max-age=1, must-revalidate"], b"strict"),
        }
        page = self.begin("?offline=/offline.html")
        for path in ("/account.html", "/strict.html", "/news.html"):
            page.go(self.site + path)
        time.sleep(STALE)
        self.assertEqual(page.go(self.site + "/news.html"), "2")  # while there is a network it is asked first
        self.will_be_kept(page, "/news.html", "/strict.html")
        self.assertNotIn("/account.html", self.kept(page))
        time.sleep(STALE)
        self.go_offline()
        self.assertEqual(page.go(self.site + "/news.html"), "2")
        for path in ("/account.html", "/strict.html", "/never-seen.html"):
            self.assertEqual(page.go(self.site + path), "you are offline", path)
        self.come_back()  # and it recovers
        eventually(lambda: page.go(self.site + "/news.html") == "3")
        self.assertEqual(page.go(self.site + "/account.html"), "secret")

    def test_pages_need_not_be_kept(self):
        self.pages = {"/offline.html": ([], b"you are offline"), "/news.html": (["Cache-Control: max-age=1"], None)}
        page = self.begin("?offline=/offline.html&pages=0")
        page.go(self.site + "/news.html")
        time.sleep(STALE)
        self.assertEqual(self.kept(page), [])
        self.go_offline()
        self.assertEqual(page.go(self.site + "/news.html"), "you are offline")


if __name__ == "__main__":
    unittest.main()
