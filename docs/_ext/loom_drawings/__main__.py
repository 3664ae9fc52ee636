"""Writes the drawings of the explanation into docs/images."""

from __future__ import annotations

import sys
from pathlib import Path

EXTENSIONS = Path(__file__).parents[1]
sys.path.insert(0, str(EXTENSIONS))

from loom_drawings import DRAWINGS  # noqa: E402 - the path is set above

for name, drawing in DRAWINGS.items():
    EXTENSIONS.parent.joinpath("images", f"{name}.svg").write_text(drawing.svg())
