"""The cache API for apps: values over HTTP, and get-or-compute by a lease."""

import threading
import unittest

from harness import Connection, Scenario, eventually, request
from harness.edge import metric

ENTRIES = "/api/v1/cache/entries/"


class Entries(Scenario):
    def setUp(self):
        super().setUp()
        self.server = self.headroom([], set={"cache.jitter": 0, "cache.classes": "prices=15s"})
        self.auth = {"Authorization": "Bearer " + self.server.token("operator")}

    def ask(self, method, path, body=None, **fields):
        headers = {**self.auth, **{name.replace("_", "-"): value for name, value in fields.items()}}
        return request(self.server.admin, method, path, headers, body, timeout=30)

    def put(self, key, value, query="", **fields):
        answer = self.ask("PUT", ENTRIES + key + (f"?{query}" if query else ""), value, **fields)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()["kept"]

    def get(self, key):
        return self.ask("GET", ENTRIES + key)

    def lease(self, key, query=""):
        return self.ask("POST", ENTRIES + key + "/lease" + (f"?{query}" if query else ""))

    def code(self, answer):
        return answer.status, answer.json()["error"]["code"]


class Values(Entries):
    def test_a_value_is_kept_with_its_type_and_dropped(self):
        self.assertEqual(self.code(self.get("user:1")), (404, "not_found"))
        self.assertTrue(self.put("user:1", b"\x00\xff bytes", Content_Type="image/png"))
        got = self.get("user:1")
        self.assertEqual((got.status, got.body, got.field("Content-Type")), (200, b"\x00\xff bytes", "image/png"))
        self.assertEqual(got.field("Content-Security-Policy"), "sandbox")
        self.assertAlmostEqual(float(got.field("Headroom-TTL")), 300, delta=10)
        self.assertEqual(self.ask("HEAD", ENTRIES + "user:1").field("Content-Length"), "8")
        self.assertEqual(self.ask("DELETE", ENTRIES + "user:1").json()["erased"], True)
        self.assertEqual(self.ask("DELETE", ENTRIES + "user:1").json()["erased"], False)
        self.assertEqual(self.get("user:1").status, 404)

    def test_keys_are_any_bytes(self):
        for key in ["a/b//c", "a/", "sp%20ace", "%C3%BC", "%00", "x/lease"]:
            self.put(key, key)
            self.assertEqual(self.get(key).text(), key)
        self.put("long/" + "k" * 1019, "1")
        for path in ["long/" + "k" * 1020, "%zz", ""]:
            self.assertIn(self.ask("PUT", ENTRIES + path, "1").status, (400, 404), path)
        keys = {entry["key"] for entry in self.ask("GET", "/api/v1/cache/entries").json()["entries"]}
        self.assertLessEqual({"a/b//c", "a/", "sp ace", "\u00fc"}, keys)

    def test_every_class_has_its_time(self):
        times = {"default": 300, "static": 3600, "semi_dynamic": 600, "aggregates": 300, "statistics": 120, "realtime": 30, "user_profile": 3600,
                 "active_tasks": 900, "analytics": 1800, "prices": 15}
        for name, ttl in times.items():
            self.put("k:" + name, "1", f"class={name}")
            self.assertAlmostEqual(float(self.get("k:" + name).field("Headroom-TTL")), ttl, delta=10, msg=name)
        self.put("k", "1", "class=static&ttl=45s")
        self.assertAlmostEqual(float(self.get("k").field("Headroom-TTL")), 45, delta=10)
        self.put("k", "1", "ttl=20ms")
        eventually(lambda: self.get("k").status == 404)

    def test_tags_and_keys_are_listed_a_page_at_a_time(self):
        for i in range(25):
            self.put(f"user:{i}", "12345", "class=statistics&tags=users,user%3A" + str(i))
        self.put("other", "1")
        seen, place = [], ""
        while place is not None:
            page = self.ask("GET", f"/api/v1/cache/entries?prefix=user:&limit=7{place and '&from=' + place}").json()
            self.assertLessEqual(len(page["entries"]), 7)
            seen += page["entries"]
            place = page["next"]
        self.assertEqual(sorted(entry["key"] for entry in seen), sorted(f"user:{i}" for i in range(25)))
        one = next(entry for entry in seen if entry["key"] == "user:7")
        self.assertEqual((one["class"], one["size"], one["tags"], one["absent"]), ("statistics", 5, ["users", "user:7"], False))
        self.assertEqual(self.server.api("POST", "/api/v1/cache/clear-tags", {"tags": ["user:7"]}).status, 200)
        self.assertEqual(self.get("user:7").status, 404)
        self.assertEqual(self.get("user:8").status, 200)
        self.assertEqual(self.server.api("POST", "/api/v1/cache/clear", {"prefix": "user:"}).status, 200)
        self.assertEqual(self.ask("GET", "/api/v1/cache/entries?prefix=user:").json()["entries"], [])
        self.assertEqual(self.get("other").status, 200)

    def test_what_is_wrong_is_said(self):
        for path in ["k?ttl=soon", "k?ttl=0", "k?ttl=99999h", "k?class=nope", "k?tags=a,,b", "k?tlt=1s", "k?tags=" + ",".join("t%d" % i for i in range(256)),
                     "k?outcome=absent", "k?lease=none&outcome=maybe"]:
            answer = self.ask("PUT", ENTRIES + path, "1")
            self.assertEqual(self.code(answer), (400, "invalid"), path)
            self.assertTrue(answer.json()["error"]["message"], path)
        for path in ["?limit=0", "?limit=1001", "?limit=x", "?from=x", "?prefixx=a"]:
            self.assertEqual(self.ask("GET", "/api/v1/cache/entries" + path).status, 400, path)
        for path in ["k/lease?wait=1h", "k/lease?lease_ttl=1h", "k/lease?class=nope"]:
            self.assertEqual(self.ask("POST", ENTRIES + path).status, 400, path)
        self.assertEqual(self.ask("DELETE", ENTRIES + "k?soft=perhaps").status, 400)
        self.assertEqual(self.code(self.ask("PUT", ENTRIES + "k?lease=none", "1")), (409, "conflict"))
        self.assertEqual(self.code(self.ask("DELETE", ENTRIES + "k?lease=none")), (409, "conflict"))
        self.assertEqual(self.ask("PUT", ENTRIES + "k", b"x" * ((8 << 20) + 1)).status, 413)
        self.assertEqual(self.ask("PUT", ENTRIES + "k", b"x" * (8 << 20)).status, 200)
        self.assertEqual(len(self.get("k").body), 8 << 20)

    def test_who_may_only_look_changes_nothing(self):
        self.auth = {"Authorization": "Bearer " + self.server.token("viewer")}
        self.assertEqual(self.get("k").status, 404)
        for method, path in [("PUT", "k"), ("DELETE", "k"), ("POST", "k/lease")]:
            self.assertEqual(self.ask(method, ENTRIES + path, "1" if method == "PUT" else None).status, 403, method)
        self.auth = {}
        self.assertEqual(self.get("k").status, 401)
        foreign = self.ask("PUT", ENTRIES + "k", "1", Origin="http://evil.example")
        self.assertEqual(foreign.status, 403)

    def test_without_a_cache_it_says_so(self):
        server = self.headroom([], set={"cache.enabled": "false"}, state_dir=self.directory / "other")
        for method, path in [("GET", "k"), ("PUT", "k"), ("POST", "k/lease")]:
            answer = server.api(method, ENTRIES + path)
            self.assertEqual(self.code(answer), (409, "not_configured"), method)


class Leases(Entries):
    def many(self, count, key, query="wait=20s"):
        """That many clients ask at once; gives their connections, each with an answer to come."""
        made = []
        for _ in range(count):
            connection = Connection(self.server.admin, timeout=30)
            self.addCleanup(connection.close)
            path = f"{ENTRIES}{key}/lease?{query}"
            connection.send(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {self.auth['Authorization']}\r\n\r\n".encode())
            made.append(connection)
        eventually(lambda: metric(self.server, "headroom_cache_coalesced_total", space="app") >= count, what="all wait")
        return made

    def test_of_200_who_miss_one_fills_and_all_get_it(self):
        first = self.lease("hot", "lease_ttl=20s")
        self.assertEqual(self.code(first), (404, "fill"))
        self.assertAlmostEqual(float(first.field("Headroom-Lease-TTL")), 20)
        waiting = self.many(199, "hot")
        self.assertTrue(self.put("hot", "computed", "lease=" + first.field("Headroom-Lease") + "&class=static", Content_Type="text/plain"))
        answers = [connection.answer() for connection in waiting]
        self.assertEqual({(a.status, a.body, a.field("Content-Type"), a.field("Headroom-Lease")) for a in answers}, {(200, b"computed", "text/plain", None)})
        self.assertEqual(metric(self.server, "headroom_cache_fills_total", space="app"), 1)
        self.assertEqual(self.lease("hot").text(), "computed")

    def test_a_filler_that_vanishes_is_replaced_by_one_who_waits(self):
        first = self.lease("k", "lease_ttl=400ms")
        waiting = self.many(20, "k", "wait=20s&lease_ttl=20s")
        answers, leases, lock = [], [], threading.Lock()

        def client(connection):
            answer = connection.answer()
            if answer.status == 404:
                with lock:
                    leases.append(answer.field("Headroom-Lease"))
                self.put("k", "by another", "lease=" + leases[-1])
            with lock:
                answers.append(answer)

        threads = [threading.Thread(target=client, args=(connection,)) for connection in waiting]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        self.assertEqual(len(leases), 1)
        self.assertEqual(sorted(a.status for a in answers), [200] * 19 + [404])
        late = self.ask("PUT", f"{ENTRIES}k?lease={first.field('Headroom-Lease')}", "too late")
        self.assertEqual(self.code(late), (409, "conflict"))
        self.assertEqual(self.get("k").text(), "by another")

    def test_a_value_whose_lease_began_before_an_invalidation_is_never_served(self):
        clears = [("POST", "/api/v1/cache/clear-tags", {"tags": ["t"]}), ("POST", "/api/v1/cache/clear", {"prefix": "k"}), ("DELETE", ENTRIES + "k", None),
                  ("POST", "/api/v1/cache/clear", {"pattern": "*k*"}), ("POST", "/api/v1/cache/clear", {"entity": "t"}), ("PUT", ENTRIES + "k", "written")]
        for method, path, body in clears:
            given = self.lease("k").field("Headroom-Lease")
            self.assertTrue(given)
            self.assertEqual(self.ask(method, path, body).status, 200)
            put = self.ask("PUT", f"{ENTRIES}k?lease={given}&tags=t", "old")
            self.assertIn((put.status, put.json().get("kept")), [(200, False)], path)
            self.assertNotEqual(self.get("k").text(), "old", path)
            self.ask("DELETE", ENTRIES + "k")

    def test_a_stale_value_is_served_while_one_refreshes_it(self):
        self.put("k", "old", "ttl=50ms&lease=" + self.lease("k").field("Headroom-Lease"))
        eventually(lambda: float(self.lease("k").field("Headroom-TTL")) < 0)
        self.ask("DELETE", ENTRIES + "k")
        self.put("k", "old", "ttl=50ms&lease=" + self.lease("k").field("Headroom-Lease"))
        refreshing = eventually(lambda: (lambda a: a if float(a.field("Headroom-TTL")) < 0 and a.field("Headroom-Lease") else None)(self.lease("k")))
        self.assertEqual((refreshing.status, refreshing.text()), (200, "old"))
        others = [self.lease("k") for _ in range(3)]
        self.assertEqual({(a.text(), a.field("Headroom-Lease")) for a in others}, {("old", None)})
        self.put("k", "new", "lease=" + refreshing.field("Headroom-Lease"))
        self.assertEqual(self.lease("k").text(), "new")

    def test_who_waits_longer_than_he_would_is_told(self):
        self.lease("k")
        late = self.lease("k", "wait=100ms")
        self.assertEqual(self.code(late), (504, "timeout"))

    def test_a_lease_given_up_passes_on_and_absence_is_remembered(self):
        first = self.lease("k")
        waiting = self.many(1, "k")[0]
        self.assertEqual(self.ask("DELETE", f"{ENTRIES}k?lease={first.field('Headroom-Lease')}").status, 200)
        heir = waiting.answer()
        self.assertEqual(self.code(heir), (404, "fill"))
        self.put("k", "", f"lease={heir.field('Headroom-Lease')}&outcome=absent")
        self.assertEqual(self.code(self.get("k")), (404, "absent"))
        self.assertEqual(self.code(self.lease("k")), (404, "absent"))

    def test_what_is_not_cacheable_lets_all_go_at_once(self):
        first = self.lease("k")
        waiting = self.many(5, "k")
        self.assertFalse(self.put("k", "mine", f"lease={first.field('Headroom-Lease')}&outcome=uncacheable"))
        self.assertEqual({self.code(c.answer()) for c in waiting}, {(404, "bypass")})
        self.assertEqual(self.code(self.lease("k")), (404, "bypass"))


if __name__ == "__main__":
    unittest.main()
