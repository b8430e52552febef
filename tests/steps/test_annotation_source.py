"""New tables of an incremental run read over REST: the same version, row for row, as from the live tables."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from flask import request
from werkzeug.serving import make_server

from materializationengine.domain.plan import AnnotationSource, RunKind, RunStatus
from materializationengine.kernel import moments
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from tests.harness import Engine
from tests.holes.conftest import Lab, open_lab
from tests.steps.test_incremental import digests


@contextmanager
def annotation_service(engine: Engine) -> Iterator[list[str]]:
    """The real service on a port of its own, which the engine is told of; the paths that were asked."""
    app = create_app(replace(engine.services.settings, auth_disabled=True, configuration="testing"))
    asked: list[str] = []
    app.before_request(lambda: asked.append(request.path))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    beside = threading.Thread(target=server.serve_forever)
    beside.start()
    before = engine.services.settings
    engine.services.settings = replace(before, annotation_server=f"http://127.0.0.1:{server.server_port}")
    try:
        yield asked
    finally:
        engine.services.settings = before
        server.shutdown()
        beside.join()
        server.server_close()
        parts(app).close()


def fill(lab: Lab) -> None:
    """Two tables that the base lacks, with rows of every fate."""
    places = lab.places[:400].tolist()
    lab.make("tags", "bound_tag")
    texts = ["plain", "quote ' and \" and \\", "snow ☃", "", "tab\tline\n"]
    rows = [{"pt_position": place, "tag": texts[at % len(texts)]} for at, place in enumerate(places)]
    ids = lab.post(rows, "tags")
    lab.delete(ids[10:30], "tags")
    lab.update([{"id": row, "tag": "changed"} for row in ids[50:60]], "tags")
    lab.make("sized", "nocenter_synapse")
    sizes = np.random.default_rng(3).normal(size=100) / 3
    lab.post([{**pair, "size": size} for pair, size in zip(lab.pairs(100), sizes.tolist(), strict=True)], "sized")
    lab.do("UPDATE tags SET valid = false WHERE id = 3")


def test_tables_read_over_rest_are_those_of_the_live_database(
    engine: Engine, small_world: Path, datastack: str
) -> None:
    engine.load(small_world, datastack)
    lab = open_lab(engine, small_world, datastack)
    lab.post(20)
    base = lab.run(RunKind.COMPLETE).version
    fill(lab)
    lab.run(RunKind.INGEST)
    moment = moments.now()
    lab.delete([1, 2, 40], "tags")
    lab.post(5, "sized")
    stored = lab.run(RunKind.INCREMENTAL, as_of=moment, base_version=base)
    with annotation_service(engine) as asked:
        read = lab.run(RunKind.INCREMENTAL, as_of=moment, base_version=base, annotation_source=AnnotationSource.REST)
    tables = {path.split("/table/")[1].split("/")[0] for path in asked}
    assert tables == {"tags", "sized"} and len(asked) > 2
    found = digests(engine, datastack, read.version)
    assert found == digests(engine, datastack, stored.version)
    assert found["tags"][0] == 379 and found["sized"][0] == 100
    for table in found:
        assert lab.frozen(read, table).equals(lab.frozen(stored, table))


def test_a_service_that_is_down_fails_the_run_with_its_name(engine: Engine, small_world: Path, datastack: str) -> None:
    engine.load(small_world, datastack)
    lab = open_lab(engine, small_world, datastack)
    base = lab.run(RunKind.COMPLETE).version
    lab.make("tags", "bound_tag")
    lab.post([{"pt_position": lab.places[0].tolist(), "tag": "a"}], "tags")
    lab.with_settings(annotation_server="http://127.0.0.1:1", max_attempts=1)
    found = engine.attempt(RunKind.INCREMENTAL, datastack, base_version=base, annotation_source=AnnotationSource.REST)
    assert found.status is RunStatus.FAILED and "annotation service" in (found.error or "")
