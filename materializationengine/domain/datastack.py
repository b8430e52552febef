"""A datastack: an aligned volume paired with a segmentation of it."""

from __future__ import annotations

from dataclasses import dataclass

Resolution = tuple[float, float, float]
"""Nanometers per unit of a position, along x, y and z."""


@dataclass(frozen=True, slots=True)
class Datastack:
    """What the info service knows of a datastack, as far as the engine needs it.

    `aligned_volume` names the live database; `segmentation_source` is the chunkedgraph's address as CAVE writes
    it (`graphene://https://HOST/segmentation/table/TABLE`) and `pcg_table` its last path element.
    """

    name: str
    aligned_volume: str
    segmentation_source: str
    pcg_table: str
    viewer_resolution: Resolution
    synapse_table: str | None = None
    soma_table: str | None = None
    description: str = ""
