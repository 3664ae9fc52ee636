"""What do the adapters between async and synchronous code cost?"""

from __future__ import annotations

from django_loom.lab.analysis.conclusions import comparison, found, growth
from django_loom.lab.analysis.figures import Figures
from django_loom.lab.experiments.concurrency import UNIT, points
from django_loom.lab.experiments.experiment import Experiment


def conclude(figures: Figures) -> list[str]:
    most = max(figures.values(), default=0)
    return found(
        *(growth(figures, server, UNIT) for server in figures.servers),
        *(
            comparison(figures, "bridge", other, most, UNIT)
            for other in ("sensitive", "not-sensitive")
        ),
    )


EXPERIMENT = Experiment(
    name="adapters",
    question="What does it cost an async view to call synchronous code, ten times for a request?",
    varies="concurrent clients",
    expected=(
        "Each call waits a tenth of the request's wait. sync_to_async() gives every request a"
        " thread of its own and goes there and back for each call: that is clients / wait requests"
        " per second, until switching threads takes the whole processor. If the calls need not be"
        " in one thread, asyncio's own executor has them: so few threads that calls queue for them."
        " The bridge has no thread: the wait of a call is an await."
    ),
    servers=("sensitive", "not-sensitive", "bridge"),
    points=points,
    conclude=conclude,
)
