"""The commands of loom lab: each option, each mistake, and whole runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from django_loom.lab.cli import command_end as finishing_module
from django_loom.lab.cli import loads as cli_load_module
from django_loom.lab.cli import main as cli_module
from django_loom.lab.cli.main import lab
from django_loom.lab.experiments.experiment import Depth, Experiment
from django_loom.lab.load.calibration import null_server
from django_loom.lab.load.latencies import Latencies
from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.load.results import LoadResult
from django_loom.lab.outcomes.outcome import Outcome
from tests.lab.outcomes import load_result, outcome, usual
from tests.lab.processes import is_running
from tests.polling import eventually

URL = "http://127.0.0.1:1/page/"
SMALL = ["--clients", "2", "--repeats", "1", "--seconds", "0.05"]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(lab, arguments, catch_exceptions=False)


@pytest.fixture(autouse=True)
def signals() -> Any:
    """The signal handlers of before."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Depth, tuple[str, ...]]]:
    """What would be run."""
    made: list[tuple[str, Depth, tuple[str, ...]]] = []

    def note(each: Experiment, depth: Depth, servers: tuple[str, ...], progress: Any) -> Outcome:
        made.append((each.name, depth, servers))
        return usual()

    monkeypatch.setattr(cli_module, "run_experiment", note)
    monkeypatch.setattr(finishing_module, "write_report", lambda outcome, out: out / "report")
    return made


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[LoadPlan]:
    """The loads that would be made."""
    made: list[LoadPlan] = []

    def note(plan: LoadPlan) -> LoadResult:
        made.append(plan)
        latencies = Latencies()
        for milliseconds in range(11, 111):
            latencies.record(milliseconds / 1000)
        return load_result(
            50.0,
            seconds=2.0,
            requests=100,
            statuses={200: 100},
            histogram=latencies.encoded(),
            bytes=20480,
            body_bytes=12000,
            document_bytes=120,
            server="it/1.0",
        )

    monkeypatch.setattr(cli_load_module, "run_load", note)
    return made


def test_a_run_prints_its_conclusions_and_where_the_report_is(runs: Any) -> None:
    result = call("run", "concurrency", "--out", "here")
    assert result.exit_code == 0
    assert "How does each server behave as clients grow" in result.stdout
    assert "38.9 times" in result.stdout
    assert result.stdout.splitlines()[-1] == "Report: here/report/report.html"


@pytest.mark.parametrize(
    ("options", "depth"),
    [
        ([], Depth()),
        (["--quick"], Depth().quick()),
        (["--wide"], Depth().wide()),
        (["-c", "40,5,5"], Depth(clients=(5, 40))),
        (["--waits", "0.5,0.1"], Depth(waits=(0.1, 0.5))),
        (["--services", "9,3"], Depth(services=(3, 9))),
        (["--repeats", "7"], Depth(repeats=7)),
        (["--seconds", "2"], Depth(seconds=2.0)),
        (["-n", "100"], Depth(requests=100)),
        (["--wait", "0.2"], Depth(wait=0.2)),
        (["--connection", "close"], Depth(keep_alive=False)),
        (["--connection", "keep-alive"], Depth()),
        (["--cross-check"], Depth(cross_check=True)),
        (["--quick", "--repeats", "1"], Depth().quick().changed(repeats=1)),
    ],
)
def test_options_of_a_run(runs: Any, options: list[str], depth: Depth) -> None:
    assert call("run", "concurrency", *options).exit_code == 0
    assert runs == [("concurrency", depth, ("aiohttp", "sync", "threads", "asgi", "loom"))]


def test_some_servers_of_an_experiment(runs: Any) -> None:
    call("run", "blocking", "--servers", "sync,aiohttp")
    assert runs[0][2] == ("sync", "aiohttp")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "Missing argument"),
        (["run", "speed"], "there is no experiment 'speed'; there are: concurrency"),
        (["run", "blocking", "--servers", "loom"], "there is no server 'loom' here; there are: "),
        (["run", "blocking", "-c", "5;6"], "expected numbers such as 5,10,20, not '5;6'"),
        (["run", "blocking", "-c", "0"], "clients must be from 1"),
        (["run", "blocking", "--waits", "x"], "expected numbers such as 0.1,0.2, not 'x'"),
        (["run", "blocking", "--waits", "0"], "waits must be from 0.001"),
        (["run", "fan-out", "--services", "21"], "services must be from 1 to 20, not (21,)"),
        (["run", "blocking", "--repeats", "0"], "repeats must be from 1"),
        (["run", "blocking", "--quick", "--wide"], "--quick or --wide, not both"),
        (["url"], "Missing argument"),
        (["url", "ftp://127.0.0.1/"], "expected a URL such as http://127.0.0.1:8000/path/"),
        (["url", URL, "-c", "0"], "clients must be from 1"),
        (["url", URL, "-n", "0"], "requests must be from 1"),
        (["run", "concurrency", "--wait", "0"], "wait must be from 0.001"),
        (["run", "concurrency", "--connection", "on"], "expected keep-alive or close, not 'on'"),
        (["url", "http://me:secret@127.0.0.1/"], "expected a URL such as"),
        (["url", URL, "-H", "no colon"], "expected a header such as"),
        (["url", URL, "--format", "xml"], "'xml' is not one of"),
        (["url", URL, "--i-own-this-host", "example.org"], "the URL's host is 127.0.0.1"),
        (["url", "http://192.0.2.1/"], "192.0.2.1, not this machine"),
    ],
)
def test_a_mistake_is_one_clear_message(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_nothing_is_started_when_one_name_is_wrong(runs: Any) -> None:
    assert call("run", "concurrency", "speed").exit_code == 2
    assert not runs


def test_an_interrupted_run_writes_what_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    half = outcome({"sync": {5: (9.9,)}}, complete=False)
    monkeypatch.setattr(cli_module, "run_experiment", lambda *args: half)
    result = call("run", "concurrency", "blocking", "--out", str(tmp_path))
    assert result.exit_code == 130
    assert "the report is incomplete" in result.stdout
    assert len(list(tmp_path.iterdir())) == 1


def test_a_run_that_measured_nothing_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nothing = outcome({}, samples=[], complete=False)
    monkeypatch.setattr(cli_module, "run_experiment", lambda *args: nothing)
    assert call("run", "concurrency", "--out", str(tmp_path)).exit_code == 130
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ([], {"requests": 100}),
        (["-c", "40", "-n", "1000"], {"clients": 40, "requests": 1000}),
        (["-t", "2.5"], {"seconds": 2.5}),
        (["-t", "2.5", "-n", "9"], {"seconds": 2.5, "requests": 9}),
        (["--rate", "50", "-t", "1"], {"rate": 50.0, "seconds": 1.0}),
        (["--warmup", "1", "--timeout", "3"], {"requests": 100, "warmup": 1.0, "timeout": 3.0}),
        (["--connection", "close"], {"requests": 100, "keep_alive": False}),
        (["-c", "4", "--processes", "2"], {"requests": 100, "clients": 4, "processes": 2}),
        (
            ["-H", "Accept: text/html", "-C", "a=1", "-C", "b=2"],
            {"requests": 100, "headers": (("Accept", "text/html"), ("Cookie", "a=1; b=2"))},
        ),
        (["--i-own-this-host", "127.0.0.1"], {"requests": 100, "any_host": True}),
    ],
)
def test_options_of_a_load(
    plans: list[LoadPlan], options: list[str], changes: dict[str, Any]
) -> None:
    assert call("url", URL, *options).exit_code == 0
    assert plans == [LoadPlan(**{"url": URL, "clients": 1, "warmup": 0.0, **changes})]


def test_a_load_as_text(plans: list[LoadPlan]) -> None:
    lines = call("url", URL, "-c", "4").stdout.splitlines()
    assert lines[0] == f"GET {URL}: 4 clients, connection keep-alive"
    assert lines[2].split() == ["requests/s", "50.0"]


def test_a_load_as_ab_prints_it(plans: list[LoadPlan]) -> None:
    output = call("url", URL, "-c", "4", "--format", "ab").stdout
    fields = [line.partition(":") for line in output.splitlines()]
    found = {name: value.split() for name, _, value in fields}
    assert found["Concurrency Level"] == ["4"]
    assert found["Complete requests"] == ["100"]
    assert found["Failed requests"] == ["0"]
    assert found["Requests per second"][0] == "50.00"
    times = [value.split()[0] for name, _, value in fields if name == "Time per request"]
    assert times == ["80.000", "20.000"]  # 4 * 2 s / 100, and 2 s / 100
    assert found["Server Software"] == ["it/1.0"]
    assert found["Document Length"] == ["120", "bytes"]
    assert found["Total transferred"] == ["20480", "bytes"]
    assert found["HTML transferred"] == ["12000", "bytes"]
    assert found["Transfer rate"] == ["10.00", "[Kbytes/sec]", "received"]
    assert found["Total"] == ["11", "61", "28.9", "60", "110"]
    served = [line.split()[:2] for line in output.splitlines() if "% " in line]
    assert served[:3] == [["50%", "60"], ["66%", "76"], ["75%", "85"]]
    assert served[-1] == ["100%", "110"]


def test_a_load_as_json(plans: list[LoadPlan]) -> None:
    result = LoadResult.from_json(call("url", URL, "--format", "json").stdout)
    assert result.requests == 100


def test_a_load_with_failures_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = load_result(5, statuses={200: 5, 503: 2}, errors={"timeout": 3}, loop_lag_ms=20.0)
    monkeypatch.setattr(cli_load_module, "run_load", lambda plan: bad)
    result = call("url", URL)
    assert result.exit_code == 1
    assert "503: 2" in result.stdout
    assert "timeout: 3" in result.stdout
    assert "20 ms late" in result.stdout
    assert "Non-2xx responses:      2" in call("url", URL, "--format", "ab").stdout


def test_the_calibration_says_how_late_the_generator_is() -> None:
    result = call("calibrate", "-c", "5", "--wait", "0.01", "--seconds", "0.1")
    assert result.exit_code == 0
    said = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert said["server"][:4] == ["waits", "exactly", "10", "ms;"]
    assert said["requests/s"][2] == "500.0"
    assert [each for each in said["latency"] if each.startswith("p")] == ["p50", "p95", "p99"]


def test_where_nothing_can_be_written_nothing_is_measured(runs: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for out in (file, file / "below"):
        result = call("run", "concurrency", "--out", str(out))
        assert result.exit_code == 2
        assert f"{file} cannot be written to" in result.stderr
    assert not runs


def test_a_real_load() -> None:
    with null_server() as url:
        result = json.loads(call("url", url, "-c", "3", "-n", "30", "--format", "json").stdout)
    assert result["statuses"] == {"200": 30}


def test_a_real_experiment_from_start_to_report(tmp_path: Path) -> None:
    options = ["--servers", "aiohttp,sync", "--out", str(tmp_path)]
    result = call("run", "concurrency", *SMALL, *options)
    assert result.exit_code == 0
    (written,) = tmp_path.iterdir()
    found = Outcome.from_json(written.joinpath("results.json").read_text())
    assert found.complete
    assert {sample.server for sample in found.samples} == {"aiohttp", "sync"}
    assert all(sample.result.failures == 0 for sample in found.samples)
    # A loop's timers count from when its round began, so they can fire before the 100 ms are over.
    assert all(sample.result.latency.p50 > 50 for sample in found.samples if sample.result.latency)


# A shell ignores SIGINT for what it runs in the background, and its children inherit that.
INTERRUPTIBLE_LAB = """
import signal
from django_loom.lab.cli.main import lab
signal.signal(signal.SIGINT, signal.default_int_handler)
lab()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_a_report_and_no_process(
    number: signal.Signals, tmp_path: Path
) -> None:
    options = ["--servers", "sync", "-c", "1", "--repeats", "100", "--seconds", "0.2"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            INTERRUPTIBLE_LAB,
            "run",
            "concurrency",
            *options,
            "--out",
            str(tmp_path),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TTY_COMPATIBLE": "1", "FORCE_COLOR": "1"},
    )
    assert process.stderr is not None
    try:
        shown = b""
        while b"sync at 1" not in shown:
            more = os.read(process.stderr.fileno(), 4096)
            assert more, shown  # it ended
            shown += more
        children = descendants(process.pid)
        assert children
        process.send_signal(number)
        assert process.wait(30) == 130
    finally:
        process.terminate()  # and not kill(), or the lab could not stop its servers
        process.communicate()
    # What was killed last may be a moment in the hands of init.
    eventually(lambda: not any(is_running(pid) for pid in children))
    (written,) = tmp_path.iterdir()
    assert not Outcome.from_json(written.joinpath("results.json").read_text()).complete


def descendants(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = {int(each) for each in children.read_text().split()}
    return found.union(*(descendants(each) for each in found))
