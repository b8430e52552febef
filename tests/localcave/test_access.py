"""Users, groups, terms of service, datasets, and datastacks from a file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from .conftest import ROOT, Server, Starter

TABLE = "/segmentation/api/v1/table/small_pcg"
PEOPLE = {
    "users": [
        {"id": 1, "token": "boss", "name": "Ida", "admin": True},
        {"id": 2, "token": "viewer", "name": "Max", "permissions_v2": {"small": ["view"]}, "affiliations": ["EPFL"]},
        {"id": 3, "token": "member", "name": "Lea"},
        {"id": 4, "token": "signer", "name": "Tom", "permissions_v2": {"second": ["view", "edit"]}},
        {"id": 5, "token": "robot", "name": "bot", "parent_id": 2, "service_account": True},
    ],
    "groups": [
        {"id": 9, "name": "proofreaders", "users": [3], "admins": [2], "permissions": {"small": ["view", "edit"]}}
    ],
    "datasets": [
        {"name": "second", "tos": {"id": 7, "name": "Be fair", "text": "..."}, "tables": ["extra_pcg"], "admins": [4]},
        {"name": "small"},
        {"name": "open", "public": True},
    ],
}
INFO = {
    "aligned_volumes": [{"name": "cortex", "description": "a block", "image_source": "precomputed://gs://b/em"}],
    "datastacks": [
        {
            "name": "cortex65",
            "aligned_volume": "cortex",
            "segmentation_source": "graphene://https://far/segmentation/table/cortex_v1",
            "synapse_table": "syn",
            "viewer_resolution_x": 8.0,
            "image_sources": [{"id": 1, "name": "raw", "image_source": "precomputed://gs://b/raw"}],
        },
        {"name": "small", "description": "ours", "viewer_site": "https://viewer"},
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("access")
    (made / "people.json").write_text(json.dumps(PEOPLE))
    (made / "info.json").write_text(json.dumps(INFO))
    return made


@pytest.fixture(scope="module")
def server(start: Starter, world: Path, folder: Path) -> Server:
    files = ("--token-file", str(folder / "people.json"), "--info-file", str(folder / "info.json"))
    running = start(folder / "state", *files)
    for datastack in ("small", "second", "open"):
        running.admin("POST", "worlds", {"folder": str(world), "datastack": datastack})
    return running


def ask(server: Server, verb: str, path: str, token: str | None, **options: Any) -> requests.Response:
    headers = {**options.pop("headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
    return server.call(verb, path, headers=headers, allow_redirects=False, **options)


@pytest.mark.parametrize(
    ("verb", "path", "statuses"),  # of boss, viewer, member, signer
    [
        ("GET", "oldest_timestamp", (200, 200, 200, 403)),
        ("POST", "merge", (500, 403, 500, 403)),  # 500: an edit without its two points
        ("POST", "graph/split_preview", (400, 403, 400, 403)),
        ("POST", "merge_admin", (500, 403, 403, 403)),
        ("GET", "user_operations", (200, 403, 403, 403)),
        ("POST", "rollback_user", (400, 403, 403, 403)),
        ("GET", "change_log", (200, 403, 403, 403)),
    ],
)
def test_what_each_may_do(server: Server, verb: str, path: str, statuses: tuple[int, ...]) -> None:
    body = [] if verb == "POST" else None
    found = [ask(server, verb, f"{TABLE}/{path}", token, json=body) for token in ("boss", "viewer", "member", "signer")]
    assert tuple(answer.status_code for answer in found) == statuses


def test_edits_carry_their_author(server: Server, world: Path) -> None:
    body = {"operation_id": 1}
    number = ask(server, "POST", f"{TABLE}/undo", "member", json=body).json()["operation_id"]
    details = ask(server, "GET", f"{TABLE}/operation_details?operation_ids=[{number}]", "viewer").json()
    assert details[str(number)]["user"] == "3"
    operations = ask(server, "GET", f"{TABLE}/user_operations?user_id=3&include_undone=true", "boss").json()
    assert list(operations["operation_id"].values()) == [number]
    lines = ask(server, "GET", f"{TABLE}/change_log", "boss").text.splitlines()
    assert lines[0] == "user_id,action,root_ids,timestamp"
    assert lines[-1].startswith("3,")


def test_terms_of_service_come_first(server: Server) -> None:
    path = "/segmentation/table/second_pcg/info"
    refused = ask(server, "GET", path, "signer")
    assert (refused.status_code, refused.json()["error"]) == (403, "missing_tos")
    assert refused.json()["data"]["tos_name"] == "Be fair"
    me = ask(server, "GET", "/auth/api/v1/user/cache", "signer").json()
    assert (me["permissions_v2"], me["permissions_v2_ignore_tos"]) == ({}, {"second": ["view", "edit"]})
    assert me["missing_tos"] == [{"dataset_id": 1, "dataset_name": "second", "tos_id": 7, "tos_name": "Be fair"}]
    assert ask(server, "GET", "/auth/api/v1/tos/7", "signer").json()["name"] == "Be fair"
    assert (
        ask(server, "POST", refused.json()["data"]["tos_form_url"].removeprefix(server.url), "signer").status_code
        == 200
    )
    assert ask(server, "GET", path, "signer").status_code == 200
    assert ask(server, "POST", "/auth/api/v1/tos/8/accept", "signer").status_code == 404


def test_records_of_users(server: Server) -> None:
    member = ask(server, "GET", "/auth/api/v1/user/cache", "member").json()
    assert (member["groups"], member["permissions_v2"]) == (["proofreaders"], {"small": ["view", "edit"]})
    assert ask(server, "GET", "/auth/api/v1/user/cache", "viewer").json()["groups_admin"] == ["proofreaders"]
    assert ask(server, "GET", "/auth/api/v1/user/cache", "signer").json()["datasets_admin"] == ["second"]
    robot = ask(server, "GET", "/auth/api/v1/user/cache", "robot").json()
    assert (robot["service_account"], robot["parent_id"]) == (True, 2)
    users = ask(server, "GET", "/auth/api/v1/group/9/user", "boss").json()
    assert users == [{"id": 3, "name": "Lea", "admin": False}]
    assert ask(server, "GET", "/auth/api/v1/group/8/user", "boss").status_code == 404
    assert ask(server, "GET", "/auth/api/v1/service/pcg/table/extra_pcg/dataset", "boss").json() == "second"
    assert ask(server, "GET", "/auth/api/v1/service/pcg/table/small_pcg/dataset", "boss").json() == "small"
    assert ask(server, "GET", "/auth/api/v1/user?id=2,3", "boss").json()[0]["affiliations"] == ["EPFL"]
    assert ask(server, "GET", "/auth/api/v1/user?id=x", "boss").status_code == 400
    assert ask(server, "POST", "/auth/api/v1/create_token", "viewer").json() == "viewer"


def test_public_datasets(server: Server) -> None:
    public = "/segmentation/api/v1/table/open_pcg"
    assert ask(server, "GET", f"{public}/oldest_timestamp", None).status_code == 200
    assert ask(server, "GET", "/segmentation/table/open_pcg/info", "signer").status_code == 200
    assert ask(server, "POST", f"{public}/merge", None, json=[]).status_code == 401
    assert ask(server, "GET", f"{TABLE}/oldest_timestamp", None).status_code == 401
    answers = [
        ask(server, "GET", f"/auth/api/v1/table/{t}/has_public", "boss").json() for t in ("open_pcg", "small_pcg")
    ]
    assert answers == [True, False]


def test_browsers_are_led_to_a_form_and_back(server: Server) -> None:
    page = {"Accept": "text/html"}
    path = "/segmentation/table/small_pcg/info"
    sent = ask(server, "GET", path, None, headers=page)
    assert sent.status_code == 302
    assert "/auth/api/v1/authorize?redirect=" in sent.headers["Location"]
    assert "token" in requests.get(sent.headers["Location"], timeout=5).text
    back = ask(server, "GET", f"{path}?middle_auth_token=viewer&x=1", None, headers=page)
    assert (back.status_code, back.headers["Location"]) == (302, f"{server.url}{path}?x=1")
    assert "HttpOnly" in back.headers["Set-Cookie"]
    program = ask(server, "GET", path, None, headers={**page, "X-Requested-With": "fetch"})
    assert program.status_code == 401


def test_datastacks_of_the_file_stand_beside_those_of_worlds(server: Server) -> None:
    def info(path: str) -> Any:
        return ask(server, "GET", f"/info/api/v2/{path}", "boss").json()

    assert info("datastacks") == ["small", "second", "open", "cortex65"]
    far = info("datastack/full/cortex65")
    assert far["segmentation_source"] == "graphene://https://far/segmentation/table/cortex_v1"
    assert (far["synapse_table"], far["viewer_resolution_x"], far["soma_table"]) == ("syn", 8.0, None)
    assert far["aligned_volume"]["image_source"] == "precomputed://gs://b/em"
    assert info("datastack/full/cortex65?image_source_name=raw")["aligned_volume"]["image_source"].endswith("/raw")
    number = far["aligned_volume"]["id"]
    assert info(f"aligned_volume/id/{number}")["name"] == "cortex"
    assert info("aligned_volume/cortex/datastacks") == ["cortex65"]
    assert info("datastack/cortex65")["aligned_volume"] == f"/info/api/v2/aligned_volume/id/{number}"
    ours = info("datastack/full/small")
    assert (ours["description"], ours["viewer_site"]) == ("ours", "https://viewer")
    assert (ours["synapse_table"], ours["soma_table"]) == ("synapses", "nuclei")
    assert info("datastack/cortex65/image_sources")[0]["name"] == "raw"
    assert info("ngl_info")["small"] == "https://viewer"
    assert set(info("aligned_volume")) == {"small_volume", "second_volume", "open_volume", "cortex"}


@pytest.mark.parametrize(
    ("option", "content", "words"),
    [
        ("--token-file", '[{"id": 1}]', "needs an id and a token"),
        ("--token-file", "{", "Expecting"),
        ("--token-file", '{"users": [], "groups": [{"id": 1}]}', "not as docs/localcave.md says"),
        ("--info-file", '{"datastacks": [{"name": "x", "color": 1}]}', "unknown field 'color'"),
        ("--info-file", '{"datastacks": [{"name": "x", "aligned_volume": "y"}]}', "no aligned volume 'y'"),
        ("--info-file", '{"aligned_volumes": [{}]}', "needs a name"),
    ],
)
def test_bad_files_are_refused_at_the_start(tmp_path: Path, option: str, content: str, words: str) -> None:
    (tmp_path / "file.json").write_text(content)
    command = [sys.executable, "-m", "localcave", "serve", "--dir", str(tmp_path / "s"), "--port", "0"]
    refused = subprocess.run(
        [*command, option, str(tmp_path / "file.json")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert words in refused.stderr


def test_a_state_folder_of_another_release_is_refused(tmp_path: Path, start: Starter, world: Path) -> None:
    server = start(tmp_path)
    server.admin("POST", "worlds", {"folder": str(world), "datastack": "small"})
    server.stop()
    about = tmp_path / "tables/small_pcg/graph.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "format": 1}))
    command = [sys.executable, "-m", "localcave", "serve", "--dir", str(tmp_path), "--port", "0"]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "another release of localcave" in refused.stderr
