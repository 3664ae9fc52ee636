"""The command behind ``make django-suite``."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    # A script has only its own directory on the path. The root is there for tests.services.
    sys.path[0:1] = [str(TESTS), str(TESTS.parent)]
    from django_suite.cli import main

    sys.exit(main())
