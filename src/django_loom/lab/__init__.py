"""Measure servers under load: what they answer, how fast, and what that says."""

from __future__ import annotations

from .load import generate
from .measuring import run_load
from .plan import LoadPlan
from .results import LoadResult

__all__ = ["LoadPlan", "LoadResult", "generate", "run_load"]
