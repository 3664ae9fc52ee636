"""Runs DRF's own test cases with our handler below its test client, and prints the outcome.

`python rest_framework_cases.py <SYNC_VIEWS> <module>...` in the unpacked source distribution
of DRF. A program of its own, since both packages of tests have the name `tests`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

sys.path.insert(0, os.getcwd())

from django.conf import settings

APPS = ["authentication", "generic_relations", "importable"]
settings.configure(
    DEBUG_PROPAGATE_EXCEPTIONS=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={
        alias: {"ENGINE": "django_loom.db.sqlite3", "NAME": ":memory:"}
        for alias in ("default", "secondary")
    },
    SITE_ID=1,
    SECRET_KEY="for the tests only",
    STATIC_URL="/static/",
    ROOT_URLCONF="tests.urls",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    INSTALLED_APPS=[
        "django_loom",
        *(
            f"django.contrib.{app}"
            for app in ("admin", "auth", "contenttypes", "sessions", "sites", "staticfiles")
        ),
        "rest_framework",
        "rest_framework.authtoken",
        *(f"tests.{app}" for app in APPS),
        "tests",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    LOOM={"SYNC_VIEWS": sys.argv[1]},
)

import django  # noqa: E402

django.setup()

from django.core import signals  # noqa: E402
from django.db import close_old_connections  # noqa: E402
from django.test.client import ClientHandler, conditional_content_removal  # noqa: E402
from django.test.runner import DiscoverRunner  # noqa: E402
from rest_framework.test import force_authenticate  # noqa: E402

from django_loom.asgi import get_asgi_application  # noqa: E402
from django_loom.bridge import run_sync  # noqa: E402
from django_loom.http.body import RequestBody  # noqa: E402

requests = 0


def call(client: Any, environ: dict[str, Any]) -> Any:
    """What DRF's test client calls in place of its own handler."""
    global requests
    requests += 1
    application = get_asgi_application()
    respond = application.get_response

    def respond_to_client(request: Any) -> Any:
        request._dont_enforce_csrf_checks = not client.enforce_csrf_checks
        if hasattr(client, "_force_user"):
            force_authenticate(request, client._force_user, client._force_token)
        return respond(request)

    application.get_response = respond_to_client

    async def main() -> Any:
        content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        messages = [{"type": "http.request", "body": content}]

        async def receive() -> dict[str, Any]:
            if not messages:
                await asyncio.Event().wait()
            return messages.pop()

        body = RequestBody(receive, application.settings, lambda: None)
        try:
            request, response, _ = await run_sync(application.answer, scope_of(environ), body)
        finally:
            body.close()
        response.wsgi_request = request
        conditional_content_removal(request, response)
        return response

    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_old_connections)
    try:
        response = asyncio.run(main())
        if not response.streaming:
            response.close()
        return response
    finally:
        signals.request_started.connect(close_old_connections)
        signals.request_finished.connect(close_old_connections)


def scope_of(environ: dict[str, Any]) -> dict[str, Any]:
    names = {key.removeprefix("HTTP_"): key for key in environ if key.startswith("HTTP_")}
    names |= {key: key for key in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(key)}
    headers = {name: str(environ[key]) for name, key in names.items()}
    headers.setdefault("HOST", environ["SERVER_NAME"])
    return {
        "type": "http",
        "http_version": "1.1",
        "method": environ["REQUEST_METHOD"],
        "scheme": environ["wsgi.url_scheme"],
        "path": environ["PATH_INFO"].encode("latin1").decode(),
        "query_string": environ["QUERY_STRING"].encode(),
        "headers": [
            (name.replace("_", "-").lower().encode(), value.encode("latin1"))
            for name, value in headers.items()
        ],
        "client": (environ["REMOTE_ADDR"], 1),
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
    }


def main(modules: list[str]) -> dict[str, Any]:
    ClientHandler.__call__ = call
    runner = DiscoverRunner(verbosity=0, interactive=False)
    suite = runner.build_suite(modules)
    runner.setup_test_environment()
    databases = runner.setup_databases(aliases=runner.get_databases(suite))
    result = runner.run_suite(suite)
    runner.teardown_databases(databases)
    faults = [(str(case), text) for case, text in [*result.failures, *result.errors]]
    return {"run": result.testsRun, "faults": faults, "requests": requests}


if __name__ == "__main__":
    output, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115 - until the end
    print(json.dumps(main(sys.argv[2:])), file=output)
