"""Local CAVE's own routes: loading a world, and letting its history go on. Development only."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from .http import HttpService


class LocalWorlds:
    """The worlds of one local CAVE. Raises GatewayUnavailable, GatewayRefused."""

    def __init__(self, server: str) -> None:
        # A world of some gigabytes takes its time to be read.
        self._service = HttpService("local CAVE", server, timeout=600.0, retries=0)

    def load(self, folder: Path, datastack: str, until: datetime | None) -> dict[str, Any]:
        """Load a world folder as a datastack, with its edits up to a moment; returns counts."""
        body = {"folder": str(folder), "datastack": datastack, "until": _text(until)}
        return dict(self._service.json("POST", "/localcave/worlds", payload=body))

    def edit(self, datastack: str, until: datetime | None) -> dict[str, Any]:
        """Apply further edits of a loaded world, up to a moment; returns counts."""
        body = {"datastack": datastack, "until": _text(until)}
        return dict(self._service.json("POST", "/localcave/edits", payload=body))


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
