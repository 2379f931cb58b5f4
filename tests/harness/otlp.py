"""An OpenTelemetry collector's door for OTLP/HTTP in JSON, whose bodies are read by OpenTelemetry's own classes (npm)."""

import gzip
import json
import pathlib
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .npm import installed

CLIENT = pathlib.Path(__file__).resolve().parents[1] / "clients" / "otlp.cjs"
PACKAGES = {"@opentelemetry/otlp-transformer": ("0.57.2", "sha512-48IIRj49gbQVK52jYsw70+Jv+JbahT8BqT2Th7C4H7RCM9d0gZ5sgNPoMpWldmfjvIsSgiGJtjfk9MeZvjhoig==")}


class Collector:
    """`status`, `fields`, `answer` and `delay` are what it answers next; what it answers 200 is kept in `bodies` by path."""

    def __init__(self, port=0):
        collector = self
        self.status, self.fields, self.answer, self.delay = 200, {}, b"{}", 0.0
        self.bodies, self.heads, self.tries = {"/v1/traces": [], "/v1/metrics": []}, [], []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                collector.tries.append((time.monotonic(), self.path))
                time.sleep(collector.delay)
                if collector.status == 200:
                    collector.heads.append(dict(self.headers))
                    collector.bodies[self.path].append(json.loads(body))
                try:
                    self.send_response(collector.status)
                    for name, value in {"Content-Length": str(len(collector.answer)), **collector.fields}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(collector.answer)
                except OSError:
                    pass  # nobody waits any more

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def read(self, signal):
        """All bodies of `traces` or `metrics`, as OpenTelemetry's classes understand them."""
        done = subprocess.run(["node", CLIENT, signal], cwd=installed("otlp", PACKAGES), input=json.dumps(self.bodies["/v1/" + signal]), capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def spans(self):
        return [span for body in self.read("traces") for resource in body["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]]

    def spans_seen(self):
        """The same, as they came: cheap enough to be asked again and again."""
        return [span for body in list(self.bodies["/v1/traces"]) for resource in body["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]]

    def metrics(self):
        return [metric for body in self.read("metrics") for resource in body["resourceMetrics"] for scope in resource["scopeMetrics"] for metric in scope["metrics"]]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def attributes(of):
    """Of a span or data point: the values by name."""
    values = {}
    for each in of["attributes"]:
        [(kind, value)] = [(kind, value) for kind, value in each["value"].items() if kind != "value"]
        values[each["key"]] = int(value) if kind == "intValue" else value
    return values
