"""Settings: one reader, no name without a meaning, CAVE's names included."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from materializationengine import config_cave
from materializationengine.config import Settings
from materializationengine.domain.errors import ConfigurationError

PACKAGE = Path(__file__).parents[2] / "materializationengine"
KNOWN = {each.metadata["env"] for each in fields(Settings)}
CAVE = tuple(
    """
    SQLALCHEMY_DATABASE_URI DB_CONNECTION_POOL_SIZE DB_MAX_OVERFLOW REDIS_HOST REDIS_PORT REDIS_PASSWORD
    REDIS_URL CELERY_BROKER_URL CELERY_BROKER CELERY_RESULT_BACKEND USE_SENTINEL MASTER_NAME DATASTACKS
    MATERIALIZATION_ROW_CHUNK_SIZE QUEUE_LENGTH_LIMIT QUEUES_TO_THROTTLE THROTTLE_QUEUES MIN_DATABASES
    MAX_DATABASES MERGE_TABLES DAYS_TO_EXPIRE LTS_DAYS_TO_EXPIRE BEAT_SCHEDULES LOCAL_SERVER_URL
    GLOBAL_SERVER_URL ANNO_ENDPOINT INFOSERVICE_ENDPOINT AUTH_URI SCHEMA_SERVICE_ENDPOINT
    SEGMENTATION_ENDPOINT INFO_API_VERSION PCG_SERVER_URL BIGTABLE_PROJECT BIGTABLE_INSTANCE DAF_CREDENTIALS
    GOOGLE_APPLICATION_CREDENTIALS SQL_INSTANCE_NAME STAGING_DATABASE_NAME MATERIALIZATION_UPLOAD_BUCKET_PATH
    MATERIALIZATION_DUMP_BUCKET CHUNK_SCALE_FACTOR SUPERVOXEL_BATCH_SIZE CLOUDVOLUME_PARALLEL
    CELERY_CLOUDVOLUME_CACHE_BYTES GCS_CONNECTION_POOL_SIZE DELTALAKE_OUTPUT_BUCKET
    DELTALAKE_FLUSH_THRESHOLD_BYTES DELTALAKE_TARGET_PARTITION_SIZE_MB DELTALAKE_OPTIMIZE_MAX_CONCURRENT_TASKS
    DELTALAKE_OPTIMIZE_TARGET_SIZE_BYTES DELTALAKE_OPTIMIZE_MAX_SPILL_SIZE_BYTES
    DELTALAKE_SMALL_TABLE_THRESHOLD_MB DELTALAKE_BLOOM_FILTER_FPP CELERY_WORKER_AUTOSHUTDOWN_ENABLED
    CELERY_WORKER_IDLE_TIMEOUT_SECONDS CELERY_WORKER_IP SLACK_WEBHOOK RATELIMIT_STORAGE_URI QUERY_LIMIT_SIZE
    PRECOMPUTED_OVERVIEW_MAX_SIZE PRECOMPUTED_SPATIAL_INDEX_LIMIT HASH_SAMPLING_THRESHOLD_PERCENT
    MEMORY_AUDIT_ENABLED MEMORY_AUDIT_WARN_DELTA_MB MEMORY_AUDIT_MAX_BODY_BYTES MEMORY_AUDIT_MAX_FILTER_VALUES
    MEMORY_AUDIT_QUIET_PATHS HEALTH_READY_MAX_BUSY_FRACTION HEALTH_LIVE_DB_FAILURES
    HEALTH_LIVE_DB_STALE_SECONDS TEST_DB_NAME SESSION_TYPE SESSION_PREFIX REDIS_SESSION_DB
    PERMANENT_SESSION_LIFETIME ALLOWED_ORIGIN AUTH_DISABLED AUTH_SERVICE_NAMESPACE AUTH_DATABASE_NAME
    LOGGING_LEVEL FLASK_CONFIGURATION MATERIALIZATION_ENGINE_SETTINGS
    """.split()  # noqa: SIM905  (eighty names read better as words)
)
"""Every name of workflows.md 4 but those of rate limits, which have tests of their own."""

WORDS = {
    "FLASK_CONFIGURATION": "testing",
    "AUTH_DISABLED": "true",
    "BEAT_SCHEDULES": "[]",
    "DATASTACKS": '["one"]',
    "SQLALCHEMY_DATABASE_URI": "postgresql://a@b/c",
}


@pytest.mark.parametrize("name", CAVE)
def test_a_name_of_cave_is_read_translated_or_explained(name: str) -> None:
    read, translated, explained = name in KNOWN, name in config_cave.TRANSLATED, name in config_cave.WITHOUT_EFFECT
    assert read + translated + explained == 1, (read, translated, explained)
    told = {name: WORDS.get(name, "8")}
    before, after = Settings.from_env({}), Settings.from_env(told)
    changes = before.shown() != after.shown()
    assert (
        changes == (read and name not in ("AUTH_DISABLED", "FLASK_CONFIGURATION", "BEAT_SCHEDULES"))
        or changes == (translated or read)
        or name in ("REDIS_PORT", "REDIS_PASSWORD", "AUTH_DISABLED")
    )
    assert config_cave.ignored(told) == ({name: config_cave.WITHOUT_EFFECT[name]} if explained else {})


@pytest.mark.parametrize(
    ("told", "field", "meant"),
    [
        ({"INFOSERVICE_ENDPOINT": "http://g/info"}, "info_server", "http://g"),
        ({"AUTH_URI": "https://g/auth/"}, "info_server", "https://g"),
        ({"AUTH_URI": "https://g/auth", "GLOBAL_SERVER_URL": "https://own"}, "info_server", "https://own"),
        ({"SEGMENTATION_ENDPOINT": "http://pcg/"}, "graph_server", "http://pcg"),
        ({"SEGMENTATION_ENDPOINT": "http://pcg/", "PCG_SERVER_URL": "http://own"}, "graph_server", "http://own"),
        ({"REDIS_HOST": "r"}, "broker", "redis://r:6379/0"),
        ({"REDIS_HOST": "r", "REDIS_PORT": "7", "REDIS_PASSWORD": "p/@"}, "broker", "redis://:p%2F%40@r:7/0"),
        ({"REDIS_HOST": "r", "REDIS_URL": "redis://own"}, "broker", "redis://own"),
    ],
)
def test_what_cave_says_in_other_words(told: dict[str, str], field: str, meant: str) -> None:
    assert getattr(Settings.from_env(told), field) == meant


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("MATERIALIZATION_AS_OF_MARGN", "MATERIALIZATION_AS_OF_MARGIN"),
        ("MATERIALIZATION_LEASES", "MATERIALIZATION_LEASE"),
        ("MATERIALIZATION_GRAPH_BACTH", "MATERIALIZATION_GRAPH_BATCH"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ConfigurationError, match=f"unknown setting {name}; did you mean {near}\\?"):
        Settings.from_env({name: "1"})


def test_every_setting_says_what_it_is_and_in_which_unit() -> None:
    things = "annotations|connections|failures|queries|requests|rows|supervoxels|tables|units|versions"
    units = rf"second|days|GB|MB|share|{things}"
    for each in fields(Settings):
        assert len(each.metadata["doc"].split()) > 1, each.name
        if isinstance(each.default, (int, float)) and not isinstance(each.default, bool):
            assert re.search(units, each.metadata["doc"]), each.name


def test_nobody_else_reads_the_environment() -> None:
    allowed = {
        "cli/__init__.py",  # how much to say, before settings are read
        "cli/context.py",  # which stack is meant
        "cli/demo.py",
        "kernel/pg_client.py",  # what a program of PostgreSQL inherits
        "kernel/processes.py",  # where programs are looked for
        "stack/__main__.py",
        "stack/commands.py",
        "stack/launcher.py",  # what the stack's processes inherit
        "web/app.py",
        "web/meters.py",  # prometheus-client's own variable
        "workflows/app.py",
    }
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(r"os\.environ|getenv", path.read_text())
    }
    assert found <= allowed


@pytest.mark.parametrize("told", ["one", '"one"', "[1]", "{}"])
def test_datastacks_is_a_list_of_names(told: str) -> None:
    with pytest.raises(ConfigurationError, match="a JSON list of names"):
        Settings.from_env({"DATASTACKS": told})
