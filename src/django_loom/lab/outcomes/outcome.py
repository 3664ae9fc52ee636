"""What an experiment measured, as results.json keeps it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from django_loom.lab.exceptions import UsageError
from django_loom.lab.load.results import LoadResult

FORMAT = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """One load of one point."""

    server: str
    x: float
    clients: int
    wait: float
    result: LoadResult
    at_once: float | None = None


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """The requests per second (2xx answers) that another generator found at one point.

    They are None if it found none; `remark` is why, or what to know of the figure.
    """

    tool: str
    server: str
    x: float
    requests_per_second: float | None
    remark: str = ""


@dataclass(slots=True)
class Outcome:
    """Every sample of an experiment, and the conditions they were taken under.

    `subject` is which of several things of the same kind was measured, such as a path; `notes` is
    what the reader must know of it.
    """

    experiment: str
    started: str
    labels: dict[str, str]
    conditions: dict[str, Any]
    samples: list[Sample] = field(default_factory=list)
    complete: bool = False
    subject: str = ""
    notes: list[str] = field(default_factory=list)
    cross_checks: list[CrossCheck] = field(default_factory=list)

    def to_json(self) -> str:
        """What `from_json` reads."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """The outcome that `to_json` wrote; `UsageError` if it did not write this."""
        try:
            fields = json.loads(text)
            version = fields.pop("format")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise UsageError("expected a results.json of the lab, not this file") from error
        if version != FORMAT:
            raise UsageError(f"results of format {version}; this version reads format {FORMAT}")
        samples = [
            Sample(**{**each, "result": LoadResult.from_json(json.dumps(each["result"]))})
            for each in fields.pop("samples")
        ]
        cross_checks = [CrossCheck(**each) for each in fields.pop("cross_checks")]
        return cls(**fields, samples=samples, cross_checks=cross_checks)

    def to_csv(self) -> str:
        """A line for each sample."""
        output = io.StringIO()
        writer = csv.writer(output, lineterminator="\n")
        tools = list(dict.fromkeys(each.tool for each in self.cross_checks))
        checks = [f"{tool}_requests_per_second" for tool in tools]
        writer.writerow([*POINT_COLUMNS, *RESULT_COLUMNS, *LATENCY_COLUMNS, "failures", *checks])
        for sample in self.samples:
            result = sample.result
            writer.writerow(
                [
                    *(getattr(sample, name) for name in POINT_COLUMNS),
                    *(getattr(result, name) for name in RESULT_COLUMNS),
                    *(getattr(result.latency, name[:-3], "") for name in LATENCY_COLUMNS),
                    result.failures,
                    *(self.checked_rate(tool, sample.server, sample.x) for tool in tools),
                ]
            )
        return output.getvalue()

    def checked_rate(self, tool: str, server: str, x: float) -> float | None:
        """The median of the requests per second that another generator found at a point."""
        rates = [
            each.requests_per_second
            for each in self.cross_checks
            if (each.tool, each.server, each.x) == (tool, server, x)
            and each.requests_per_second is not None
        ]
        return median(rates) if rates else None


POINT_COLUMNS = ["server", "x", "clients", "wait"]
RESULT_COLUMNS = [
    "requests",
    "seconds",
    "requests_per_second",
    "bytes",
    "cpu_seconds",
    "loop_lag_ms",
    "ceiling_share",
]
LATENCY_COLUMNS = ["p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms", "mean_ms"]
