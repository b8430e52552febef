"""Gates in real processes: where the runner says so, one of them stops and waits, so that a fault meets it there.

The folder of `GATE_FOLDER` holds `hold` (the place, `POINT ACTION`), `met` (pid and parent of who stopped there),
`twice` (send every message twice), `full` (the action that finds no room, where no small disk can be mounted), and
`sent` (every message sent, one JSON line each).
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from materializationengine.storage.ledger import Message
from materializationengine.workflows import execute, firing, launch
from materializationengine.workflows.celery_app import EngineCelery

FOLDER = Path(os.environ.get("GATE_FOLDER", "."))


def stop(place: str) -> None:
    """Wait here if the runner waits for somebody here, and nobody came before."""
    if _held() != place:
        return
    note = FOLDER / f"note.{os.getpid()}"
    note.write_text(f"{os.getpid()} {os.getppid()}")
    try:
        os.link(note, FOLDER / "met")
    except FileExistsError:
        return
    while _held() == place:
        time.sleep(0.02)


def _held() -> str:
    return _told("hold")


def _told(name: str) -> str:
    try:
        return (FOLDER / name).read_text()
    except FileNotFoundError:
        return ""


def around_units() -> None:
    """Gates before a unit's deed, after it, and after its commit."""
    perform, due = execute.perform, execute.ledger.due
    last: list[str] = []

    def gated(work: Any, spec: Any) -> Any:
        last[:] = [spec.action]
        stop(f"claimed {spec.action}")
        if _told("full") == spec.action:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        report = perform(work, spec)
        stop(f"worked {spec.action}")
        return report

    def gated_due(*args: Any, **kwargs: Any) -> Any:
        if last:
            stop(f"committed {last.pop()}")
        return due(*args, **kwargs)

    execute.perform = gated
    execute.ledger.due = gated_due


def around_slots() -> None:
    """A gate between the taking of a slot and the start of its runs."""
    fire = firing._fire

    def gated(*args: Any) -> list[str]:
        stop("taken slot")
        return fire(*args)

    firing._fire = gated


def around_requests() -> None:
    """Gates before and after the commit of a run that a request starts."""
    note, send = launch.run_control.note, EngineCelery.send

    def gated_note(*args: Any) -> None:
        note(*args)
        stop("planned request")

    def gated_send(app: EngineCelery, messages: Sequence[Message]) -> None:
        stop("launched request")
        send(app, messages)

    launch.run_control.note = gated_note
    EngineCelery.send = gated_send


def on_messages() -> None:
    """Write down what is sent, and send it twice where that is wanted."""
    send = EngineCelery.send

    def noted(app: EngineCelery, messages: Sequence[Message]) -> None:
        with (FOLDER / "sent").open("a") as log:
            log.writelines(json.dumps(asdict(message)) + "\n" for message in messages)
        send(app, messages)
        if (FOLDER / "twice").exists():
            send(app, messages)

    EngineCelery.send = noted
