from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from materializationengine.config import Settings
from materializationengine.domain.plan import RunStatus
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.storage import run_control
from materializationengine.storage.engines import Cluster
from materializationengine.storage.live_database import live_databases
from materializationengine.storage.run_records import list_runs
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts

from . import frozen

ROOT = Path(__file__).parents[2]
DRIVERS = Path(__file__).parent / "drivers"


@pytest.fixture(scope="session")
def database_url(postgres: PrivateCluster) -> str:
    """The private server of the whole run; our databases have names of their own."""
    return postgres.url


@pytest.fixture(scope="session")
def cluster(database_url: str) -> Iterator[Cluster]:
    made = Cluster(database_url, application="tests", lock_timeout=5.0)
    yield made
    made.close()


@pytest.fixture(scope="session")
def rows(cluster: Cluster) -> frozen.Rows:
    """The rows of every version, in the order in which they lie; building them is done once."""
    made = frozen.make_rows()
    frozen.build(cluster, made)
    return made


def record(name: str, server: str = "http://127.0.0.1:1") -> dict[str, Any]:
    """A datastack as the info service tells of it."""
    return {
        "aligned_volume": {
            "id": 1,
            "name": frozen.VOLUME,
            "display_name": None,
            "description": "d",
            "image_source": "i",
        },
        "segmentation_source": f"graphene://{server}/segmentation/table/{frozen.PCG}",
        "skeleton_source": None,
        "analysis_database": None,
        "viewer_site": server,
        "synapse_table": "synapses",
        "soma_table": "nuclei",
        "local_server": server,
        "description": name,
        "viewer_resolution_x": 4.0,
        "viewer_resolution_y": 4.0,
        "viewer_resolution_z": 40.0,
        "proofreading_status_table": None,
        "cell_identification_table": None,
        "proofreading_review_table": None,
    }


@pytest.fixture(scope="session")
def datastacks_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("info") / "datastacks.json"
    path.write_text(json.dumps({name: record(name) for name in (frozen.DATASTACK, frozen.PUBLIC)}))
    return str(path)


@pytest.fixture(scope="session")
def settings(database_url: str, datastacks_file: str) -> Settings:
    return Settings(
        configuration="testing",
        database_url=database_url,
        datastacks_file=datastacks_file,
        auth_disabled=True,
        lock_timeout=5.0,
        query_timeout=10.0,
        redis_url="redis://127.0.0.1:1/0",
    )


@pytest.fixture(scope="session")
def app(settings: Settings) -> Iterator[Flask]:
    made = create_app(settings)
    yield made
    parts(made).close()


@pytest.fixture(autouse=True, scope="module")
def nothing_stays_paused_or_begun(cluster: Cluster) -> Iterator[None]:
    """Tests that send every route its example pause everything and start runs that no worker ends.

    Other tests' runs would wait for ever, and their messages would be sent along with messages of these.
    """
    yield
    for pause in run_control.pauses(cluster):
        run_control.unpause(cluster, pause.scope, live_databases(cluster))
    for run in list_runs(cluster, limit=10_000):
        if run.status is RunStatus.RUNNING:
            run_control.cancel(cluster, run.id, "tests")


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


class _Neighbor(BaseHTTPRequestHandler):
    """Info and schema service as the client needs them, and an echo for everything else."""

    protocol_version = "HTTP/1.1"
    records: ClassVar[dict[str, Any]] = {}
    schemas: ClassVar[dict[str, Any]] = json.loads((ROOT / "localcave/schemas.json").read_text())

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        fixed = {
            "/info/version": "4.3.3",
            "/info/api/v2/datastacks": list(self.records),
            "/schema/versions": [2],
            "/schema/api/v2/type": list(self.schemas),
            "/schema/api/v2/types_all": self.schemas,
            **{f"/schema/api/v2/type/{name}": known for name, known in self.schemas.items()},
            **{f"/info/api/v2/datastack/full/{name}": known for name, known in self.records.items()},
        }
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        echo = {"method": self.command, "path": self.path, "body": body.hex(), "headers": dict(self.headers)}
        text = json.dumps(fixed.get(path, echo)).encode()
        self.send_response(418 if path.endswith("/teapot") else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-Neighbor", "yes")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


for _method in ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"):
    setattr(_Neighbor, f"do_{_method}", _Neighbor._answer)


@pytest.fixture(scope="session")
def neighbor() -> Iterator[str]:
    """The base URL of a stand-in for local CAVE."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Neighbor)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def base_url(settings: Settings, neighbor: str) -> Iterator[str]:
    """The application behind a real socket, the neighbor behind the application."""
    made = create_app(replace(settings, localcave_url=neighbor))
    server = make_server("127.0.0.1", 0, made, threaded=True)
    url = f"http://127.0.0.1:{server.server_port}"
    _Neighbor.records = {name: record(name, url) for name in (frozen.DATASTACK, frozen.PUBLIC)}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield url
    server.shutdown()
    server.server_close()
    parts(made).close()


Drive = Callable[..., Any]


@pytest.fixture(scope="session")
def client_home(tmp_path_factory: pytest.TempPathFactory) -> Drive:
    """Run a driver script with the real client against some server; what it prints as JSON comes back."""
    python = ROOT / ".venv-caveclient/bin/python"
    if not python.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("make setup-clients has not built .venv-caveclient")
        pytest.skip(".venv-caveclient is absent; `make setup-clients` builds it")
    home = tmp_path_factory.mktemp("home")

    def run(script: str, **arguments: Any) -> Any:
        done = subprocess.run(
            [str(python), str(DRIVERS / script)],
            input=json.dumps(arguments),
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(home)},
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        # The client says on its standard output what it warns of; the answer is the last line.
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def drive(base_url: str, client_home: Drive) -> Drive:
    """The same before the test datastack."""
    return partial(client_home, server=base_url, datastack=frozen.DATASTACK)
