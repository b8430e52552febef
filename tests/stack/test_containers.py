"""The compose file: valid, and made of the commands and settings that a stack on this machine uses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from materializationengine.config import Settings
from materializationengine.kernel.postgres import SETTINGS
from materializationengine.stack import StackInfo, described, programs

ROOT = Path(__file__).parents[2]
PYTHON_SERVICES = {"localcave", "web", "celery-workflow", "celery-process", "beat"}
STATE = "/var/lib/matengine"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text()))


def test_it_fits_the_compose_schema() -> None:
    words = ["--builtin-schema", "vendor.compose-spec", str(ROOT / "docker-compose.yml")]
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *words], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_service_runs_what_the_stack_runs(compose: dict[str, Any]) -> None:
    listen = ("--host", "0.0.0.0", "--port", "8001")
    expected = {
        "localcave": programs.localcave(f"{STATE}/localcave", *listen, public_url="http://localhost:8000"),
        "web": programs.web("0.0.0.0:8000"),
        "celery-workflow": programs.worker("workflow", queues=["celery", "workflow"]),
        "celery-process": programs.worker("process", queues=["process"]),
        "beat": programs.beat(STATE),
    }
    assert {name: compose["services"][name]["command"] for name in PYTHON_SERVICES} == expected


def test_the_image_starts_python_and_serves_the_api_by_default() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["python"]' in text
    command = re.search(r"^CMD \[(.*)\]$", text, re.MULTILINE)
    assert command is not None
    assert [word.strip('" ') for word in command[1].split(",")] == programs.web("0.0.0.0:8000")
    assert re.search(r"^USER matengine$", text, re.MULTILINE)


def test_all_queues_are_consumed(compose: dict[str, Any]) -> None:
    words = [word for service in compose["services"].values() for word in service.get("command", [])]
    queues = [queue for word in words if word.startswith("--queues=") for queue in word[9:].split(",")]
    assert sorted(queues) == sorted(programs.QUEUES)


def test_settings_are_known_and_are_those_of_a_stack(compose: dict[str, Any]) -> None:
    own = set(StackInfo("http://s", "postgresql://h/d", "redis://h", "http://c", "/d").environment())
    for name in [*PYTHON_SERVICES, "demo"]:
        environment = compose["services"][name]["environment"]
        assert set(environment) == own - {"MATENGINE_DIR"} | {"BEAT_SCHEDULES"}
        assert described(environment) is not None
        settings = Settings.from_env(environment)
        assert settings.auth_disabled
        assert settings.graph_server == settings.localcave_url


def test_the_database_is_tuned_as_a_private_one(compose: dict[str, Any]) -> None:
    given = dict(word[2:].split("=", 1) for word in compose["services"]["db"]["command"][1:])
    assert given.items() <= SETTINGS.items()


def test_data_lie_on_named_volumes_and_nothing_is_open_to_the_network(compose: dict[str, Any]) -> None:
    services = compose["services"]
    used = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    assert used == set(compose["volumes"])
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8000:8000", "127.0.0.1:5555:5555"]


def test_what_starts_first_has_a_health_check(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for name, wish in service.get("depends_on", {}).items():
            assert wish["condition"] != "service_healthy" or "healthcheck" in services[name]


def test_profiles_are_opt_in(compose: dict[str, Any]) -> None:
    profiles = {name: s["profiles"] for name, s in compose["services"].items() if "profiles" in s}
    assert profiles == {"flower": ["flower"], "demo": ["demo"]}
