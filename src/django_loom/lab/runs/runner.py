"""Run an experiment: start its servers, measure its points by turns, stop the servers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from django_loom.lab.exceptions import ServerError
from django_loom.lab.experiments.experiment import Depth, Experiment, Point
from django_loom.lab.generators.cross_checks import cross_checked
from django_loom.lab.generators.other_generators import missing_note, on_the_path
from django_loom.lab.load.measuring import run_load
from django_loom.lab.load.plan import MAX_REQUESTS, LoadPlan
from django_loom.lab.load.process import Generators
from django_loom.lab.outcomes.outcome import Outcome, Sample
from django_loom.lab.processes.loops import loop_factory
from django_loom.lab.processes.pinning import server_and_generator
from django_loom.lab.runs.conditions import conditions
from django_loom.lab.servers.catalogue import Kind, kind
from django_loom.lab.servers.environment import MALLOC
from django_loom.lab.servers.server import Server, running

Progress = Callable[[int, Point, Sample | None], None]
Check = Callable[[dict[str, Server]], list[str]]
SEED = 20240229


def nothing_to_note(servers: dict[str, Server]) -> list[str]:
    return []


def schedule(experiment: Experiment, depth: Depth, servers: tuple[str, ...]) -> list[Point]:
    """Every point as often as it is repeated; each repeat is in a random order of its own."""
    source = random.Random(SEED)
    points = [point for server in servers for point in experiment.points(depth, server)]
    return [point for _ in range(depth.repeats) for point in source.sample(points, k=len(points))]


def steps(experiment: Experiment, depth: Depth, servers: tuple[str, ...]) -> int:
    """How many loads a run makes, those of other generators included."""
    loads = schedule(experiment, depth, servers)
    return len(loads) + (len(set(loads)) if depth.cross_check and on_the_path() else 0)


def run(
    experiment: Experiment, depth: Depth, servers: tuple[str, ...], progress: Progress
) -> Outcome:
    """Measure the points of an experiment on ready-made servers, as `run_kinds` does."""
    return run_kinds(experiment, depth, [kind(name) for name in servers], progress)


def run_kinds(
    experiment: Experiment,
    depth: Depth,
    kinds: list[Kind],
    progress: Progress,
    subject: str = "",
    check: Check = nothing_to_note,
) -> Outcome:
    """Measure the points of an experiment; `progress` hears of each sample as it is taken.

    Then, with `depth.cross_check`, other generators repeat each point: it hears of these without a
    sample.

    `check` gets the servers before they are measured, and returns what to note of them. An
    interrupt ends the run early: what was measured comes back with `complete` false. Raises
    `ServerError` if a server does not come up or gives no good answer, with all servers stopped.
    """
    server_core, generator_core = server_and_generator() if experiment.pinned else (None, None)
    servers = tuple(each.name for each in kinds)
    outcome = Outcome(
        experiment.name,
        datetime.now(UTC).isoformat(timespec="seconds"),
        {each.name: each.label for each in kinds},
        {
            **conditions(),
            "commands": {each.name: " ".join(each.command(3)) for each in kinds},
            "server core": server_core,
            "generator core": generator_core,
            "allocator": MALLOC,
            "event loop of the servers": loop_factory().__module__.partition(".")[0],
            "access log": False,
            "keep-alive": depth.keep_alive,
            "seconds of each wait, unless that varies": depth.wait,
            "seconds of each load": depth.seconds,
            "repeats": depth.repeats,
            "seed": SEED,
        },
        subject=subject,
    )
    try:
        with (
            Generators() as generators,
            experiment.beside() as variables,
            running([with_variables(each, variables) for each in kinds], server_core) as started,
        ):
            outcome.notes += check(started)
            for number, point in enumerate(schedule(experiment, depth, servers)):
                sample = measure(started[point.server], point, depth, generator_core, generators)
                outcome.samples.append(sample)
                progress(number, point, sample)
            if depth.cross_check:
                points = list(dict.fromkeys(schedule(experiment, depth, servers)))
                cross_check(outcome, depth, started, points, generator_core, progress)
        outcome.complete = True
    except KeyboardInterrupt:
        pass  # what was measured is worth keeping
    return outcome


def with_variables(kind: Kind, variables: dict[str, str]) -> Kind:
    return replace(kind, variables=(*kind.variables, *variables.items()))


def measure(
    server: Server, point: Point, depth: Depth, core: int | None, generators: Generators
) -> Sample:
    result = run_load(plan_of(server, point, depth, core), generators)
    if not result.requests:
        ended = (
            ""
            if server.process.exit_code is None
            else f"; it ended with exit code {server.process.exit_code}"
        )
        raise ServerError(
            f"{server.kind.label} gave no good answer to {point.clients} clients:"
            f" statuses {result.statuses}, errors {result.errors}{ended}; its last lines:\n"
            f"{server.process.last_lines()}"
        )
    return Sample(point.server, point.x, point.clients, point.wait, result, point.at_once)


def plan_of(server: Server, point: Point, depth: Depth, core: int | None) -> LoadPlan:
    kind = server.kind
    path = kind.path(point.wait) if point.number is None else kind.numbered_path(point.number)
    return LoadPlan(
        url=server.url + path,
        clients=point.clients,
        headers=kind.headers,
        requests=depth.requests or MAX_REQUESTS,
        seconds=depth.seconds,
        warmup=0,
        keep_alive=depth.keep_alive,
        core=core,
    )


def cross_check(
    outcome: Outcome,
    depth: Depth,
    servers: dict[str, Server],
    points: list[Point],
    core: int | None,
    progress: Progress,
) -> None:
    tools = on_the_path()
    outcome.notes += missing_note(tools)
    outcome.notes += [tool.note for tool in tools]
    if not tools:
        return
    outcome.conditions["cross-checked with"] = {tool.name: tool.version() for tool in tools}
    for number, point in enumerate(points, start=len(outcome.samples)):
        plan = plan_of(servers[point.server], point, depth, core)
        outcome.cross_checks += cross_checked(tools, (point.server, point.x), plan, outcome.samples)
        progress(number, point, None)
