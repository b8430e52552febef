"""`python run.py`: the API on this machine, its database made ready, its address printed."""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from flask import Flask

from ..config import Settings
from ..domain.errors import MaterializationError
from ..kernel.urls import masked
from ..storage.engines import Cluster
from ..storage.live_database import ensure


def serve(application: Flask, settings: Settings) -> None:
    """Migrate the home database, then serve at LOCAL_SERVER_URL until interrupted."""
    address = urlsplit(settings.local_server)
    if settings.configuration == "development":
        _migrate(settings)
    sys.stdout.write(f"Materialization Engine at {settings.local_server}, database {masked(settings.database_url)}\n")
    sys.stdout.flush()
    application.run(host=address.hostname or "127.0.0.1", port=address.port or 8000, threaded=True)


def _migrate(settings: Settings) -> None:
    cluster = Cluster(settings.database_url, application="matengine run.py", lock_timeout=settings.lock_timeout)
    try:
        ensure(cluster, cluster.home)
    except MaterializationError as error:
        sys.exit(f"{error.message.strip()}\nSee the README for a database in one line.")
    finally:
        cluster.close()
