from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .servers import Answer, Loopback, Request, serving

SHARED = Path(__file__).parents[2] / "../shared/data"


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Request], Answer]], Loopback]]:
    """Starts servers that end with the test."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serving(answer))


@pytest.fixture
def em512() -> Path:
    """The small world on a real volume."""
    folder = (SHARED / "em512").resolve()
    if not folder.is_dir():
        pytest.skip("the example world ../shared/data/em512 is absent")
    return folder


@pytest.fixture
def closed_port() -> str:
    """An address at which nobody listens."""
    with serving(lambda request: Answer()) as server:
        return server.url
