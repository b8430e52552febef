"""What is deployed: valid by the validators of its formats, made of known commands, which are carried out here."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from materializationengine.cli import main
from materializationengine.config import Settings
from materializationengine.domain.errors import ConfigurationError
from materializationengine.domain.plan import RunKind
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.stack import programs
from materializationengine.storage import run_control
from materializationengine.storage.run_records import find_run
from materializationengine.workflows.celery_app import create_celery
from materializationengine.workflows.launch import launch
from materializationengine.workflows.requests import RunRequest
from tests.harness import Engine
from tests.workflows.workers import ROOT

K8S = ROOT / "deploy/k8s"
PRODUCTION = ROOT / "deploy/compose.production.yml"
WANTED = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<rule>:[?-])?(?P<word>[^}]*)\}")


def documents() -> list[dict[str, Any]]:
    """Every Kubernetes object."""
    yaml = YAML(typ="safe")
    files = sorted(path for path in K8S.glob("*.yaml") if path.name != "kustomization.yaml")
    return [document for path in files for document in yaml.load_all(path)]


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in documents() if each["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    """The pod of every object that has one."""
    found = {}
    for each in documents():
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found[each["metadata"]["name"]] = spec["template"]["spec"]
    return found


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    return dict(only)


@pytest.mark.parametrize("document", documents(), ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
def test_every_object_fits_the_schema_of_kubernetes(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.31", strict=True)


def test_the_validator_can_say_no() -> None:
    (web, *_) = [each for each in documents() if each["kind"] == "Deployment"]
    web["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(web, "1.31", strict=True)


def test_kustomize_takes_every_file() -> None:
    listed = YAML(typ="safe").load(K8S / "kustomization.yaml")
    there = {path.name for path in K8S.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(listed["resources"]) == there
    images = {container(pod)["image"] for pod in pods().values()}
    assert images == {image["name"] for image in listed["images"]}
    (settings,) = listed["configMapGenerator"]
    pairs = dict(line.split("=", 1) for line in (K8S / settings["envs"][0]).read_text().splitlines())
    assert (
        Settings.from_env({**pairs, "SQLALCHEMY_DATABASE_URI": "postgresql://e:p@db/m"}).configuration == "production"
    )
    for pod in pods().values():
        assert container(pod)["envFrom"] == [{"configMapRef": {"name": settings["name"]}}]


def test_every_pod_is_restricted_and_takes_secrets_by_reference() -> None:
    for name, pod in pods().items():
        inside = container(pod)
        assert pod["securityContext"]["runAsNonRoot"], name
        assert inside["securityContext"]["readOnlyRootFilesystem"], name
        assert inside["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        assert not inside["securityContext"]["allowPrivilegeEscalation"], name
        assert not pod["automountServiceAccountToken"], name
        assert {"cpu", "memory"} <= set(inside["resources"]["requests"]), name
        references = {each["name"]: each["valueFrom"]["secretKeyRef"]["name"] for each in inside["env"]}
        assert references == {"SQLALCHEMY_DATABASE_URI": "matengine", "REDIS_URL": "matengine"}, name


def test_pods_run_what_the_stack_runs() -> None:
    queues = {"matengine-worker-workflow": ["celery", "workflow"], "matengine-worker-process": ["process"]}
    expected = {"matengine-web": programs.web("0.0.0.0:8000"), "matengine-beat": programs.beat("/tmp")} | {
        name: programs.worker(name.rpartition("-")[2], queues=wanted) for name, wanted in queues.items()
    }
    found = {name: container(pods()[name])["args"] for name in named("Deployment")}
    assert found == expected
    assert sorted(queue for wanted in queues.values() for queue in wanted) == sorted(programs.QUEUES)


def test_workers_scale_on_the_age_of_their_queues_and_disruptions_are_bounded() -> None:
    scaled = {}
    for hpa in named("HorizontalPodAutoscaler").values():
        target = hpa["spec"]["scaleTargetRef"]["name"]
        deployment = named("Deployment")[target]
        assert "replicas" not in deployment["spec"], "two would set the same number"
        selectors = [
            metric["external"]["metric"]["selector"]["matchLabels"]["queue"] for metric in hpa["spec"]["metrics"]
        ]
        queues = [word for word in container(pods()[target])["args"] if word.startswith("--queues=")]
        assert queues == [f"--queues={','.join(selectors)}"]
        scaled[target] = selectors
    budgets = {budget["spec"]["selector"]["matchLabels"]["app"] for budget in named("PodDisruptionBudget").values()}
    assert budgets == {"matengine-web", *scaled}


def _environ(engine: Engine, redis: PrivateRedis) -> dict[str, str]:
    settings = engine.services.settings
    return {
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "LOCAL_SERVER_URL": settings.local_server,
        "REDIS_URL": redis.url,
        "MATERIALIZATION_AS_OF_MARGIN": "0",
    }


def test_jobs_carry_out_their_commands(engine: Engine, redis: PrivateRedis, tmp_path: Path) -> None:
    environ = {**os.environ, **_environ(engine, redis)}
    migrate, backup = container(pods()["matengine-migrate"]), container(pods()["matengine-backup"])
    done = CliRunner().invoke(main, migrate["args"], env=environ)
    assert (migrate["command"], done.exit_code) == (["matengine"], 0), done.output
    *shell, line = backup["command"]
    assert "/backups/" in line
    (tmp_path / "bin").mkdir()
    matengine = tmp_path / "bin/matengine"
    matengine.write_text(f'#!/bin/sh\nexec {sys.executable} -m materializationengine.cli "$@"\n')
    matengine.chmod(0o755)
    path = f"{matengine.parent}:{os.environ['PATH']}"
    words = [*shell, line.replace("/backups/", f"{tmp_path}/backups/")]
    subprocess.run(words, env={**environ, "PATH": path}, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (made,) = (tmp_path / "backups").iterdir()
    assert (made / "manifest.json").is_file()


@pytest.fixture
def process_worker(engine: Engine, redis: PrivateRedis, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The worker of the manifest, as the container starts it."""
    args = container(pods()["matengine-worker-process"])["args"]
    with (tmp_path / "log").open("ab") as log:
        environ = {**os.environ, **_environ(engine, redis)}
        process = subprocess.Popen([sys.executable, *args], cwd=ROOT, env=environ, stdout=log, stderr=log)
    yield process
    process.kill()
    process.wait()


def test_a_worker_answers_its_probe_and_drains_before_it_goes(
    engine: Engine, redis: PrivateRedis, process_worker: subprocess.Popen[bytes]
) -> None:
    environ = _environ(engine, redis)
    *_, line = container(pods()["matengine-worker-process"])["livenessProbe"]["exec"]["command"]
    probe = line.replace("exec python", f"exec {sys.executable}")
    assert _until(lambda: _shell(probe, environ) == 0, 6), "the probe of a living worker"
    assert _shell(probe.replace("process@", "absent@").replace("--timeout=15", "--timeout=2"), environ) != 0
    request = RunRequest(RunKind.DUMMY, seconds=(4.0,))
    record = launch(engine.services, request, create_celery(Settings.from_env(environ)).send)
    assert _until(lambda: _running(engine, record.id), 100)
    process_worker.send_signal(signal.SIGTERM)
    grace = pods()["matengine-worker-process"]["terminationGracePeriodSeconds"]
    assert process_worker.wait(min(60, grace)) == 0
    first, second = find_run(engine.services.cluster, record.id, units=True).units
    assert (first.status, first.attempt, second.status) == ("DONE", 1, "READY"), "finished one, took no other"
    run_control.cancel(engine.services.cluster, record.id, "the test")


def _running(engine: Engine, run: str) -> bool:
    return find_run(engine.services.cluster, run).steps[0].running == 1


def _until(true: Callable[[], bool], tries: int) -> bool:
    for _ in range(tries):
        if true():
            return True
        time.sleep(0.2)
    return False


def _shell(line: str, environ: dict[str, str]) -> int:
    return subprocess.run(
        ["sh", "-c", line], env={**os.environ, **environ}, cwd=ROOT, capture_output=True, timeout=200, check=False
    ).returncode


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("compose-spec", "deploy/compose.production.yml"),
        ("github-workflows", ".github/workflows/materialization-engine.yml"),
        ("readthedocs", ".readthedocs.yaml"),
    ],
)
def test_files_fit_their_schemas(schema: str, file: str) -> None:
    words = ["--builtin-schema", f"vendor.{schema}", str(ROOT / file)]
    checked = subprocess.run([sys.executable, "-m", "check_jsonschema", *words], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def interpolate(text: str, environ: dict[str, str]) -> str:
    """Variables as compose has them. Raises LookupError for a required one that is absent or empty."""

    def value(found: re.Match[str]) -> str:
        given = environ.get(found["name"], "")
        if not given and found["rule"] == ":?":
            raise LookupError(f"{found['name']}: {found['word']}")
        return given or (found["word"] if found["rule"] == ":-" else "")

    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return WANTED.sub(value, "\n".join(lines)).replace("$$", "$")


GIVEN = {
    "POSTGRES_PASSWORD": "p1",
    "REDIS_PASSWORD": "r1",
    "LOCAL_SERVER_URL": "https://m",
    "GLOBAL_SERVER_URL": "https://g",
    "PCG_SERVER_URL": "https://p",
    "DAF_CREDENTIALS_FILE": "/token.json",
}


@pytest.mark.parametrize("missing", sorted(GIVEN))
def test_production_does_not_start_without(missing: str) -> None:
    with pytest.raises(LookupError, match=missing):
        interpolate(PRODUCTION.read_text(), {**GIVEN, missing: ""})


def test_production_has_no_password_of_its_own() -> None:
    compose = YAML(typ="safe").load(interpolate(PRODUCTION.read_text(), GIVEN))
    for name in ("web", "celery-workflow", "celery-process", "beat"):
        service = compose["services"][name]
        settings = Settings.from_env(service["environment"])
        assert (settings.configuration, settings.auth_disabled) == ("production", False)
        assert ":p1@" in settings.database_url and ":r1@" in settings.redis_url
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        if name != "web":
            assert service["healthcheck"] == {"disable": True}
    words = [word for each in compose["services"].values() for word in each.get("command", [])]
    assert not any("p1" in word or "r1" in word for word in words)
    assert [port for each in compose["services"].values() for port in each.get("ports", [])] == ["127.0.0.1:8000:8000"]
    with pytest.raises(ConfigurationError, match="development password"):
        Settings.from_env({"FLASK_CONFIGURATION": "production"})


def test_production_runs_what_the_stack_runs() -> None:
    services = YAML(typ="safe").load(PRODUCTION)["services"]
    assert services["celery-workflow"]["command"] == programs.worker("workflow", queues=["celery", "workflow"])
    assert services["celery-process"]["command"] == programs.worker("process", queues=["process"])
    assert services["beat"]["command"] == programs.beat("/tmp")
    assert "command" not in services["web"], "the image's own"


def test_the_lock_pins_what_the_package_asks_for() -> None:
    """Every requirement, each in its range, each with digests; `make lock` writes the file anew."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    pins = _pins((ROOT / "requirements.lock").read_text())
    for requirement in map(Requirement, asked):
        versions = pins.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement.name} is not in requirements.lock; `make lock`"
        for version in versions:
            assert requirement.specifier.contains(version), f"{requirement}: locked {version}; `make lock`"


def _pins(lock: str) -> dict[str, list[str]]:
    """Versions by name; a name may have one for each Python."""
    found: dict[str, list[str]] = {}
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        head, *digests = entry.replace("\\\n", "\n").split("--hash=")
        assert digests and all(digest.startswith("sha256:") for digest in digests), head
        requirement = Requirement(head.strip())
        (pin,) = requirement.specifier
        assert pin.operator == "==", head
        found.setdefault(canonicalize_name(requirement.name), []).append(pin.version)
    return found


def test_the_image_installs_from_the_lock_and_runs_as_nobody_special() -> None:
    text = (ROOT / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(stages) == 2 and len(set(stages)) == 1
    assert "--require-hashes --requirement requirements.lock" in text
    assert "--no-deps --no-build-isolation" in text
    last = text[text.rindex("FROM ") :]
    assert last.index("USER matengine") < last.index("ENTRYPOINT")
    assert "COPY --from=build" in last and "pip install" not in last
    kept = set((ROOT / ".dockerignore").read_text().split()) - {"*"}
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in line.split():
            assert f"!{name}" in kept, f"{name} is not sent to the build"


def test_the_health_check_of_the_image_asks_the_api() -> None:
    found = re.search(r"^HEALTHCHECK.*\\\n\s+CMD \[(.*)\]$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found is not None
    _, _, program = YAML(typ="safe").load(f"[{found[1]}]")
    checked = subprocess.run([sys.executable, "-c", program.replace(":8000", ":1")], capture_output=True)
    assert checked.returncode != 0
    assert "http://127.0.0.1:8000/health/live" in program


def test_the_build_machine_runs_our_script_under_the_badges_name() -> None:
    workflow = YAML(typ="safe").load(ROOT / ".github/workflows/materialization-engine.yml")
    assert workflow["name"] == "Materialization Engine"
    runs = [step.get("run") for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in runs and "make audit" in runs
    readme = (ROOT / "README.md").read_text()
    assert "workflows/Materialization%20Engine/badge.svg" in readme
    assert "readthedocs.org/projects/" in readme
