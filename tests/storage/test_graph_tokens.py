"""The shared token bucket: all callers together keep the rate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.storage.engines import Cluster
from materializationengine.storage.graph_tokens import SharedBucket, throttle
from materializationengine.storage.live_database import ensure


@pytest.fixture
def cluster(postgres: PrivateCluster) -> Iterator[Cluster]:
    made = Cluster(postgres.url, application="tests")
    ensure(made, made.home)
    yield made
    made.close()


def test_what_is_saved_up_goes_at_once_and_the_rest_waits_its_turn(cluster: Cluster) -> None:
    bucket = SharedBucket(cluster, "turns", rate=0.01, burst=3)
    waits = [bucket.take() for _ in range(5)]
    assert waits[:3] == [0.0, 0.0, 0.0]
    assert 99 < waits[3] <= 100 and 198 < waits[4] <= 200


def test_many_callers_together_keep_the_rate(cluster: Cluster) -> None:
    bucket = SharedBucket(cluster, "together", rate=20.0, burst=1)
    wait, begin = throttle(bucket), time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: wait(), range(21)))
    assert time.monotonic() - begin >= 0.95


def test_buckets_of_two_names_do_not_share(cluster: Cluster) -> None:
    assert SharedBucket(cluster, "one", 0.01, 1).take() == 0.0
    assert SharedBucket(cluster, "two", 0.01, 1).take() == 0.0


def test_nobody_is_asked_to_wait_without_need(cluster: Cluster) -> None:
    slept: list[float] = []
    throttle(SharedBucket(cluster, "idle", 0.01, 2), slept.append)()
    assert slept == []
