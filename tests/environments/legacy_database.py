"""A live database as CAVE makes, writes and reads it. Runs inside `.venv-legacy`, with the packages that CAVE uses.

Standard input holds `{"url", "volume", "deed", ...}`; what the deed found goes to standard output as JSON.
"""

from __future__ import annotations

import datetime
import itertools
import json
import sys
from typing import Any

from dynamicannotationdb import DynamicAnnotationInterface
from dynamicannotationdb.models import AnalysisTable, AnalysisVersion, SegmentationMetadata
from sqlalchemy import create_engine

NEWEST_OF_CAVE = "fac66b439033"


def point(position: list[int]) -> dict[str, Any]:
    """A point as a client posts it."""
    return {"position": position}


def tag(position: list[int], number: int) -> dict[str, Any]:
    """An annotation of schema `bound_tag`."""
    return {"pt": point(position), "tag": f"tag {number}"}


def make(cave: DynamicAnnotationInterface, given: dict[str, Any]) -> dict[str, Any]:
    """Three schemas with rows, a segmentation table that is half filled, a frozen version, CAVE's migration mark."""
    places = given["points"]
    tables = {"tags": ("bound_tag", None), "synapses": ("synapse", None), "cells": ("nucleus_detection", None)}
    tables["types"] = ("reference_tag", {"reference_table": "tags"})
    for name, (schema, metadata) in tables.items():
        cave.annotation.create_table(
            name, schema, f"the {name}", "7", **given["resolution"], table_metadata=metadata, write_permission="PUBLIC"
        )
    ids = cave.annotation.insert_annotations("tags", [tag(place, number) for number, place in enumerate(places)])
    pairs = itertools.pairwise(places)
    synapses = [
        {"pre_pt": point(a), "ctr_pt": point(a), "post_pt": point(b), "size": float(n)}
        for n, (a, b) in enumerate(pairs)
    ]
    cave.annotation.insert_annotations("synapses", synapses)
    cave.annotation.insert_annotations("cells", [{"pt": point(places[0]), "volume": 2.5}])
    cave.annotation.insert_annotations("types", [{"target_id": ids[0], "tag": "basket"}])
    cave.annotation.delete_annotation("tags", [ids[1]])
    bind(cave, given, ids[:3])
    freeze(cave, given)
    return {"ids": ids}


def bind(cave: DynamicAnnotationInterface, given: dict[str, Any], ids: list[int]) -> None:
    """What CAVE's ingest wrote, of some rows, at a moment that has passed."""
    cave.segmentation.create_segmentation_table("tags", "bound_tag", given["pcg"])
    rows = [
        {"id": number, "pt": {"supervoxel_id": supervoxel, "root_id": root}}
        for number, (supervoxel, root) in zip(ids, given["bound"], strict=True)
    ]
    cave.segmentation.insert_linked_segmentation("tags", given["pcg"], rows)
    session = cave.segmentation.db.cached_session
    moment = datetime.datetime.fromisoformat(given["bound_at"])
    session.query(SegmentationMetadata).update({SegmentationMetadata.last_updated: moment})
    session.commit()


def freeze(cave: DynamicAnnotationInterface, given: dict[str, Any]) -> None:
    """A version of split tables: CAVE clones the live database, and lists what is in it."""
    session = cave.database.cached_session
    now = datetime.datetime.utcnow()
    version = AnalysisVersion(
        datastack=given["datastack"], version=41, time_stamp=now, valid=True, status="AVAILABLE", is_merged=False
    )
    session.add(version)
    session.flush()
    session.add(
        AnalysisTable(
            aligned_volume=given["volume"],
            schema="bound_tag",
            table_name="tags",
            valid=True,
            created=now,
            analysisversion_id=version.id,
        )
    )
    session.execute("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL)")
    session.execute(f"INSERT INTO alembic_version VALUES ('{NEWEST_OF_CAVE}')")
    session.commit()
    for part in (cave.database, cave.annotation.db, cave.segmentation.db):
        part.close_session()
        part.engine.dispose()
    server = create_engine(given["url"], isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {given['datastack']}__mat41 TEMPLATE {given['volume']}")
    server.dispose()


def read(cave: DynamicAnnotationInterface, given: dict[str, Any]) -> dict[str, Any]:
    """What CAVE sees: tables, rows, and the supervoxels and roots that were looked up."""
    linked = cave.segmentation.get_linked_annotations("tags", given["pcg"], given["ids"])
    session = cave.database.cached_session
    return {
        "tables": sorted(cave.database.get_valid_table_names()),
        "tags": sorted(row["tag"] for row in cave.annotation.get_annotations("tags", given["ids"])),
        "roots": {row["id"]: [row["pt_supervoxel_id"], row["pt_root_id"]] for row in linked},
        "versions": [str(version) for version in session.query(AnalysisVersion).order_by(AnalysisVersion.id)],
        "alembic": session.execute("SELECT version_num FROM alembic_version").scalar(),
        "metadata": cave.database.get_table_metadata("synapses")["schema_type"],
    }


def write(cave: DynamicAnnotationInterface, given: dict[str, Any]) -> dict[str, Any]:
    """Go on as if nothing had happened: a row more, a row updated, a table more."""
    (added,) = cave.annotation.insert_annotations("tags", [tag(given["points"][0], 1000)])
    changed = cave.annotation.update_annotation("tags", {"id": given["ids"][2], **tag(given["points"][1], 1001)})
    cave.annotation.create_table("late", "bound_tag", "made after the move", "7", **given["resolution"])
    (late,) = cave.annotation.insert_annotations("late", [tag(given["points"][2], 1002)])
    return {"added": added, "changed": changed, "late": late}


def main() -> None:
    """Do what is asked."""
    given = json.load(sys.stdin)
    cave = DynamicAnnotationInterface(given["url"], given["volume"])
    json.dump({"make": make, "read": read, "write": write}[given["deed"]](cave, given), sys.stdout)


if __name__ == "__main__":
    main()
