"""The tables of the HTTP benchmark. Losing rows stay in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.harness import conditions, markdown
from benchmarks.http.figures import Figures, Sample
from benchmarks.http.peers import LOOM, PEERS, ROUTES
from benchmarks.http.room import room_table

SATURATED = 0.9  # of its core, below which something else than the server may be the limit
QUIET = 0.5  # load average, above which somebody else is at work
GENERATOR_BUSY = 0.5  # of its core, above which the generator may be the limit


def text(result: dict[str, Any]) -> str:
    """All tables, as Markdown."""
    figures = Figures(result["medians"])
    ran = [*figures.peers(), *(row["peer"] for row in result["memory"])]
    parts = [
        conditions(result),
        "\n".join(f"- {name}: {route.about}" for name, route in ROUTES.items()),
        "\n".join(f"- {name}: {PEERS[name].about}" for name in PEERS if name in ran),
    ]
    if result["medians"]:
        parts += _rate_tables(figures)
    if result["memory"]:
        parts += ["Memory, clients that sleep for 10 s:", memory_table(result["memory"])]
    if result.get("alone"):
        parts += [
            "Plain Django called in one process, one request after the other, without a server "
            "(WSGI, the collector set as ours); what a bar allows a core to take, and leaves for "
            "server, event loop and handler:",
            room_table(figures, result["alone"]),
        ]
    if result["goals"]:
        parts += ["What was to be reached:", goal_table(result["goals"])]
    return "\n\n".join([*parts, *notes(result, figures)])


def _rate_tables(figures: Figures) -> list[str]:
    return [
        "Requests per second:",
        matrix(figures, _rate),
        "The lowest and the highest of all windows:",
        matrix(figures, lambda row: f"{row['min']:,.0f}-{row['max']:,.0f}"),
        f"{LOOM} against each (below 1: we lose):",
        matrix(figures, _times_of(figures)),
        "Latency in ms, p50 / p99:",
        matrix(figures, _latency),
        "The server's CPU µs per request:",
        matrix(figures, lambda row: _number(row["cpu_us"])),
    ]


def matrix(figures: Figures, show: Callable[[Sample], str]) -> str:
    """Peers by routes; a dash where a peer has no such route."""
    routes = figures.routes()
    rows = [
        [peer, *(show(row) if (row := figures.row(route, peer)) else "-" for route in routes)]
        for peer in figures.peers()
    ]
    return markdown(["", *routes], rows)


def _rate(row: Sample) -> str:
    marks = "*" if row["failures"] else ""
    if row["generator_busy"] > GENERATOR_BUSY:
        marks += "†"
    elif row["server_busy"] < SATURATED and not ROUTES[row["route"]].is_waiting:
        marks += "‡"
    return f"{row['per_second']:,.0f}{marks}"


def _times_of(figures: Figures) -> Callable[[Sample], str]:
    def show(row: Sample) -> str:
        ratio = figures.ratio(row["route"], LOOM, row["peer"])
        return "-" if ratio is None else f"{ratio:.2f}"

    return show


def _latency(row: Sample) -> str:
    return f"{_number(row['p50_ms'])} / {_number(row['p99_ms'])}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def memory_table(memory: Sequence[Sample]) -> str:
    header = [
        "",
        "MiB at start",
        "KiB per idle connection",
        "KiB per waiting request",
        "of the repeats",
        "waited at once",
    ]
    order = sorted(memory, key=lambda row: list(PEERS).index(row["peer"]))
    rows = [
        [
            row["peer"],
            _number(row["before_mib"]),
            _number(row["idle_kib"]),
            _number(row["waiting_kib"]),
            f"{_number(row['waiting_kib_min'])}-{_number(row['waiting_kib_max'])}",
            f"{row['count']:,}",
        ]
        for row in order
    ]
    return markdown(header, rows)


def goal_table(goals: Sequence[dict[str, Any]]) -> str:
    rows = [
        (
            g["text"],
            g["kind"],
            g["required"],
            f"{g['measured']:g}",
            "yes" if g["met"] else "**no**",
            "" if g["by_mean"] is None else f"{g['by_mean']:g}",
        )
        for g in goals
    ]
    return markdown(["", "", "required", "measured", "met", "by the means of all windows"], rows)


def notes(result: dict[str, Any], figures: Figures) -> list[str]:
    """Why cells are empty or marked, and how many threads were best."""
    rows, load = result["medians"], result["machine"]["load_at_start"]
    found = [f"The machine was busy: load {load:g} at the start."] if load > QUIET else []
    found += [
        f"Empty: {name}, {route}: {why}."
        for name, peer in PEERS.items()
        if name in figures.peers()
        for route, why in peer.missing.items()
    ]
    found += [f"Not run: {what}: {why}" for what, why in result["failures"].items()]
    found += [
        f"\\* {row['peer']}, {row['route']}: {row['failures']} requests failed, which don't count."
        for row in rows
        if row["failures"]
    ]
    if any("†" in _rate(row) for row in rows):
        found.append("† The load generator used over half of its core, and may be the limit.")
    if any("‡" in _rate(row) for row in rows):
        found.append(
            "‡ The server's core was not full: it waited for PostgreSQL or the load on the other."
        )
    found += [
        f"Threads of {peer}: " + ", ".join(f"{route} {n}" for route, n in best.items()) + "."
        for peer, best in result["threads"].items()
    ]
    return found
