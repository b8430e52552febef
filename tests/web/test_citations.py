"""Citations in three forms, and digests that a reader recomputes from rows."""

from __future__ import annotations

import hashlib
import json
import struct
from contextlib import closing
from datetime import UTC
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml
from flask.testing import FlaskClient
from pybtex.database import parse_string

from materializationengine import __version__
from materializationengine.domain.citation import Citation, CitedTable, bibtex, cff, text
from materializationengine.domain.schemas import SqlType, schema
from materializationengine.storage.content_digest import content
from materializationengine.storage.engines import Cluster
from materializationengine.storage.version_content import source

from . import frozen
from .asking import API, flat
from .conftest import Drive

MOMENT = frozen.MOMENT.replace(tzinfo=UTC)
SCHEMA = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/citation-file-format.json").read_text())
FORMS = {
    SqlType.BIGINT: (20, ">q"),
    SqlType.DOUBLE: (700, ">f"),
    SqlType.BOOLEAN: (16, ">?"),
    SqlType.INTEGER: (23, ">i"),
    SqlType.TEXT: (25, ""),
}


def expected(table: str, rows: list[frozen.Row]) -> str:
    """The digest from its definition alone."""
    kinds: list[tuple[int, str]] = []
    for column in schema(frozen.SCHEMAS[table]).flat_columns():
        kinds += [(23, ">i")] * 3 if column.type is SqlType.POINTZ else [FORMS[column.type]]
    total = [0] * 4
    for row in rows:
        values = [flat(row)[name] for name in _names(table)]
        record = struct.pack(">i", len(values))
        for value, (kind, form) in zip(values, kinds, strict=True):
            data = b"" if value is None else struct.pack(form, value) if form else value.encode()
            record += struct.pack(">ii", kind, -1 if value is None else len(data)) + data
        words = struct.unpack(">4Q", hashlib.sha256(record).digest())
        total = [(have + word) % 2**64 for have, word in zip(total, words, strict=True)]
    return struct.pack(">4Q", *total).hex()


def _names(table: str) -> list[str]:
    names: list[str] = []
    for column in schema(frozen.SCHEMAS[table]).flat_columns():
        axes = [f"{column.name}_{axis}" for axis in "xyz"]
        names += axes if column.type is SqlType.POINTZ else [column.name]
    return names


@pytest.fixture(scope="module")
def published(cluster: Cluster, rows: frozen.Rows) -> dict[str, str]:
    """The registry of version 1 as a publication leaves it."""
    found = {table: expected(table, rows[table]) for table in ("synapses", "nuclei", "cell_types")}
    _facts(cluster, {table: {"content": digest, "software": __version__} for table, digest in found.items()})
    return found


def _facts(cluster: Cluster, facts: dict[str, Any]) -> None:
    with closing(cluster.raw(frozen.VOLUME)) as connection, connection, connection.cursor() as cursor:
        for table, told in facts.items():
            cursor.execute(
                "UPDATE matengine.frozen_table SET facts = %s WHERE table_name = %s AND analysisversion_id ="
                " (SELECT id FROM analysisversion WHERE datastack = %s AND version = 1)",
                (json.dumps(told), table, frozen.DATASTACK),
            )


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("table", sorted(frozen.SCHEMAS))
def test_the_database_computes_what_the_definition_says(
    cluster: Cluster, rows: frozen.Rows, table: str, version: int
) -> None:
    with cluster.connect(f"{frozen.DATASTACK}__mat{version}", "test") as connection:
        known = source(connection, table, frozen.SCHEMAS[table], frozen.PCG, version == 2)
        found = content(connection, known, MOMENT)
    assert (found.rows, found.digest) == (len(rows[table]), expected(table, rows[table]))


def test_a_reader_recomputes_the_digest_with_the_manuals_program(drive: Drive, published: dict[str, str]) -> None:
    assert drive("citing.py", tables=list(published)) == published


def test_text_names_everything(client: FlaskClient, published: dict[str, str], rows: frozen.Rows) -> None:
    answer = client.get(f"{API}/datastack/{frozen.DATASTACK}/version/1/citation")
    assert answer.content_type == "text/plain; charset=utf-8"
    for part in (frozen.DATASTACK, "version 1", MOMENT.isoformat(), __version__):
        assert part in answer.text
    for table, digest in published.items():
        assert f"{table}: {len(rows[table])} rows, sha256-sum {digest}" in answer.text
    assert "marks: uncounted" in answer.text


@pytest.mark.parametrize(
    ("options", "accept", "kind"),
    [
        ("?format=bibtex", "*/*", "application/x-bibtex"),
        ("", "application/x-bibtex", "application/x-bibtex"),
        ("?format=cff", "text/html", "application/yaml"),
        ("", "application/yaml;q=0.9, text/plain;q=0.1", "application/yaml"),
        ("", "*/*", "text/plain"),
    ],
)
def test_forms_are_chosen(client: FlaskClient, rows: frozen.Rows, options: str, accept: str, kind: str) -> None:
    path = f"{API}/datastack/{frozen.DATASTACK}/version/1/citation{options}"
    assert client.get(path, headers={"Accept": accept}).mimetype == kind


def test_a_version_that_expired_is_cited_and_one_never_published_is_not(client: FlaskClient, rows: frozen.Rows) -> None:
    path = f"{API}/datastack/{frozen.DATASTACK}/version"
    assert f"{frozen.DATASTACK}, version 4" in client.get(f"{path}/4/citation").text
    assert client.get(f"{path}/3/citation").status_code == 404
    assert client.get(f"{path}/1/citation?format=ris").status_code == 400
    assert client.get(f"{path}/1/citation", headers={"Accept": "image/png"}).status_code == 406


def test_a_public_datastack_cites_its_own_tables(client: FlaskClient, published: dict[str, str]) -> None:
    told = client.get(f"{API}/datastack/{frozen.PUBLIC}/version/5/citation").text
    assert published["nuclei"] in told and "synapses" not in told and frozen.DATASTACK not in told


HOSTILE = Citation(
    'evil "stack" {} \\ % # _ $ & ~ ^ : - é',
    7,
    MOMENT,
    2,
    ("1.0", "1.1"),
    (CitedTable("a_b: [x]\n- y", 3, "ab" * 32), CitedTable("kept", None, None)),
)


def test_bibtex_is_read_whole() -> None:
    (entry,) = parse_string(bibtex(HOSTILE), "bibtex").entries.values()
    assert entry.type == "misc" and entry.fields["year"] == "2026" and entry.fields["version"] == "7.2"
    assert "ab" * 32 in entry.fields["note"] and "\\_" in entry.fields["title"] and entry.persons["author"]


def test_cff_fits_its_schema_and_keeps_every_letter() -> None:
    read = yaml.safe_load(cff(HOSTILE))
    jsonschema.validate(read, SCHEMA)
    assert read["title"] == HOSTILE.title and read["version"] == "7.2" and read["abstract"] == text(HOSTILE)
    assert [each["value"] for each in read["identifiers"]] == [f"sha256-sum:{'ab' * 32}"]
