"""Have other load generators repeat the points of a run: their figures stand beside ours."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from statistics import median
from urllib.parse import urlsplit

from django_loom.lab.generators.other_generators import SECONDS, Tool
from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.outcomes.outcome import CrossCheck, Sample
from django_loom.lab.processes.programs import ProgramError, run_program

PATIENCE_SECONDS = 15.0  # over what a tool's load should take
ANSWER_SECONDS = 60.0
NO_KEEP_ALIVE = "no keep-alive"
NO_KEEP_ALIVE_NOTE = (
    "ab speaks HTTP/1.0, for which some servers (uvicorn among them) keep no connection open: where"
    f' it says "{NO_KEEP_ALIVE}", ab opened a connection for each request and ours did not, and'
    " what its figure compares to is a run with --connection close."
)


def cross_checked(
    tools: list[Tool], point: tuple[str, float], plan: LoadPlan, samples: list[Sample]
) -> Iterator[CrossCheck]:
    """What each tool finds at a point, a server and a value, of which these are our samples.

    What goes wrong with a tool is a remark, and no exception.
    """
    of_point = [each.result for each in samples if (each.server, each.x) == point]
    if not of_point:
        return
    requests = round(SECONDS * median(each.requests_per_second for each in of_point))
    longest = 3 * max(SECONDS, *(each.seconds for each in of_point)) + PATIENCE_SECONDS
    keeps_alive = plan.keep_alive and wait_until_idle(plan)
    for tool in tools:
        try:
            found = tool.read(run_program(tool.command(plan, requests), longest, plan.core))
        except ProgramError as error:
            yield CrossCheck(tool.name, *point, None, str(error))
        else:
            remark = NO_KEEP_ALIVE if keeps_alive and found.kept_alive is False else ""
            yield CrossCheck(tool.name, *point, found.requests_per_second, remark)
        # A tool that leaves does not take back what it sent.
        wait_until_idle(plan)


def wait_until_idle(plan: LoadPlan) -> bool:
    """Wait for an answer, behind all that came before; whether the connection may stay open."""
    url = urlsplit(plan.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=ANSWER_SECONDS)
    try:
        target = url.path + (f"?{url.query}" if url.query else "")
        connection.request("GET", target, headers=dict(plan.headers))
        response = connection.getresponse()
        response.read()
        return not response.will_close
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
