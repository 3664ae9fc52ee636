"""What the terminal shows while an experiment runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from django_loom.lab.analysis.numbers import rounded
from django_loom.lab.experiments.experiment import Point
from django_loom.lab.outcomes.outcome import Sample
from django_loom.lab.runs.runner import Progress as OnSample


@contextmanager
def shown(name: str, loads: int) -> Iterator[OnSample]:
    """A bar with the time that is left, and the figures of the last load beside it."""
    columns = (
        TextColumn("{task.fields[name]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    # Standard output is for the results.
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("starting the servers", total=loads, name=name)

        def on_sample(number: int, point: Point, sample: Sample | None) -> None:
            if sample is None:
                description = f"{point.server} at {point.x:g}: cross-checked"
                progress.update(task, completed=number + 1, description=description)
                return
            latency = sample.result.latency
            figures = f"{rounded(sample.result.requests_per_second)}/s"
            median = f"p50 {rounded(latency.p50)} ms" if latency else ""
            progress.update(
                task,
                completed=number + 1,
                description=f"{point.server} at {point.x:g}: {figures}, {median}",
            )

        yield on_sample
