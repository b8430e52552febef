"""What one datastack has of its own: a graph token, bucket credentials, limits; each a file that may change any time.

A file is read when it is needed, never kept: a few microseconds beside a call, and what was changed counts at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..config import DATASTACK_TOKEN, Settings
from ..domain.errors import ConfigurationError

CREDENTIALS, LIMITS = "bucket_credentials.json", "limits.json"


@dataclass(frozen=True, slots=True)
class Limits:
    """How a datastack's chunkedgraph is asked; units are those of the settings of the same name.

    `own_rate` says that the rate is this datastack's own rather than shared by all.
    """

    graph_rate: float
    graph_burst: int
    graph_batch: int
    graph_timeout: float
    own_rate: bool = False


class Secrets:
    """A folder for each datastack under `MATERIALIZATION_DATASTACK_SECRETS`; the settings where a file is absent."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = Path(settings.datastack_secrets) if settings.datastack_secrets else None

    def token(self, datastack: str) -> str | None:
        """The token for its graph. Raises ConfigurationError for a file that cannot be read."""
        own = self._file(datastack, DATASTACK_TOKEN)
        return self._settings.token() if own is None else _text(own)

    def token_file(self, datastack: str) -> str:
        """Where that token is, or where it belongs."""
        own = self._file(datastack, DATASTACK_TOKEN)
        return str(own) if own is not None else self._settings.token_file or "DAF_CREDENTIALS"

    def credentials_file(self, datastack: str | None) -> str:
        """The service account file for its buckets, '' for the machine's own."""
        own = self._file(datastack, CREDENTIALS) if datastack else None
        return self._settings.credentials_file if own is None else str(own)

    def limits(self, datastack: str) -> Limits:
        """Its limits. Raises ConfigurationError naming what is wrong in the file."""
        names = [each.name for each in fields(Limits) if each.name != "own_rate"]
        common = Limits(**{name: getattr(self._settings, name) for name in names})
        own = self._file(datastack, LIMITS)
        return common if own is None else _limits(own, common, names)

    def _file(self, datastack: str, name: str) -> Path | None:
        # A name that is a path would lead elsewhere; no info service has one.
        if self._folder is None or Path(datastack).name != datastack or datastack == "..":
            return None
        path = self._folder / datastack / name
        return path if path.is_file() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read") from error


def _limits(path: Path, common: Limits, names: list[str]) -> Limits:
    try:
        found: Mapping[str, Any] = json.loads(_text(path))
        unknown = set(found) - set(names)
        values = {name: type(getattr(common, name))(value) for name, value in found.items() if name in names}
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{path}: a JSON object of numbers, with {', '.join(names)}") from error
    if unknown:
        raise ConfigurationError(f"{path}: there is no limit {min(unknown)!r}; there are {', '.join(names)}")
    return replace(common, **values, own_rate="graph_rate" in values)
