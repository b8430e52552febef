"""What a datastack has of its own: files that count as soon as they change, and nobody else's."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from materializationengine.bootstrap import Services
from materializationengine.config import Settings
from materializationengine.domain.datastack import Datastack
from materializationengine.domain.errors import ConfigurationError, UnknownDatastack
from materializationengine.gateways.datastacks import StaticDatastacks
from materializationengine.gateways.secrets import Secrets
from tests.gateways.servers import Answer, Request, serving


def stack(name: str) -> Datastack:
    return Datastack(name, f"{name}_volume", f"graphene://http://x/segmentation/table/{name}", name, (4.0, 4.0, 40.0))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "common.json").write_text(json.dumps({"token": "common-token"}))
    (tmp_path / "secrets/one").mkdir(parents=True)
    environ = {
        "DAF_CREDENTIALS": str(tmp_path / "common.json"),
        "MATERIALIZATION_DATASTACK_SECRETS": str(tmp_path / "secrets"),
        "GOOGLE_APPLICATION_CREDENTIALS": "/common/account.json",
    }
    return Settings.from_env(environ)


def test_each_datastack_asks_with_its_own_token_of_the_moment(settings: Settings, tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: Request) -> Answer:
        asked.append(request.headers["authorization"].removeprefix("Bearer "))
        return Answer.of({"graph": {"n_layers": 5}, "old_roots": [], "new_roots": []})

    moment = datetime(2026, 1, 1, tzinfo=UTC)
    with serving(answer) as graph:
        services = Services(replace(settings, pcg_server=graph.url))
        graphs = [services.graph(stack(name)) for name in ("one", "two")]
        own = tmp_path / "secrets/one/graph_token"
        for text in (None, "first-token\n", "second-token"):
            if text is not None:
                own.write_text(text)
            for each in graphs:
                each.expired_roots(moment, moment)
        (tmp_path / "common.json").write_text(json.dumps({"token": "renewed-token"}))
        graphs[1].expired_roots(moment, moment)
        services.close()
    common = "common-token"
    assert asked == [common, common, "first-token", common, "second-token", common, "renewed-token"]
    assert {"second-token", "renewed-token"} <= set(settings.secrets())


def test_limits_and_credentials(settings: Settings, tmp_path: Path) -> None:
    secrets, own = Secrets(settings), tmp_path / "secrets/one"
    assert secrets.limits("one") == secrets.limits("two") and not secrets.limits("one").own_rate
    (own / "limits.json").write_text('{"graph_rate": 5, "graph_batch": 1000}')
    limits = secrets.limits("one")
    assert (limits.graph_rate, limits.graph_batch, limits.graph_timeout, limits.own_rate) == (5.0, 1000, 120.0, True)
    assert secrets.limits("two").graph_batch == 100_000
    assert secrets.credentials_file("one") == "/common/account.json"
    (own / "bucket_credentials.json").write_text("{}")
    assert secrets.credentials_file("one") == str(own / "bucket_credentials.json")
    assert secrets.credentials_file("two") == secrets.credentials_file(None) == "/common/account.json"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "a JSON object"),
        ("[1]", "a JSON object"),
        ('{"graph_batch": "x"}', "of numbers"),
        ('{"rate": 1}', "'rate'"),
    ],
)
def test_limits_that_cannot_be_read(settings: Settings, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "secrets/one/limits.json").write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        Secrets(settings).limits("one")


@pytest.mark.parametrize("name", ["../one", "one/../one", "/etc", ".."])
def test_a_name_that_is_a_path_has_no_secrets(settings: Settings, tmp_path: Path, name: str) -> None:
    (tmp_path / "secrets/one/graph_token").write_text("first-token")
    (tmp_path / "graph_token").write_text("not for you")
    assert Secrets(settings).token(name) == "common-token"


def test_new_limits_make_a_new_graph_and_the_same_ones_do_not(settings: Settings, tmp_path: Path) -> None:
    services = Services(settings)
    before = services.graph(stack("one"))
    assert services.graph(stack("one")) is before
    (tmp_path / "secrets/one/limits.json").write_text('{"graph_timeout": 7}')
    assert services.graph(stack("one")) is not before
    services.close()


def test_a_datastack_that_is_added_to_the_file_is_there_at_once(tmp_path: Path) -> None:
    record = {
        "aligned_volume": {"name": "v"},
        "segmentation_source": "graphene://http://x/segmentation/table/t",
        **{f"viewer_resolution_{axis}": 4.0 for axis in "xyz"},
    }
    path = tmp_path / "stacks.json"
    path.write_text(json.dumps({"one": record}))
    stacks = StaticDatastacks(path)
    with pytest.raises(UnknownDatastack):
        stacks.get("two")
    path.write_text(json.dumps({"one": record, "two": record}))
    assert stacks.names() == ("one", "two") and stacks.get("two").aligned_volume == "v"
