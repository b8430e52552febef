# ruff: noqa: N999, N802, A002 - the module, the method and the argument are spelled as in the prototype
"""An over-simplified difference-image analysis: known variables in the field of view, and noise."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from .generators import Seed, Vectors, rand_cone_xyz

Ids = npt.NDArray[np.int64]


class Variables(Protocol):
    """Variables that can be asked for a cone; `sky.Sky` is one."""

    def inside(self, direction: Vectors, open_angle: float) -> tuple[Vectors, Ids]:
        """Unit vectors (n, 3) and ids (n,) of the variables in the cone of full opening `open_angle`."""


class DIA:
    """One visit's detections.

    Parameters
    ----------
    xyz
        Unit vector of the pointing.
    open_angle
        Full opening of the field of view, radians.
    vars
        All variables: an array of unit vectors (n, 3), or something that finds those in a cone.
    n_trans
        Mean number of noise detections and transients; the number itself is drawn from a Poisson distribution.
    seed
        Seed or generator of all randomness.
    detection_fraction
        Probability that a variable is detected.
    """

    def __init__(
        self,
        xyz: npt.ArrayLike,
        open_angle: float,
        vars: Vectors | Variables,
        n_trans: float,
        seed: Seed = None,
        detection_fraction: float = 1.0,
    ) -> None:
        self._xyz = np.asarray(xyz, dtype=float)
        self._open_angle = open_angle
        self._variables = vars
        self._n_trans = n_trans
        self._rng = np.random.default_rng(seed)
        self._detection_fraction = detection_fraction

    def makeSources(self) -> tuple[Vectors, Ids]:
        """Directions (n, 3) of the detections and the ids (n,) of the variables they are of, -1 for noise."""
        found, ids = self._visible()
        if self._detection_fraction < 1.0:
            kept = self._rng.random(len(ids)) < self._detection_fraction
            found, ids = found[kept], ids[kept]
        count = int(self._rng.poisson(self._n_trans))
        noise = rand_cone_xyz(self._xyz, self._open_angle, count, self._rng)
        return np.concatenate([found, noise]), np.concatenate([ids, np.full(count, -1, dtype=np.int64)])

    def _visible(self) -> tuple[Vectors, Ids]:
        if not isinstance(self._variables, np.ndarray):
            return self._variables.inside(self._xyz, self._open_angle)
        ids = np.nonzero(self._variables @ self._xyz > np.cos(self._open_angle / 2))[0]
        return self._variables[ids], ids
