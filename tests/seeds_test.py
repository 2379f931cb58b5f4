"""Every path of the four seeds: status, role, fields, on the admin address and on the edge; their variables; the OpenAPI document, held by a validator of npm."""

import json
import subprocess
import unittest

from harness import run
from harness.client import get, request
from harness.edge import EdgeScenario, eventually, reply
from harness.npm import installed
from harness.postgres import Cluster
from harness.scenario import Scenario

A = "/api/phase14/scalability"
B = "/api/v1/performance/scalability"
PUBLIC, VIEWER, OPERATOR = None, "viewer", "operator"
# method, path, who may, status, fields of the answer (a.b is b in a), body
PATHS = [
    ("GET", f"{A}/health", PUBLIC, 200, "status components.database components.cache", None),
    ("GET", f"{A}/connection-pool/health", VIEWER, 200, "status response_time_ms", None),
    ("GET", f"{A}/cache/stats", VIEWER, 200, "status hit_rate cache_size total_requests", None),
    ("GET", f"{A}/database/stats", VIEWER, 200, "status size_bytes collections indexes", None),
    ("GET", f"{A}/performance/metrics", VIEWER, 200, "avg_response_time error_rate total_requests", None),
    ("GET", f"{A}/overview", VIEWER, 200, "cache.hit_rate connection_pool.response_time_ms database.size_bytes performance.total_requests", None),
    ("GET", f"{A}/config", VIEWER, 200, "connection_pool.max_pool_size cache_ttl.static", None),
    ("POST", f"{A}/cache/warm", OPERATOR, 409, "error.code", {}),
    ("POST", f"{A}/cache/clear/events", OPERATOR, 200, "status", {}),
    ("DELETE", f"{A}/cache/cleanup", OPERATOR, 200, "status", None),
    ("POST", f"{A}/database/cleanup-sessions?days=90", OPERATOR, 409, "error.code", {}),
    ("POST", f"{A}/database/optimize-indexes", OPERATOR, 409, "error.code", {}),
    ("GET", f"{B}/overview", VIEWER, 200, "system.cpu_percent performance.total_requests cache.hit_rate database.pool_usage", None),
    ("GET", f"{B}/database", VIEWER, 200, "status pool_usage slow_queries indexes", None),
    ("GET", f"{B}/cache", VIEWER, 200, "hit_rate memory_bytes", None),
    ("GET", f"{B}/realtime", VIEWER, 200, "status", None),
    ("GET", f"{B}/trends", VIEWER, 200, "status minutes trends.requests.total trends.system", None),
    ("POST", f"{B}/optimize-database", OPERATOR, 409, "error.code", {}),
    ("POST", f"{B}/warm-cache", OPERATOR, 409, "error.code", {}),
    ("GET", "/api/v1/ws/status", VIEWER, 200, "status", None),
    ("POST", "/api/v1/ws/broadcast", OPERATOR, 200, "", {"data": 1}),
    ("POST", "/api/v1/ws/send-to-location/7", OPERATOR, 200, "", {"data": 1}),
    ("GET", "/health", PUBLIC, 200, "status system.memory_mb performance.total_requests", None),
    ("GET", "/api/usage-summary", VIEWER, 200, "status usage.requests usage.bytes_out usage.vcpu_hours usage.cache_hit_rate", None),
    ("GET", "/api/performance-stats", VIEWER, 200, "total_requests endpoints cache_hit_rate system.cpu_percent", None),
    ("GET", "/api/cost-estimates", VIEWER, 200, "status currency estimates.compute estimates.total estimates.saved_by_caching usage.requests", None),
    ("GET", "/api/v1/database/slow-queries", VIEWER, 200, "status slow_queries", None),
    ("GET", "/api/v1/database/index-usage", VIEWER, 200, "status index_usage", None),
    ("GET", "/api/v1/database/cache-hit-ratio", VIEWER, 200, "status cache_hit_ratio", None),
    ("GET", "/api/v1/scaling/health/liveness", PUBLIC, 200, "status", None),
    ("GET", "/api/v1/scaling/health/readiness", PUBLIC, 200, "status checks", None),
    ("GET", "/api/v1/scaling/health/deep", PUBLIC, 200, "status components.database components.replication system requests.total_requests", None),
    ("GET", "/api/v1/scaling/replication/status", VIEWER, 200, "status replicas lag_seconds", None),
    ("GET", "/api/v1/cache/stats", VIEWER, 200, "hit_ratio memory_bytes evictions classes tags", None),
    ("POST", "/api/v1/cache/clear-tags", OPERATOR, 200, "status tags_cleared", {"tags": ["a"]}),
]
# The seeds' variables: what they set, how it then reads.
VARIABLES = [
    ("DB_POOL_SIZE", "17", "sql.pool_size", 17), ("DB_MAX_OVERFLOW", "9", "sql.pool_overflow", 9), ("DB_POOL_TIMEOUT", "7", "sql.pool_wait", "7s"),
    ("ENABLE_ADVANCED_CACHING", "false", "cache.enabled", False), ("ENABLE_RATE_LIMITING", "false", "limit.enabled", False),
    ("ENABLE_MONITORING", "false", "monitor.enabled", False), ("ENABLE_COMPRESSION", "false", "edge.compress.enabled", False),
    ("CACHE_ENABLED", "false", "cache.enabled", False), ("CACHE_DEFAULT_TTL", "300", "cache.default_ttl", "5m"), ("CACHE_MAX_SIZE", "2gb", "cache.memory_limit", "2GiB"),
    ("NGINX_WORKER_CONNECTIONS", "1024", "edge.max_connections", 1024), ("NGINX_RATE_LIMIT", "100r/s", "limit.address_rate", "100/s"),
    ("ENABLE_AUTO_SCALING", "true", "server.kubernetes.auto_scaling", True), ("MIN_REPLICAS", "4", "server.kubernetes.min_replicas", 4),
    ("MAX_REPLICAS", "21", "server.kubernetes.max_replicas", 21), ("TARGET_CPU_PERCENT", "71", "server.kubernetes.target_cpu_percent", 71),
    ("TARGET_MEMORY_PERCENT", "81", "server.kubernetes.target_memory_percent", 81),
]
# With a database: path, the fields that then hold figures, the field that queries move.
DATABASE = [
    (f"{A}/connection-pool/health", "status response_time_ms pool.open pool.max_pool_size pools", "query_stats.queries"),
    (f"{A}/database/stats", "size_bytes collections indexes", "size_bytes"),
    (f"{A}/overview", "connection_pool.response_time_ms connection_pool.max_pool_size database.collections database.indexes", "database.size_bytes"),
    (f"{A}/config", "connection_pool.max_pool_size connection_pool.connect_timeout_ms", None),
    (f"{A}/health", "components.database.response_time_ms", None),
    (f"{B}/database", "status pool_usage pool_size slow_queries", None),
    (f"{B}/overview", "database.pool_usage", None),
    ("/health", "database.pool_usage database.response_time_ms", None),
    ("/api/usage-summary", "usage.database_queries", "usage.database_queries"),
    ("/api/v1/database/slow-queries", "slow_queries", None),
    ("/api/v1/database/index-usage", "index_usage tables", None),
    ("/api/v1/database/cache-hit-ratio", "cache_hit_ratio databases", None),
    ("/api/v1/scaling/replication/status", "status lag_seconds replicas primary", None),
    ("/api/v1/scaling/health/deep", "components.database.pool_size components.replication.lag_seconds", None),
    ("/api/v1/scaling/health/readiness", "checks.database", None),
]
VALIDATOR = {"@seriousme/openapi-schema-validator": ("2.3.0", "sha512-qn8tZzfb1nCIxxfLQfjvIYumuz6YoHJMoWFtCR3dey1lKkY/1obv3NvfAy1WRSztXAQqa/vZUDOXJ1M5LHfMvg==")}


def find(value, path):
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            raise AssertionError(f"{path} is not in {json.dumps(value)[:400]}")
        value = value[name]
    return value


class Seeds(EdgeScenario):
    _end = Scenario._end

    def begin(self, **more):
        app = self.answers(lambda request: reply(200, b"hello " * 100, ["Cache-Control: max-age=60"]))
        config = '[admin]\non_edge = true\n[monitor.prices]\nvcpu_hour = 0.05\ngib_hour = 0.005\negress_gib = 0.09\n[[edge.routes]]\npath = "/"\n[edge.routes.cache]\nttl_class = "static"\n'
        return self.serve(app, config=config, **more)

    def test_each_path_answers_with_its_fields_to_the_right_role(self):
        server = self.begin()
        for _ in range(3):
            self.assertEqual(get(server.edge, "/page").status, 200)
        tokens = {role: server.token(role) for role in ("viewer", "operator")}
        eventually(lambda: server.api("GET", "/api/v1/metrics/names").json()["metrics"], 10, 0.2)
        lower = {VIEWER: None, OPERATOR: "viewer"}
        for door in (server.admin, server.edge):
            for method, path, role, status, fields, body in PATHS:
                with self.subTest(f"{method} {path}", door=door):
                    def ask(who):
                        return request(door, method, path, {"Authorization": f"Bearer {tokens[who]}"} if who else {}, body)
                    answer = ask("viewer" if role is PUBLIC and door == server.edge else role)
                    self.assertEqual(answer.status, status, answer.text())
                    for field in fields.split():
                        find(answer.json(), field)
                    if status == 409:
                        self.assertEqual(answer.json()["error"]["code"], "not_configured")
                    if role is not PUBLIC:
                        self.assertEqual(ask(lower[role]).status, 401 if role == VIEWER else 403)

    def test_on_the_edge_strangers_hear_of_health_the_status_alone(self):
        server = self.begin()
        viewer = server.token("viewer")
        for method, path, role, status, fields, body in PATHS:
            if role is not PUBLIC:
                continue
            with self.subTest(path):
                whole = get(server.admin, path)
                for headers in ({}, {"Authorization": "Bearer of-the-app"}, {"Authorization": "Basic eDp5"}):
                    told = get(server.edge, path, headers)
                    self.assertEqual((told.status, set(told.json())), (whole.status, {"status", "timestamp"}))
                    self.assertEqual(told.json()["status"], whole.json()["status"])
                self.assertEqual(set(get(server.edge, path, {"Authorization": f"Bearer {viewer}"}).json()), set(whole.json()))

    def test_the_numbers_move_when_what_they_count_moves(self):
        server = self.begin()
        viewer = server.token("viewer")
        figures = [(f"{A}/performance/metrics", "total_requests"), (f"{A}/overview", "performance.total_requests"), (f"{A}/overview", "cache.total_requests"), (f"{A}/cache/stats", "total_requests"),
                   (f"{B}/overview", "performance.total_requests"), (f"{B}/trends", "trends.requests.total"), ("/api/performance-stats", "total_requests"), ("/api/usage-summary", "usage.requests"),
                   ("/api/usage-summary", "usage.bytes_out"), ("/api/cost-estimates", "estimates.compute"), ("/api/v1/cache/stats", "hits"), ("/health", "performance.total_requests"),
                   ("/api/v1/scaling/health/deep", "requests.total_requests")]

        def read(path, field):
            return find(request(server.admin, "GET", path, {"Authorization": f"Bearer {viewer}"}).json(), field)
        eventually(lambda: server.api("GET", "/api/v1/metrics/names").json()["metrics"], 10, 0.2)
        before = [read(*figure) for figure in figures]
        for _ in range(40):
            get(server.edge, "/page")
        for figure, was in zip(figures, before):
            with self.subTest(figure):
                eventually(lambda: read(*figure) > was, 15, 0.3)

    def test_each_variable_sets_what_it_set_for_its_system(self):
        for name, text, setting, value in VARIABLES:
            with self.subTest(name):
                server = self.headroom([self.upstream()], env={name: text})
                settings = {row["name"]: row for row in server.api("GET", "/api/v1/config").json()["settings"]}
                self.assertEqual((settings[setting]["value"], settings[setting]["origin"]), (value, name))
                server.stop()

    def test_variables_that_nothing_reads_yet_are_said_to_be_so(self):
        server = self.headroom([self.upstream()], env={"REDIS_HOST": "cache.internal", "REDIS_PORT": "6379", "REDIS_DB": "0", "REDIS_CLUSTER_NODES": "10.0.0.1:6379"})
        line = server.wait_for_line("nothing reads this yet")
        for name in ("REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_CLUSTER_NODES"):
            self.assertIn(name, line)
        self.assertNotIn("cache.internal", line)

    def test_a_name_alone_makes_the_databases_address(self):
        given = {"POSTGRES_SERVER": "db.internal", "POSTGRES_USER": "app", "POSTGRES_PASSWORD": "s/e:c@ret", "POSTGRES_DB": "shop", "POSTGRES_READ_REPLICAS": "replica-1:5432,replica-2:5432"}
        for env, shown in ((given, ["replica-1:5432", "replica-2:5432"]), ({"POSTGRES_SERVER": "db.internal:6000"}, [])):
            done = run("check", self.settings(""), env=env)
            self.assertEqual(done.returncode, 0, done.stderr)
            server = self.headroom([self.upstream()], env=env, set={"sql.listen": "127.0.0.1:0"})
            settings = {row["name"]: row for row in server.api("GET", "/api/v1/config").json()["settings"]}
            self.assertEqual(settings["sql.postgres"]["origin"], "POSTGRES_SERVER")
            self.assertEqual(settings["sql.replicas"]["value"], shown)
            self.assertIn("sql", server.doors)
            self.assertNotIn("s/e:c@ret", json.dumps(settings) + "".join(server.lines))
            self.assertNotIn("s%2Fe", json.dumps(settings) + "".join(server.lines))
            server.stop()
        done = run("check", self.settings(""), env={"POSTGRES_READ_REPLICAS": "replica-1:5432"})
        self.assertEqual(done.returncode, 2)
        self.assertIn("postgres is not given", done.stderr)

    def test_with_a_database_its_figures_are_there_and_move(self):
        cluster = Cluster(1)
        self.addCleanup(cluster.remove)
        server = self.headroom([self.upstream()], arguments=["--postgres", cluster.urls["primary"], "--replica", cluster.urls["replica1"], "--set", "sql.listen=127.0.0.1:0"])
        url = cluster.urls["primary"].replace(f":{cluster.port}/", ":%d/" % server.doors["sql"][1])

        def psql(*statements):
            subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", url, *[part for each in statements for part in ("-c", each)]], check=True, capture_output=True, timeout=30)

        def read(path, field):
            return find(server.api("GET", path).json(), field)
        psql("CREATE TABLE moved (id int PRIMARY KEY, body text)", "CREATE INDEX moved_body ON moved (body)", "SELECT count(*) FROM moved")
        before = {}
        for path, fields, moves in DATABASE:
            for field in fields.split():
                with self.subTest(path, field=field):
                    eventually(lambda: read(path, field) is not None, 10, 0.2)
            if moves:
                before[path, moves] = read(path, moves)
        psql("INSERT INTO moved SELECT n, repeat('x', 200) || n FROM generate_series(1, 20000) n", "/* headroom:primary */ SELECT count(*) FROM moved WHERE id = 7", "ANALYZE moved")
        for (path, field), was in before.items():
            with self.subTest(path, moves=field):
                eventually(lambda: read(path, field) > was, 15, 0.3)
        shapes = [each["query"] for each in read("/api/v1/database/slow-queries", "slow_queries")]
        self.assertTrue(any("moved" in each for each in shapes), shapes)

        def index(name):
            return next((each for each in read("/api/v1/database/index-usage", "index_usage") if each["index"] == name), {})
        eventually(lambda: index("moved_pkey").get("scans"), 15, 0.3)
        self.assertEqual((index("moved_body")["scans"], index("moved_body")["unused"]), (0, None), "the replica may read it")
        self.assertIs(index("moved_pkey")["unused"], False)
        alone = self.headroom([self.upstream()], arguments=["--postgres", cluster.urls["primary"], "--set", "sql.listen=127.0.0.1:0"], state_dir=self.directory / "alone")
        usage = alone.api("GET", "/api/v1/database/index-usage").json()["index_usage"]
        self.assertEqual({each["index"]: each["unused"] for each in usage if each["table"] == "public.moved"}, {"moved_pkey": False, "moved_body": True})
        eventually(lambda: any(each["name"] == "public.moved" and each["rows"] >= 20000 for each in read(f"{A}/database/stats", "collections")), 15, 0.3)
        self.assertEqual([each["role"] for each in read("/api/v1/scaling/replication/status", "replicas")], ["replica"])

    def test_openapi_describes_everything_and_is_valid(self):
        document = run("docs", "openapi").stdout
        server = self.begin()
        self.assertEqual(json.loads(document)["paths"].keys(), json.loads(get(server.admin, "/openapi.json").text())["paths"].keys())
        for method, path, *_ in PATHS:
            plain = path.split("?")[0].replace("/clear/events", "/clear/{entity_type}").replace("/send-to-location/7", "/send-to-location/{location_id}")
            self.assertIn(method.lower(), json.loads(document)["paths"][plain], plain)
        place = installed("openapi", VALIDATOR)
        (place / "check.mjs").write_text('import { Validator } from "@seriousme/openapi-schema-validator"\nimport { readFileSync } from "node:fs"\n'
                                         "const result = await new Validator().validate(JSON.parse(readFileSync(process.argv[2], 'utf8')))\n"
                                         "if (!result.valid) { console.log(JSON.stringify(result.errors, null, 1)); process.exit(1) }\n")
        file = self.directory / "openapi.json"
        file.write_text(document)
        done = subprocess.run(["node", place / "check.mjs", file], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout[:3000] + done.stderr[:3000])


if __name__ == "__main__":
    unittest.main()
