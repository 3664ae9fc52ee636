"""Servers come up, answer, and are gone afterwards, whatever happens meanwhile."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from django_loom.lab.exceptions import MissingPackage, ServerError, UsageError
from django_loom.lab.processes.child import ChildProcess
from django_loom.lab.servers import catalogue as catalogue_module
from django_loom.lab.servers import environment as environment_module
from django_loom.lab.servers import server as servers_module
from django_loom.lab.servers.catalogue import KINDS, Kind, kind
from django_loom.lab.servers.environment import environment
from django_loom.lab.servers.server import Server, running
from tests.lab.processes import has_processes, is_running
from tests.polling import eventually

NEVER_ANSWERS = "import time; print('on fd', {fd}, flush=True); time.sleep(60)"
WITH_CHILD = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child:
    open(sys.argv[1], 'w').write(f'{{os.getpid()}} {{child}}')
time.sleep(60)  # does not listen to {fd}
"""


def program(source: str, *arguments: str) -> Kind:
    return Kind("test", "the test's server", ("-c", source, *arguments), "sync", 1)


def get(server: Server, wait: float) -> tuple[int, bytes]:
    host = server.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.request("GET", server.kind.path(wait))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_every_ready_made_server_answers_and_is_gone_afterwards() -> None:
    # Home pages answer something else; test_more_experiments.py has them with their services.
    kinds = [each for each in KINDS.values() if not each.view.startswith("home/")]
    with running(kinds) as servers:
        assert set(servers) == {each.name for each in kinds}
        for server in servers.values():
            assert get(server, 0.001) == (200, b"ok")
        pids = [server.process.pid for server in servers.values()]
    assert not any(is_running(pid) for pid in pids)


def test_the_waits_are_in_the_paths() -> None:
    assert kind("sync").path(0.25) == "/sync/250/"
    assert kind("loom").path(0.1) == "/async/100/"


def test_only_the_loom_server_has_loom_put_in() -> None:
    assert environment(kind("loom"))["DJANGO_SETTINGS_MODULE"] == "waiting_site.loom_settings"
    assert environment(kind("asgi"))["DJANGO_SETTINGS_MODULE"] == "waiting_site.settings"


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment_module, "find_spec", lambda name: None if name == "x" else name)
    monkeypatch.setitem(catalogue_module.STARTS, "x", catalogue_module.STARTS["uvicorn"])
    started = []
    monkeypatch.setattr(servers_module, "Server", lambda *args: started.append(args))
    with (
        pytest.raises(MissingPackage, match=r"loom needs the package x; .*'django-loom\[lab\]'"),
        running([kind("sync"), kind("loom")]),
    ):
        pass
    assert not started


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("aiohttp", ("aiohttp",)),
        ("sync", ("gunicorn",)),
        ("loom", ("uvicorn",)),
        ("home-sync", ("gunicorn", "aiohttp")),
    ],
)
def test_the_packages_of_a_server(name: str, packages: tuple[str, ...]) -> None:
    assert kind(name).packages == packages


def test_an_unknown_server_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no server 'nginx'; there are: aiohttp, "):
        kind("nginx")


def test_a_server_that_ends_is_reported_with_its_last_lines() -> None:
    source = "import sys; [print('line', n) for n in range(40)]; sys.exit(3)  # {fd}"
    with (
        pytest.raises(ServerError, match=r"exit code 3; .*\nline 25\n(?s:.*)line 39$"),
        running([program(source)]),
    ):
        pass


def test_a_server_without_output_is_reported_so() -> None:
    with pytest.raises(ServerError, match="wrote nothing"), running([program("pass  # {fd}")]):
        pass


def test_a_server_that_answers_an_error_is_reported() -> None:
    lost = replace(kind("aiohttp"), view="nowhere")
    with pytest.raises(ServerError, match="aiohttp answers 404"), running([lost]):
        pass


def test_a_server_that_never_answers_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until = ChildProcess.wait_until
    monkeypatch.setattr(ChildProcess, "wait_until", lambda *args: wait_until(*args, seconds=0.3))
    with (
        pytest.raises(ServerError, match="did not answer within"),
        running([program(NEVER_ANSWERS)]),
    ):
        pass


def test_when_one_does_not_come_up_the_others_are_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pids: list[int] = []
    start = Server.__init__

    def note(self: Server, *args: object) -> None:
        start(self, *args)
        pids.append(self.process.pid)

    monkeypatch.setattr(Server, "__init__", note)
    with pytest.raises(ServerError), running([kind("aiohttp"), program("pass  # {fd}")]):
        pass
    assert len(pids) == 2
    assert not any(is_running(pid) for pid in pids)


def test_an_interrupt_stops_the_servers() -> None:
    pids = []

    def use(servers: dict[str, Server]) -> None:
        pids.extend(server.process.pid for server in servers.values())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), running([kind("aiohttp")]) as servers:
        use(servers)
    assert len(pids) == 1
    assert not is_running(pids[0])


def test_a_server_that_does_not_want_to_end_is_killed_with_its_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    noted = tmp_path / "pids"
    monkeypatch.setattr(servers_module, "ChildProcess", partial(ChildProcess, grace=0.2))
    server = Server(program(WITH_CHILD, str(noted)))
    eventually(lambda: noted.exists() and len(noted.read_text().split()) == 2)
    pids = [int(pid) for pid in noted.read_text().split()]
    assert all(is_running(pid) for pid in pids)
    server.process.stop()
    eventually(lambda: not any(is_running(pid) for pid in pids))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux pins processes")
def test_a_server_is_pinned_to_its_core() -> None:
    core = max(os.sched_getaffinity(0))
    server = Server(program(NEVER_ANSWERS), core)
    try:
        assert os.sched_getaffinity(server.process.pid) == {core}
    finally:
        server.process.stop()


KILLED_LAB = """
import os, signal
from django_loom.lab.servers.catalogue import kind
from django_loom.lab.servers.server import running
with running([kind("aiohttp"), kind("sync")]) as servers:
    print(*(server.process.pid for server in servers.values()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_lab_that_is_killed_leaves_no_process_of_its_servers() -> None:
    lab = subprocess.run([sys.executable, "-c", KILLED_LAB], stdout=subprocess.PIPE, text=True)
    assert lab.returncode == -signal.SIGKILL
    groups = [int(pid) for pid in lab.stdout.split()]
    assert len(groups) == 2
    eventually(lambda: not any(has_processes(group) for group in groups))


def test_a_lab_that_is_killed_ends_even_servers_that_do_not_want_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servers_module, "ChildProcess", partial(ChildProcess, grace=0.2))
    source = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)  # does not listen to {fd}
"""
    server = Server(program(source))
    eventually(lambda: server.process.last_lines() == "ready")
    assert server.process._process.stdin is not None
    server.process._process.stdin.close()  # as the system does for a process that ended
    assert server.process.wait(30) == -signal.SIGKILL
    server.process.stop()


def test_nothing_but_the_server_has_its_socket() -> None:
    server = Server(program("pass  # does not listen to {fd}"))
    try:
        assert server.process.wait(30) == 0
        eventually(lambda: is_refused(server))
    finally:
        server.process.stop()


def is_refused(server: Server) -> bool:
    try:
        socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))).close()
    except ConnectionRefusedError:
        return True
    return False


def test_ctrl_c_does_not_reach_a_server_but_through_the_lab() -> None:
    server = Server(program(NEVER_ANSWERS))
    try:
        assert os.getpgid(server.process.pid) != os.getpgrp()
    finally:
        server.process.stop()
