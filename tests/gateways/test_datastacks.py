"""Datastack records from the info service and from a file."""

from __future__ import annotations

import json

import pytest

from materializationengine.domain.datastack import Datastack
from materializationengine.domain.errors import (
    ConfigurationError,
    GatewayAnswer,
    GatewayRefused,
    GatewayUnavailable,
    UnknownDatastack,
)
from materializationengine.gateways.datastacks import InfoService, StaticDatastacks

from .servers import Answer, Request

RECORD = {
    "aligned_volume": {
        "id": 1,
        "name": "minnie65_phase3",
        "description": None,
        "image_source": "precomputed://x",
    },
    "segmentation_source": "graphene://https://minnie.local/segmentation/table/minnie3_v1",
    "synapse_table": "synapses_pni_2",
    "soma_table": "",
    "description": None,
    "viewer_resolution_x": 4,
    "viewer_resolution_y": 4.0,
    "viewer_resolution_z": 40.0,
}

EXPECTED = Datastack(
    name="minnie65",
    aligned_volume="minnie65_phase3",
    segmentation_source="graphene://https://minnie.local/segmentation/table/minnie3_v1",
    pcg_table="minnie3_v1",
    viewer_resolution=(4.0, 4.0, 40.0),
    synapse_table="synapses_pni_2",
    soma_table=None,
    description="",
)


def info(request: Request) -> Answer:
    if request.path == "/info/api/v2/datastacks":
        return Answer.of(["v1dd", "minnie65"])
    if request.path == "/info/api/v2/datastack/full/minnie65":
        return Answer.of(RECORD)
    return Answer.of({"message": "not found"}, 404)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_datastack(serve):
    service = InfoService(serve(info).url, "token")
    assert service.get("minnie65") == EXPECTED
    assert service.names() == ("minnie65", "v1dd")


def test_records_are_kept_for_a_while(serve):
    clock, server = Clock(), serve(info)
    service = InfoService(server.url, ttl=60, clock=clock)
    service.get("minnie65")
    clock.now = 59
    service.get("minnie65")
    assert len(server.requests) == 1
    clock.now = 61
    service.get("minnie65")
    assert len(server.requests) == 2


def test_an_unknown_datastack_names_the_known(serve):
    service = InfoService(serve(info).url)
    with pytest.raises(UnknownDatastack, match=r"'minie65'; did you mean minnie65\? known: minnie65, v1dd"):
        service.get("minie65")
    with pytest.raises(UnknownDatastack, match=r"unknown datastack 'a/../b'"):
        service.get("a/../b")


def test_an_unknown_datastack_is_asked_again(serve):
    answers = {"known": False}
    service = InfoService(serve(lambda r: info(r) if answers["known"] or "full" not in r.path else Answer(404)).url)
    with pytest.raises(UnknownDatastack):
        service.get("minnie65")
    answers["known"] = True
    assert service.get("minnie65") == EXPECTED


@pytest.mark.parametrize("fault", [Answer(503), Answer(500), Answer(0)])
def test_the_service_is_down(serve, fault):
    server = serve(info)
    server.always = fault
    service = InfoService(server.url, retries=1, backoff=0.01)
    with pytest.raises(GatewayUnavailable, match="info service at"):
        service.get("minnie65")
    with pytest.raises(GatewayUnavailable, match="info service at"):
        service.names()


def test_a_datastack_the_engine_may_not_see(serve):
    server = serve(lambda request: Answer.of({"message": "missing_permission"}, 403))
    with pytest.raises(GatewayRefused, match="answered 403"):
        InfoService(server.url).get("minnie65")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"aligned_volume": None}, "aligned_volume"),
        ({"aligned_volume": {}}, "name"),
        ({"segmentation_source": None}, "segmentation_source"),
        ({"viewer_resolution_y": None}, "viewer_resolution_y"),
        ({"viewer_resolution_y": 0}, "viewer_resolution_y"),
        ({"viewer_resolution_y": "4"}, "viewer_resolution_y"),
    ],
)
def test_a_record_that_lacks_something(serve, tmp_path, change, field):
    record = {**RECORD, **change}
    with pytest.raises(GatewayAnswer, match=f"datastack minnie65: .*{field}"):
        InfoService(serve(lambda request: Answer.of(record)).url).get("minnie65")
    (tmp_path / "stacks.json").write_text(json.dumps({"minnie65": record}))
    with pytest.raises(ConfigurationError, match=f"stacks.json.*{field}"):
        StaticDatastacks(tmp_path / "stacks.json")


@pytest.mark.parametrize("names", [{}, [1], None])
def test_names_that_are_none(serve, names):
    with pytest.raises(GatewayAnswer, match="not a list of names"):
        InfoService(serve(lambda request: Answer.of(names)).url).names()


def test_a_file(tmp_path):
    path = tmp_path / "stacks.json"
    path.write_text(json.dumps({"minnie65": RECORD, "copy": RECORD}))
    stacks = StaticDatastacks(path)
    assert stacks.names() == ("copy", "minnie65")
    assert stacks.get("minnie65") == EXPECTED
    with pytest.raises(UnknownDatastack, match="known: copy, minnie65"):
        stacks.get("v1dd")


@pytest.mark.parametrize("content", [None, "{", "[]", '{"a": 1}'])
def test_a_file_that_is_none(tmp_path, content):
    path = tmp_path / "stacks.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"DATASTACKS_FILE=.*stacks.json"):
        StaticDatastacks(path)
