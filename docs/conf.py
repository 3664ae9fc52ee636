"""Sphinx's configuration; `make docs` builds the pages into build/docs."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

import django  # noqa: E402 - the path is set above
from django.conf import settings  # noqa: E402

# The reference is made from the modules themselves, and some of them read settings.
if not settings.configured:
    settings.configure(INSTALLED_APPS=["django_loom"])
    django.setup()

project = "django-loom"
author = "the django-loom contributors"
copyright = author
release = version_of("django-loom")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "loom_docs",
]
exclude_patterns = ["_ext"]
suppress_warnings = ["myst.header"]  # decision pages made from a benchmark begin lower
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
smartquotes = False  # "--option" must stay as it is

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = "django-loom"
html_static_path = ["_static"]
html_css_files = ["loom.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#7a3e9d", "color-brand-content": "#7a3e9d"},
    "dark_css_variables": {"color-brand-primary": "#c99be6", "color-brand-content": "#c99be6"},
}
