"""Thinking about look-ups on arrays: what is found, what is still owed, and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .ports import Ids, Reason, RootLookup, SupervoxelLookup


@dataclass(frozen=True, slots=True)
class PointLookup:
    """Supervoxel and root of one point column, aligned with the rows asked.

    `known` masks mark ids that are an answer, background (0) included; where a mask is false the id is owed
    and `reason` says why.
    """

    supervoxels: Ids
    supervoxel_known: npt.NDArray[np.bool_]
    roots: Ids
    root_known: npt.NDArray[np.bool_]
    reason: npt.NDArray[np.uint8]


def resolved_mask(reason: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """True where the reason code stands for an answer (workflows.md 7.3-4: background is not unresolved)."""
    settled = np.array([code.resolved for code in Reason])
    mask: npt.NDArray[np.bool_] = settled[reason]
    return mask


def among(ids: Ids, known: Ids) -> npt.NDArray[np.bool_]:
    """Which ids are among some that are sorted: a few are found sooner in thousands than these are sorted anew."""
    if not len(known):
        return np.zeros(ids.shape, dtype=np.bool_)
    mask: npt.NDArray[np.bool_] = known.take(np.searchsorted(known, ids), mode="clip") == ids
    return mask


def owed_mask(reason: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """True where the reason code stands for a gap that a later run should fill."""
    owed = np.array([code.owed for code in Reason])
    mask: npt.NDArray[np.bool_] = owed[reason]
    return mask


def join_lookups(points: SupervoxelLookup, roots: RootLookup | None) -> PointLookup:
    """Put the two look-ups of one point column together; without root look-up every root is owed."""
    known = resolved_mask(points.reason)
    reason = points.reason.copy()
    if roots is None:
        root_known = np.zeros(len(points.ids), dtype=bool)
        reason[known] = Reason.NOT_LOOKED_UP
        return PointLookup(points.ids, known, np.zeros_like(points.ids), root_known, reason)
    root_known = known & roots.resolved
    reason[known & ~roots.resolved] = Reason.UNKNOWN_TO_GRAPH
    return PointLookup(points.ids, known, roots.roots, root_known, reason)
