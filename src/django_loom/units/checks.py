"""System checks of what code keeps by its thread."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning

from . import identities, sweep


def check_thread_locals(**kwargs: Any) -> list[CheckMessage]:
    """Look for locals that are older than ours and still there."""
    found = dict.fromkeys((each.module, each.name) for each in sweep.find())
    return [
        Warning(
            f"{name} in {module} is a threading.local from before django_loom was loaded: "
            "concurrent requests share its values.",
            hint=(
                "Put 'django_loom' first in INSTALLED_APPS, and do not import this module from "
                'the settings. If it does no harm, name it in LOOM["THREAD_LOCALS"].'
            ),
            id="django_loom.W003",
        )
        for module, name in found
    ]


def check_thread_keys(**kwargs: Any) -> list[CheckMessage]:
    """Look for code of the project that may keep something by its thread."""
    return [
        Warning(
            f"{use.module} asks for its thread in line {use.line} ({use.name}): it has the same "
            "thread for concurrent requests, and others for parts of one request.",
            hint=(
                "Where it keeps a value by the thread, use a threading.local, which has the "
                "request's values here, or a context variable."
            ),
            id="django_loom.W004",
        )
        for use in identities.thread_keys()
    ]


def check_locks(**kwargs: Any) -> list[CheckMessage]:
    """Look for locks in the modules of the middleware, which runs on the loop."""
    return [
        Warning(
            f"{use.module} has a lock of threads in line {use.line} ({use.name}). Requests on the "
            "loop have one thread: an RLock does not keep them apart, and another lock that "
            "one of them holds across a wait blocks them all.",
            hint=(
                "Hold it across no query and no get_response(). For what has to wait use a lock "
                "of the database, as select_for_update() takes, or an async middleware with an "
                "asyncio.Lock."
            ),
            id="django_loom.W005",
        )
        for use in identities.locks_of_middleware()
    ]
