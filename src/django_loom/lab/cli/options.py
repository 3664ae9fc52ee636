"""What the options of `loom lab` say, as values."""

from __future__ import annotations

from typing import Any

import click

from django_loom.lab.exceptions import UsageError
from django_loom.lab.experiments.experiment import Depth

CONNECTION = "keep-alive, or close: open one for each request, as ab does.  [default: keep-alive]"
CROSS_CHECK = "Have ab and wrk, where they are, repeat each point: about 3 s more for each."


def keep_alive(value: str) -> bool:
    """Whether connections are kept: `keep-alive` or `close`."""
    if value not in ("keep-alive", "close"):
        raise click.BadParameter(f"expected keep-alive or close, not {value!r}")
    return value == "keep-alive"


def whole_numbers(value: str) -> tuple[int, ...]:
    """Whole numbers parted by commas, in rising order."""
    try:
        return tuple(sorted({int(each) for each in value.split(",")}))
    except ValueError:
        raise click.BadParameter(f"expected numbers such as 5,10,20, not {value!r}") from None


def numbers(value: str) -> tuple[float, ...]:
    """Numbers parted by commas, in rising order."""
    try:
        return tuple(sorted({float(each) for each in value.split(",")}))
    except ValueError:
        raise click.BadParameter(f"expected numbers such as 0.1,0.2, not {value!r}") from None


def header(value: str) -> tuple[str, str]:
    """The name and the value of `Name: value`."""
    name, colon, content = value.partition(":")
    if not colon:
        raise click.BadParameter(f"expected a header such as 'Accept: text/html', not {value!r}")
    return name.strip(), content.strip()


def with_cookies(
    headers: tuple[tuple[str, str], ...], cookies: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """The headers, and one more that has the cookies."""
    return (*headers, *([("Cookie", "; ".join(cookies))] if cookies else []))


def depth_of(*, quick: bool, wide: bool, **changes: Any) -> Depth:
    """How much is measured; raises `UsageError` for what cannot be."""
    if quick and wide:
        raise UsageError("give --quick or --wide, not both")
    depth = Depth().quick() if quick else Depth().wide() if wide else Depth()
    given = {name: value for name, value in changes.items() if value is not None}
    return depth.changed(**given)


def servers_of(known: tuple[str, ...], wanted: str | None) -> tuple[str, ...]:
    """The names in `wanted`, or all that are known; raises `UsageError` for an unknown one."""
    if wanted is None:
        return known
    names = tuple(dict.fromkeys(wanted.split(",")))
    for name in names:
        if name not in known:
            raise UsageError(f"there is no server {name!r} here; there are: {', '.join(known)}")
    return names
