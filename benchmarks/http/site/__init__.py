"""The Django project that every Django contender serves: what `startproject` makes, and views."""

from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"
