"""Precomputed annotations, read by Neuroglancer's own Python reader over a real socket, against the rows."""

from __future__ import annotations

import itertools
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import requests
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from neuroglancer.read_precomputed_annotations import AnnotationReader
from werkzeug.serving import make_server

from materializationengine.config import Settings
from materializationengine.domain.precomputed import HASHES, Extent, grids, levels, most_in_a_cell, touches
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts

from . import frozen
from .asking import API, float_32

LIMIT = 150
Cells = dict[str, list[tuple[tuple[int, int, int], list[Any]]]]


@pytest.fixture(scope="module")
def server(settings: Settings, rows: frozen.Rows) -> Iterator[str]:
    """The application with cells so small that two thousand annotations need several levels."""
    made = create_app(replace(settings, precomputed_limit=LIMIT))
    served = make_server("127.0.0.1", 0, made, threaded=True)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}{API}/datastack"
    served.shutdown()
    served.server_close()
    parts(made).close()


def reader(server: str, table: str, place: str = f"{frozen.DATASTACK}/version/1") -> AnnotationReader:
    made = AnnotationReader(f"{server}/{place}/table/{table}/precomputed/")
    # Release 2.41.2 aligns a second four-byte property at three bytes; the format, and the viewer, at four.
    kinds = [(f"property{n}", np.dtype(each.type).newbyteorder("<")) for n, each in enumerate(made.properties)]
    odd = -sum(kind.itemsize for _, kind in kinds) % 4
    made._property_dtype = [*kinds, ("padding", "u1", (odd,))] if odd else kinds
    made._dtype = [("geometry", "<f4", (3 if made.annotation_type == "point" else 6,)), *made._property_dtype]
    return made


def spatial(read: AnnotationReader) -> Cells:
    """Every cell of every level."""
    found: Cells = {}
    for level in read.spatial:
        cells = itertools.product(*map(range, level.metadata["grid_shape"]))
        found[level.metadata["key"]] = [(cell, level[cell]) for cell in cells]
    return found


def placed(rows: list[frozen.Row], *columns: str) -> dict[int, frozen.Row]:
    return {row["id"]: row for row in rows if all(row[column] is not None for column in columns)}


@pytest.mark.parametrize("version", [1, 2])
def test_points_with_their_values_are_in_one_cell_of_one_level(server: str, rows: frozen.Rows, version: int) -> None:
    read = reader(server, "nuclei", f"{frozen.DATASTACK}/version/{version}")
    assert read.annotation_type == "point" and [each.id for each in read.properties] == ["volume"]
    assert [read.metadata["dimensions"][axis] for axis in "xyz"] == [[6.4e-8, "m"], [6.4e-8, "m"], [4e-8, "m"]]
    known = placed(rows["nuclei"], "pt_position")
    seen: Counter[int] = Counter()
    for level in read.spatial:
        size, most = np.array(level.metadata["chunk_size"]), 0
        assert np.allclose(size * level.metadata["grid_shape"], np.subtract(read.upper_bound, read.lower_bound))
        for cell in itertools.product(*map(range, level.metadata["grid_shape"])):
            held = level[cell]
            most = max(most, len(held))
            for point in held:
                row = known[int(point.id)]
                assert tuple(point.point) == row["pt_position"]
                assert ((np.array(point.point) - read.lower_bound) // size).tolist() == list(cell)
                volume = float(point.props[0])
                assert np.isnan(volume) if row["volume"] is None else volume == float_32(row["volume"])
            seen.update(int(point.id) for point in held)
        assert most == level.metadata["limit"], "the limit is what the fullest cell has"
    assert seen == Counter(list(known)) and len(read.spatial) > 1


def test_lines_are_in_every_cell_that_they_meet_and_in_one_level(server: str, rows: frozen.Rows) -> None:
    read = reader(server, "synapses")
    known = placed(rows["synapses"], "pre_pt_position", "post_pt_position")
    home: dict[int, str] = {}
    met: set[tuple[str, tuple[int, int, int], int]] = set()
    for key, cells in spatial(read).items():
        for cell, lines in cells:
            for line in lines:
                row = known[int(line.id)]
                assert tuple(line.point_a) == row["pre_pt_position"] and tuple(line.point_b) == row["post_pt_position"]
                assert home.setdefault(row["id"], key) == key
                met.add((key, cell, row["id"]))
    assert home.keys() == known.keys() and len(set(home.values())) > 1
    steps = np.linspace(0, 1, 21)[:, None, None]
    for level in read.spatial:
        size, key = np.array(level.metadata["chunk_size"]), level.metadata["key"]
        mine = [row for row in known.values() if home[row["id"]] == key]
        one, other = (np.array([row[f"{end}_pt_position"] for row in mine]) for end in ("pre", "post"))
        # Cells of many points of every line: an answer that knows no geometry.
        cells = (one * (1 - steps) + other * steps - read.lower_bound) // size
        for row, passed in zip(mine, cells.astype(int).transpose(1, 0, 2).tolist(), strict=True):
            assert all((key, tuple(cell), row["id"]) in met for cell in passed)


def test_by_id_names_the_segments_and_their_indexes_have_the_rest(server: str, rows: frozen.Rows) -> None:
    read = reader(server, "synapses")
    known = placed(rows["synapses"], "pre_pt_position", "post_pt_position")
    assert list(read.relationships) == ["pre_pt_root_id", "post_pt_root_id"]
    for row in list(known.values())[:40]:
        line = read.by_id[row["id"]]
        expected = [[root] if root else [] for root in (row["pre_pt_root_id"], row["post_pt_root_id"])]
        assert [list(map(int, each)) for each in line.segments] == expected, "64 bits, to the last"
        assert tuple(line.point_a) == row["pre_pt_position"]
    for name, index in read.relationships.items():
        for root in (frozen.BIG, frozen.BIG + 7):
            found = sorted(int(line.id) for line in index[root])
            assert found == sorted(each for each, row in known.items() if row[name] == root) and found
        for nobody in (0, 12345, 2**64 - 1):
            assert index[nobody] == []


def test_the_types_of_a_reference_table_lie_where_their_targets_are(server: str, rows: frozen.Rows) -> None:
    read = reader(server, "cell_types")
    nuclei = {row["id"]: row for row in rows["nuclei"]}
    labels = {each.id: list(each.enum_labels or ()) for each in read.properties}
    assert labels["cell_type"] == ["", *sorted(text for text in frozen.TYPES if text)]
    seen = {}
    for point in (point for cells in spatial(read).values() for _, held in cells for point in held):
        values = {each.id: value for each, value in zip(read.properties, point.props, strict=True)}
        seen[int(point.id)] = (tuple(point.point), labels["cell_type"][int(values["cell_type"])])
    assert seen == {
        row["id"]: (nuclei[row["target_id"]]["pt_position"], row["cell_type"] or "") for row in rows["cell_types"]
    }
    one = read.by_id[rows["cell_types"][0]["id"]]
    root = nuclei[rows["cell_types"][0]["target_id"]]["pt_root_id"]
    assert [list(map(int, each)) for each in one.segments] == [[root] if root else []]


def test_truth_values_and_the_newest_version(server: str, rows: frozen.Rows) -> None:
    read = reader(server, "marks", frozen.DATASTACK)
    (tag,) = read.properties
    for row in rows["marks"]:
        assert tag.enum_labels[int(read.by_id[row["id"]].props[0])] == str(row["tag"]).lower().replace(
            "none", "missing"
        )


def test_a_public_datastack_draws_what_it_shows_and_nothing_else(server: str, rows: frozen.Rows) -> None:
    read = reader(server, "nuclei", frozen.PUBLIC)
    assert read.by_id[rows["nuclei"][0]["id"]]
    answer = requests.get(f"{server}/{frozen.PUBLIC}/table/synapses/precomputed/info", timeout=30)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("synapses/precomputed/by_id/5000000", 404, "unknown_annotation"),
        (f"synapses/precomputed/by_id/{2**64}", 404, "unknown_annotation"),
        ("synapses/precomputed/spatial0/9_0_0", 400, "bad_request"),
        ("synapses/precomputed/spatial0/0_0", 400, "bad_request"),
        ("synapses/precomputed/spatial0/-1_0_0", 400, "bad_request"),
        ("synapses/precomputed/spatial77/0_0_0", 404, "unknown"),
        ("synapses/precomputed/pt_root_id/1", 404, "unknown"),
        (f"synapses/precomputed/pre_pt_root_id/{2**64}", 400, "bad_request"),
        ("synapses/precomputed/pre_pt_root_id/1.5", 400, "bad_request"),
        ("nothing/precomputed/info", 404, "unknown_table"),
    ],
)
def test_refusals(client: FlaskClient, rows: frozen.Rows, path: str, status: int, word: str) -> None:
    for place in ("", "version/1/"):
        answer = client.get(f"{API}/datastack/{frozen.DATASTACK}/{place}table/{path}")
        assert (answer.status_code, answer.json["error"]) == (status, word)


def test_a_version_may_be_kept_and_the_newest_only_for_a_while(client: FlaskClient, rows: frozen.Rows) -> None:
    fixed = client.get(f"{API}/datastack/{frozen.DATASTACK}/version/1/table/nuclei/precomputed/info")
    newest = client.get(f"{API}/datastack/{frozen.DATASTACK}/table/nuclei/precomputed/info")
    assert fixed.headers["ETag"] and "immutable" in fixed.headers["Cache-Control"]
    assert "immutable" not in newest.headers["Cache-Control"]


def test_a_list_begins_with_its_length(client: FlaskClient, rows: frozen.Rows) -> None:
    path = f"{API}/datastack/{frozen.DATASTACK}/version/1/table/nuclei/precomputed"
    answer = client.get(f"{path}/pt_root_id/{frozen.BIG}")
    mine = [row for row in rows["nuclei"] if row["pt_root_id"] == frozen.BIG]
    assert answer.content_type == "application/octet-stream"
    assert struct.unpack_from("<Q", answer.data) == (len(mine),) and len(answer.data) == 8 + len(mine) * (16 + 8)


triples = st.tuples(*[st.integers(-20, 20)] * 3)


@given(st.lists(st.tuples(triples, triples), min_size=1, max_size=20), triples, st.tuples(*[st.integers(0, 15)] * 3))
@settings(deadline=None)
def test_a_segment_meets_a_box_where_one_of_its_points_is_inside(
    lines: list[tuple[Any, Any]], corner: tuple[int, int, int], size: tuple[int, int, int]
) -> None:
    starts, ends = (np.array([line[n] for line in lines], float) for n in (0, 1))
    low, high = np.array(corner, float), np.array(corner, float) + size
    found = touches(starts, ends, low, high)
    for start, end, told in zip(starts, ends, found, strict=True):
        steps = np.linspace(0, 1, 241)[:, None]
        points = start * (1 - steps) + end * steps
        inside = ((points >= low) & (points <= high)).all(axis=1).any()
        near = ((points >= low - 0.2) & (points <= high + 0.2)).all(axis=1).any()
        assert not inside or told, "a point inside, yet no meeting"
        assert near or not told, "a meeting far from every point"


@given(
    st.lists(st.tuples(*[st.integers(0, 99)] * 3), min_size=1, max_size=300),
    st.integers(1, 50),
    st.tuples(*[st.sampled_from([1.0, 4.0, 40.0])] * 3),
)
@settings(deadline=None)
def test_levels_take_every_hash_once_and_their_grids_nest(
    places: list[tuple[int, int, int]], target: int, resolution: tuple[float, float, float]
) -> None:
    extent = Extent(len(places), (0, 0, 0), (100, 100, 100), (0, 0, 0))
    shapes = grids(extent, resolution, target)
    finest = shapes[-1]
    cells, counts = np.unique(np.array(places) * finest // 100, axis=0, return_counts=True)
    found = levels(extent, shapes, cells, counts, target)
    assert [found[0].first, *(level.last for level in found)] == [*(level.first for level in found), HASHES]
    assert all(level.first < level.last for level in found)
    for coarse, fine in itertools.pairwise(shapes):
        assert all(b in (a, 2 * a) for a, b in zip(coarse, fine, strict=True)) and coarse != fine
    for level in found[:-1]:
        factor = np.array(finest) // level.grid
        expected = most_in_a_cell(cells // factor, counts) * (level.last - level.first) / HASHES
        assert expected <= target * 1.001 + 1e-6
