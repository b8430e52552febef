"""Every setting, read once from the environment by the doors and handed down. Names are CAVE's where it has one."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .config_cave import WITHOUT_EFFECT, translated
from .domain.errors import ConfigurationError
from .kernel.logs import STARS, Censor
from .kernel.urls import masked, password

DEVELOPMENT_DATABASE = "postgresql+psycopg2://postgres:materialize@127.0.0.1:5432/postgres"
"""Fits the README's `docker run ... -e POSTGRES_PASSWORD=materialize -p 5432:5432 postgis/postgis`."""

DATASTACK_TOKEN = "graph_token"  # nosec B105 # a file's name
"""The file of a datastack's own token, in its folder under MATERIALIZATION_DATASTACK_SECRETS."""

_PREFIXES = ("MATERIALIZATION_", "MATENGINE_")
_FOREIGN = {"MATENGINE_DIR", "MATERIALIZATION_POSTGRES_URI", *WITHOUT_EFFECT}
"""Names that other programs read, or that CAVE has and this engine needs no more."""


def _setting(name: str, default: Any, doc: str, secret: bool = False) -> Any:
    return field(default=default, metadata={"env": name, "doc": doc, "secret": secret})


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """What the process was told. Each field documents its environment variable, unit and default."""

    configuration: str = _setting("FLASK_CONFIGURATION", "development", "development, testing or production")
    database_url: str = _setting(
        "SQLALCHEMY_DATABASE_URI", DEVELOPMENT_DATABASE, "server and home database", secret=True
    )
    redis_url: str = _setting("REDIS_URL", "redis://127.0.0.1:6379/0", "Redis server", secret=True)
    broker_url: str = _setting("CELERY_BROKER_URL", "", "Celery's broker; default: REDIS_URL", secret=True)
    global_server: str = _setting("GLOBAL_SERVER_URL", "", "info, schema and auth services; default: LOCAL_SERVER_URL")
    local_server: str = _setting("LOCAL_SERVER_URL", "http://127.0.0.1:8000", "this service, as clients reach it")
    pcg_server: str = _setting("PCG_SERVER_URL", "", "chunkedgraph; default: LOCAL_SERVER_URL")
    annotation_server: str = _setting("ANNOTATION_SERVER_URL", "", "annotation service; default: LOCAL_SERVER_URL")
    localcave_url: str = _setting("LOCALCAVE_URL", "", "development: forward the neighbors' paths to local CAVE")
    datastacks_file: str = _setting("DATASTACKS_FILE", "", "JSON file of datastack records instead of the info service")
    token_file: str = _setting("DAF_CREDENTIALS", "", "JSON file with `token`, the engine's own token")
    auth_disabled: bool = _setting("AUTH_DISABLED", False, "exactly `true`: everybody is the administrator")
    auth_url: str = _setting("AUTH_URL", "", "auth service, https where no scheme is named; default: GLOBAL_SERVER_URL")
    sticky_auth_url: str = _setting("STICKY_AUTH_URL", "", "auth service as browsers reach it; default: AUTH_URL")
    excluded_groups: str = _setting(
        "AUTH_SHARED_EXCLUDED_GROUPS", "", "groups that open no table to each other's members, commas between them"
    )
    as_of_margin: float = _setting(
        "MATERIALIZATION_AS_OF_MARGIN",
        180.0,
        "seconds before now of a run without a timestamp: edits become visible late",
    )
    delta_margin: float = _setting(
        "MATERIALIZATION_DELTA_MARGIN", 600.0, "seconds by which windows of expired roots overlap"
    )
    writer_wait: float = _setting(
        "MATERIALIZATION_WRITER_WAIT", 60.0, "seconds a freeze waits for transactions older than its moment"
    )
    upload_batch: int = _setting("MATERIALIZATION_UPLOAD_BATCH", 250_000, "rows in a unit of a bulk upload")
    ingest_batch: int = _setting("MATERIALIZATION_INGEST_BATCH", 250_000, "rows in a unit of an ingest")
    lookup_batch: int = _setting("MATERIALIZATION_LOOKUP_BATCH", 200_000, "supervoxels in a unit of a root look-up")
    graph_batch: int = _setting("MATERIALIZATION_GRAPH_BATCH", 100_000, "supervoxels in one chunkedgraph request")
    graph_timeout: float = _setting("MATERIALIZATION_GRAPH_TIMEOUT", 120.0, "seconds a chunkedgraph request may take")
    missing_chunks: str = _setting(
        "MATERIALIZATION_MISSING_CHUNKS",
        "unresolved",
        "points in an absent chunk: `unresolved`, or `background` for a sparse volume",
    )
    verify_roots: int = _setting(
        "MATERIALIZATION_VERIFY_ROOTS", 200_000, "supervoxels of a table whose roots a freeze asks for again"
    )
    spatial_index: str = _setting(
        "MATERIALIZATION_SPATIAL_INDEX",
        "measured",
        "index on positions of a frozen table: `measured`, `brin` or `gist`",
    )
    copy_threads: int = _setting(
        "MATERIALIZATION_COPY_THREADS",
        2,
        "tables copied, indexes built and parts of a table checked side by side in a freeze",
    )
    incremental_share: float = _setting(
        "MATERIALIZATION_INCREMENTAL_SHARE",
        0.0,
        "a complete workflow starts from the newest version where at most this share of its rows changed; 0: never",
    )
    days_to_expire: int = _setting("DAYS_TO_EXPIRE", 7, "days after which a version expires; 0: never")
    lease: float = _setting("MATERIALIZATION_LEASE", 1800.0, "seconds after which a unit without news is taken over")
    sweep_every: float = _setting("MATERIALIZATION_SWEEP_EVERY", 5.0, "seconds between two looks for lost work")
    max_attempts: int = _setting("MATERIALIZATION_MAX_ATTEMPTS", 5, "failures of one unit before its run fails")
    retry_delay: float = _setting(
        "MATERIALIZATION_RETRY_DELAY", 2.0, "seconds before the first retry; doubles each time"
    )
    keep_failed: float = _setting(
        "MATERIALIZATION_KEEP_FAILED",
        0.0,
        "seconds for which what a failed run staged and built is kept for a resume to go on from; 0: dropped at once",
    )
    lock_timeout: float = _setting("MATERIALIZATION_LOCK_TIMEOUT", 30.0, "seconds a statement waits for a lock")
    query_limit: int = _setting("QUERY_LIMIT_SIZE", 0, "most rows of one answer; 0: no cap")
    query_timeout: float = _setting("MATERIALIZATION_QUERY_TIMEOUT", 300.0, "seconds a query may run")
    queries_per_user: int = _setting(
        "MATERIALIZATION_QUERIES_PER_USER",
        16,
        "queries that one user may have running in one process; 0: no limit, as where AUTH_DISABLED",
    )
    limiter_categories: str = _setting(
        "LIMITER_CATEGORIES",
        "",
        'JSON of how often one user may ask each endpoint: `{"query": "30/minute", "fast_query": ..., "write": ...}`',
    )
    limiter_service_account_categories: str = _setting(
        "LIMITER_SERVICE_ACCOUNT_CATEGORIES", "", "the same for service accounts; default: as for people"
    )
    limiter_service_account_overrides: str = _setting(
        "LIMITER_SERVICE_ACCOUNT_OVERRIDES", "", "the same for service accounts, by endpoint instead of category"
    )
    limiter_uri: str = _setting(
        "LIMITER_URI",
        "",
        "where requests are counted, `memory://` for each process alone; default: REDIS_URL",
        secret=True,
    )
    precomputed_limit: int = _setting(
        "PRECOMPUTED_SPATIAL_INDEX_LIMIT", 10_000, "annotations that a cell of Neuroglancer's spatial index aims at"
    )
    credentials_file: str = _setting("GOOGLE_APPLICATION_CREDENTIALS", "", "service account file for gs://")
    storage_emulator: str = _setting(
        "STORAGE_EMULATOR_HOST", "", "a storage server instead of Google's, without credentials"
    )
    resend: float = _setting(
        "MATERIALIZATION_RESEND", 30.0, "seconds after which a message without effect is sent again; doubles"
    )
    dump_folder: str = _setting(
        "MATERIALIZATION_DUMP_FOLDER", "", "folder to which tables of versions are dumped as CSV"
    )
    run_window: int = _setting(
        "MATERIALIZATION_RUN_WINDOW", 16, "units of one run that are sent or at work at a time; the rest wait"
    )
    graph_rate: float = _setting(
        "MATERIALIZATION_GRAPH_RATE", 0.0, "chunkedgraph requests a second, all workers together; 0: no limit"
    )
    graph_burst: int = _setting(
        "MATERIALIZATION_GRAPH_BURST", 10, "chunkedgraph requests that may come at once after a pause"
    )
    beat_schedules: str = _setting("BEAT_SCHEDULES", "", "schedules as a JSON list, or the path of a JSON file")
    beat_every: float = _setting(
        "MATERIALIZATION_BEAT_EVERY", 60.0, "seconds between two looks for missed slots of schedules"
    )
    beat_grace: float = _setting(
        "MATERIALIZATION_BEAT_GRACE", 604_800.0, "seconds after which a missed slot is not caught up any more"
    )
    beat_retry: float = _setting(
        "MATERIALIZATION_BEAT_RETRY",
        300.0,
        "seconds after which a slot of a schedule whose runs are not started yet is tried again",
    )
    min_databases: int = _setting("MIN_DATABASES", 1, "newest versions of a datastack that retention leaves alone")
    max_databases: int = _setting(
        "MAX_DATABASES", 0, "versions of a datastack at which periodic materialization skips; 0: no cap"
    )
    unit_days: float = _setting(
        "MATERIALIZATION_UNIT_DAYS", 30.0, "days after which the units of an ended run are summed up"
    )
    run_days: float = _setting("MATERIALIZATION_RUN_DAYS", 365.0, "days after which an ended run is forgotten")
    disk_reserve: float = _setting(
        "MATERIALIZATION_DISK_RESERVE", 1.0, "GB of the database's disk that a plan must leave free"
    )
    datastack_secrets: str = _setting(
        "MATERIALIZATION_DATASTACK_SECRETS",
        "",
        "folder of folders, one for each datastack with a graph token, bucket credentials or limits of its own",
    )
    datastacks: str = _setting(
        "DATASTACKS", "", "JSON list of datastacks that schedules without a name are for; default: all that can be seen"
    )
    pool_size: int = _setting("DB_CONNECTION_POOL_SIZE", 5, "connections that one process keeps to a live database")
    pool_overflow: int = _setting("DB_MAX_OVERFLOW", 10, "connections beyond these that it opens when all are in use")
    largest_body: float = _setting("MATERIALIZATION_LARGEST_BODY", 64.0, "MB of a request; a larger one gets a 413")
    clock_tolerance: float = _setting(
        "MATERIALIZATION_CLOCK_TOLERANCE", 2.0, "seconds by which clocks of machines may differ before a check is red"
    )
    metrics_token_file: str = _setting(
        "MATERIALIZATION_METRICS_TOKEN_FILE", "", "file with the token that /metrics asks for; none: an administrator's"
    )
    slack_webhook: str = _setting("SLACK_WEBHOOK", "", "address that is told of failed runs", secret=True)
    log_level: str = _setting("LOGGING_LEVEL", "INFO", "least severe log line that is written")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the environment. Raises ConfigurationError naming the variable and what would be right."""
        known = {f.metadata["env"]: f for f in fields(cls)}
        _refuse_unknown(environ, known)
        environ = translated(environ)
        values = {f.name: _read(env, environ[env], f.default) for env, f in known.items() if environ.get(env)}
        settings = cls(**values)  # type: ignore[arg-type]
        settings._check()
        return settings

    def _check(self) -> None:
        if self.configuration == "production" and ":materialize@" in self.database_url:
            raise ConfigurationError(
                "SQLALCHEMY_DATABASE_URI holds the development password; production needs one of its own"
            )
        self.scheduled()
        _one_of("FLASK_CONFIGURATION", self.configuration, ("development", "testing", "production"))
        _one_of("MATERIALIZATION_SPATIAL_INDEX", self.spatial_index, ("measured", "brin", "gist"))
        _one_of("MATERIALIZATION_MISSING_CHUNKS", self.missing_chunks, ("unresolved", "background"))

    def scheduled(self) -> tuple[str, ...]:
        """The datastacks that schedules without a name are for; none named: all that can be seen."""
        if not self.datastacks:
            return ()
        try:
            names = json.loads(self.datastacks)
        except ValueError:
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            told = f"DATASTACKS={self.datastacks!r}: a JSON list of names is needed"
            raise ConfigurationError(told, field="DATASTACKS")
        return tuple(names)

    @property
    def broker(self) -> str:
        """Celery's broker URL."""
        return self.broker_url or self.redis_url

    @property
    def auth_server(self) -> str:
        """Base URL of the auth service; the paths of its API begin with /auth."""
        return _base(self.auth_url) or self.info_server

    @property
    def login_server(self) -> str:
        """The same as browsers reach it."""
        return _base(self.sticky_auth_url) or self.auth_server

    @property
    def limiter(self) -> str:
        """Where requests are counted."""
        return self.limiter_uri or self.redis_url

    @property
    def info_server(self) -> str:
        """Base URL of info, schema and auth."""
        return self.global_server or self.local_server

    @property
    def annotation_server_url(self) -> str:
        """Base URL of the annotation service."""
        return self.annotation_server or self.local_server

    @property
    def graph_server(self) -> str:
        """Base URL of the chunkedgraph."""
        return self.pcg_server or self.local_server

    def secrets(self) -> tuple[str, ...]:
        """What must never be printed: passwords, the webhook, the engine's token. The development password is known."""
        held = [str(getattr(self, f.name)) for f in fields(self) if f.metadata["secret"]]
        found = [password(url) for url in held]
        known = [each for each in found if each and each != password(DEVELOPMENT_DATABASE)]
        with contextlib.suppress(ConfigurationError):
            known.append(self.token() or "")
        if self.datastack_secrets:
            known += _texts(Path(self.datastack_secrets).glob(f"*/{DATASTACK_TOKEN}"))
        if self.metrics_token_file:
            known += _texts([Path(self.metrics_token_file)])
        return tuple(filter(None, (*known, self.slack_webhook)))

    def censor(self) -> Censor:
        """Strikes this process's secrets out of what it prints."""
        return Censor(self.secrets)

    def shown(self) -> dict[str, object]:
        """Every setting by its variable, fit to be printed."""
        return {f.metadata["env"]: _shown(f.metadata, getattr(self, f.name)) for f in fields(self)}

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.shown().items())})"

    def token(self) -> str | None:
        """The engine's own token for its neighbors, if it has one."""
        if not self.token_file:
            return None
        try:
            return str(json.loads(Path(self.token_file).read_text(encoding="utf-8"))["token"])
        except (OSError, ValueError, KeyError) as error:
            raise ConfigurationError(f"DAF_CREDENTIALS={self.token_file}: a JSON file with `token`") from error


def _shown(about: Mapping[str, Any], value: object) -> object:
    """A secret address without its password; of the webhook the whole address is the secret."""
    if not about["secret"] or not value:
        return value
    return STARS if about["env"] == "SLACK_WEBHOOK" else masked(str(value))


def _texts(paths: Iterable[Path]) -> list[str]:
    found = []
    for path in paths:
        # Whoever needs the file will say that it cannot be read.
        with contextlib.suppress(OSError):
            found.append(path.read_text(encoding="utf-8").strip())
    return found


def _base(address: str) -> str:
    """CAVE writes the address of its auth service as host and path, `global.daf-apis.com/auth`."""
    known = address.rstrip("/").removesuffix("/auth").removesuffix("/sticky_auth")
    return known if not known or "://" in known else f"https://{known}"


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{name}={value!r}: one of {', '.join(allowed)}", field=name)


def _refuse_unknown(environ: Mapping[str, str], known: Mapping[str, object]) -> None:
    for name in environ:
        if name.startswith(_PREFIXES) and name not in known and name not in _FOREIGN:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigurationError(f"unknown setting {name}{hint}", field=name)


def _read(name: str, text: str, default: object) -> object:
    if isinstance(default, bool):
        return text == "true"
    try:
        return type(default)(text)  # type: ignore[call-arg]
    except ValueError as error:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise ConfigurationError(f"{name}={text!r}: {kind} is needed", field=name) from error
