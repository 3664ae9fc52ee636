"""Django's management commands for the demo: ``python -m demo.manage <command>``."""

from __future__ import annotations

import os
import sys
import tempfile

from django.core.management import execute_from_command_line


def main() -> None:
    """Run the command that the arguments name; tests leave nothing in the data folder."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.project.settings")
    if sys.argv[1:2] != ["test"]:
        execute_from_command_line(sys.argv)
        return
    with tempfile.TemporaryDirectory(prefix="loom-academy-") as folder:
        os.environ["LOOM_DEMO_DATA"] = folder
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
