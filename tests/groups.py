"""Which tests have which marker: a table by folder, module, class or function."""

from __future__ import annotations

from collections.abc import Iterable

GROUPS: dict[str, tuple[str, ...]] = {
    "servers": (
        "tests/cli/test_project.py",
        "tests/cli/test_serve.py",
        "tests/cli/test_tls.py",
        "tests/cli/test_unix_socket.py",
        "tests/demo/test_launch.py",
        "tests/demo_homework",
        "tests/docs/test_how_to.py",
        "tests/docs/test_serving.py",
        "tests/http/servers",
        "tests/lab/test_cli.py::test_a_real_experiment_from_start_to_report",
        "tests/lab/test_cli.py::test_a_real_load",
        "tests/lab/test_cli.py::test_an_interrupt_leaves_a_report_and_no_process",
        "tests/lab/test_compare.py",
        "tests/lab/test_more_experiments.py",
        "tests/lab/test_orm.py",
        "tests/lab/test_servers.py",
    ),
    "browser": (
        "tests/browser",
        "tests/lab/test_pages.py",
    ),
    "faults": (
        "tests/db/test_failing_answers.py",
        "tests/db/test_faults.py",
        "tests/db/test_faults_network.py",
        "tests/db/test_fork.py",
        "tests/http/test_disconnects.py",
        "tests/lab/test_processes.py",
    ),
    "suite": ("tests/test_django_suite.py",),
}

# Too much for a run that one waits for, though nothing above: programs in processes of their own,
# each suspension or each line in turn, thousands of calls or rows.
LONG = (
    "tests/bridge/test_memory.py::test_100_000_calls_leave_nothing_behind",
    "tests/db/test_aiterator.py::test_200_000_rows_take_a_flat_amount_of_memory",
    "tests/db/test_cancel_everywhere.py",
    "tests/db/test_cancel_fuzz.py",
    "tests/db/test_waiting_thread_blocks.py",
    "tests/demo/test_site.py",
    "tests/docs/test_getting_started.py",
    "tests/docs/test_python_blocks.py",
    "tests/docs/test_reference.py",
    "tests/http/test_instrumentation.py::"
    "test_opentelemetry_gets_the_spans_of_each_request_in_its_own_trace",
    "tests/http/test_instrumentation.py::"
    "test_sentry_gets_a_transaction_for_each_request_with_its_own_queries",
    "tests/http/test_rest_framework.py",
    "tests/http/test_stream_database.py",
    "tests/packages/test_packages.py::test_each_visitor_finds_its_own",
    "tests/units/test_loading.py",
)

# Their modules share a browser and a site, or servers.
GATHERED = ("tests/browser", "tests/http/servers")


def markers_of(nodeid: str, loop: str) -> list[str]:
    """The markers of a test, by its node id and the kind of loop that it runs on.

    `fast` is what no other group and no table of long tests names, on asyncio's own loop.
    """
    found = [marker for marker, places in GROUPS.items() if is_in(nodeid, places)]
    if not found and loop == "asyncio" and not is_in(nodeid, LONG):
        found.append("fast")
    return found


def gathered(nodeid: str) -> str:
    """The folder or module whose tests one process runs, with this one."""
    module = nodeid.partition("::")[0]
    return next((folder for folder in GATHERED if is_in(nodeid, [folder])), module)


def is_in(nodeid: str, places: Iterable[str]) -> bool:
    """Whether a test is in one of the folders, modules, classes or functions."""
    return any(nodeid.startswith(place) and nodeid[len(place) :][:1] in "/:[" for place in places)


def has_long_tests(nodeid: str) -> bool:
    """Whether the module of a test is in a table, or a part of it is."""
    module = nodeid.partition("::")[0]
    places = [place for group in [*GROUPS.values(), LONG] for place in group]
    return is_in(module, places) or any(is_in(place, [module]) for place in places)
