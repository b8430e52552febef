"""The page in a real browser: a person merges, splits and undoes by clicking, and sees what it did."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser import open_browser

from .conftest import Server, Starter
from .scene import Point, Scene
from .test_edits import TABLE, root_of, roots


@pytest.fixture(scope="module")
def server(start: Starter, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Server:
    running = start(tmp_path_factory.mktemp("state"))
    running.admin("POST", "worlds", {"folder": str(world), "datastack": "edited"})
    return running


@pytest.fixture(scope="module")
def scene(world: Path) -> Scene:
    return Scene(world)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


class Page:
    """What a person sees and does."""

    def __init__(self, browser: Any, server: Server) -> None:
        self._browser = browser
        browser.get(f"{server.url}/localcave/view?datastack=edited")
        self.wait(lambda: browser.execute_script("return document.body.dataset.ready") == "yes")

    def wait(self, until: Callable[[], object], seconds: float = 20) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self._browser, seconds, poll_frequency=0.05).until(lambda _: until())

    def show(self, place: int) -> None:
        """Move to a slice across z."""
        self._browser.execute_script(
            "const bar = document.getElementById('place'); bar.value = arguments[0];"
            "bar.dispatchEvent(new Event('input'))",
            place,
        )
        script = "return document.getElementById('place-shown').textContent"
        self.wait(lambda: self._browser.execute_script(script) == str(place))
        self.wait(lambda: self.pixels() is not None)

    def pixels(self) -> np.ndarray:
        """Return the picture, (height, width, 3)."""
        width, height, flat = self._browser.execute_script(
            "const c = document.getElementById('picture');"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "return [c.width, c.height, Array.from(d)]"
        )
        return np.array(flat, np.uint8).reshape(height, width, 4)[..., :3]

    def color(self, point: Point) -> tuple[int, ...]:
        x, y, _ = point.voxel
        return tuple(self.pixels()[y, x].tolist())

    def click_at(self, point: Point) -> None:
        """Click on the picture with the mouse."""
        from selenium.webdriver import ActionChains
        from selenium.webdriver.common.by import By

        canvas = self._browser.find_element(By.ID, "marks")
        width, height = canvas.size["width"], canvas.size["height"]
        shape = self._browser.execute_script("const c = document.getElementById('marks'); return [c.width, c.height]")
        x = (point.voxel[0] + 0.5) / shape[0] * width - width / 2
        y = (point.voxel[1] + 0.5) / shape[1] * height - height / 2
        ActionChains(self._browser).move_to_element_with_offset(canvas, round(x), round(y)).click().perform()

    def click(self, selector: str) -> None:
        from selenium.webdriver.common.by import By

        self._browser.find_element(By.CSS_SELECTOR, selector).click()

    def log(self) -> list[list[str]]:
        """Return the rows of the table of operations."""
        return self._browser.execute_script(
            "return [...document.querySelectorAll('#log tr')].map((row) => [...row.cells].map((c) => c.textContent))"
        )

    def message(self) -> str:
        return self._browser.execute_script("return document.getElementById('message').textContent")

    def complaints(self) -> list[str]:
        entries = [entry["message"] for entry in self._browser.get_log("browser") if entry["level"] == "SEVERE"]
        return [entry for entry in entries if "400 (BAD REQUEST)" not in entry]


def neighbors_in_a_slice(server: Server, scene: Scene) -> tuple[Point, Point]:
    """Return two touching points of different objects that lie in one slice across z, not in a corner of pixels."""
    return next(
        (a, b)
        for a, b in scene.contacts
        if a.voxel[2] == b.voxel[2] and root_of(server, a) != root_of(server, b) and min(a.voxel) > 3
    )


@pytest.fixture
def page(browser: Any, server: Server) -> Page:
    return Page(browser, server)


def test_the_picture_has_one_color_for_each_object(page: Page, server: Server, scene: Scene) -> None:
    page.show(40)
    plane = scene.volume[:, :, 40].T
    found = roots(server, plane.ravel())
    colors = page.pixels().reshape(-1, 3).astype(np.int64) @ (1 << 16, 1 << 8, 1)
    assert (colors[plane.ravel() == 0] == 0).all()
    pairs = set(zip(found[plane.ravel() > 0].tolist(), colors[plane.ravel() > 0].tolist(), strict=True))
    assert len(pairs) == len({root for root, _ in pairs}) == len({color for _, color in pairs})
    assert page.complaints() == []


def test_merging_by_clicks_changes_the_picture_and_the_log(page: Page, server: Server, scene: Scene) -> None:
    first, second = neighbors_in_a_slice(server, scene)
    page.show(first.voxel[2])
    before, logged, shown = page.pixels(), len(page.log()), (page.color(first), page.color(second))
    assert shown[0] != shown[1]
    page.click_at(first)
    page.click_at(second)
    page.wait(lambda: len(page.log()) == logged + 1)
    assert page.color(first) == page.color(second)
    assert (page.pixels() != before).any()
    root = root_of(server, first)
    assert root == root_of(server, second)
    assert page.log()[0][2:4] == ["merge", str(root)]
    assert f"new roots {root}" in page.message()
    page.click("#log tr button")  # Undo
    page.wait(lambda: len(page.log()) == logged + 2)
    assert page.color(first) != page.color(second)
    assert page.log()[0][2].startswith("split (undo of")
    assert page.complaints() == []


def test_splitting_by_clicks(browser: Any, server: Server, scene: Scene, world: Path) -> None:
    source, sink = divisible_in_a_slice(server, scene, np.load(world / "graph/supervoxels.npy"))
    page = Page(browser, server)
    page.show(sink.voxel[2])  # marks are of one slice: moving on clears them
    logged = len(page.log())
    for point, kind in ((source, "source"), (sink, "sink")):
        page.click(f"input[value={kind}]")
        page.click_at(point)
    page.click("#preview")
    page.wait(lambda: "parts around" in page.message())
    page.click("#split")
    page.wait(lambda: len(page.log()) == logged + 1)
    assert page.color(source) != page.color(sink)
    assert page.log()[0][2] == "split"
    assert root_of(server, source) != root_of(server, sink)


def test_a_refusal_is_told(page: Page, server: Server, scene: Scene) -> None:
    first, _ = neighbors_in_a_slice(server, scene)
    page.show(first.voxel[2])
    page.click("input[value=merge]")
    page.click_at(first)
    page.click_at(first)
    page.wait(lambda: "in one supervoxel" in page.message())


def test_the_volume_is_served_for_viewers(server: Server, world: Path) -> None:
    base = "/localcave/volumes/edited/segmentation"
    assert server.call("GET", f"{base}/info").json()["data_type"] == "uint64"
    chunk = "16_16_40/0-64_0-64_0-64"
    raw = (world / "segmentation" / chunk).read_bytes()
    part = server.call("GET", f"{base}/{chunk}", headers={"Range": "bytes=10-29", "Origin": "http://viewer"})
    assert (part.status_code, part.content) == (206, raw[10:30])
    assert part.headers["Access-Control-Allow-Origin"] == "*"
    assert part.headers["Content-Range"] == f"bytes 10-29/{len(raw)}"
    assert server.call("GET", f"{base}/{chunk}").content == raw
    assert server.call("GET", f"{base}/16_16_40/nothing").status_code == 404
    assert server.call("GET", f"{base}/../about.json").status_code == 404
    wish = {"Origin": "http://viewer", "Access-Control-Request-Headers": "range"}
    assert server.call("OPTIONS", f"{base}/info", headers=wish).headers["Access-Control-Allow-Headers"] == "range"
    link = server.call("GET", "/localcave/volumes").json()[0]["neuroglancer"]
    assert "precomputed%3A//http%3A//127.0.0.1" in link


def test_the_volume_can_be_read_over_http(server: Server, world: Path, scene: Scene) -> None:
    import tensorstore

    spec = {"driver": "neuroglancer_precomputed", "kvstore": f"{server.url}/localcave/volumes/edited/segmentation/"}
    volume = tensorstore.open(spec).result()
    assert (volume[60:70, 60:70, 60:70, 0].read().result() == scene.volume[60:70, 60:70, 60:70]).all()


def test_slices_as_of_a_moment(server: Server, scene: Scene) -> None:
    def taken(**options: object) -> tuple[np.ndarray, np.ndarray]:
        raw = server.call("GET", "/localcave/slices/edited", params=options).content
        width, height, count, _ = np.frombuffer(raw, "<u4", 4)
        ids = np.frombuffer(raw, "<u8", 2 * int(count), 16).reshape(2, -1)
        pixels = np.frombuffer(raw, "<u4", offset=16 + 16 * int(count)).reshape(height, width)
        return ids[0][pixels], ids[1][pixels]

    supervoxels, _ = taken(axis=0, at=30)
    assert (supervoxels == scene.volume[30].T).all()
    early = 1767225600
    _, objects = taken(axis=1, at=5, timestamp=early)
    options = {"timestamp": early}
    plane = scene.volume[:, 5].T
    answer = server.call("POST", f"{TABLE}/roots_binary", params=options, data=plane.ravel().tobytes())
    assert (objects.ravel() == np.frombuffer(answer.content, "<u8")).all()
    for wrong in ({"axis": 3}, {"at": 128}, {"at": -1}, {"axis": "x"}):
        assert server.call("GET", "/localcave/slices/edited", params=wrong).status_code == 400


def other_voxel(scene: Scene, supervoxel: int, z: int) -> Point:
    where = np.argwhere(scene.volume[:, :, z] == supervoxel)
    return Point(supervoxel, (*where[len(where) // 2].tolist(), z))


def divisible_in_a_slice(server: Server, scene: Scene, ids: np.ndarray) -> tuple[Point, Point]:
    """Return a source and a sink in one slice across z between which the service would cut."""
    found = roots(server, ids)
    for root in np.unique(found).tolist():
        for pair in itertools.combinations(ids[found == root].tolist(), 2):
            seen = [set(np.flatnonzero((scene.volume == one).any(axis=(0, 1))).tolist()) for one in pair]
            if shared := seen[0] & seen[1]:
                ends = [other_voxel(scene, one, min(shared)) for one in pair]
                body = {"sources": [ends[0].nm()], "sinks": [ends[1].nm()]}
                answer = server.call("POST", f"{TABLE}/split", json=body)
                if answer.status_code == 200:
                    server.call("POST", f"{TABLE}/undo", json={"operation_id": answer.json()["operation_id"]})
                    if len(answer.json()["new_root_ids"]) == 2:  # not joined elsewhere
                        return ends[0], ends[1]
    raise AssertionError("nothing can be split within a slice")
