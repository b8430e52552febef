"""The configuration file: every key, every mistake one clear message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import l1dbproto
from l1dbproto.config import ObjectIndex, Partition, SourceSelect, read_config
from l1dbproto.errors import ConfigError
from l1dbproto.l1db import L1db

URL = "url = sqlite:///x.sqlite"


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], object]:
    def write_and_read(text: str) -> object:
        path = tmp_path / "l1db.cfg"
        path.write_text(text)
        return read_config(path)

    return write_and_read


def test_defaults_are_the_seeds(read: Callable[[str], object]) -> None:
    config = read(f"[database]\n{URL}\n")
    assert config == read(f"[database]\n{URL}\n[l1db]\n")
    assert (config.dia_object_index, config.source_select) == (ObjectIndex.BASELINE, SourceSelect.BY_FOV)
    assert not (config.dia_object_nightly or config.object_last_replace or config.read_full_objects)
    assert (config.read_sources_months, config.read_forced_sources_months, config.htm_max_ranges) == (
        0,
        0,
        64,
    )


@pytest.mark.parametrize("name", ["l1db-sqlite", "l1db-pg", "l1db-mysql"])
def test_examples_can_be_read(name: str) -> None:
    config = read_config(Path(l1dbproto.__file__).parent / "cfg" / f"{name}.cfg")
    assert config.dia_object_index is ObjectIndex.LAST_OBJECT_TABLE
    assert (config.object_last_replace, config.dia_object_nightly, config.read_full_objects) == (
        True,
        False,
        False,
    )
    assert (config.read_sources_months, config.read_forced_sources_months) == (12, 12)
    assert config.source_select is SourceSelect.BY_OID
    assert config.partition is (Partition.MONTH if name == "l1db-pg" else Partition.NONE)


def test_the_seeds_mysql_address_works(read: Callable[[str], object]) -> None:
    config = read("[database]\nurl = mysql://localhost/l1dbproto?unix_socket=/var/lib/mysql/mysql.sock\n")
    assert (config.url.drivername, config.backend) == ("mysql+pymysql", "mysql")
    assert config.url.query["unix_socket"] == "/var/lib/mysql/mysql.sock"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_postgresql_addresses_mean_psycopg2(read: Callable[[str], object], scheme: str) -> None:
    config = read(f"[database]\nurl = {scheme}://u:p%40ss@localhost/x\n")
    assert (config.url.drivername, config.url.password) == ("postgresql+psycopg2", "p@ss")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[l1db]\n", "needs a url"),
        ("[database]\n", "needs a url"),
        ("url = x\n", "not a configuration file"),
        (f"[database]\n{URL}\n[l1db]\ndia_object_indx = baseline\n", "did you mean dia_object_index"),
        (f"[database]\n{URL}\n[l1db]\ndia_object_index = best\n", "must be one of baseline, htm20_id_iov"),
        (f"[database]\n{URL}\n[l1db]\nsource_select = by-name\n", "by-fov, by-oid"),
        (f"[database]\n{URL}\n[l1db]\nread_sources_months = twelve\n", "whole number"),
        (f"[database]\n{URL}\n[l1db]\nread_sources_months = -1\n", "whole number"),
        (f"[database]\n{URL}\n[l1db]\nobject_last_replace = yes\n", "0 or 1"),
        (f"[database]\n{URL}\n[l1db]\nhtm_max_ranges = 0\n", "1 or more"),
        (f"[database]\n{URL}\n[l1db]\ndia_object_nightly = 1\n", "use dia_object_index = last_object_table"),
        (f"[database]\n{URL}\n[l1db]\npartition = month\n", "needs PostgreSQL"),
        (f"[database]\n{URL}\n[l1dbx]\nread_sources_months = 1\n", r"unknown section \[l1dbx\]"),
        (f"[DEFAULT]\nread_sources_months = 1\n[database]\n{URL}\n", r"unknown section \[DEFAULT\]"),
        ("[database]\nurl = oracle://x/y\n", "sqlite, postgresql and mysql"),
        ("[database]\nurl = what\n", "not a database address"),
        ("[database]\nurl = sqlite://\n", "must name a file"),
        ("[database]\nurl = sqlite:///:memory:\n", "must name a file"),
    ],
)
def test_mistakes_are_named(read: Callable[[str], object], text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        read(text)
    assert "l1db.cfg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_value_is_a_value_error_as_in_the_seed(tmp_path: Path) -> None:
    path = tmp_path / "bad.cfg"
    path.write_text(f"[database]\n{URL}\n[l1db]\ndia_object_index = best\n")
    with pytest.raises(ValueError, match="best"):
        L1db(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*none\.cfg"):
        L1db(tmp_path / "none.cfg")
