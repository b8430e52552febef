"""Redis, as far as the engine looks at it itself: Celery speaks to it for everything else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from ..domain.errors import GatewayUnavailable
from ..domain.figures import GraphTimes

TIMEOUT = 2.0
"""Seconds: whoever looks whether Redis is there does not wait for it."""

BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0)
"""Seconds: the graph answers small questions within milliseconds and may take a minute for large ones."""

REMEMBERED = 1200.0
"""Seconds for which a worker is remembered that went without a farewell: longer than the alert on it looks back."""

_GRAPH, _WORKERS = "matengine:graph_calls", "matengine:workers"
_PAUSE = 5.0
"""Seconds for which calls are not counted after Redis gave no answer, so that counting costs no waiting."""


class Broker:
    """The Redis behind Celery. Connections are made when they are needed, and survive a fork."""

    def __init__(self, url: str) -> None:
        # Its types do not tell this client from the asynchronous one.
        self._redis: Any = Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        self._deaf_until = 0.0

    def now(self) -> float:
        """Unix seconds by Redis's clock. Raises GatewayUnavailable."""
        with _told():
            seconds, micros = self._redis.time()
        return seconds + micros / 1e6

    def eviction(self) -> str | None:
        """What Redis does when its memory is full; None where a managed one does not say."""
        with _told():
            return {**self._redis.info("memory")}.get("maxmemory_policy")

    def depths(self, queues: Iterable[str]) -> Mapping[str, int]:
        """Messages that wait in each queue. Raises GatewayUnavailable."""
        with _told():
            return {name: int(self._redis.llen(name)) for name in queues}

    def count_call(self, outcome: str, seconds: float) -> None:
        """Add a call of the graph to the figures; where Redis does not answer it goes uncounted."""
        if time.monotonic() < self._deaf_until:
            return
        bucket = next((edge for edge in BUCKETS if seconds <= edge), None)
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.hincrby(_GRAPH, f"{outcome} {bucket}", 1)
                pipe.hincrbyfloat(_GRAPH, f"{outcome} seconds", seconds)
                pipe.execute()
        except RedisError:
            self._deaf_until = time.monotonic() + _PAUSE

    def graph_times(self) -> tuple[GraphTimes, ...]:
        """Calls of the graph by outcome, of all processes. Raises GatewayUnavailable."""
        with _told():
            counted = {key.decode(): float(value) for key, value in self._redis.hgetall(_GRAPH).items()}
        outcomes = sorted({key.partition(" ")[0] for key in counted})
        return tuple(_times(outcome, counted) for outcome in outcomes)

    def greet(self, sign: str) -> None:
        """Remember a worker, and forget those of long ago. `sign` is its own, and begins with its queues."""
        now = time.time()
        with suppress(RedisError), self._redis.pipeline(transaction=False) as pipe:
            pipe.zadd(_WORKERS, {sign: now})
            pipe.zremrangebyscore(_WORKERS, "-inf", now - REMEMBERED)
            pipe.execute()

    def take_leave(self, sign: str) -> None:
        """Forget a worker that ends in order; where Redis does not answer it counts as lost for a while."""
        with suppress(RedisError):
            self._redis.zrem(_WORKERS, sign)

    def remembered(self) -> Mapping[str, int]:
        """Workers by queue that were there of late and have not taken leave. Raises GatewayUnavailable."""
        with _told():
            signs = self._redis.zrangebyscore(_WORKERS, time.time() - REMEMBERED, "+inf")
        return Counter(queue for sign in signs for queue in sign.decode().split(" ")[0].split(","))

    def close(self) -> None:
        """Close its connections."""
        self._redis.close()


def _times(outcome: str, counted: Mapping[str, float]) -> GraphTimes:
    below, calls = [], 0
    for edge in BUCKETS:
        calls += int(counted.get(f"{outcome} {edge}", 0))
        below.append((edge, calls))
    calls += int(counted.get(f"{outcome} None", 0))
    return GraphTimes(outcome, tuple(below), calls, counted.get(f"{outcome} seconds", 0.0))


@contextmanager
def _told() -> Iterator[None]:
    """Redis's errors in our words; theirs may name the address with its password."""
    try:
        yield
    except RedisError as error:
        raise GatewayUnavailable(f"Redis does not answer: {type(error).__name__}", service="Redis") from error
