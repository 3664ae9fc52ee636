"""The committed figures of the HTTP benchmark, as README has them."""

from __future__ import annotations

from benchmarks import readme


def figures(part: str) -> str:
    """Markdown of `rates`, `ratios` or `conditions`."""
    result = readme.results()
    if part == "rates":
        table = readme.rates(result)
        return f"{table}\n\n{readme.marks(table.replace('**', ''))}"
    return {"ratios": readme.ratios, "conditions": readme.conditions}[part](result)
