"""A generator's own process: reads plans, makes their loads, writes the results, line by line."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django_loom.lab.exceptions import LabError
from django_loom.lab.load.load import generate
from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.processes.loops import run
from django_loom.lab.processes.pinning import pin

REFUSED = 3  # exit code: the plan cannot be done; Python's own are 1 and 2


def encode_plan(plan: LoadPlan) -> str:
    """A plan as one line of JSON."""
    return json.dumps({**asdict(plan), "body": plan.body.hex()})


def decode_plan(text: str) -> LoadPlan:
    """The plan that `encode_plan` wrote."""
    fields: dict[str, Any] = json.loads(text)
    fields["body"] = bytes.fromhex(fields["body"])
    fields["headers"] = tuple((name, value) for name, value in fields["headers"])
    return LoadPlan(**fields)


def main() -> int:
    for line in sys.stdin:
        plan = decode_plan(line)
        pin(plan.core)
        try:
            result = run(generate(plan))
        except LabError as error:
            print(error, file=sys.stderr)
            return REFUSED
        print(result.to_json(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
