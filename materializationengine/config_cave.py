"""CAVE's names of settings (workflows.md 4): many are read as they are, some in other words, the rest mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

WITHOUT_EFFECT: Mapping[str, str] = {
    "ALLOWED_ORIGIN": "answers may be read by every origin; what they hold takes a token",
    "AUTH_DATABASE_NAME": "rights are asked of the auth service alone",
    "AUTH_SERVICE_NAMESPACE": "datastacks and aligned volumes are each asked for in their own namespace",
    "BIGTABLE_INSTANCE": "roots are asked of the chunkedgraph over HTTP",
    "BIGTABLE_PROJECT": "roots are asked of the chunkedgraph over HTTP",
    "CELERY_BROKER": "the broker is CELERY_BROKER_URL",
    "CELERY_CLOUDVOLUME_CACHE_BYTES": "each chunk of the volume is read once",
    "CELERY_RESULT_BACKEND": "results stand in the ledger",
    "CELERY_WORKER_AUTOSHUTDOWN_DELAY_SECONDS": "an idle worker costs nothing and stays",
    "CELERY_WORKER_AUTOSHUTDOWN_ENABLED": "an idle worker costs nothing and stays",
    "CELERY_WORKER_AUTOSHUTDOWN_MAX_TASKS": "an idle worker costs nothing and stays",
    "CELERY_WORKER_IDLE_TIMEOUT_SECONDS": "an idle worker costs nothing and stays",
    "CELERY_WORKER_IP": "workers are known by their connections",
    "CHUNK_SCALE_FACTOR": "units are sized by MATERIALIZATION_INGEST_BATCH",
    "CLOUDVOLUME_PARALLEL": "TensorStore chooses its own threads",
    "DELTALAKE_BLOOM_FILTER_FPP": "there is no Delta Lake export",
    "DELTALAKE_FLUSH_THRESHOLD_BYTES": "there is no Delta Lake export",
    "DELTALAKE_OPTIMIZE_MAX_CONCURRENT_TASKS": "there is no Delta Lake export",
    "DELTALAKE_OPTIMIZE_MAX_SPILL_SIZE_BYTES": "there is no Delta Lake export",
    "DELTALAKE_OPTIMIZE_TARGET_SIZE_BYTES": "there is no Delta Lake export",
    "DELTALAKE_OUTPUT_BUCKET": "there is no Delta Lake export",
    "DELTALAKE_SMALL_TABLE_THRESHOLD_MB": "there is no Delta Lake export",
    "DELTALAKE_TARGET_PARTITION_SIZE_MB": "there is no Delta Lake export",
    "GCS_CONNECTION_POOL_SIZE": "TensorStore and gcsfs keep their own connections",
    "HASH_SAMPLING_THRESHOLD_PERCENT": "samples are taken by PostgreSQL",
    "HEALTH_LIVE_DB_FAILURES": "/health/live asks nobody",
    "HEALTH_LIVE_DB_STALE_SECONDS": "/health/live asks nobody",
    "HEALTH_READY_MAX_BUSY_FRACTION": "/health/ready asks the database alone; busy threads are in /metrics",
    "INFO_API_VERSION": "it is 2",
    "LTS_DAYS_TO_EXPIRE": "CAVE does not read it either; a schedule has its own days_to_expire",
    "MASTER_NAME": "Redis Sentinel is not spoken to",
    "MATERIALIZATION_DUMP_BUCKET": "tables are dumped into MATERIALIZATION_DUMP_FOLDER",
    "MATERIALIZATION_ENGINE_SETTINGS": "settings are variables, not a Python file",
    "MATERIALIZATION_ROW_CHUNK_SIZE": "units are sized by MATERIALIZATION_LOOKUP_BATCH and its like",
    "MATERIALIZATION_UPLOAD_BUCKET_PATH": "an upload names its folder itself",
    "MEMORY_AUDIT_ENABLED": "memory is watched from outside",
    "MEMORY_AUDIT_MAX_BODY_BYTES": "memory is watched from outside",
    "MEMORY_AUDIT_MAX_FILTER_VALUES": "memory is watched from outside",
    "MEMORY_AUDIT_QUIET_PATHS": "memory is watched from outside",
    "MEMORY_AUDIT_WARN_DELTA_MB": "memory is watched from outside",
    "MERGE_TABLES": "a run or schedule says whether its tables are split",
    "PERMANENT_SESSION_LIFETIME": "there are no sessions",
    "PRECOMPUTED_OVERVIEW_MAX_SIZE": "PRECOMPUTED_SPATIAL_INDEX_LIMIT is for all levels",
    "QUEUES_TO_THROTTLE": "a run has at most MATERIALIZATION_RUN_WINDOW units on the way",
    "QUEUE_LENGTH_LIMIT": "a run has at most MATERIALIZATION_RUN_WINDOW units on the way",
    "RATELIMIT_STORAGE_URI": "requests are counted where LIMITER_URI says",
    "REDIS_SESSION_DB": "there are no sessions",
    "SESSION_PREFIX": "there are no sessions",
    "SESSION_TYPE": "there are no sessions",
    "SQL_INSTANCE_NAME": "exports go through PostgreSQL itself",
    "STAGING_DATABASE_NAME": "what is staged stands in the live database's schema matengine",
    "SUPERVOXEL_BATCH_SIZE": "units are sized by MATERIALIZATION_INGEST_BATCH",
    "TEST_DB_NAME": "the home database is asked whether the server answers",
    "THROTTLE_QUEUES": "a run has at most MATERIALIZATION_RUN_WINDOW units on the way",
    "USE_SENTINEL": "Redis Sentinel is not spoken to",
}
"""Names that CAVE has and this engine needs no more, and what stands in their place."""

SERVICES: Mapping[str, str] = {
    "INFOSERVICE_ENDPOINT": "/info",
    "AUTH_URI": "/auth",
    "SCHEMA_SERVICE_ENDPOINT": "/schema",
    "ANNO_ENDPOINT": "/annotation",
}
"""CAVE names each service; here one address holds them all. The first that is set gives GLOBAL_SERVER_URL, without
the service's own path."""

TRANSLATED = (*SERVICES, "SEGMENTATION_ENDPOINT", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD")


def translated(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in this engine's words; what it names in them already stays."""
    words: dict[str, str] = {}
    for name, path in SERVICES.items():
        if environ.get(name):
            words.setdefault("GLOBAL_SERVER_URL", environ[name].rstrip("/").removesuffix(path))
    if environ.get("SEGMENTATION_ENDPOINT"):
        words["PCG_SERVER_URL"] = environ["SEGMENTATION_ENDPOINT"].rstrip("/").removesuffix("/segmentation")
    if environ.get("REDIS_HOST"):
        words["REDIS_URL"] = _redis(environ)
    return {**words, **{name: value for name, value in environ.items() if value}}


def _redis(environ: Mapping[str, str]) -> str:
    secret = quote(environ.get("REDIS_PASSWORD", ""), safe="")
    login = f":{secret}@" if secret else ""
    return f"redis://{login}{environ['REDIS_HOST']}:{environ.get('REDIS_PORT') or 6379}/0"


def ignored(environ: Mapping[str, str]) -> dict[str, str]:
    """Names of CAVE that are set and have no effect, with the reason."""
    return {name: why for name, why in WITHOUT_EFFECT.items() if environ.get(name)}
