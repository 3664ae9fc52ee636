"""Every command of README and the documentation can be run as it is written."""

from __future__ import annotations

from contextlib import suppress

import click
import pytest

from .blocks import NAMES, commands, inline_code
from .commands import CHECKS, NOT_RUN, check

LINES = [(name, line) for name in NAMES for line in commands(name)]
# `loom` and such alone are names, not commands; what has "…" or a placeholder is no whole one.
INLINE = sorted(
    {
        (name, code)
        for name in NAMES
        for code in inline_code(name)
        if code.partition(" ")[0] in CHECKS and " " in code and "RESULTS" not in code
    }
)


def test_commands_are_found() -> None:
    assert LINES
    assert INLINE


def test_what_is_not_run_is_still_written_somewhere() -> None:
    assert set(NOT_RUN) <= {line.split()[0] for _, line in LINES}


@pytest.mark.parametrize(("page", "line"), LINES)
def test_a_command_of_a_block_can_be_run(page: str, line: str) -> None:
    check(line)


@pytest.mark.parametrize(("page", "line"), INLINE)
def test_a_command_in_the_text_can_be_run(page: str, line: str) -> None:
    with suppress(click.MissingParameter):  # `loom serve`, as the name of what is spoken of
        check(line)


@pytest.mark.parametrize(
    "line",
    [
        "make no-such-target",
        "loom serve mysite.asgi:application --no-such-option",
        "loom lab run no-such-experiment",
        "loom lab assert results.json 'rps >'",
        "pip install 'django-loom[no-such-extra]'",
        "python -m no_such_module",
        "python manage.py no_such_command",
        "unheard-of",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    with pytest.raises((AssertionError, click.ClickException, ValueError)):
        check(line)
