"""What the parent tells a child process, through one environment variable."""

import json
import os
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from .events import ChunkLog

VARIABLE = "LOOM_SUITE_CHILD"


@dataclass
class ChildConfig:
    """One child's orders. ``only`` names tests or classes; empty means all of the labels."""

    mode: str
    events: Path
    databases: dict[str, dict[str, Any]]
    only: list[str] = field(default_factory=list)

    def to_environment(self) -> dict[str, str]:
        return {VARIABLE: json.dumps(asdict(self), default=str)}

    @classmethod
    def from_environment(cls) -> "ChildConfig":
        values = json.loads(os.environ[VARIABLE])
        values["events"] = Path(values["events"])
        return cls(**values)

    def wants(self, test: str) -> bool:
        """Whether a test was asked for and has no outcome from an earlier attempt."""
        if test in self._done:
            return False
        return not self._only or test in self._only or test.rpartition(".")[0] in self._only

    @cached_property
    def _done(self) -> set[str]:
        return set(ChunkLog.read(self.events).records)

    @cached_property
    def _only(self) -> set[str]:
        return set(self.only)
