"""The rows behind the answers, and the answers that every contender must give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from psycopg.rows import namedtuple_row

from benchmarks import harness
from benchmarks.database import Target
from benchmarks.http import answers
from benchmarks.http.peers import PEERS, specification

if TYPE_CHECKING:  # it imports what older revisions of the package do not have
    from benchmarks.http.servers import Server

NAPS = """
CREATE VIEW bench_nap_20 AS SELECT id, pg_sleep(0.02)::text AS nap FROM bench_book;
CREATE VIEW bench_nap_100 AS SELECT id, pg_sleep(0.1)::text AS nap FROM bench_book;
"""
BOOKS = """SELECT b.*, a.name FROM bench_book b JOIN bench_author a ON a.id = b.author_id
    ORDER BY b.id LIMIT 50"""


class WrongAnswer(Exception):
    """A server doesn't do what it is measured for."""


def fill(target: Target) -> str:
    """Create all tables and rows; returns the cookie of a session that is logged in."""
    target.refill()
    with target.connect() as connection:
        connection.execute(NAPS.encode())
    spec = specification(PEERS["gunicorn-sync"], 1, 1, vars(target))
    key = harness.run_worker("benchmarks.http.prepare", spec, timeout=60)
    return f"sessionid={key}"


def expected(target: Target) -> dict[str, Any]:
    """What each route answers: text with its white space evened out, or JSON."""
    with target.connect() as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        rows = connection.cursor(row_factory=namedtuple_row).execute(BOOKS.encode()).fetchall()
    listed = [answers.listed_as_json(row, row.name) for row in rows[: answers.LISTED]]
    book = answers.book_as_json(rows[answers.KEY - 1])
    return {
        "hello": answers.GREETING,
        "orm": book,
        "list": {"books": listed},
        "template": _page(rows[: answers.IN_TEMPLATE]),
        "session": {"user": answers.USER, "book": book},
        "wait": {"id": answers.KEY},
        "gather": {"ids": list(answers.GATHERED)},
    }


def _page(rows: list[Any]) -> str:
    columns = ("id", "title", "name", "pages")
    cells = ("".join(f"<td>{getattr(row, column)}</td>" for column in columns) for row in rows)
    lines = " ".join(f"<tr>{each}</tr>" for each in cells)
    return f"<!doctype html> <title>Books</title> <table> {lines} </table>"


def check(server: Server, route: str, answer: Any, cookie: str) -> None:
    """Ask once, and compare what comes."""
    status, body = server.get(route, cookie if route == "session" else "")
    compare(route, body, answer, status)


def compare(route: str, body: bytes, answer: Any, status: int = 200) -> None:
    """Raise WrongAnswer for another status, or anything but the expected body."""
    text = body.decode(errors="replace")
    if status != 200 or _read(text, answer) != answer:
        raise WrongAnswer(
            f"{route} answered {status} {text[:200]!r} instead of {str(answer)[:200]!r}"
        )


def _read(text: str, like: Any) -> Any:
    """A body as the expected answer is: text, or what its JSON says."""
    even = " ".join(text.split())
    if isinstance(like, str):
        return even
    try:
        return json.loads(even)
    except ValueError:
        return even
