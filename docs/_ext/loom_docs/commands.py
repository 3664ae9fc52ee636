"""What `loom` and `loom lab` take, from the commands themselves."""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from django_loom.cli.commands import loom
from django_loom.lab.cli import lab

from .markdown import code, table


def found(path: str) -> click.Command:
    """The command that is called by these words, such as `lab run`."""
    group: click.Group = loom
    *groups, last = path.split()
    for word in groups:
        group = lab if word == "lab" else group
    command = group.commands.get(last)
    if command is None:
        raise ValueError(f"loom has no command {path!r}")
    return command


def command(*path: str) -> str:
    """How the command is called, what it does, and a table of its options."""
    called = found(" ".join(path))
    context = click.Context(called, info_name=" ".join(["loom", *path]))
    usage = " ".join(called.collect_usage_pieces(context))
    rows = [row(each, context) for each in called.params if isinstance(each, click.Option)]
    parts = [f"```text\n{context.command_path} {usage}\n```", about(called)]
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
