"""Where a running stack is, as it writes it down for everybody else."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..kernel.postgres import masked, normalize
from ..kernel.processes import ServerError

DEFAULT_FOLDER = ".matengine"


class StackNotRunning(ServerError):
    """No stack runs in that folder."""


@dataclass(frozen=True, slots=True)
class StackInfo:
    """Addresses and process ids of a running stack.

    Parameters
    ----------
    server
        Base URL of every path: the engine's own and its neighbors'.
    postgres, redis
        Addresses with passwords; the file that holds them is readable by its owner alone.
    localcave
        Base URL of the neighbors themselves.
    dir
        The stack's folder, absolute.
    pids
        Process id by service.
    """

    server: str
    postgres: str
    redis: str
    localcave: str
    dir: str
    pids: Mapping[str, int] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Settings, as variables, with which any other process joins this stack."""
        return {
            "FLASK_CONFIGURATION": "development",
            "AUTH_DISABLED": "true",
            "SQLALCHEMY_DATABASE_URI": normalize(self.postgres),
            "REDIS_URL": self.redis,
            "CELERY_BROKER_URL": self.redis,
            "LOCAL_SERVER_URL": self.server,
            "GLOBAL_SERVER_URL": self.server,
            # Look-ups need not pass through the web process.
            "PCG_SERVER_URL": self.localcave,
            "LOCALCAVE_URL": self.localcave,
            # Local CAVE shows an edit at once, so "now" needs no safety margin.
            "MATERIALIZATION_AS_OF_MARGIN": "0",
            "MATENGINE_DIR": self.dir,
        }

    def to_json(self) -> str:
        """One JSON object, passwords included."""
        return json.dumps(asdict(self), indent=2)

    def masked(self) -> StackInfo:
        """The same without passwords, fit to be shown."""
        return StackInfo(self.server, masked(self.postgres), masked(self.redis), self.localcave, self.dir, self.pids)


class Layout:
    """Names of the files in a stack's folder."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.record = self.folder / "stack.json"
        self.lock = self.folder / "supervisor.lock"
        self.ports = self.folder / "ports.json"
        self.logs = self.folder / "logs"
        self.run = self.folder / "run"
        self.postgres = self.folder / "postgres"
        self.redis = self.folder / "redis"
        self.localcave = self.folder / "localcave"

    def log(self, name: str) -> Path:
        """Log file of one service."""
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Make the folders, closed to others: the logs and the record hold secrets."""
        try:
            self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            for folder in (self.logs, self.run, self.localcave):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ServerError(f"{self.folder} cannot hold a stack: {error}; choose another --dir") from error


def locate(folder: Path | str) -> StackInfo:
    """The stack that runs in `folder`. Raises StackNotRunning, with the command that starts one."""
    layout = Layout(folder)
    if owner(layout) is not None:
        try:
            return StackInfo(**json.loads(layout.record.read_text()))
        except FileNotFoundError:
            starting = f"the stack in {layout.folder} is still starting; see {layout.logs}"
            raise StackNotRunning(starting) from None
        except PermissionError as error:
            raise ServerError(f"the stack in {layout.folder} belongs to another user") from error
    raise StackNotRunning(f"no stack runs in {layout.folder}; start one with `matengine stack up --dir {folder}`")


def described(environ: Mapping[str, str]) -> StackInfo | None:
    """The stack that variables describe (in a container, say), if they name all of its parts; `environment` undone."""
    names = ("LOCAL_SERVER_URL", "SQLALCHEMY_DATABASE_URI", "REDIS_URL", "LOCALCAVE_URL")
    server, postgres, redis, localcave = (environ.get(name, "") for name in names)
    if not (server and postgres and redis and localcave):
        return None
    return StackInfo(server, postgres, redis, localcave, environ.get("MATENGINE_DIR", ""))


def write(layout: Layout, info: StackInfo) -> None:
    """Replace the record in one stroke: whoever reads it sees the old one or the new one, whole."""
    handle, half = tempfile.mkstemp(prefix=".stack-", dir=layout.folder)  # made with mode 600
    with os.fdopen(handle, "w") as file:
        file.write(info.to_json() + "\n")
    Path(half).replace(layout.record)


def owner(layout: Layout) -> int | None:
    """Process id of the supervisor that holds this folder, None without one; 0 while it is taking it."""
    try:
        with layout.lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().strip() or 0)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except PermissionError as error:
        raise ServerError(f"{layout.folder} belongs to another user; choose another --dir") from error
    return None
