"""Writes the drawings of the explanation into docs/images."""

from __future__ import annotations

from pathlib import Path

from loom_docs.drawings import DRAWINGS

IMAGES = Path(__file__).parents[1] / "images"


def main() -> None:
    for name, drawing in DRAWINGS.items():
        IMAGES.joinpath(f"{name}.svg").write_text(drawing.svg())


if __name__ == "__main__":
    main()
