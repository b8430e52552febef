"""Request sessions over the fixed tables: flask-sqlalchemy, bound to the live database that the request is about.

The only room outside of storage that knows SQLAlchemy: live databases come and go with aligned volumes, so the
engine is chosen for each request instead of being named in the configuration.
"""

from __future__ import annotations

from typing import Any

from flask import g
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from ..storage.models import Base
from .parts import parts

DATABASE_DOWN = (OperationalError, PoolExhausted)
"""What a session raises when its server is gone, or every connection of its pool is taken."""


class LiveSession(FlaskSession):
    """A session whose engine is that of the request's live database."""

    def get_bind(self, *_: Any, **__: Any) -> Engine:
        """The pool of the database chosen by `live_session`."""
        return parts().services.cluster.engine(g.live_database)


db = SQLAlchemy(model_class=Base, disable_autonaming=True, session_options={"class_": LiveSession})


def live_session(database: str) -> Session:
    """The request's session on a live database; a request is about one of them only."""
    if g.get("live_database", database) != database:
        raise ValueError(f"this request is about {g.live_database}, not {database}")
    g.live_database = parts().live.meet(database)
    return db.session()
