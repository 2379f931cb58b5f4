"""Rate limits at the edge: 429 with what a client needs to know, by every subject, over reloads, and off again."""

import base64
import hashlib
import hmac
import json
import signal
import time
import unittest

from harness.edge import EdgeScenario, ask, eventually, metric

SECRET = "0123456789abcdef0123456789abcdef"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(user, secret=SECRET, **claims):
    parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": user, "exp": int(time.time()) + 600, **claims}]
    text = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    return text + "." + base64url(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())


def rule(name, **settings):
    return f'[[limit.rules]]\nname = "{name}"\n' + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())


class RateLimits(EdgeScenario):
    def limited(self, config):
        self.app = self.answers(lambda request: b"ok")
        return self.serve(self.app, config=config)

    def statuses(self, server, count, **options):
        return [ask(server.edge, **options).status for _ in range(count)]

    def test_over_the_rate_is_429_and_the_app_does_not_see_it(self):
        server = self.limited(rule("login", preset="auth", path="/auth") + rule("api", preset="api"))
        first = ask(server.edge, target="/auth/login")
        self.assertEqual(first.all("ratelimit-policy"), ['"login";q=10;w=900, "api";q=1000;w=900'])
        self.assertEqual(first.all("ratelimit"), ['"login";r=9;t=900, "api";r=999;t=900'])
        self.assertEqual(self.statuses(server, 12, target="/auth/login"), [200] * 9 + [429] * 3)
        refused = ask(server.edge, target="/auth/login")
        self.assertIn(int(refused.get("retry-after")), range(880, 901))
        self.assertEqual(len(refused.all("retry-after")), 1)
        self.assertIn(b'"rate_limited"', refused.body)
        self.assertEqual(len(self.app.requests), 10)
        self.assertEqual(ask(server.edge, target="/").status, 200)
        self.assertEqual(metric(server, "headroom_limit_refused_total", rule="login"), 4)

    def test_the_seeds_variable_limits_each_address(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(app, env={"NGINX_RATE_LIMIT": "100r/s"})
        statuses = self.statuses(server, 150)
        self.assertIn(429, statuses)
        self.assertGreaterEqual(statuses.count(200), 100)

    def test_users_by_token_and_strangers_by_address(self):
        server = self.limited(f'[limit]\njwt.secret = "{SECRET}"\n' + rule("api", rate="3/min"))
        for user in ("anna", "bert"):
            self.assertEqual(self.statuses(server, 4, fields=[f"Authorization: Bearer {token(user)}"]), [200] * 3 + [429])
        forged = [f"Authorization: Bearer {token('cleo', secret='f' * 32)}"]
        self.assertEqual(self.statuses(server, 2, fields=forged), [200] * 2)
        self.assertEqual(self.statuses(server, 2), [200, 429])

    def test_a_reload_keeps_counts_and_changes_rates(self):
        few = rule("few", rate="3/min")
        server = self.limited(few)
        self.assertEqual(self.statuses(server, 2), [200] * 2)
        self.reload(server, config=few + rule("other", rate="100/min", path="/other"))
        self.assertEqual(self.statuses(server, 2), [200, 429])
        self.reload(server, config="")
        self.assertEqual(self.statuses(server, 5), [200] * 5)

    def test_shadow_refuses_nothing_and_counts(self):
        server = self.limited(rule("trial", rate="1/min", mode="shadow"))
        self.assertEqual(self.statuses(server, 5), [200] * 5)
        self.assertEqual(metric(server, "headroom_limit_shadow_refused_total", rule="trial"), 4)

    def test_the_admin_api_shows_each_rule_and_its_busiest_subjects(self):
        server = self.limited(rule("few", rate="3/min", subject="header:X-Key") + rule("trial", rate="1/min", mode="shadow"))
        for key, count in (("a", 2), ("b", 5)):
            self.statuses(server, count, fields=[f"X-Key: {key}"])
        seen = server.api("GET", "/api/v1/limits").json()
        few, trial = seen["rules"]
        self.assertEqual((few["name"], few["mode"], few["rate"], few["subject"]), ("few", "enforce", "3/min", "header:X-Key"))
        self.assertEqual((few["allowed"], few["refused"], few["shadow_refused"], few["subjects"]), (5, 2, 0, 2))
        self.assertEqual([(row["used"], row["limit"], row["allowed"], row["refused"]) for row in few["top"]], [(3, 3, 3, 2), (2, 3, 2, 0)])
        self.assertTrue(all(row["subject"].startswith("#") for row in few["top"]), "keys are secret")
        self.assertEqual((trial["mode"], trial["refused"], trial["shadow_refused"], trial["refused_percent"]), ("shadow", 0, 6, 85.714))
        self.assertEqual(trial["top"][0]["subject"], "127.0.0.1")
        self.assertEqual(seen["totals"], {"allowed": 6, "refused": 2, "shadow_refused": 6})
        self.statuses(server, 1, fields=["X-Key: b"])
        again = server.api("GET", "/api/v1/limits?top=1").json()
        self.assertEqual((again["totals"]["refused"], len(again["rules"][0]["top"])), (3, 1))
        for wrong in ("101", "-1", "x", "1e9"):
            self.assertEqual(server.api("GET", f"/api/v1/limits?top={wrong}").status, 400, wrong)
        self.assertEqual(server.api("GET", "/api/v1/limits", token="none").status, 401)

    def test_without_rules_the_listing_is_empty(self):
        self.assertEqual(self.limited("").api("GET", "/api/v1/limits").json(),
                         {"rules": [], "totals": {"allowed": 0, "refused": 0, "shadow_refused": 0}})

    def test_what_is_open_counts_until_it_ends(self):
        server = self.limited(rule("open", algorithm="concurrency", at_once=2))
        self.assertEqual(self.statuses(server, 20), [200] * 20)

    def test_an_unknown_route_is_refused_with_the_nearest(self):
        server = self.limited(rule("few", rate="3/min"))
        self.reload_fails(server, rule("few", rate="3/min", routes=["defualt"]), "there is no route 'defualt'; did you mean 'default'")
        self.assertEqual(self.statuses(server, 1), [200])

    def reload_fails(self, server, config, message):
        self.settings(config)
        server.signal(signal.SIGHUP)
        server.wait_for_line(f"reload: nothing changed: .*{message}")


if __name__ == "__main__":
    unittest.main()
