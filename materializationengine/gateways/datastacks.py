"""Datastacks as the info service tells of them, or as a file lists them (outside_services.md 5.1)."""

from __future__ import annotations

import difflib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cachetools import TTLCache

from ..domain.datastack import Datastack
from ..domain.errors import ConfigurationError, GatewayAnswer, GatewayRefused, UnknownDatastack
from .http import HttpService, Token


class InfoService:
    """Datastack records of an info service, each kept for `ttl` seconds.

    Raises GatewayUnavailable, GatewayAnswer, and GatewayRefused if the engine's token may not see the datastack.
    """

    def __init__(
        self,
        server: str,
        token: Token = None,
        *,
        ttl: float = 300.0,
        timeout: float = 30.0,
        retries: int = 3,
        backoff: float = 0.3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = HttpService("info service", server, token, timeout=timeout, retries=retries, backoff=backoff)
        self._records: TTLCache[str, Datastack] = TTLCache(maxsize=1000, ttl=ttl, timer=clock)
        self._lock = threading.Lock()

    def names(self) -> tuple[str, ...]:
        """Every datastack that the engine's token may see, sorted."""
        names = self._service.json("GET", "/info/api/v2/datastacks")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise GatewayAnswer("the info service's datastacks are not a list of names")
        return tuple(sorted(names))

    def get(self, name: str) -> Datastack:
        """One datastack. Raises UnknownDatastack naming those there are."""
        with self._lock:
            known = self._records.get(name)
        if known is None:
            known = self._fetch(name)
            with self._lock:
                self._records[name] = known
        return known

    def _fetch(self, name: str) -> Datastack:
        try:
            record = self._service.json("GET", f"/info/api/v2/datastack/full/{quote(name, safe='')}")
        except GatewayRefused as error:
            if error.details.get("status") != 404:
                raise
            raise unknown_datastack(name, self.names()) from error
        try:
            return from_record(name, record)
        except ValueError as error:
            raise GatewayAnswer(f"the info service's record of datastack {name}: {error}") from error


class StaticDatastacks:
    """Datastack records of a JSON file `{name: record}`, each record as the info service's full one.

    A file that was replaced is read again. Raises ConfigurationError for one that cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._read: tuple[tuple[int, int, int], dict[str, Datastack]] | None = None
        self._now()

    def _now(self) -> dict[str, Datastack]:
        try:
            found = self._path.stat()
        except OSError:
            return _read(self._path)
        state = (found.st_ino, found.st_mtime_ns, found.st_size)
        if self._read is None or self._read[0] != state:
            self._read = (state, _read(self._path))
        return self._read[1]

    def names(self) -> tuple[str, ...]:
        """Every datastack in the file, sorted."""
        return tuple(sorted(self._now()))

    def get(self, name: str) -> Datastack:
        """One datastack. Raises UnknownDatastack naming those there are."""
        try:
            return self._now()[name]
        except KeyError:
            raise unknown_datastack(name, self.names()) from None


def unknown_datastack(name: str, known: Sequence[str]) -> UnknownDatastack:
    """The error for a name that nobody knows, with the nearest or all names."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    there = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "") if known else "none"
    return UnknownDatastack(f"unknown datastack {name!r}; {hint}known: {there}", field="datastack")


def from_record(name: str, record: object) -> Datastack:
    """A datastack from the info service's full record. Raises ValueError naming the field that is missing."""
    fields = _object(record, "the record")
    source = _text(fields, "segmentation_source")
    return Datastack(
        name=name,
        aligned_volume=_text(_object(fields.get("aligned_volume"), "aligned_volume"), "name"),
        segmentation_source=source,
        pcg_table=source.rstrip("/").rpartition("/")[2],
        viewer_resolution=(
            _positive(fields, "viewer_resolution_x"),
            _positive(fields, "viewer_resolution_y"),
            _positive(fields, "viewer_resolution_z"),
        ),
        synapse_table=fields.get("synapse_table") or None,
        soma_table=fields.get("soma_table") or None,
        description=fields.get("description") or "",
    )


def _read(path: Path) -> dict[str, Datastack]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {name: from_record(name, record) for name, record in _object(document, "the file").items()}
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"DATASTACKS_FILE={path}: a JSON object of datastack name and full record is needed ({error})"
        ) from error


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")
    return value


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is missing")
    return value


def _positive(fields: Mapping[str, Any], key: str) -> float:
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{key} is not a positive number")
    return float(value)
