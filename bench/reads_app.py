"""The web application whose chunkedgraph answers in process: `create_app` for gunicorn."""

from __future__ import annotations

import os

from flask import Flask

from materializationengine.config import Settings
from materializationengine.web import app as web
from materializationengine.web.parts import parts

from .neighbors import InstantServices


def create_app() -> Flask:
    """The application as the stack runs it, its graph over the history file BENCH_HISTORY."""
    settings = Settings.from_env(os.environ)
    made = web.create_app(settings)
    parts(made).services = InstantServices(settings, os.environ["BENCH_HISTORY"], "matengine web")
    return made
