"""How each command of the documentation is checked; one that is not listed here is an error."""

from __future__ import annotations

import shlex
import subprocess
import tomllib
from collections.abc import Callable
from importlib.util import find_spec

import click
from click.testing import CliRunner

from django_loom.cli.commands import loom
from django_loom.lab.analysis.expressions import parse
from django_loom.lab.cli.main import lab
from django_loom.lab.experiments import experiment

from .blocks import ROOT

# Programs that are not ours, and why their commands are not run here.
NOT_RUN = {
    "curl": "test_getting_started asks the same of the server that it starts",
    "uvicorn": "test_serving starts it",
    "granian": "test_serving starts it",
    "hypercorn": "test_serving starts it",
}
MANAGE = {
    "check": "test_python_blocks runs it in the project of each page",
    "test": "test_python_blocks runs it in the project of each page that has tests",
    "migrate": "every project of these tests runs it",
    "runserver": "test_serving starts it",
}


def check(line: str) -> None:
    """Raise AssertionError, or click's own errors, for a command that cannot be right."""
    words = shlex.split(line)
    while "=" in words[0]:  # variables of its environment
        words.pop(0)
    program, *arguments = words
    assert program in CHECKS or program in NOT_RUN, f"no test knows how to check {line!r}"
    if program in CHECKS:
        CHECKS[program](arguments)


def check_pip(arguments: list[str]) -> None:
    command, requirement = arguments
    assert command == "install"
    name, _, extras = requirement.removesuffix("]").partition("[")
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert name == known["name"]
    assert set(filter(None, extras.split(","))) <= set(known["optional-dependencies"])


def check_make(arguments: list[str]) -> None:
    """Ask make what it would do: it knows each target, and runs none."""
    done = subprocess.run(
        ["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def check_python(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        assert find_spec(arguments[1]), f"there is no module {arguments[1]}"
    elif arguments[0] == "manage.py":
        check_manage(arguments[1:])
    else:
        assert (ROOT / arguments[0]).exists(), f"there is no {arguments[0]}"


def check_manage(arguments: list[str]) -> None:
    assert arguments[0] in MANAGE, f"no test knows manage.py {arguments[0]}"


def check_loom(arguments: list[str]) -> None:
    """Parse the arguments as the command does, and run nothing but `--help`."""
    group: click.Group = loom
    if arguments[:1] == ["lab"]:
        group, arguments = lab, arguments[1:]
    if "--help" in arguments:
        assert CliRunner().invoke(group, arguments).exit_code == 0
        return
    if not arguments:
        return
    command = group.commands[arguments[0]]
    context = command.make_context(arguments[0], arguments[1:])
    for name in context.params.get("names") or ():
        experiment(name)
    for expression in context.params.get("expressions") or ():
        parse(expression)


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "pip": check_pip,
    "make": check_make,
    "python": check_python,
    "manage.py": check_manage,
    "loom": check_loom,
}
