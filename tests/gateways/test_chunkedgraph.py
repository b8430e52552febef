"""The chunkedgraph gateway against a small server with the real one's odd rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materializationengine.domain.errors import GatewayAnswer, GatewayRefused, GatewayUnavailable
from materializationengine.gateways.chunkedgraph import HttpChunkedGraph, VolumeSource, timestamp_text

from .mini_graph import BIRTH, TOP, MiniGraph, node
from .servers import Answer, serving

LATER = BIRTH + timedelta(days=1)
DAY3 = BIRTH + timedelta(days=3)


@pytest.fixture
def truth() -> MiniGraph:
    graph = MiniGraph()
    graph.edit(BIRTH + timedelta(days=2), [node(1, 1), node(1, 2), node(1, 3)])
    graph.edit(DAY3, [node(1, 1)], [node(1, 2), node(1, 3)])
    return graph


@pytest.fixture
def server(truth, serve):
    return serve(truth)


def client(server, **options: object) -> HttpChunkedGraph:
    return HttpChunkedGraph(server.url, "mini_pcg", "token", **{"backoff": 0.01, **options})


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(st.datetimes(datetime(2014, 1, 1), datetime(2100, 1, 1)))
def test_a_moment_arrives_at_its_millisecond(moment):
    moment = moment.replace(tzinfo=UTC)
    arrived = datetime.fromtimestamp(float(timestamp_text(moment)), UTC)
    assert arrived == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def test_moments_are_written_from_whole_numbers():
    assert timestamp_text(datetime(2021, 1, 1, 12, 0, 0, 123999, tzinfo=UTC)) == "1609502400.123000"
    assert timestamp_text(datetime(1969, 12, 31, 23, 59, 58, 500000, tzinfo=UTC)) == "-1.500000"
    with pytest.raises(ValueError, match="no time zone"):
        timestamp_text(datetime(2021, 1, 1))


def test_roots_at_every_time(server, truth):
    graph = client(server, batch=7)
    for day in (0, 1, 2, 2.5, 3, 4):
        at = BIRTH + timedelta(days=day)
        found = graph.roots(truth.supervoxels, at)
        assert found.roots.dtype == np.int64
        assert found.resolved.all()
        np.testing.assert_array_equal(found.roots, truth.roots_at(truth.supervoxels, at))


def test_an_edit_counts_from_its_own_millisecond(server, truth):
    graph, supervoxel = client(server), ids(node(1, 1))
    before, after = (graph.roots(supervoxel, DAY3 + timedelta(microseconds=us)).roots[0] for us in (-1, 0))
    assert before == truth.root_at(node(1, 1), int((DAY3 - timedelta(hours=1)).timestamp() * 1000))
    assert after != before


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 12))
def test_order_duplicates_and_batches(numbers, batch):
    truth = MiniGraph()
    with serving(truth) as server:
        asked = ids(*(node(1, n) if n else 0 for n in numbers))
        found = client(server, batch=batch).roots(asked, LATER)
        sent = [np.frombuffer(r.body, "<i8") for r in server.requests if r.path.endswith("roots_binary")]
    np.testing.assert_array_equal(found.roots, truth.roots_at(asked, LATER))
    np.testing.assert_array_equal(found.resolved, (asked == 0) | (found.roots != 0))
    everything = np.concatenate([ids(), *sent])
    np.testing.assert_array_equal(everything, np.unique(asked[asked != 0]), "each once, sorted, never 0")
    assert all(len(some) <= batch for some in sent)


def test_zero_is_background_and_asks_nobody(server):
    graph = client(server)
    graph.top_layer()
    asked = len(server.requests)
    found = graph.roots(ids(0, 0), LATER)
    assert found.roots.tolist() == [0, 0]
    assert found.resolved.tolist() == [True, True]
    assert len(server.requests) == asked


def test_before_its_birth_the_graph_hands_the_ids_back(server, truth):
    found = client(server).roots(truth.supervoxels, BIRTH - timedelta(seconds=1))
    assert not found.resolved.any()
    assert not found.roots.any()


def test_an_unknown_id_is_unresolved_alone_and_among_others(server):
    graph = client(server)
    for asked in (ids(node(1, 999)), ids(node(1, 999), node(1, 4))):
        found = graph.roots(asked, LATER)
        assert not found.resolved[0]
        assert found.roots[0] == 0


def test_a_root_or_a_stranger_is_no_supervoxel(server, truth):
    """The server hands such ids back unchanged, whether or not they ever existed."""
    found = client(server).roots(ids(node(TOP, 12345), node(TOP + 3, 1), node(1, 4)), LATER)
    assert found.resolved.tolist() == [False, False, True]
    assert found.roots[:2].tolist() == [0, 0]


def test_an_answer_of_a_middle_layer_does_not_count(serve, truth):
    def lenient(request):
        if request.path.endswith("roots_binary"):
            answers = np.frombuffer(request.body, "<i8") + (2 << 56)
            return Answer(200, answers.tobytes())
        return truth(request)

    found = client(serve(lenient)).roots(ids(node(1, 4)), LATER)
    assert found.resolved.tolist() == [False]
    assert found.roots.tolist() == [0]


def test_an_answer_of_the_wrong_length(server, truth):
    graph = client(server)
    graph.top_layer()
    server.faults.append(Answer(200, b"\0" * 16))
    with pytest.raises(GatewayAnswer, match="mini_pcg: asked for 30 roots, got 16 bytes instead of 240"):
        graph.roots(truth.supervoxels, LATER)


def test_other_ids_than_int64_are_refused(server):
    graph = client(server)
    for wrong in (np.array([1.0]), np.array([1], dtype=np.uint64), np.array([[1]], dtype=np.int64)):
        with pytest.raises(TypeError, match="flat int64"):
            graph.roots(wrong, LATER)


def test_info_is_asked_once(server):
    graph = client(server)
    assert (graph.top_layer(), graph.top_layer()) == (TOP, TOP)
    assert graph.data_source() == VolumeSource("gs://bucket/watershed", 1)
    assert len(server.requests) == 1


@pytest.mark.parametrize("info", [{}, [], {"graph": {"n_layers": "12"}}, {"graph": {"n_layers": 1}}])
def test_info_without_layers(serve, info):
    with pytest.raises(GatewayAnswer, match=r"mini_pcg: its info|mini_pcg: its answer to info"):
        client(serve(lambda request: Answer.of(info))).top_layer()


def test_info_without_a_volume(serve):
    with pytest.raises(GatewayAnswer, match="no data_dir"):
        client(serve(lambda request: Answer.of({"graph": {"n_layers": 5}}))).data_source()


def test_expired_roots_are_distinct_sorted_and_of_the_window(server, truth):
    graph = client(server)
    (_, merged, _), (_, split, _) = truth.log
    assert graph.expired_roots(BIRTH, DAY3).tolist() == sorted({*merged, *split})
    assert graph.expired_roots(DAY3, DAY3).tolist() == sorted(set(split)), "both ends belong to it"
    nothing = graph.expired_roots(DAY3 + timedelta(milliseconds=1), DAY3 + timedelta(days=9))
    assert nothing.dtype == np.int64
    assert nothing.tolist() == []


@pytest.mark.parametrize("roots", [None, ["864691135850649637"], [8.64e17], [2**63], [True]])
def test_expired_roots_that_are_no_ids(serve, roots):
    graph = client(serve(lambda request: Answer.of({"old_roots": roots, "new_roots": []})))
    with pytest.raises(GatewayAnswer, match="its answer to old_roots"):
        graph.expired_roots(BIRTH, DAY3)


def test_latest_roots(server, truth):
    graph = client(server, batch=2)
    old, new = truth.log[1][1][0], truth.log[1][2][0]
    assert graph.is_latest(ids(old, new, node(TOP, 1)), DAY3 + timedelta(seconds=1)).tolist() == [
        False,
        True,
        False,
    ]
    assert graph.is_latest(ids(old, new), DAY3).tolist() == [True, False], "at the edit itself the old one"
    assert graph.is_latest(ids(), DAY3).tolist() == []


def test_births_of_roots(server, truth):
    graph = client(server, batch=1)
    new = truth.log[1][2]
    assert graph.root_times(ids(*new)) == (DAY3, DAY3)
    with pytest.raises(GatewayAnswer, match="a list of 1"):
        graph.root_times(ids(node(TOP, 1)))
    with pytest.raises(GatewayRefused, match="may not know one of the ids"):
        client(server).root_times(ids(new[0], node(TOP, 1)))


def test_ancestors(server, truth):
    graph = client(server)
    first, second = truth.log[1][2]
    found = graph.past_ids(ids(first, second), LATER, DAY3)
    at_birth = truth.roots_at(ids(node(1, 1), node(1, 2), node(1, 3)), LATER).tolist()
    assert found.past == {first: (at_birth[0],), second: tuple(sorted(at_birth[1:]))}
    assert found.future == {}
    with pytest.raises(GatewayRefused, match="may not know"):
        graph.past_ids(ids(node(TOP, 1)), LATER, DAY3)


def test_oldest(server, serve):
    assert client(server).oldest() == BIRTH + timedelta(days=2) - timedelta(milliseconds=500)
    assert client(serve(MiniGraph())).oldest() is None
    server.always = Answer(503)
    with pytest.raises(GatewayUnavailable):
        client(server, retries=0).oldest()


def test_a_graph_that_is_down(server, truth):
    graph = client(server, retries=1)
    graph.top_layer()
    server.always = Answer(503, headers={"Retry-After": "40"})
    with pytest.raises(GatewayUnavailable, match=r"chunkedgraph at .*roots_binary answered 503") as caught:
        graph.roots(truth.supervoxels, LATER)
    assert caught.value.retry_after == 40


def test_a_passing_outage_goes_unnoticed(server, truth):
    graph = client(server)
    graph.top_layer()
    server.faults.extend([Answer(503), Answer(0)])
    assert graph.roots(truth.supervoxels, LATER).resolved.all()
