"""What private servers share: binaries, an unprivileged account, free ports, death with the parent."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

ACCOUNTS = ("postgres", "matengine")
"""Accounts under which root's database servers run: the distribution's if there is one, else our own."""


class ServerError(RuntimeError):
    """A private server could not be started."""


@dataclass(frozen=True, slots=True)
class Account:
    """A system account without rights, to which root hands a server."""

    name: str
    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """Account for servers that refuse to run as root, made if need be; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        if found := _account(name):
            return found
    own = ACCOUNTS[-1]
    options = ["--system", "--user-group", "--no-create-home", "--shell=/usr/sbin/nologin"]
    made = subprocess.run([require("useradd", "passwd"), *options, own], capture_output=True, text=True)
    # Somebody may have made it between the two looks; only its absence is an error.
    if found := _account(own):
        return found
    raise ServerError(f"root's PostgreSQL needs a system account; useradd {own} failed: {made.stderr.strip()}")


def _account(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def require(binary: str, packages: str, folders: Sequence[Path] = ()) -> str:
    """Path of `binary` in `folders` or on PATH. Raises ServerError naming the Debian packages to install."""
    places = [*map(str, folders), os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/bin"]
    if found := shutil.which(binary, path=os.pathsep.join(places)):
        return found
    raise ServerError(f"{binary} is not installed; `apt-get install {packages}` brings it (or `make setup`)")


def launch_prefix(death_signal: signal.Signals, account: Account | None = None) -> list[str]:
    """Words before a command that make it die with its parent and, for root, run under `account`.

    The kernel forgets the wish to die with the parent when the user changes, hence `setpriv`, which
    does both in the right order, and not a function between fork and exec.
    """
    words = [require("setpriv", "util-linux"), f"--pdeathsig={death_signal.name.removeprefix('SIG')}"]
    if account is not None:
        words += [f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    return [*words, "--"]


def can_enter(folder: Path, account: Account | None) -> bool:
    """Whether the account may pass through `folder` and all above it."""
    if account is None:
        return os.access(folder, os.X_OK)
    command = [*launch_prefix(signal.SIGKILL, account), require("test", "coreutils"), "-x", f"{folder}/."]
    return subprocess.run(command, check=False).returncode == 0


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody holds just now; whoever binds it must be ready to ask again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(ready: Callable[[], bool], seconds: float, interval: float = 0.02) -> bool:
    """Ask until `ready` says yes or the time is over; the last answer."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def processes_in(folder: Path, program: str) -> Iterator[int]:
    """Ids of the processes named `program` whose working directory is exactly `folder`.

    A server and its children, that is. The name matters: a person's shell may stand in the same folder.
    """
    target = folder.resolve()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text().strip() == program and Path(os.readlink(entry / "cwd")) == target:
                    yield int(entry.name)
            except OSError:
                continue  # gone meanwhile, a zombie, or somebody else's


def kill_all(processes: Callable[[], Iterator[int]], seconds: float = 5.0) -> None:
    """SIGKILL to every process that `processes` finds, until it finds none or the time is over."""

    def none_left() -> bool:
        found = list(processes())
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        return not found

    wait_until(none_left, seconds)


def open_log(log: Path, most: int = 20_000_000) -> BinaryIO:
    """Open a log for appending; one larger than `most` bytes makes way first and is kept as `<name>.1`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > most:
        log.replace(log.with_name(log.name + ".1"))
    return log.open("ab")


def tail(log: Path, lines: int = 5) -> str:
    """Last lines of a log, for an error message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def end(process: subprocess.Popen[bytes], *signals: signal.Signals, patience: float = 20.0) -> None:
    """End a child we started: each signal in turn, with time to obey, then SIGKILL."""
    for number in signals:
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    if process.poll() is None:
        process.kill()
        process.wait()
