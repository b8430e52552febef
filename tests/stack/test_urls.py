"""Addresses: three spellings of one place."""

from __future__ import annotations

from urllib.parse import quote

import psycopg2.extensions
import pytest
from sqlalchemy.engine import make_url

from materializationengine.kernel.postgres import libpq, masked, normalize, with_database


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg"])
def test_every_postgresql_scheme_becomes_the_driver_we_have(scheme: str) -> None:
    assert normalize(f"{scheme}://u:p@h:5432/d") == "postgresql+psycopg2://u:p@h:5432/d"


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "sqlite:///x.db", "nonsense", ""])
def test_other_addresses_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(ValueError, match="not a PostgreSQL address") as caught:
        normalize(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("password", ["p@ss:w/rd", "a b+c", "100%", "%41", "ü#?&=", "x]y[z", ""])
def test_special_signs_of_a_password_survive_in_all_spellings(password: str) -> None:
    given = f"postgres://us%40er:{quote(password, safe='')}@h:5432/d"
    assert make_url(normalize(given)).password == password
    words = psycopg2.extensions.parse_dsn(libpq(given))
    assert (words["user"], words.get("password", ""), words["dbname"]) == ("us@er", password, "d")


def test_database_application_and_options_reach_libpq() -> None:
    url = libpq(
        "postgresql+psycopg2://u:p@h/d?connect_timeout=3&options=-c%20jit%3Doff",
        database="mat 1",
        application="matengine ingest",
        options={"lock_timeout": "5s", "search_path": "matengine, public", "keepalives_idle": 10},
    )
    words = psycopg2.extensions.parse_dsn(url)
    assert words["dbname"] == "mat 1"
    assert words["application_name"] == "matengine ingest"
    assert (words["connect_timeout"], words["keepalives_idle"]) == ("3", "10")
    assert words["options"] == r"-c jit=off -c lock_timeout=5s -c search_path=matengine,\ public"


def test_a_unix_socket_and_an_ipv6_host_are_kept() -> None:
    socket = "postgres://u@/d?host=/var/run/postgresql"
    assert psycopg2.extensions.parse_dsn(libpq(socket))["host"] == "/var/run/postgresql"
    assert make_url(normalize(socket)).query["host"] == "/var/run/postgresql"
    six = with_database("postgresql://u:p@[::1]:5433/d", "e")
    assert psycopg2.extensions.parse_dsn(six)["port"] == "5433"
    assert make_url(normalize(six)).host == "::1"


def test_another_database_keeps_the_spelling() -> None:
    assert with_database("postgres://h", "x") == "postgres://h/x"
    assert with_database("postgresql+psycopg2://u:p@h/d?sslmode=require", "a__mat3") == (
        "postgresql+psycopg2://u:p@h/a__mat3?sslmode=require"
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s%40cret@h/d",
        "redis://:s%40cret@h:6379/0",
        "postgresql://u@h/d?password=s%40cret&sslmode=require",
        "postgresql://u:s/s%40cret?x@h/d",
    ],
)
def test_a_printed_address_has_no_password(url: str) -> None:
    shown = masked(url)
    assert "cret" not in shown
    assert "***" in shown
    assert "h" in shown.partition("***")[2] or "@h" in shown
