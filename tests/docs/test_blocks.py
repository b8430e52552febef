"""What the manual tells people to type exists and parses."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
from pathlib import Path

import click
import pytest

from materializationengine.cli import main
from materializationengine.domain.schemas.fields import Point, Value
from materializationengine.workflows.celery_app import QUEUES, known_queues
from tests.docs.pages import PAGES, ROOT, Block, anchors, blocks, commands, links

TYPED = sorted(set(commands()))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the manual's commands name."""
    for world in ("world", "brain"):
        (tmp_path / world / "annotations/synapses").mkdir(parents=True)
    (tmp_path / "mapping.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def resolve(words: list[str]) -> tuple[click.Command, list[str], str]:
    """The command that words name, and the words left for it."""
    command: click.Command = main
    name, rest = words[0], words[1:]
    context = click.Context(main)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        assert found is not None, f"{name} has no command {rest[0]}"
        command, name, rest = found, f"{name} {rest[0]}", rest[1:]
    return command, rest, name


def parse(words: list[str]) -> None:
    """Let click check a command line without running it."""
    command, rest, name = resolve(words)
    try:
        command.make_context(name, rest)
    except click.exceptions.Exit as asked_for_help:
        assert asked_for_help.exit_code == 0


@pytest.mark.parametrize("line", [line for line in TYPED if line.startswith("matengine ")])
def test_engine_commands_parse(line: str, workplace: Path) -> None:
    parse(shlex.split(line))


@pytest.mark.parametrize(
    "line",
    ["matengine nosuch", "matengine run complete mini --when now", "matengine run freeze", "matengine stack fly"],
)
def test_the_check_above_can_fail(line: str, workplace: Path) -> None:
    with pytest.raises((click.UsageError, AssertionError)):
        parse(shlex.split(line))


def test_commands_in_prose_exist() -> None:
    for page in PAGES:
        for line in re.findall(r"`(matengine [^`]+)`", page.read_text(encoding="utf-8")):
            command, rest, _ = resolve(shlex.split(line))
            known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--help"}
            unknown = {word for word in rest if word.startswith("--")} - known
            assert not unknown, f"{page.name}: {line}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for words in re.findall(r"(?:`|\$ )make ([a-z -]+)", text):
            named |= set(words.split())
    assert "demo" in named
    assert named <= targets


def test_scripts_and_modules_exist() -> None:
    for line in TYPED:
        words = shlex.split(line)
        if not words[0].endswith("python"):
            continue
        if words[1] == "-m":
            assert importlib.util.find_spec(words[2]) is not None or words[2] == "venv", line
        else:
            assert (ROOT / words[1]).is_file(), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_workers_of_a_page_consume_every_queue(page: Path) -> None:
    """A queue without a worker is a run that never ends."""
    lines = [line for line in commands(page) if line.startswith("celery ") and " worker " in line]
    consumed = [name for line in lines for name in re.findall(r"--queues=(\S+)", line)[0].split(",")]
    assert set(known_queues(consumed)) == (set(QUEUES) if lines else set())
    assert all("--app=run.celery" in line for line in lines)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.name)
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.name, "exec")


@pytest.mark.parametrize("block", blocks("json"), ids=lambda block: block.name)
def test_json_parses(block: Block) -> None:
    json.loads(block.text)


def test_the_example_of_a_schema_type_runs() -> None:
    (block,) = [block for block in blocks("python") if block.page.name == "CONTRIBUTING.md"]
    found: dict[str, object] = {}
    exec(block.text, found)
    fields = found["bouton"]
    assert isinstance(fields, tuple)
    assert [field.name for field in fields] == ["valid", "pt", "shape", "volume"]
    assert isinstance(fields[1], Point)
    assert isinstance(fields[2], Value)
    assert fields[2].indexed
    assert not fields[3].required


def test_the_upload_example_is_the_one_of_the_first_manual() -> None:
    (block,) = [block for block in blocks("python") if block.page.name == "workflows.rst"]
    (assignment,) = ast.parse(block.text).body
    assert isinstance(assignment, ast.Assign)
    mapping = ast.literal_eval(assignment.value)
    assert mapping["sv_ids_ordered"] == ["pre_pt_supervoxel_id", "post_pt_supervoxel_id"]
    assert len(mapping) == 7


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {target}"
