"""The code blocks, inline code and links of README and the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@dataclass(frozen=True)
class Block:
    """A block of code; `line` is that of its first line of code in the page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_directive(self) -> bool:
        """Whether it is for Sphinx, whose build is a test of its own."""
        return self.language.startswith("{")

    @property
    def file(self) -> str | None:
        """The file of a project that the first line says it belongs to."""
        first = self.text.splitlines()[0]
        path = first.removeprefix("# ")
        return path if first.startswith("# ") and path.endswith(".py") else None


def tokens(page: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text())


def blocks(page: str, language: str | None = None) -> list[Block]:
    """The blocks of a page that are not Sphinx's, in a language or in any."""
    found = [
        Block(page, (token.map or [0])[0] + 2, token.info.strip(), token.content)
        for token in tokens(page)
        if token.type in ("fence", "code_block")
    ]
    return [
        each
        for each in found
        if not each.is_directive and (language is None or each.language == language)
    ]


def _inline(page: str) -> Iterator[Token]:
    for token in tokens(page):
        yield from token.children or ()


def inline_code(page: str) -> list[str]:
    """What stands between single backticks."""
    return [token.content for token in _inline(page) if token.type == "code_inline"]


def links(page: str) -> list[str]:
    """Where the page's links and pictures lead."""
    names = {"link_open": "href", "image": "src"}
    found = (token.attrGet(names[token.type]) for token in _inline(page) if token.type in names)
    return [str(each) for each in found]


def commands(page: str) -> list[str]:
    """Each command line of the page's shell blocks, without comments."""
    lines = (line for block in blocks(page, "sh") for line in block.text.splitlines())
    found = (line.partition(" # ")[0].strip() for line in lines)
    return [line for line in found if line and not line.startswith("#")]
