"""`application` for WSGI servers, `celery` for workers, and `python run.py` to serve the API for development."""

from __future__ import annotations

import os

from materializationengine.config import Settings
from materializationengine.web.app import create_app
from materializationengine.workflows.celery_app import create_celery

settings = Settings.from_env(os.environ)
application = create_app(settings)
celery = create_celery(settings)

if __name__ == "__main__":
    from materializationengine.web.development import serve

    serve(application, settings)
