"""What a backup holds, as its `manifest.json` says it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

FORMAT = 1
"""Of the manifest; another one is refused."""


@dataclass(frozen=True, slots=True)
class DumpFile:
    """One archive of `pg_dump`: its name in the folder, its size, and the digest that `sha256sum` prints."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SavedVersion:
    """A version that could be read when the backup was made; `dump` is None for one that a restore makes anew."""

    datastack: str
    version: int
    moment: datetime
    dump: DumpFile | None = None


@dataclass(frozen=True, slots=True)
class SavedDatabase:
    """A live database: its archive, its layout, and its versions, all of one snapshot."""

    name: str
    home: bool
    layout: str
    dump: DumpFile
    versions: tuple[SavedVersion, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole backup. `engine` and `server` are the releases of this engine and of PostgreSQL that made it."""

    format: int
    made: datetime
    engine: str
    server: str
    databases: tuple[SavedDatabase, ...]

    @property
    def files(self) -> tuple[DumpFile, ...]:
        """Every archive of the folder."""
        of_versions = (version.dump for database in self.databases for version in database.versions)
        return (*(database.dump for database in self.databases), *(dump for dump in of_versions if dump is not None))
