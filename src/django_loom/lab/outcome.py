"""What an experiment measured, as results.json keeps it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from .exceptions import UsageError
from .results import LoadResult

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One load of one point."""

    server: str
    x: float
    clients: int
    wait: float
    result: LoadResult


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
        return cls(**fields, samples=samples)

    def to_csv(self) -> str:
        """A line for each sample."""
        output = io.StringIO()
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow([*POINT_COLUMNS, *RESULT_COLUMNS, *LATENCY_COLUMNS, "failures"])
        for sample in self.samples:
            result = sample.result
            writer.writerow(
                [
                    *(getattr(sample, name) for name in POINT_COLUMNS),
                    *(getattr(result, name) for name in RESULT_COLUMNS),
                    *(getattr(result.latency, name[:-3], "") for name in LATENCY_COLUMNS),
                    result.failures,
                ]
            )
        return output.getvalue()


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
