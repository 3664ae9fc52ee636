"""What `loom` and `loom lab` take, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from django_loom.cli.commands import loom
from django_loom.lab.cli.main import lab

from .markdown import code, table


def text() -> str:
    """A section for each command."""
    commands = [*named(loom, "loom"), *named(lab, "loom lab")]
    return "\n\n".join(section(path, command) for path, command in commands)


def named(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """The group's commands as they are called; the lab is a group of its own."""
    for name, command in group.commands.items():
        if name != "lab":
            yield f"{path} {name}", command


def section(path: str, command: click.Command) -> str:
    """How the command is called, what it does, and a table of its options."""
    context = click.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    rows = [row(each, context) for each in command.params if isinstance(each, click.Option)]
    parts = [f"## {path}", f"```text\n{path} {usage}\n```", about(command)]
    if rows:
        parts.append(table(["option", "takes", "default", "meaning"], rows))
    return "\n\n".join(parts)


def about(called: click.Command) -> str:
    """The help text; what `\\b` keeps as it is becomes a literal block."""
    paragraphs = inspect.cleandoc(called.help or "").split("\n\n")
    return "\n\n".join(
        f"```text\n{each[2:]}\n```" if each.startswith("\b\n") else each for each in paragraphs
    )


def row(option: click.Option, context: click.Context) -> tuple[str, str, str, str]:
    names = ", ".join(code(name) for name in (*option.opts, *option.secondary_opts))
    takes = "" if option.is_flag else code(option.make_metavar(context))
    default = option.get_default(context)
    is_shown = isinstance(default, str | int | float | Path) and not option.is_flag
    more = " Can be given more than once." if option.multiple else ""
    return names, takes, code(default) if is_shown else "", (option.help or "") + more
