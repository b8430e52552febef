"""The WSGI application with gates."""

from __future__ import annotations

from materializationengine.web.app import create_app
from tests.faults import gates

gates.around_requests()
application = create_app()
