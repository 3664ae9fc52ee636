"""``make demo``: the whole site, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys

from .launch.ports import port_number
from .launch.site import run

VARIABLES = """environment variables:
  LOOM_DEMO_DATA   the folder of the database, the uploads and the reports (demo/.data)
  DATABASE_URL     postgres://user:password@host:port/name, for PostgreSQL instead of SQLite
  LOOM_DEMO_DEBUG  1 for DEBUG: templates are read anew for each page
"""


def main() -> int:
    """Read the arguments and run the site."""
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Serves the demo site, until Ctrl-C.",
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port", type=port_number, default=8000, help="another one if this is taken (8000)"
    )
    return run(parser.parse_args().port)


if __name__ == "__main__":
    sys.exit(main())
