"""A process that is started is waited for, heard, and ended with all that it has started."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from django_loom.lab import ChildProcess, ServerError
from tests.lab.processes import has_processes, is_running
from tests.polling import eventually

SLEEPS = "import time; print('ready', flush=True); time.sleep(600)"
LISTENS = """
import socket, sys, time
socket.socket(fileno=int(sys.argv[1])).listen()
time.sleep(600)
"""
SAYS_GOODBYE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1], "w").write("goodbye"), sys.exit(3)))
print("ready", flush=True)
time.sleep(600)
"""
STARTER = """
import os, signal, sys
from django_loom.lab import ChildProcess
child = ChildProcess([sys.executable, "-c", sys.argv[1], sys.argv[2]], "it")
child.wait_for_line("ready")
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def child(source: str, *arguments: str, grace: float = 30.0) -> ChildProcess:
    return ChildProcess([sys.executable, "-c", source, *arguments], "it", grace=grace)


def test_a_line_that_it_writes_is_waited_for() -> None:
    source = "import time; print('warning: x\\nport 17', flush=True); time.sleep(600)"
    with child(source, grace=0.0) as process:
        assert process.wait_for_line("port") == "17"
        assert process.exit_code is None


def test_what_it_wrote_is_there_after_its_end() -> None:
    source = "import sys; print('said', flush=True); sys.exit('and complained')"
    with child(source) as process:
        assert process.wait(30) == 1
    assert process.output == "said\nand complained\n"
    assert (process.exit_code, process.stop()) == (1, 1)


def test_reading_its_output_does_not_disturb_what_it_writes_next() -> None:
    source = "import sys\nfor line in range(50): print(line, flush=True)"
    with child(source) as process:
        process.wait_until(lambda: process.output.endswith("49\n"))
    assert process.output.split() == [str(number) for number in range(50)]


def test_one_that_ends_meanwhile_is_an_error_with_its_last_lines() -> None:
    with child("import sys; sys.exit('no port')") as process:
        message = re.escape("it ended with exit code 1; its last lines:\nno port")
        with pytest.raises(ServerError, match=message):
            process.wait_for_line("port")


def test_one_that_ends_but_is_ready_is_none() -> None:
    with child("print('port 17')") as process:
        process.wait(30)
        assert process.wait_for_line("port") == "17"


def test_a_wait_has_an_end() -> None:
    with (
        child(SLEEPS, grace=0.0) as process,
        pytest.raises(ServerError, match="did not answer within 0 s"),
    ):
        process.wait_for_line("port", seconds=0)


def test_a_port_is_waited_for() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        number = bound.fileno()
        command = [sys.executable, "-c", LISTENS, str(number)]
        with ChildProcess(command, "it", inherited=[number], grace=0.0) as process:
            process.wait_until_listening(bound.getsockname()[1])


def test_it_may_end_in_order(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with child(SAYS_GOODBYE, str(said)) as process:
        process.wait_for_line("ready")
        assert process.stop() == 3
    assert said.read_text() == "goodbye"


def test_its_standard_input_is_empty() -> None:
    with child("import sys; print('read', repr(sys.stdin.read()))") as process:
        assert process.wait_for_line("read") == "''"


def test_it_ends_in_order_when_who_started_it_is_killed(tmp_path: Path) -> None:
    said = tmp_path / "said"
    command = [sys.executable, "-c", STARTER, SAYS_GOODBYE, str(said)]
    starter = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    assert starter.returncode == -signal.SIGKILL
    eventually(lambda: not has_processes(int(starter.stdout)))
    assert said.read_text() == "goodbye"


def test_nothing_of_a_process_that_ended_by_itself_is_left() -> None:
    with child("pass") as process:
        assert process.wait(30) == 0
    eventually(lambda: not has_processes(process.pid))


def test_the_interrupt_key_does_not_reach_it() -> None:
    with child(SLEEPS, grace=0.0) as process:
        assert os.getpgid(process.pid) == process.pid != os.getpgrp()
        assert is_running(process.pid)
    assert not is_running(process.pid)


def test_output_that_is_shown_is_not_kept(capfd: pytest.CaptureFixture[str]) -> None:
    with ChildProcess([sys.executable, "-c", "print('seen')"], "it", shown=True) as process:
        process.wait(30)
        assert str(process.error("ended")) == "it ended"
    assert process.output == ""
    assert capfd.readouterr().out == "seen\n"
