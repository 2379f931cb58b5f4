"""Passes a request's traceparent on to the database, without an edit of the app.

Put this folder on PYTHONPATH: `PYTHONPATH=clients/python uvicorn app.main:app`; sitecustomize.py then calls install(). Or call it first thing yourself.

Web frameworks: Starlette and FastAPI (ASGI), Flask and Django (WSGI). Drivers: psycopg2 (a comment behind each statement, but for those which it writes by itself:
callproc, copy_from, copy_to and what commits; they count for every page of that moment), asyncpg (a comment behind the BEGIN of a transaction: behind each
statement it would defeat prepared statements). Headroom's SQL proxy cuts the comment off; any other server ignores it.
"""

import contextvars
import functools
import importlib.abc
import importlib.machinery
import re
import sys

current = contextvars.ContextVar("headroom_traceparent", default=None)
_VALID = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


def comment():
    """What goes behind a statement of this request; "" outside of one. It begins with a line feed, since the text may end in --."""
    value = current.get()
    return f"\n/*traceparent='{value}'*/" if value else ""


def _valid(value):
    return value if value and _VALID.match(value) else None


def _asgi(application_class):
    call = application_class.__call__

    @functools.wraps(call)
    async def traced(self, scope, receive, send):
        if scope["type"] != "http":
            return await call(self, scope, receive, send)
        value = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
        token = current.set(_valid(value))
        try:
            return await call(self, scope, receive, send)
        finally:
            current.reset(token)

    application_class.__call__ = traced


def _wsgi(application_class):
    call = application_class.__call__

    @functools.wraps(call)
    def traced(self, environ, start_response):
        current.set(_valid(environ.get("HTTP_TRACEPARENT")))  # until the thread's next request: answers may stream
        return call(self, environ, start_response)

    application_class.__call__ = traced


def _psycopg2(module):
    from psycopg2 import extensions, sql

    connect = module.connect
    classes = {}

    def commented(cursor, query):
        tail = comment()
        if not tail:
            return query
        if isinstance(query, bytes):
            return query + tail.encode()
        if isinstance(query, sql.Composable):
            query = query.as_string(cursor)
        return query + tail

    def traced_cursor(base):
        if base not in classes:
            class Traced(base):
                def execute(self, query, vars=None):
                    return super().execute(commented(self, query), vars)

                def executemany(self, query, vars_list):
                    return super().executemany(commented(self, query), vars_list)

                def copy_expert(self, sql, file, *more, **named):
                    return super().copy_expert(commented(self, sql), file, *more, **named)

            Traced.__name__ = base.__name__
            classes[base] = Traced
        return classes[base]

    def traced_connection(base):
        if base not in classes:
            class Traced(base):
                def cursor(self, *arguments, **named):
                    if len(arguments) < 2:
                        named["cursor_factory"] = traced_cursor(named.get("cursor_factory") or self.cursor_factory or extensions.cursor)
                    return super().cursor(*arguments, **named)

            Traced.__name__ = base.__name__
            classes[base] = Traced
        return classes[base]

    @functools.wraps(connect)
    def traced(dsn=None, connection_factory=None, cursor_factory=None, **named):
        return connect(dsn, traced_connection(connection_factory or extensions.connection), cursor_factory, **named)

    module.connect = traced


def _asyncpg(module):
    execute = module.Connection.execute

    @functools.wraps(execute)
    async def traced(self, query, *arguments, **named):
        if not arguments and query.lstrip()[:5].upper() == "BEGIN":
            query += comment()
        return await execute(self, query, *arguments, **named)

    module.Connection.execute = traced


_PATCHES = {
    "starlette.applications": lambda module: _asgi(module.Starlette),
    "flask.app": lambda module: _wsgi(module.Flask),
    "django.core.handlers.wsgi": lambda module: _wsgi(module.WSGIHandler),
    "psycopg2": _psycopg2,
    "asyncpg.connection": _asyncpg,
}


class _Finder(importlib.abc.MetaPathFinder):
    """Lets the other finders find, and patches what they have loaded."""

    def find_spec(self, name, path, target=None):
        patch = _PATCHES.get(name)
        if patch is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            patch(module)

        spec.loader.exec_module = exec_module
        return spec


def install():
    """Once; what is imported already is patched at once."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
    for name, patch in _PATCHES.items():
        if name in sys.modules:
            patch(sys.modules[name])
