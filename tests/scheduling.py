"""Which tests one process of pytest-xdist runs as a whole."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

from tests.groups import gathered


class GatheredScheduling(LoadScopeScheduling):
    """By module; and by folder, where the modules of a folder share what is costly to start."""

    def _split_scope(self, nodeid: str) -> str:  # what xdist's documentation has one override
        return gathered(nodeid)
