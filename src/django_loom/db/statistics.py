"""What a pool counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class PoolCounters:
    """What a pool counts as it goes; for the names see ``PoolStatistics``."""

    pinned: int = 0
    timeouts: int = 0
    refused: int = 0
    created: int = 0
    lost: int = 0
    create_time: float = 0.0
    wait_time: float = 0.0
    waits: int = 0
    use_time: float = 0.0
    uses: int = 0


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A pool's figures at one moment; times are in seconds, summed since the start.

    Names follow OpenTelemetry's metrics ``db.client.connection.*``; the counts
    that those metrics do not have (made, lost, refused, pinned) are named alike.
    """

    max: int
    idle_min: int
    idle: int
    used: int
    pinned: int
    pending_requests: int
    timeouts: int
    refused: int
    created: int
    lost: int
    create_time: float
    wait_time: float
    waits: int
    use_time: float
    uses: int

    @property
    def size(self) -> int:
        """Connections that the pool has now, those being opened included."""
        return self.idle + self.used

    def as_metrics(self) -> dict[str, float]:
        """Return the figures as ``db.client.connection.*`` names and values.

        ``count`` has the state as a suffix, where OpenTelemetry has an attribute.
        Source: OpenTelemetry semantic conventions, "Database client metrics".
        """
        prefix = "db.client.connection."
        names = {
            "idle": "count.idle",
            "used": "count.used",
            "pinned": "count.pinned",
            "idle_min": "idle.min",
        }
        return {prefix + names.get(k, k): v for k, v in asdict(self).items()}
