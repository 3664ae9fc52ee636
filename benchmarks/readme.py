"""Writes README's figures, and its chart, from the committed results of the HTTP benchmark.

`python -m benchmarks.readme` after each `make bench-http` whose results are committed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, markdown
from benchmarks.http.figures import Figures
from benchmarks.http.goals import FASTAPI, LOOM, STOCK, WSGI
from benchmarks.http.peers import ROUTES as LOADS
from benchmarks.http.report import GENERATOR_BUSY, SATURATED
from benchmarks.readme_chart import svg

ROOT = Path(__file__).parents[1]
README, CHART = ROOT / "README.md", ROOT / "docs" / "images" / "benchmark.svg"
BEGIN, END = "<!-- figures: python -m benchmarks.readme -->", "<!-- end of figures -->"
NAMES = {
    LOOM: "**django-loom**, async views",
    "loom-python-gc": "**django-loom**, async views, Python's own collector thresholds",
    "loom-sync-views": "**django-loom**, sync views on the loop",
    "loom-threads": "**django-loom**, sync views in threads",
    "stock": "stock ASGI, async views",
    "stock-sync-views": "stock ASGI, sync views",
    "gunicorn-sync": "gunicorn, sync worker",
    "gunicorn-threads": "gunicorn, threads in the best number",
    "gunicorn-threads-gc": "the same, the collector set as ours",
    "django-async-backend": "django-async-backend",
    "fastapi": "FastAPI, SQLAlchemy on asyncpg",
    "aiohttp": "aiohttp, SQL by hand on asyncpg",
}
ROUTES = {
    "hello": "hello",
    "orm": "one ORM read",
    "list": "20 rows, joined",
    "template": "50 lazy relations in a template",
    "session": "session, user, ORM read",
    "wait": "100 ms query, 1,000 clients, pool of 100",
    "gather": "ten 20 ms queries gathered",
}
RIVALS = {
    "stock ASGI, async views": ("stock",),
    "stock ASGI, the better of its two": STOCK,
    "the best WSGI set-up": WSGI,
    "FastAPI": (FASTAPI,),
}
MARKS = {
    "\\*": "Some requests failed, which are not counted.",
    "†": "The load generator used over half of its core, and may be the limit.",
    "‡": "The server's core was not full.",
}


def results() -> dict[str, Any]:
    """What the last committed run measured."""
    found: dict[str, Any] = json.loads((RESULTS / "http.json").read_text())
    return found


def rates(result: dict[str, Any]) -> str:
    """Requests per second of everybody, and the memory of a request that waits."""
    figures = Figures(result["medians"])
    memory = {row["peer"]: row["waiting_kib"] for row in result["memory"]}
    rows = [
        [
            NAMES.get(peer, peer),
            *(rate(figures, route, peer) for route in figures.routes()),
            f"{memory[peer]:.0f}" if memory.get(peer) else "",
        ]
        for peer in figures.peers()
    ]
    heads = [ROUTES.get(route, route) for route in figures.routes()]
    return markdown(["requests per second", *heads, "KiB per waiting request"], rows)


def rate(figures: Figures, route: str, peer: str) -> str:
    row = figures.row(route, peer)
    if row is None:
        return ""
    mark = "\\*" if row["failures"] else ""
    if row["generator_busy"] > GENERATOR_BUSY:
        mark += "†"
    elif row["server_busy"] < SATURATED and not LOADS[route].is_waiting:
        mark += "‡"
    return f"{row['per_second']:,.0f}{mark}"


def ratios(result: dict[str, Any]) -> str:
    """How many times the requests of others django-loom answers with async views."""
    figures = Figures(result["medians"])
    rows = []
    for name, rivals in RIVALS.items():
        cells = []
        for route in figures.routes():
            best = figures.best(route, rivals)
            found = figures.ratio(route, LOOM, best) if best else None
            cells.append(f"{found:.2f}" if found else "")
        rows.append([name, *cells])
    heads = [ROUTES.get(route, route) for route in figures.routes()]
    return markdown(["django-loom, times", *heads], rows)


def conditions(result: dict[str, Any]) -> str:
    """Machine and versions, in a line."""
    facts, versions, options = result["machine"], result["versions"], result["options"]
    named = ", ".join(
        f"{name} {versions[key]}"
        for key, name in (("python", "Python"), ("django", "Django"), ("postgresql", "PostgreSQL"))
    )
    return (
        f"One server process on one core, 32 clients with keep-alive unless said, the default"
        f" middleware; medians of {options['repeats']} repeats, of each the fastest of"
        f" {options['turns']} windows taken in turn (in the columns with slow queries: its one"
        f" window); {facts['date']}, on"
        f" {facts['cores']} shared cores ({facts['cpu']}), PostgreSQL and the load on the other;"
        f" {named}."
    )


def marks(tables: str) -> str:
    """What the marks in a table mean, if there are any."""
    return " ".join(f"{mark} {text}" for mark, text in MARKS.items() if mark in tables)


def figures_text(result: dict[str, Any]) -> str:
    """What stands between README's two markers."""
    table = rates(result)
    parts = [
        "![Requests per second of django-loom and its peers](docs/images/benchmark.svg)",
        conditions(result),
        table,
        marks(table.replace("**", "")),
        "So django-loom answers, in requests per second, so many times what others do (below 1:"
        " it is slower):",
        ratios(result),
    ]
    return "\n\n".join(part for part in parts if part)


def with_figures(readme: str, result: dict[str, Any]) -> str:
    """README with the figures of these results.

    Raises ValueError if the markers are not there, once each and in order.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(readme)) != 1:
        raise ValueError(f"expected {BEGIN!r} and then {END!r} in README.md, once each")
    return pattern.sub(lambda _: f"{BEGIN}\n\n{figures_text(result)}\n\n{END}", readme)


def main() -> None:
    result = results()
    README.write_text(with_figures(README.read_text(), result))
    CHART.write_text(svg(Figures(result["medians"])))


if __name__ == "__main__":
    main()
