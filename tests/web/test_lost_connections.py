"""A connection that breaks in the middle of a write is the database's absence, not a fault of ours."""

from __future__ import annotations

import pytest

from materializationengine.domain.errors import StorageUnavailable
from materializationengine.storage import annotations
from materializationengine.storage.engines import Cluster

from . import frozen


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("at_commit", [False, True])
def test_a_broken_connection_is_told_as_such(cluster: Cluster, at_commit: bool) -> None:
    with pytest.raises(StorageUnavailable, match="broke"), annotations.writing(cluster, frozen.VOLUME) as writer:
        (pid,) = writer.one("SELECT pg_backend_pid()") or (0,)
        with cluster.connect(frozen.VOLUME) as killer:
            killer.rows("SELECT pg_terminate_backend($1::int)", pid)
        if not at_commit:
            annotations.hold(writer, "synapses")


@pytest.mark.usefixtures("rows")
def test_a_wrong_statement_is_still_a_fault_of_ours(cluster: Cluster) -> None:
    with pytest.raises(Exception, match="nowhere") as caught, annotations.writing(cluster, frozen.VOLUME) as writer:
        writer.rows("SELECT * FROM nowhere")
    assert not isinstance(caught.value, StorageUnavailable)
