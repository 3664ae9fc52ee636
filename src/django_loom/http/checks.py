"""System checks of how the project is served."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning


def check_asgi_module(**kwargs: Any) -> list[CheckMessage]:
    """Read, without importing it, which application the project's ASGI module makes."""
    path = _asgi_module()
    if path is None:
        return []
    imported = _imported_modules(path)
    if "django.core.asgi" not in imported or "django_loom.asgi" in imported:
        return []
    return [
        Warning(
            f"{path} makes Django's own ASGI application, which runs each request in threads.",
            hint=(
                "Write `from django_loom.asgi import get_asgi_application` there. Silence this "
                "if the project is not served over ASGI."
            ),
            id="django_loom.W002",
        )
    ]


def _asgi_module() -> Path | None:
    """Return the source file of the project's ASGI module, if it can be told which that is."""
    asgi: object = getattr(settings, "ASGI_APPLICATION", None)
    wsgi: object = getattr(settings, "WSGI_APPLICATION", None)
    if isinstance(asgi, str):
        module = asgi.rpartition(".")[0]
    elif isinstance(wsgi, str) and wsgi.count(".") > 1:
        module = wsgi.rsplit(".", 2)[0] + ".asgi"
    else:
        return None
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _imported_modules(path: Path) -> set[str]:
    """Return the modules that a source file imports, or imports names from, in any place."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
    return modules
