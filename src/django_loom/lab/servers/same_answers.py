"""Do all servers answer a page alike? What answers an error is not worth a measurement."""

from __future__ import annotations

from collections import Counter

from django_loom.lab.exceptions import ServerError
from django_loom.lab.servers.server import Answer, Server

TIMES = 3
SUCCESS = range(200, 300)
HINTS = (
    (range(300, 400), "a page for those who are logged in wants --cookie 'sessionid=…'"),
    (range(400, 401), "ALLOWED_HOSTS may want another host: --header 'Host: www.example.org'"),
    (range(401, 404), "a page for those who are logged in wants --cookie 'sessionid=…'"),
    (range(404, 405), "--path is what comes after the host, with the slashes that it has there"),
    (range(500, 600), "with DEBUG off Django prints a traceback only if LOGGING says so"),
)


def check_alike(servers: dict[str, Server]) -> list[str]:
    """Ask each server for its page a few times; return what to note of the answers.

    Raises `ServerError` with the count of each status if one does not answer with 2xx.
    """
    answers = {name: asked(server) for name, server in servers.items()}
    for name, each in answers.items():
        if any(answer.status not in SUCCESS for answer in each):
            raise ServerError(refusal(servers, answers, name))
    return unlike(servers, answers)


def asked(server: Server) -> list[Answer]:
    answers = [answer for _ in range(TIMES) if (answer := server.ask())]
    if len(answers) < TIMES:
        raise ServerError(
            f"{server.kind.label} did not answer {server.kind.page}; its last lines:\n"
            f"{server.process.last_lines()}"
        )
    return answers


def refusal(servers: dict[str, Server], answers: dict[str, list[Answer]], name: str) -> str:
    """Why there is nothing to measure: the statuses of all, and what may help with this one."""
    wrong = next(answer for answer in answers[name] if answer.status not in SUCCESS)
    hint = next((hint for statuses, hint in HINTS if wrong.status in statuses), "")
    target = f" (to {wrong.location})" if wrong.location else ""
    counts = "; ".join(
        f"{servers[each].kind.label}: {statuses(found)}" for each, found in answers.items()
    )
    return (
        f"{servers[name].kind.page} answers {wrong.status}{target}, and only 2xx is measured."
        f" Statuses: {counts}. Hint: {hint}\nThe last lines of {servers[name].kind.label}:\n"
        f"{servers[name].process.last_lines()}"
    )


def statuses(answers: list[Answer]) -> str:
    counts = Counter(answer.status for answer in answers)
    return ", ".join(f"{times} of {status}" for status, times in sorted(counts.items()))


def unlike(servers: dict[str, Server], answers: dict[str, list[Answer]]) -> list[str]:
    """What to note: a page that is not the same under each server."""
    found = {
        servers[name].kind.label: {(answer.status, answer.length) for answer in each}
        for name, each in answers.items()
    }
    if any(len(each) > 1 for each in found.values()):
        return ["The page's length varies by itself, so it was not compared between the servers."]
    if len({each for kinds in found.values() for each in kinds}) < 2:
        return []
    said = "; ".join(
        f"{label}: {status}, {length:,} bytes"
        for label, each in found.items()
        for status, length in each
    )
    return [f"The servers do not answer alike: {said}."]
