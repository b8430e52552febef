"""The page of a datastack in a real browser: what it says, how it is used without a mouse, what it never does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from materializationengine.config import Settings
from materializationengine.storage import version_care
from materializationengine.storage.engines import Cluster
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from tests.browser import open_browser, requested

from . import frozen
from .test_auth import FourPeople

PATH = "/materialize/views/datastack"
EVIL = "<script>document.title='taken'</script><img src=http://127.0.0.1:9/x onerror=\"document.title='taken'\">'\"&"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def hostile(cluster: Cluster, rows: frozen.Rows) -> Iterator[None]:
    """A description, and a name, written by somebody who means ill; CAVE's tables hold any text."""
    change = "UPDATE annotation_table_metadata SET description = %s WHERE table_name = 'nuclei'"
    name = '"><script>document.title=1</script>'
    with closing(cluster.raw(frozen.VOLUME)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(change, (EVIL,))
        cursor.execute(frozen._METADATA, ("synapse", name, None, 4, 4, 40, None))
    yield
    with closing(cluster.raw(frozen.VOLUME)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(change, ("what it is",))
        cursor.execute("DELETE FROM annotation_table_metadata WHERE table_name = %s", (name,))


def test_a_person_reads_versions_and_tables(browser: Any, base_url: str, hostile: None, rows: frozen.Rows) -> None:
    requested(browser)
    browser.get(f"{base_url}{PATH}/{frozen.DATASTACK}")
    text = browser.find_element("tag name", "body").text
    assert EVIL in text and browser.title == f"{frozen.DATASTACK} - materialization"
    assert browser.find_elements("tag name", "script") == [] and browser.find_elements("tag name", "img") == []
    # The browser asks for its own new tab, and for an icon, whatever a page says.
    asked = {url for url in requested(browser) if url.startswith("http") and not url.endswith("/favicon.ico")}
    assert asked == {f"{base_url}{PATH}/{frozen.DATASTACK}"}
    assert browser.find_element("tag name", "html").get_attribute("lang") == "en"
    assert [each.text for each in browser.find_elements("tag name", "h1")] == [frozen.DATASTACK]
    assert [each.text for each in browser.find_elements("tag name", "h2")] == ["Read it", "Versions", "Tables"]
    assert all(table.find_element("tag name", "caption").text for table in browser.find_elements("tag name", "table"))
    for each in browser.find_elements("css selector", "input"):
        assert browser.find_element("css selector", f"label[for={each.get_attribute('id')}]").text
    assert "4\n" not in text.split("Versions")[0] and "expired" in text and f"{len(rows['synapses']):,}" in text


def test_the_program_on_the_page_is_python(browser: Any, base_url: str, rows: frozen.Rows) -> None:
    browser.get(f"{base_url}{PATH}/{frozen.DATASTACK}")
    program = browser.find_element("css selector", "pre code").text
    compile(program, "page", "exec")
    assert f"CAVEclient('{frozen.DATASTACK}', server_address='{base_url}')" in program
    assert "materialization_version=2" in program


def _status(browser: Any) -> str:
    found = browser.find_elements("css selector", "[role=status]")
    return str(found[0].text) if found else ""


def test_it_works_without_a_mouse(browser: Any, base_url: str, rows: frozen.Rows) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(f"{base_url}{PATH}/{frozen.DATASTACK}")
    seen = []
    for _ in range(30):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        held = browser.switch_to.active_element
        seen.append(held.accessible_name)
        if held.get_attribute("id") == "search":
            break
    assert seen[0] == "Skip to the tables" and "Version 2 as BibTeX" in seen
    browser.switch_to.active_element.send_keys("nucl", Keys.ENTER)
    # The address changes before the page that answers it is there.
    WebDriverWait(browser, 10).until(lambda found: _status(found).endswith("found"))
    names = [each.text for each in browser.find_elements("css selector", "[aria-labelledby=tables] th[scope=row]")]
    assert "nuclei" in names and "synapses" not in names and _status(browser).split()[0] == str(len(names))
    assert browser.current_url.endswith("?search=nucl")
    assert browser.find_element("id", "search").get_attribute("value") == "nucl"


def test_a_public_datastack_shows_nothing_of_its_parent(browser: Any, base_url: str, rows: frozen.Rows) -> None:
    browser.get(f"{base_url}{PATH}/{frozen.PUBLIC}")
    text = browser.page_source
    assert "synapses" not in text and frozen.DATASTACK not in text and "cell_types" in text


def test_it_needs_the_right_to_view(settings: Settings, rows: frozen.Rows) -> None:
    app = create_app(replace(settings, auth_disabled=False))
    parts(app).auth = FourPeople()  # type: ignore[assignment]
    asked, page = app.test_client(), f"{PATH}/{frozen.DATASTACK}"
    try:
        assert asked.get(f"{page}?middle_auth_token=reader").status_code == 200
        assert asked.get(f"{page}?middle_auth_token=stranger").status_code == 403
        assert asked.get(page).status_code == 401
        person = asked.get(page, headers={"Accept": "text/html,*/*;q=0.8"})
        assert person.status_code == 302 and "authorize?redirect=http%3A%2F%2Flocalhost%2F" in person.location
        program = asked.get(page, headers={"Accept": "text/html", "Authorization": "Bearer nobody"})
        assert program.status_code == 401 and program.json["error"] == "invalid_token"
    finally:
        parts(app).close()


def test_nothing_may_be_loaded_and_an_unknown_one_is_not_there(client: FlaskClient, rows: frozen.Rows) -> None:
    policy = client.get(f"{PATH}/{frozen.DATASTACK}").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'") and "script" not in policy
    assert client.get(f"{PATH}/nobody").status_code == 404


def test_a_pinned_version_says_so_here_and_to_administrators_and_clients_get_the_record_they_know(
    client: FlaskClient, cluster: Cluster, rows: frozen.Rows
) -> None:
    for kept in (True, False):
        with cluster.connect(frozen.VOLUME) as connection:
            version_care.set_pin(connection, frozen.DATASTACK, 1, kept, "tests")
            connection.commit()
        page = client.get(f"{PATH}/{frozen.DATASTACK}").text
        assert page.count("(pinned)") == page.count("2036-01-01T00:00:00.000000 (pinned)") == kept
        listed = client.get(f"/materialize/api/v2/aligned_volumes/{frozen.VOLUME}").json
        told = {(each["datastack"], each["version"]) for each in listed if each["pinned"]}
        assert told == ({(frozen.DATASTACK, 1)} if kept else set())
        assert "pinned" not in client.get(f"/materialize/api/v3/datastack/{frozen.DATASTACK}/version/1").json
