"""The WSGI application: `create_app()` reads the settings, chooses the parts and opens the doors."""

from __future__ import annotations

import os

from flask import Flask
from flask_smorest import Api

from .. import __version__
from ..config import Settings
from ..kernel.logs import configure
from ..kernel.urls import normalize
from . import annotations as annotation_service
from . import (
    browsers,
    citations,
    datastack_page,
    errors,
    folder_pages,
    health,
    hooks,
    live_queries,
    materialize,
    metrics,
    neighbors,
    operation,
    precomputed,
    queries,
    runs,
    segment_properties,
    table_search,
    versions,
    views,
)
from .arguments import MATERIALIZE
from .description import page
from .extensions import db
from .parts import KEY, Parts


class _Api(Api):
    """flask-smorest without its error handlers: ours know every error and one shape."""

    def _register_error_handlers(self) -> None:
        pass


def create_app(settings: Settings | None = None) -> Flask:
    """The application. Connections are opened by the requests that need them. Raises ConfigurationError."""
    if settings is None:
        # Whoever hands settings in, a test or a program, has its own idea of logs.
        settings = Settings.from_env(os.environ)
        configure(settings.log_level, settings.censor())
    app = Flask("materializationengine", static_folder=None)
    # A redirect would take a client's token and body elsewhere: it refuses them all.
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    app.extensions[KEY] = Parts(settings)
    # flask-sqlalchemy wants one address at start; sessions choose their own, see `extensions`.
    app.config.update(
        SQLALCHEMY_DATABASE_URI=normalize(settings.database_url),
        MAX_CONTENT_LENGTH=int(settings.largest_body * 1e6),
        API_TITLE="Materialization Engine",
        API_VERSION=__version__,
        OPENAPI_VERSION="3.0.3",
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    db.init_app(app)
    hooks.init_app(app)
    browsers.init_app(app)
    errors.init_app(app)
    neighbors.init_app(app)
    _open_doors(app)
    return app


def _open_doors(app: Flask) -> None:
    app.register_blueprint(health.blueprint)
    app.register_blueprint(metrics.blueprint)
    api = _Api(app)
    for room in (
        versions,
        queries,
        live_queries,
        precomputed,
        segment_properties,
        citations,
        table_search,
        datastack_page,
        folder_pages,
        views,
        annotation_service,
        runs,
        materialize,
        operation,
    ):
        api.register_blueprint(room.blueprint)
    api.register_blueprint(versions.service)
    # Clients of either generation find the triggers under their own path.
    for room in (materialize, operation):
        api.register_blueprint(room.blueprint, url_prefix=f"{MATERIALIZE}/v3", name=f"{room.blueprint.name}_v3")
    page.init_app(app, api)
