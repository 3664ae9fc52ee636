"""The demo's settings, with limits that a test reaches at once."""

from __future__ import annotations

from demo.project.settings import *  # noqa: F403 - settings are made to be extended like this

LOOM = {**LOOM, "MAX_BODY": 2**20, "BODY_TIMEOUT": 3, "BODY_RATE": 10**9}  # noqa: F405
