"""What users may import, and the ids of the system checks."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import django_loom

ROOT = Path(__file__).parents[1]
PUBLIC = {"atomic", "await_", "in_thread", "on_loop", "pin", "pool", "run_sync", "streaming_body"}
CHECK_ID = re.compile(r"django_loom\.[EWI]\d{3}")


def test_all_is_what_is_documented() -> None:
    assert set(django_loom.__all__) == PUBLIC
    assert django_loom.__all__ == sorted(django_loom.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_name_has_a_docstring_and_stands_in_the_readme(name: str) -> None:
    assert inspect.getdoc(getattr(django_loom, name))
    assert f"django_loom.{name}" in (ROOT / "README.md").read_text()


def test_what_tests_of_a_project_use_is_public() -> None:
    from django_loom import testing

    names = ["AsyncClient", "cancel_before", "cancel_with_result", "cancelled_at"]
    assert testing.__all__ == names
    assert all(inspect.getdoc(getattr(testing, name)) for name in names)


def check_ids(source: str) -> list[str]:
    """The ids that a module gives to its messages, as `id="..."`."""
    keywords = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.keyword))
    values = [each.value for each in keywords if each.arg == "id"]
    found = [value.value for value in values if isinstance(value, ast.Constant)]
    return [value for value in found if isinstance(value, str) and value.startswith("django_loom.")]


def test_check_ids_are_unique_and_well_formed() -> None:
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    ids = [each for source in sources for each in check_ids(source)]
    assert len(ids) == len(set(ids))
    assert all(CHECK_ID.fullmatch(each) for each in ids)


def test_check_ids_are_found() -> None:
    assert check_ids('Error("x", id="django_loom.E001"), Info("y", id="other.I001")') == [
        "django_loom.E001"
    ]
