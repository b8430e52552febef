"""The Celery application of a worker with gates."""

from __future__ import annotations

import os

from materializationengine.config import Settings
from materializationengine.workflows.celery_app import create_celery
from tests.faults import gates

gates.around_units()
gates.around_slots()
gates.on_messages()
celery = create_celery(Settings.from_env(os.environ))
