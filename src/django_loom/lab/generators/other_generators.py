"""ab and wrk: how to have them make a load of ours, and how to read what they print."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.processes.programs import ProgramError

SECONDS = 2  # of a load of theirs; wrk knows whole ones only
LATE_SECONDS = 60  # of a single answer, before these tools give up


@dataclass(frozen=True, slots=True)
class Found:
    """What a tool printed; `kept_alive` is None if it does not say."""

    requests_per_second: float
    kept_alive: bool | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """Another generator: `command` makes a load of about so many requests, or of `SECONDS`."""

    name: str
    version_option: str
    command: Callable[[LoadPlan, int], list[str]]
    read: Callable[[str], Found]
    note: str

    def version(self) -> str:
        """The version that it gives of itself."""
        command = [self.name, self.version_option]
        said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        found = re.search(r"\d+\.\d[\w.]*", said.stdout + said.stderr)
        return found[0] if found else "unknown"


def ab_command(plan: LoadPlan, requests: int) -> list[str]:
    """So many requests, but one for each client at least; ab waits for the answers of all."""
    keep_alive = ["-k"] if plan.keep_alive else []
    number = ["-n", str(max(requests, plan.clients)), "-c", str(plan.clients)]
    late = ["-s", str(LATE_SECONDS)]
    return ["ab", "-q", "-r", *keep_alive, *number, *late, *headers(plan), plan.url]


def wrk_command(plan: LoadPlan, requests: int) -> list[str]:
    """wrk knows no number of requests: it gets a time."""
    close = [] if plan.keep_alive else ["-H", "Connection: close"]
    size = ["-t", "1", "-c", str(plan.clients), "-d", f"{SECONDS}s"]
    late = ["--timeout", f"{LATE_SECONDS}s"]
    return ["wrk", *size, *late, *headers(plan), *close, plan.url]


def headers(plan: LoadPlan) -> list[str]:
    return [part for name, value in plan.headers for part in ("-H", f"{name}: {value}")]


def read_ab(output: str) -> Found:
    """Requests per second of 2xx answers; `ProgramError` if some got no answer at all."""
    # A page of another length each time is "failed" to ab, and to nobody else.
    check_failures(r"\(Connect: (\d+), Receive: (\d+), Length: \d+, Exceptions: (\d+)\)", output)
    good = number(r"Complete requests:\s+(\d+)", output)
    if re.search("Non-2xx responses:", output):
        good -= number(r"Non-2xx responses:\s+(\d+)", output)
    seconds = number(r"Time taken for tests:\s+([\d.]+)", output)
    kept = re.search(r"Keep-Alive requests:\s+(\d+)", output)
    return Found(good / max(seconds, 0.001), kept_alive=bool(int(kept[1])) if kept else None)


def read_wrk(output: str) -> Found:
    """Requests per second of answers below 400; `ProgramError` if some got no answer at all."""
    check_failures(r"Socket errors: connect (\d+), read (\d+), write (\d+)", output)
    rate = number(r"Requests/sec:\s+([\d.]+)", output)
    if re.search("Non-2xx or 3xx responses:", output):
        requests = number(r"(\d+) requests in", output)
        rate *= 1 - number(r"Non-2xx or 3xx responses:\s+(\d+)", output) / max(requests, 1)
    return Found(rate)


def check_failures(pattern: str, output: str) -> None:
    """Raise `ProgramError` if what the pattern finds has a number above zero."""
    found = re.search(pattern, output)
    if found and any(map(int, found.groups())):
        raise ProgramError(f"some requests failed: {found[0]}")


def number(pattern: str, output: str) -> float:
    """The number that the pattern finds; `ProgramError` if it is not there."""
    if not (found := re.search(pattern, output)):
        raise ProgramError("its output is not that of a version that the lab knows")
    return float(found[1])


AB = Tool(
    "ab",
    "-V",
    ab_command,
    read_ab,
    f"ab sends as many requests as should take {SECONDS} s.",
)
WRK = Tool(
    "wrk",
    "-v",
    wrk_command,
    read_wrk,
    f"wrk sends for {SECONDS} s. What is under way at the end is not in its figure, which is"
    " too low by up to one round of requests.",
)


def on_the_path() -> list[Tool]:
    """Those that can be run."""
    return [each for each in (AB, WRK) if shutil.which(each.name)]


def missing_note(there: list[Tool]) -> list[str]:
    """What to say of those that cannot be run."""
    missing = [each.name for each in (AB, WRK) if each not in there]
    if not there:
        return [f"Nothing was cross-checked: neither {' nor '.join(missing)} is on the path."]
    return [
        f"Cross-checked with {there[0].name} only: {name} is not on the path." for name in missing
    ]
