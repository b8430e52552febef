"""Logs: one line of JSON each, and nothing secret in any."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from materializationengine.config import Settings
from materializationengine.kernel.logs import STARS, Censor, configure

SECRET = 'pass"word\\ä%/3'


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged; the settings of the logs are put back."""
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    level, config = root.level, structlog.get_config()
    stream = io.StringIO()
    configure("INFO", Censor(lambda: [SECRET]), stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    structlog.configure(**config)


def test_our_lines_and_those_of_libraries_are_json(written: io.StringIO) -> None:
    structlog.get_logger("ours").info("done", rows=3)
    logging.getLogger("theirs").warning("odd %s", "thing")
    structlog.get_logger("ours").debug("not asked for")
    ours, theirs = [json.loads(line) for line in written.getvalue().splitlines()]
    assert (ours["event"], ours["rows"], ours["level"], ours["logger"]) == ("done", 3, "info", "ours")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("odd thing", "warning", "theirs")


def test_no_secret_is_written_wherever_it_stands(written: io.StringIO) -> None:
    log = structlog.get_logger()
    log.info(f"with {SECRET}", address=f"redis://:{SECRET}@host/0", nested={"deep": [SECRET]})
    log.info("asked", url="http://h/x?middle_auth_token=abcdefgh123", header="Bearer abcdefgh123")
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception("failed")
    text = written.getvalue()
    assert len(text.splitlines()) == 3
    assert "abcdefgh123" not in text
    assert not [line for line in text.splitlines() if SECRET in repr(json.loads(line)) or "word" in line]
    assert text.count(STARS) >= 5


@given(st.text(min_size=6, max_size=30), st.text(max_size=20))
def test_a_known_secret_never_passes(secret: str, around: str) -> None:
    said = Censor(lambda: [secret])(f"{around}{secret}{around}")
    assert secret not in said or secret in STARS * 20 or secret in (around + STARS + around)


def test_settings_do_not_show_their_secrets(tmp_path_factory: pytest.TempPathFactory) -> None:
    token = tmp_path_factory.mktemp("token") / "token.json"
    token.write_text(json.dumps({"token": "engines-own-token"}))
    settings = Settings.from_env(
        {
            "SQLALCHEMY_DATABASE_URI": "postgresql://me:database-word@h/db",
            "REDIS_URL": "redis://:redis-word@h/0",
            "CELERY_BROKER_URL": "redis://u:broker-word@h/0",
            "SLACK_WEBHOOK": "https://hooks.slack.com/services/T0/B0/hook-word",
            "DAF_CREDENTIALS": str(token),
        }
    )
    secrets = {"database-word", "redis-word", "broker-word", "engines-own-token"}
    assert secrets <= set(settings.secrets())
    told = repr(settings) + str(settings) + repr(settings.shown()) + settings.censor()(repr(settings.secrets()))
    assert not [word for word in (*secrets, "hook-word") if word in told]
    assert "postgresql://me:***@h/db" in told
