"""`celery --app=materializationengine.workflows.app:celery`: the application, from the environment."""

from __future__ import annotations

import os

from ..config import Settings
from .celery_app import create_celery

celery = create_celery(Settings.from_env(os.environ))
