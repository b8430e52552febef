"""The folder of a private database: where its account can enter, closed to everybody else."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .processes import Account, ServerError, can_enter

REFUGES = Path("/var/tmp")  # nosec B108 # folders in it are made by mkdtemp, and those of others do not count
"""Where data go that their account could not reach: open to all, and kept over a restart of the machine."""


def prepare(folder: Path, account: Account | None, *, keep: bool = True) -> None:
    """Make the cluster's folder where its account can reach it: `folder`, or what it becomes a link to."""
    if folder.is_symlink() and not folder.exists():
        folder.unlink()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        if can_enter(folder.parent, account):
            folder.mkdir(mode=0o700, exist_ok=True)
        else:
            folder.symlink_to(refuge(folder, keep=keep))
    home = folder.resolve()
    if not can_enter(home.parent, account):
        who = account.name if account else f"user {os.geteuid()}"
        raise ServerError(f"{who}, as whom PostgreSQL must run, cannot enter {home.parent}; choose another folder")
    home.chmod(0o700)
    give(home, account)


def refuge(folder: Path, *, keep: bool = True) -> Path:
    """A new folder in /var/tmp for the cluster of `folder`, which goes with us if it is not to be kept.

    What an earlier cluster of the same `folder` left there is removed, and so are those that were not to be kept
    and whose process was killed before it could remove them.
    """
    for origin in REFUGES.glob("matengine-*/origin"):
        # Everybody may write in /var/tmp; what others say there does not count.
        if origin.stat().st_uid == os.geteuid() and _forsaken(origin.read_text().split("\n"), folder):
            shutil.rmtree(origin.parent, ignore_errors=True)
    refuge = Path(tempfile.mkdtemp(prefix="matengine-", dir=REFUGES))
    (refuge / "origin").write_text(f"{folder}\n" + ("" if keep else f"{os.getpid()}\n"))
    return refuge


def _forsaken(origin: Sequence[str], folder: Path) -> bool:
    belongs_to, master = origin[0], origin[1] if len(origin) > 1 else ""
    return belongs_to == str(folder) or (master != "" and not Path(f"/proc/{master}").exists())


def give(path: Path, account: Account | None) -> None:
    """Make the account, if there is one, the owner of a file or folder."""
    if account is not None:
        os.chown(path, account.uid, account.gid)
