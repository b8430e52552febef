"""Statements with what surrounds each of them: the plan in the log, the stage timer, the metadata."""

from __future__ import annotations

import logging

from .backends import Session
from .catalog import State, read_state
from .errors import SchemaError
from .tables import METADATA_TABLE
from .timing import Timings

LOG = logging.getLogger("l1db")


class Statements:
    """One session, and the timers of whoever uses it."""

    def __init__(self, session: Session, timings: Timings) -> None:
        self.session = session
        self.timings = timings

    def state(self) -> State:
        """The metadata. Raises SchemaError where there is none, or it tells of another configuration."""
        try:
            return read_state(self.session)
        except self.session.driver_errors as error:
            if not self.session.lacks_table(error):
                raise
            raise SchemaError(
                f"{self.session.address} holds no tables of this package (no {METADATA_TABLE}); "
                "make them with create_l1_schema"
            ) from error

    def run(self, stage: str, sql: str, explain: bool) -> None:
        """Execute within a timer."""
        self.explain(sql, explain)
        with self.timings.stage(stage):
            self.session.execute(sql)

    def explain(self, sql: str, wanted: bool) -> None:
        """Log the server's plan of a statement, if wanted."""
        if not wanted:
            return
        LOG.info("explain for query: %s...", sql[:64])
        for line in self.session.plan(sql):
            LOG.info("explain: %s", line)
