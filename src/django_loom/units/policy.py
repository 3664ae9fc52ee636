"""Whose locals stay the thread's: code that keeps there what a thread alone may have."""

from __future__ import annotations

import sys

from .conf import thread_locals

_BETWEEN_ASYNC_AND_SYNC = "django_loom asgiref django greenlet gevent eventlet"
_EVENT_LOOPS = """
    uvloop winloop rloop nest_asyncio anyio trio trio_asyncio sniffio outcome curio tornado twisted
    autobahn
"""
_SERVERS = "uvicorn hypercorn daphne granian gunicorn waitress cheroot uwsgi uwsgidecorators"
# A connection, a handle or an error state of a thread.
_DRIVERS = """
    psycopg psycopg_c psycopg_binary psycopg_pool psycopg2 pysqlite3 sqlcipher3 apsw MySQLdb pymysql
    mysql mariadb oracledb cx_Oracle pyodbc zmq grpc
"""
_EXECUTORS = "billiard multiprocess loky joblib"
# A mark against being called again by oneself, or a buffer of one call.
_MARKS = "attr rich sentry_sdk"
# Tests, coverage, debuggers and profilers: they watch threads.
_WATCHERS = """
    pytest _pytest pluggy xdist execnet pytest_timeout pytest_cov pytest_django coverage debugpy
    pydevd pydevd_tracing _pydevd_bundle _pydevd_frame_eval _pydev_bundle IPython ipykernel pudb
    pyinstrument yappi line_profiler memray scalene ddtrace
"""
_LISTED = f"""
    {_BETWEEN_ASYNC_AND_SYNC} {_EVENT_LOOPS} {_SERVERS} {_DRIVERS} {_EXECUTORS}
    {_WATCHERS} {_MARKS}
"""
# A class that is made by a call, or in code of no module, has these for its module.
_OF_NOBODY = {"abc", "builtins", "types"}
_PACKAGES = sys.stdlib_module_names - _OF_NOBODY | {*_LISTED.split()}


def belongs_to_threads(module: object) -> bool:
    """Tell if the locals of a module, given by name, are the thread's in a unit, too."""
    if not isinstance(module, str):
        return False
    if module.partition(".")[0] in _PACKAGES:
        return True
    return any(module == each or module.startswith(f"{each}.") for each in thread_locals())
