"""The whole service in one `with`: private PostGIS and Redis, local CAVE, web, workers, beat on free ports.

Processes are started by command and share nothing but addresses; of the engine only `kernel` and `config` are
imported. A supervisor owns all of them, starts the fallen anew, and takes them along when it ends.
"""

from __future__ import annotations

from .info import StackInfo, StackNotRunning, described, locate
from .launcher import Stack

__all__ = ["Stack", "StackInfo", "StackNotRunning", "described", "locate"]
