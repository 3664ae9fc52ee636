"""``python -m django_loom.cli``, where the script ``loom`` is not on the path."""

from __future__ import annotations

from . import main

if __name__ == "__main__":
    main()
