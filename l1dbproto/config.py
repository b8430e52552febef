"""The configuration file: the seed's keys, and a few of our own whose defaults keep the seed's behavior."""

from __future__ import annotations

import difflib
from configparser import Error as ParserError
from configparser import RawConfigParser
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from materializationengine.kernel.postgres import normalize

from .constants import HTM_MAX_RANGES
from .errors import ConfigError


class ObjectIndex(StrEnum):
    """How `DiaObject` is indexed."""

    BASELINE = "baseline"
    HTM20_ID_IOV = "htm20_id_iov"
    LAST_OBJECT_TABLE = "last_object_table"


class SourceSelect(StrEnum):
    """How the history of sources is found."""

    BY_FOV = "by-fov"
    BY_OID = "by-oid"


class Partition(StrEnum):
    """How sources and forced sources are partitioned (PostgreSQL)."""

    NONE = "none"
    MONTH = "month"


@dataclass(frozen=True)
class L1dbConfig:
    """What the configuration file says; `docs/l1db/configuration.md` explains every key."""

    url: URL
    dia_object_index: ObjectIndex = ObjectIndex.BASELINE
    dia_object_nightly: bool = False
    object_last_replace: bool = False
    read_sources_months: int = 0
    read_forced_sources_months: int = 0
    read_full_objects: bool = False
    source_select: SourceSelect = SourceSelect.BY_FOV
    htm_max_ranges: int = HTM_MAX_RANGES
    partition: Partition = Partition.NONE
    sort_batches: bool = True
    sync_commit: bool = True

    def __post_init__(self) -> None:
        if self.dia_object_nightly and not self.has_last:
            raise ConfigError(
                f"dia_object_nightly = 1 does not go with dia_object_index = {self.dia_object_index}: versions waiting "
                "in DiaObjectNightly would be invisible to reads; use dia_object_index = last_object_table"
            )
        if self.partition is Partition.MONTH and self.backend != "postgresql":
            raise ConfigError(f"partition = month needs PostgreSQL, but url names {self.backend}; use partition = none")
        if self.htm_max_ranges < 1:
            raise ConfigError(f"htm_max_ranges = {self.htm_max_ranges} is too small; it must be 1 or more")

    @property
    def has_last(self) -> bool:
        """Whether latest versions stand in a table of their own."""
        return self.dia_object_index is ObjectIndex.LAST_OBJECT_TABLE

    @property
    def backend(self) -> str:
        """`sqlite`, `postgresql` or `mysql`."""
        return self.url.get_backend_name()

    @property
    def schema_words(self) -> dict[str, str]:
        """The choices that shape the tables; they are written into the database, which must agree later."""
        return {
            "dia_object_index": str(self.dia_object_index),
            "dia_object_nightly": str(int(self.dia_object_nightly)),
            # Only the last-object table changes its columns with it.
            "read_full_objects": str(int(self.read_full_objects and self.has_last)),
            "by_fov_index": str(int(self.source_select is SourceSelect.BY_FOV)),
            "partition": str(self.partition),
        }


_KEYS = tuple(field.name for field in fields(L1dbConfig) if field.name != "url")
_SECTIONS = {"database": ("url",), "l1db": _KEYS}
_FLAGS = ("dia_object_nightly", "object_last_replace", "read_full_objects", "sort_batches", "sync_commit")
_NUMBERS = ("read_sources_months", "read_forced_sources_months", "htm_max_ranges")
_CHOICES = {"dia_object_index": ObjectIndex, "source_select": SourceSelect, "partition": Partition}


def read_config(path: Path | str) -> L1dbConfig:
    """Read a configuration file. Raises ConfigError with the culprit and what would be right."""
    parser = RawConfigParser()
    try:
        with Path(path).open(encoding="utf-8") as stream:
            parser.read_file(stream)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {str(path)!r}: {error.strerror}") from error
    except (ParserError, UnicodeDecodeError) as error:
        raise ConfigError(f"{str(path)!r} is not a configuration file: {str(error).splitlines()[0]}") from error
    try:
        return _from_parser(parser)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _from_parser(parser: RawConfigParser) -> L1dbConfig:
    # Keys of [DEFAULT] would silently show up in every section.
    for section in [*(["DEFAULT"] if parser.defaults() else []), *parser.sections()]:
        if section not in _SECTIONS:
            raise ConfigError(f"unknown section [{section}]; the sections are [database] and [l1db]")
        for key in parser[section]:
            if key not in _SECTIONS[section]:
                raise ConfigError(_unknown_key(section, key))
    if not parser.has_option("database", "url"):
        raise ConfigError("[database] needs a url, for example: url = sqlite:///l1db.sqlite")
    words = dict(parser["l1db"]) if parser.has_section("l1db") else {}
    return L1dbConfig(_url(parser["database"]["url"]), **{key: _value(key, word) for key, word in words.items()})


def _unknown_key(section: str, key: str) -> str:
    near = difflib.get_close_matches(key, _SECTIONS[section], n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown key {key!r} in [{section}]; {hint}the keys are {', '.join(_SECTIONS[section])}"


def _value(key: str, word: str) -> Any:
    if key in _CHOICES:
        try:
            return _CHOICES[key](word)
        except ValueError:
            raise ConfigError(f"{key} = {word!r} must be one of {', '.join(_CHOICES[key])}") from None
    if not (word.isascii() and word.isdigit()):
        wanted = "0 or 1" if key in _FLAGS else "a whole number, 0 or more"
        raise ConfigError(f"{key} = {word!r} must be {wanted}")
    return bool(int(word)) if key in _FLAGS else int(word)


def _url(text: str) -> URL:
    """The address with the driver we use; the seed's bare `mysql://` and `postgresql://` count."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ConfigError(f"url = {text!r} is not a database address; for example sqlite:///l1db.sqlite") from error
    backend = {"postgres": "postgresql", "mariadb": "mysql"}.get(url.get_backend_name(), url.get_backend_name())
    if backend == "postgresql":
        return make_url(normalize(text))
    if backend == "mysql":
        return url.set(drivername="mysql+pymysql")
    if backend == "sqlite":
        return _sqlite(url)
    raise ConfigError(f"url names the database {backend!r}; the backends are sqlite, postgresql and mysql")


def _sqlite(url: URL) -> URL:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigError(
            "url must name a file for SQLite, as in sqlite:///l1db.sqlite: one in memory dies with its connection"
        )
    return url.set(drivername="sqlite")
