"""A token bucket that all workers share: it stands in PostgreSQL, so neither Redis nor any process can lose it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .engines import Cluster
from .sql import sql


class Bucket(Protocol):
    """Where tokens are taken."""

    def take(self) -> float:
        """Take one token; the seconds until it is earned, 0 where one was there."""
        ...


@dataclass(frozen=True, slots=True)
class SharedBucket:
    """`rate` tokens a second for everybody who uses the same `name`, and at most `burst` saved up.

    A token is taken even where none is left: the bucket goes into debt, and whoever took it waits until it is earned.
    So callers are served in the order in which they came, and nobody asks twice.
    """

    cluster: Cluster
    name: str
    rate: float
    burst: int

    def take(self) -> float:
        """Take one token by one statement; the seconds to wait for it."""
        with self.cluster.connect(purpose="graph token") as connection:
            left = connection.value(sql("control", "take_token"), self.name, self.rate, float(self.burst))
            connection.commit()
        return max(0.0, -float(left) / self.rate)


def throttle(bucket: Bucket, sleep: Callable[[float], None] = time.sleep) -> Callable[[], None]:
    """What a gateway calls before each request: returns when the request may go out."""

    def wait() -> None:
        if (seconds := bucket.take()) > 0:
            sleep(seconds)

    return wait
