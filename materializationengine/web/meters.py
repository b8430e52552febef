"""What one web process counts of its own: requests, their seconds, rows sent.

With several processes under one gunicorn, PROMETHEUS_MULTIPROC_DIR names a folder in which prometheus-client keeps
the counts of all of them; without it each process tells its own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0)
"""Bounds of the histogram: an answer begins within 20 ms, a large one takes seconds."""

NO_RULE = "(none)"
"""The rule of a path that no view has, so that nobody fills the memory with made-up paths."""


@dataclass(frozen=True)
class Meters:
    """Counters of one application. Seconds are those until an answer begins, not until its last row is sent."""

    registry: CollectorRegistry
    requests: Counter
    seconds: Histogram
    rows: Counter

    def answered(self, method: str, rule: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(method, rule, str(status)).inc()
        self.seconds.labels(method, rule).observe(seconds)

    def own(self) -> CollectorRegistry:
        """Where the counts are read: of this process, or of all of them."""
        if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            return self.registry
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return together


def make_meters() -> Meters:
    """Meters that stand at nothing."""
    registry = CollectorRegistry()
    return Meters(
        registry,
        Counter("matengine_http_requests_total", "Requests answered", ("method", "rule", "status"), registry=registry),
        Histogram(
            "matengine_http_request_seconds",
            "Seconds until an answer begins",
            ("method", "rule"),
            buckets=SECONDS,
            registry=registry,
        ),
        Counter("matengine_rows_sent_total", "Rows of tables, views and queries sent", registry=registry),
    )
