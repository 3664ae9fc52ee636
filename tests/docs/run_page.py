"""Run in a project's folder: the Python blocks of a page, one after the other.

Standard input has a JSON list of (page, line, text). The blocks share their names, as the lines of
a session do; those with `await` at their top level run on an event loop.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import sys

import django
from django.core.management import call_command


def run(page: str, line: int, text: str, names: dict[str, object], runner: asyncio.Runner) -> None:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile("\n" * (line - 1) + text, page, "exec", flags=flags)
    if code.co_flags & inspect.CO_COROUTINE:
        runner.run(eval(code, names))
    else:
        exec(code, names)


def main() -> None:
    sys.path.insert(0, "")
    django.setup()
    call_command("check", fail_level="WARNING")
    blocks = json.load(sys.stdin)
    with asyncio.Runner() as runner:
        names: dict[str, object] = {"__name__": "page"}
        for page, line, text in blocks:
            run(page, line, text, names, runner)
        if "django_loom" in sys.modules:
            from django_loom.db.lifespan import close_pools

            runner.run(close_pools())


if __name__ == "__main__":
    main()
