"""Pages of the manual, played: their commands, files and Python in the order in which a reader meets them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.docs.pages import ROOT

CLIENT = ROOT / ".venv-caveclient/bin/python"
ANY_SERVER = "http://127.0.0.1:8000"
"""The address that pages write; the stack of a test has another."""

_ALONG = Path(__file__).with_name("typing_along.py")
_TERMINAL = Path(__file__).with_name("terminal.py")
_PIECE = re.compile(
    r"(?:^<!-- file: (?P<file>\S+) -->\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A block of a page: to be typed, to be saved under a name, or what the Python before it prints."""

    language: str
    text: str
    file: str | None


def pieces(page: Path) -> list[Piece]:
    """The blocks of a page in their order."""
    found = _PIECE.finditer(page.read_text(encoding="utf-8"))
    return [Piece(one["language"], one["body"], one["file"]) for one in found]


class Terminal:
    """The client's Python, kept open from block to block; killed with the `with`."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [str(CLIENT), str(_TERMINAL)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=home,
            env={**os.environ, "HOME": str(home)},
        )

    def tell(self, code: str) -> str:
        """Carry out a block; what it prints. Raises AssertionError with its traceback."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert not answer["failed"], f"{code}\n{answer['failed']}"
        return str(answer["told"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


def type_lines(lines: list[str], folder: Path, environ: Mapping[str, str] | None = None) -> str:
    """Carry out `matengine` lines in a folder; what they print."""
    done = subprocess.run(
        [sys.executable, str(_ALONG)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **(environ or {})},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def play(page: Path, folder: Path, instead: Mapping[str, str] | None = None) -> str:
    """Do what a page says, with other words `instead` of those of its example; all that was printed.

    Raises AssertionError where a line fails, or a program prints something else than the page says.
    """
    told: list[str] = []
    with Terminal(folder) as terminal:
        todo = [replace(piece, text=reworded(piece.text, instead or {})) for piece in pieces(page)]
        for piece, following in zip(todo, [*todo[1:], None], strict=True):
            told.append(_do(piece, following, folder, terminal))
    return "".join(told)


def reworded(text: str, instead: Mapping[str, str]) -> str:
    """A text with other words."""
    for word, other in instead.items():
        text = text.replace(word, other)
    return text


def _do(piece: Piece, following: Piece | None, folder: Path, terminal: Terminal) -> str:
    if piece.file is not None:
        (folder / piece.file).write_text(piece.text, encoding="utf-8")
    if piece.language == "console":
        lines = [line[2:] for line in piece.text.splitlines() if line.startswith("$ matengine ")]
        return type_lines(lines, folder) if lines else ""
    if piece.language != "python":
        return ""
    printed = terminal.tell(piece.text.replace(ANY_SERVER, _server(folder)))
    if following is not None and following.language == "text":
        assert printed == following.text, f"{piece.text}\nprinted:\n{printed}\nthe page says:\n{following.text}"
    return printed


def _server(folder: Path) -> str:
    return str(json.loads((folder / ".matengine/stack.json").read_text(encoding="utf-8"))["server"])
