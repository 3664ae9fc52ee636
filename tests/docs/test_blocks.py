"""Each block is in a language that a test knows; each link and each named file exists."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from pathlib import Path

import pytest

from .blocks import DOCS, NAMES, ROOT, Block, blocks, commands, inline_code, links, tokens
from .commands import check

LANGUAGES = {
    "python": "test_python_blocks",
    "sh": "test_commands",
    "diff": "test_getting_started",
    "ini": "here",
    "json": "here",
    "nginx": "here",
    "text": "what a program prints, or a formula",
}
FOLDERS = ("benchmarks/", "demo/", "docs/", "scripts/", "src/", "tests/")
OF_DJANGO = {"tests/runtests.py"}  # in its source distribution
OF_A_KIND = {kind: [b for n in NAMES for b in blocks(n, kind)] for kind in ("ini", "json", "nginx")}


@pytest.mark.parametrize("page", NAMES)
def test_every_block_has_a_language_that_a_test_knows(page: str) -> None:
    assert not [str(each) for each in blocks(page) if each.language not in LANGUAGES]
    assert not [token.map for token in tokens(page) if token.type == "code_block"]


@pytest.mark.parametrize("block", OF_A_KIND["json"], ids=str)
def test_json_can_be_read(block: Block) -> None:
    assert json.loads(block.text)


@pytest.mark.parametrize("block", OF_A_KIND["ini"], ids=str)
def test_a_unit_of_systemd_starts_a_command_that_exists(block: Block) -> None:
    unit = configparser.ConfigParser()
    unit.read_string(block.text)
    service = unit["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    check(shlex.join([Path(program).name, *arguments]))
    grace = int(arguments[arguments.index("--grace") + 1])
    assert int(service["TimeoutStopSec"]) > grace


@pytest.mark.parametrize("block", OF_A_KIND["nginx"], ids=str)
def test_a_proxy_connects_to_the_socket_that_a_command_serves_on(block: Block) -> None:
    (path,) = re.findall(r"server unix:(\S+)", block.text)
    assert any(f"--uds {path} " in f"{line} " for line in commands(block.page))
    assert block.text.count("{") == block.text.count("}")
    assert all(line.endswith((";", "{", "}")) for line in block.text.split("\n") if line)


@pytest.mark.parametrize("page", NAMES)
def test_every_link_within_the_repository_leads_somewhere(page: str) -> None:
    for link in links(page):
        if "://" in link or link.startswith(("#", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        start = DOCS if path.startswith("/") else (ROOT / page).parent
        target = start / path.lstrip("/")
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub and MyST name them, and the names that it gives itself."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
    return slugs | set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))


@pytest.mark.parametrize("page", NAMES)
def test_every_file_that_is_named_exists(page: str) -> None:
    named = [code for code in inline_code(page) if code.startswith(FOLDERS) and " " not in code]
    paths = {name for name in named if "*" not in name} - OF_DJANGO
    assert not [path for path in paths if not (ROOT / path).exists()]
