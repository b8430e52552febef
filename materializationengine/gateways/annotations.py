"""The annotation service over REST: rows of live tables with their history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from ..domain.errors import GatewayAnswer
from .http import HttpService

_BATCH = 200
"""Ids of one request: they stand in its first line, of which servers commonly read 4 kB."""


class HttpAnnotations:
    """Rows of annotation tables as AnnotationEngine's API tells of them (rest_api.md 2.6)."""

    def __init__(self, server: str, token: str | None = None) -> None:
        self._service = HttpService("the annotation service", server, token)

    def rows(self, volume: str, table: str, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Rows in the order of `ids`, current or not; positions are lists of three, moments are ISO 8601.

        Raises GatewayRefused where one of them is not there, GatewayUnavailable, GatewayAnswer.
        """
        return [row for start in range(0, len(ids), _BATCH) for row in self._part(volume, table, ids[start:][:_BATCH])]

    def _part(self, volume: str, table: str, ids: Sequence[int]) -> Iterator[dict[str, Any]]:
        path = f"/annotation/api/v2/aligned_volume/{quote(volume, safe='')}/table/{quote(table, safe='')}/annotations"
        rows = self._service.json("GET", path, params={"annotation_ids": ",".join(map(str, ids))})
        if not isinstance(rows, list) or [row.get("id") for row in rows] != list(ids):
            raise GatewayAnswer(f"the annotation service did not answer with the {len(ids)} rows asked of {table}")
        yield from rows
