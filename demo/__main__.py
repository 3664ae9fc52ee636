"""``make demo``: the whole site, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys

from .launch.ports import port_number
from .launch.site import run


def main() -> int:
    """Read the arguments and run the site."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument(
        "--port", type=port_number, default=8000, help="another one if this is taken (8000)"
    )
    return run(parser.parse_args().port)


if __name__ == "__main__":
    sys.exit(main())
