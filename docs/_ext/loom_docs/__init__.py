"""Directives that write parts of the reference from the modules themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from . import benchmark, checks, commands, experiments, results, settings, works_with

# Each gives Markdown for the directive's arguments.
WRITERS: dict[str, Callable[..., str]] = {
    "http-figures": benchmark.figures,
    "loom-settings": settings.table,
    "loom-checks": checks.table,
    "loom-commands": commands.text,
    "lab-experiments": experiments.text,
    "lab-metrics": experiments.metrics,
    "lab-results": results.experiment,
    "works-with": works_with.table,
}


def directive(write: Callable[..., str]) -> type[SphinxDirective]:
    class Written(SphinxDirective):
        optional_arguments = 3

        def run(self) -> list[nodes.Node]:
            self.env.note_reread()  # its sources are no pages, whose changes Sphinx would see
            return self.parse_text_to_nodes(write(*self.arguments), allow_section_headings=True)

    return Written


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the directives known."""
    for name, write in WRITERS.items():
        app.add_directive(name, directive(write))
    return {"parallel_read_safe": True}
