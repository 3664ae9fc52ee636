"""Measure servers under load: what they answer, how fast, and what that says."""

from __future__ import annotations

from django_loom.lab.exceptions import ServerError
from django_loom.lab.load.load import generate
from django_loom.lab.load.measuring import run_load
from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.load.results import LoadResult
from django_loom.lab.processes.child import ChildProcess

__all__ = ["ChildProcess", "LoadPlan", "LoadResult", "ServerError", "generate", "run_load"]
