"""What every benchmark shares: pinned subprocesses, equal conditions, medians, tables, files."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"

# Fixed, because glibc adapts both thresholds to what a process happens to free first, and that
# alone moves asyncio's cost per read by a quarter or more. Generous, so nobody pays for mmap.
EQUAL_CONDITIONS = {
    "MALLOC_MMAP_THRESHOLD_": str(8 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "PYTHONHASHSEED": "0",
    "PYTHONWARNINGS": "ignore",
}


class WorkerFailed(Exception):
    """A measured subprocess ended without a result."""


def cores() -> tuple[int, int] | None:
    """The core for Python and the core for the database; None where they can't be chosen."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def pin(core: int | None, pid: int = 0) -> None:
    if core is not None:
        os.sched_setaffinity(pid, {core})


def run_worker(module: str, spec: dict[str, Any], timeout: float) -> Any:
    """Run `python -m module` on Python's core, `spec` in and a result out, both as JSON."""
    chosen = cores()
    spec = {**spec, "core": chosen[0] if chosen else None}
    try:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(spec),
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=ROOT,
            env={**os.environ, **EQUAL_CONDITIONS},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WorkerFailed(f"no result within {timeout:.0f} s") from error
    if done.returncode:
        lines = [line.strip(" |+-") for line in done.stderr.splitlines()]
        raise WorkerFailed([f"exit status {done.returncode}", *filter(None, lines)][-1])
    return json.loads(done.stdout)


def read_spec() -> dict[str, Any]:
    """In a worker: take the specification and settle on the core it names."""
    spec: dict[str, Any] = json.load(sys.stdin)
    pin(spec["core"])
    return spec


def loop_factory(name: str) -> Any:
    """None (asyncio's own choice) or uvloop's factory, for `asyncio.Runner`."""
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return None


def rotated(items: Sequence[str], repeat: int) -> list[str]:
    """Another order on each repeat, so that nobody always follows the same neighbour."""
    shift = repeat * 3 % len(items)
    order = [*items[shift:], *items[:shift]]
    return order[::-1] if repeat % 2 else order


def versions(distributions: Iterable[str]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "libc": " ".join(platform.libc_ver()),
        "date": time.strftime("%Y-%m-%d"),
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, padded so that it also reads well in a terminal."""
    lines = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_row(line, widths) for line in [lines[0], rule, *lines[1:]])


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    padded[0] = cells[0].ljust(widths[0])
    return f"| {' | '.join(padded)} |"


def conditions(result: dict[str, Any]) -> str:
    """Machine, versions and method, as every quoted figure needs them beside it."""
    facts = result["machine"]
    named = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    chosen = ", ".join(f"{name} {value}" for name, value in result["options"].items())
    return (
        f"{facts['date']}, {facts['cores']} cores ({facts['cpu']}), {facts['system']}, "
        f"{facts['libc']}; {named}; {chosen}.\n\n{result['method']}"
    )


def save(name: str, payload: dict[str, Any]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    parts = (f"{json.dumps(key)}: {_lines(value)}" for key, value in payload.items())
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")
    return path


def _lines(value: Any) -> str:
    """JSON with a line for each row, so that two runs can be compared."""
    if not isinstance(value, list):
        return json.dumps(value, indent=1, ensure_ascii=False)
    rows = (json.dumps(row, ensure_ascii=False) for row in value)
    return "[\n" + ",\n".join(rows) + "\n]"
