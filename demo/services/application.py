"""The aiohttp application that each of the two services is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .behaviour import Behaviour, from_json

Contents = Mapping[str, list[dict[str, str]]]

CONTENTS: web.AppKey[Contents] = web.AppKey("contents")
STATE: web.AppKey[dict[str, Behaviour]] = web.AppKey("state")


def application(contents: Contents) -> web.Application:
    """Return a service that knows these contents."""
    service = web.Application()
    service[CONTENTS] = contents
    service[STATE] = {"behaviour": Behaviour()}
    service.router.add_get("/behaviour", _get_behaviour)
    service.router.add_put("/behaviour", _put_behaviour)
    service.router.add_get("/parts/{part}", _get_part)
    return service


async def _get_behaviour(request: web.Request) -> web.Response:
    return web.json_response(request.app[STATE]["behaviour"].as_json())


async def _put_behaviour(request: web.Request) -> web.Response:
    try:
        behaviour = from_json(await request.json())
    except ValueError as error:  # which a faulty JSON is as well
        raise _problem(web.HTTPBadRequest, str(error)) from error
    request.app[STATE]["behaviour"] = behaviour
    return web.json_response(behaviour.as_json())


async def _get_part(request: web.Request) -> web.Response:
    behaviour = request.app[STATE]["behaviour"]
    await asyncio.sleep(behaviour.delay / 1000)
    if behaviour.fails():
        raise _problem(web.HTTPServiceUnavailable, "this failure was asked for")
    part = request.match_info["part"]
    if part not in request.app[CONTENTS]:
        known = ", ".join(request.app[CONTENTS])
        raise _problem(web.HTTPNotFound, f"there is no part {part!r}; known: {known}")
    return web.json_response({"items": request.app[CONTENTS][part]})


def _problem(kind: Any, message: str) -> web.HTTPException:
    problem: web.HTTPException = kind(
        text=json.dumps({"problem": message}), content_type="application/json"
    )
    return problem
