"""The error of a command that cannot be run as it was called."""

from __future__ import annotations

import click


class WrongCall(click.ClickException):
    """What was asked for cannot be done as it was asked; a line says why."""

    exit_code = 2
