"""clients/python: the drop-in passes each request's traceparent on to the database, in apps that know nothing of it: Flask and Django on psycopg2, asyncpg alone.

Behind each is a PostgreSQL whose log of statements says what arrived.
"""

import asyncio
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import unittest

from harness import eventually
from harness.postgres import SqlScenario
from harness.process import ROOT

CLIENT = ROOT / "clients" / "python"
TRACE = "00-{:032x}-00f067aa0ba902b7-01"

FLASK = """
import os
import flask
import psycopg2

app = flask.Flask(__name__)

@app.route("/<int:number>")
def look(number):
    with psycopg2.connect(os.environ["DSN"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s::int AS flask_number -- a comment at the end", (number,))
        return str(cursor.fetchone()[0])

def get(path, headers):
    answer = app.test_client().get(path, headers=headers)
    return answer.status_code, answer.get_data(as_text=True)
"""

DJANGO = """
import os
import urllib.parse
import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.http import HttpResponse
from django.urls import path

at = urllib.parse.urlsplit(os.environ["URL"])
settings.configure(SECRET_KEY="none", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "HOST": at.hostname,
                   "PORT": at.port, "USER": at.username, "PASSWORD": at.password, "NAME": at.path[1:]}})

def look(request, number):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::int AS django_number", [number])
        return HttpResponse(str(cursor.fetchone()[0]))

urlpatterns = [path("<int:number>", look)]
django.setup()
application = WSGIHandler()

def get(path, headers):
    from io import BytesIO
    said = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.input": BytesIO(), "wsgi.url_scheme": "http",
               **{"HTTP_" + name.upper(): value for name, value in headers.items()}}
    body = b"".join(application(environ, lambda status, fields: said.append(status)))
    return int(said[0][:3]), body.decode()
"""

DRIVER = """
import concurrent.futures
import sys
import app

def one(number):
    traced = number % 3 != 0
    headers = {"traceparent": "TRACE".format(number)} if traced else {"traceparent": "nonsense */ DROP"} if number % 2 else {}
    status, text = app.get(f"/{number}", headers)
    assert (status, text) == (200, str(number)), (status, text)

with concurrent.futures.ThreadPoolExecutor(8) as pool:
    list(pool.map(one, range(1, 61)))
print("done", "headroom_trace" in sys.modules)
"""


class PythonClient(SqlScenario):
    def setUp(self):
        super().setUp()
        self.cluster.superuser("ALTER ROLE booking SET log_statement = 'all'")
        self.addCleanup(lambda: self.cluster.superuser("ALTER ROLE booking RESET log_statement"))

    def log(self):
        logs = [*pathlib.Path(self.cluster.directory).glob("*.log"), *pathlib.Path(self.cluster.directory).glob("primary/log/*"), *pathlib.Path(self.cluster.directory).glob("primary*log*")]
        return "".join(path.read_text(errors="replace") for path in logs if path.is_file())

    def check(self, app, word):
        (self.directory / "app.py").write_text(textwrap.dedent(app))
        (self.directory / "driver.py").write_text(DRIVER.replace("TRACE", TRACE))
        url = self.cluster.urls["primary"]
        done = subprocess.run([sys.executable, "driver.py"], cwd=self.directory, env={**os.environ, "PYTHONPATH": str(CLIENT), "DSN": url, "URL": url, "PYTHONDONTWRITEBYTECODE": "1"},
                              capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (0, "done True\n"), done.stderr)
        found = self.tied(word)
        eventually(lambda: len(self.tied(word)) == 60, what=lambda: self.log()[-2000:])
        found = self.tied(word)
        self.assertEqual(found, {number: TRACE.format(number) if number % 3 else None for number in range(1, 61)})

    def tied(self, word):
        """number: the traceparent behind its statement, or None."""
        found = {}
        for statement in re.split(r"\n(?=\S)", self.log()):
            number = re.search(rf"SELECT (\d+)::int AS {word}", statement)
            if number:
                trace = re.search(r"/\*traceparent='([^']*)'\*/", statement)
                found[int(number[1])] = trace and trace[1]
        return found

    def test_flask(self):
        self.check(FLASK, "flask_number")

    def test_django(self):
        self.check(DJANGO, "django_number")

    def test_psycopg2_does_all_it_did_before_and_ties_what_it_is_given_as_text(self):
        code = f"""
            import io, os
            import psycopg2, psycopg2.extras
            from psycopg2 import sql
            import headroom_trace

            headroom_trace.current.set({TRACE!r}.format(7))
            connection = psycopg2.connect(os.environ["DSN"])
            cursor = connection.cursor()
            cursor.execute("CREATE TEMPORARY TABLE given (n int, t text)")
            cursor.executemany("INSERT INTO given VALUES (%s, %s) -- many", [(1, "a%"), (2, "b")])
            cursor.executemany(sql.SQL("INSERT INTO {{}} VALUES (%(n)s, %(t)s)").format(sql.Identifier("given")), [{{"n": 3, "t": "c"}}])
            assert cursor.query.decode().startswith('INSERT INTO "given" VALUES (3, ')
            psycopg2.extras.execute_values(cursor, "INSERT INTO given VALUES %s", [(4, "d"), (5, "e")])
            psycopg2.extras.execute_batch(cursor, "INSERT INTO given VALUES (%s, %s)", [(6, "f"), (7, "g")])
            cursor.copy_expert("COPY given FROM STDIN", io.StringIO("8\\th\\n"))
            cursor.copy_expert(sql=sql.SQL("COPY given (n) FROM STDIN WITH CSV"), file=io.StringIO("9\\n"), size=100)
            out = io.StringIO()
            cursor.copy_expert("COPY (SELECT t FROM given WHERE n < 3 ORDER BY n) TO STDOUT", out)
            assert out.getvalue() == "a%\\nb\\n", out.getvalue()
            cursor.copy_from(io.StringIO("10\\tj\\n"), "given")
            out = io.StringIO()
            cursor.copy_to(out, "given", columns=["n"])
            assert out.getvalue().split() == [str(n) for n in range(1, 11)], out.getvalue()
            assert cursor.callproc("upper", ["x"]) == ["x"] and cursor.fetchall() == [("X",)]
            assert cursor.mogrify("SELECT %s", (1,)) == b"SELECT 1"
            with connection.cursor("rows") as named, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as dicts:
                named.itersize = 3
                named.execute("SELECT n FROM given ORDER BY n")
                assert [row[0] for row in named] == list(range(1, 11))
                dicts.execute("SELECT count(*) AS dict_rows FROM given")
                assert dicts.fetchone() == {{"dict_rows": 10}}
            connection.commit()
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=self.directory, env={**os.environ, "PYTHONPATH": str(CLIENT), "DSN": self.cluster.urls["primary"]},
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        eventually(lambda: "COMMIT" in self.log().rpartition("dict_rows")[2], what=lambda: self.log()[-2000:])
        statements = [each for each in re.split(r"\n(?=\S)", self.log()) if re.search(r"given|upper\(|rows\b|dict_rows", each)]
        trace = f"/*traceparent='{TRACE.format(7)}'*/"

        def tied(words):
            found = [each for each in statements if words in each]
            self.assertTrue(found, words)
            return {trace in each for each in found}

        for words in ("TEMPORARY TABLE given", "-- many", 'INTO "given"', "(4,'d')", "(7, 'g')", "COPY given FROM STDIN", "COPY given (n) FROM STDIN", "SELECT t FROM given", 'DECLARE "rows"', "dict_rows"):
            self.assertEqual(tied(words), {True}, words)
        for words in ("upper(", 'COPY "given"'):  # its own words: they count for every page
            self.assertEqual(tied(words), {False}, words)

    def test_asyncpg_ties_transactions_and_keeps_its_prepared_statements(self):
        code = f"""
            import asyncio, os
            import asyncpg, headroom_trace

            async def request(number):
                headroom_trace.current.set({TRACE!r}.format(number))
                connection = await asyncpg.connect(os.environ["URL"])
                async with connection.transaction():
                    for turn in range(3):
                        assert await connection.fetchval("SELECT $1::int AS asyncpg_number", number) == number
                assert connection._stmt_cache._entries and len(connection._stmt_cache._entries) == 1
                await connection.close()

            async def main():
                await asyncio.gather(*(request(number) for number in range(1, 11)))

            asyncio.run(main())
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=self.directory, env={**os.environ, "PYTHONPATH": str(CLIENT), "URL": self.cluster.urls["primary"]},
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        for number in range(1, 11):
            eventually(lambda: re.search(r"BEGIN[^\n]*\n[^\n]*" + re.escape(f"/*traceparent='{TRACE.format(number)}'*/"), self.log()), what=lambda: self.log()[-2000:])


if __name__ == "__main__":
    unittest.main()
