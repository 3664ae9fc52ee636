"""What a load gave, and how the results of several processes become one."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace

from django_loom.lab.load.latencies import Latency, merged, summary_of

NEAR_CEILING = 0.5  # of what the generator itself can do
LATE_MS = 5.0


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The figures of the requests that were sent while it was measured.

    `requests` is the number of 2xx answers, and only these are in `requests_per_second` and in the
    latencies (milliseconds; None without any). `statuses` counts every answer by its status,
    `errors` the requests without an answer: refused, connect, timeout, closed, reset, malformed,
    and unsent (due in an open model, but no client was free until the end).
    `bytes` is what the answers took, `body_bytes` their bodies; `document_bytes` is the body of
    the first one, and `server` what its header of that name says.
    `histogram` is an encoded HdrHistogram in microseconds.
    `cpu_seconds` and `loop_lag_ms` (the 99th percentile) are the generator's own; `ceiling_share`
    is how much of what it can do was used, None where that is not known.
    """

    requests: int
    seconds: float
    requests_per_second: float
    latency: Latency | None
    statuses: dict[int, int]
    errors: dict[str, int]
    bytes: int
    histogram: str
    cpu_seconds: float
    loop_lag_ms: float
    loop: str
    core: int | None = None
    ceiling_share: float | None = None
    body_bytes: int = 0
    document_bytes: int = 0
    server: str = ""

    @property
    def near_ceiling(self) -> bool:
        """Whether the generator used over half of what it can do, and may be the limit."""
        return self.ceiling_share is not None and self.ceiling_share > NEAR_CEILING

    @property
    def late(self) -> bool:
        """Whether the generator's own loop was late, so that latencies are too high."""
        return self.loop_lag_ms > LATE_MS

    @property
    def failures(self) -> int:
        """How many requests got no answer, or one that is not 2xx."""
        return sum(self.errors.values()) + sum(self.statuses.values()) - self.requests

    def to_json(self) -> str:
        """One line that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LoadResult:
        """The result that `to_json` wrote."""
        fields = json.loads(text)
        fields["latency"] = Latency(**fields["latency"]) if fields["latency"] else None
        fields["statuses"] = {int(status): n for status, n in fields["statuses"].items()}
        return cls(**fields)


def joined(results: list[LoadResult]) -> LoadResult:
    """The result of processes that ran at the same time."""
    if len(results) == 1:
        return results[0]
    histogram = merged(each.histogram for each in results)
    statuses: Counter[int] = Counter()
    errors: Counter[str] = Counter()
    for each in results:
        statuses.update(each.statuses)
        errors.update(each.errors)
    return replace(
        results[0],
        requests=sum(each.requests for each in results),
        seconds=max(each.seconds for each in results),
        requests_per_second=sum(each.requests_per_second for each in results),
        latency=summary_of(histogram),
        statuses=dict(statuses),
        errors=dict(errors),
        bytes=sum(each.bytes for each in results),
        body_bytes=sum(each.body_bytes for each in results),
        histogram=histogram,
        cpu_seconds=sum(each.cpu_seconds for each in results),
        loop_lag_ms=max(each.loop_lag_ms for each in results),
    )
