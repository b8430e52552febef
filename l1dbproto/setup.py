"""Making and dropping the tables."""

from __future__ import annotations

import logging

import sqlalchemy as sa

from .backends import Session
from .catalog import check_words, words_of
from .errors import SchemaError
from .schema import build, table_names
from .tables import METADATA_TABLE

_LOG = logging.getLogger("l1db")


def create_tables(session: Session, drop: bool) -> None:
    """Make the tables that are missing, in one transaction where the database can.

    Raises SchemaError if there are tables of another configuration, or of somebody else under the same names.
    """
    engine = session.engine()
    try:
        with engine.begin() as connection:
            if drop:
                _LOG.info("dropping all tables")
                _drop(connection)
            if not _is_complete(connection, session):
                _LOG.info("creating all tables")
                tables = build(session.config)
                tables.create_all(connection)
                words = [{"name": name, "value": word} for name, word in words_of(session.config).items()]
                connection.execute(sa.insert(tables.tables[METADATA_TABLE]), words)
    except sa.exc.SQLAlchemyError as error:
        raise session.explained(error) from None
    finally:
        engine.dispose()


def _drop(connection: sa.Connection) -> None:
    """Drop every table that any configuration makes; nobody else's."""
    there = set(sa.inspect(connection).get_table_names())
    known = sa.MetaData()
    known.reflect(connection, only=[name for name in table_names() if name in there])
    known.drop_all(connection)


def _is_complete(connection: sa.Connection, session: Session) -> bool:
    there = set(sa.inspect(connection).get_table_names())
    if METADATA_TABLE in there:
        table = build(session.config).tables[METADATA_TABLE]
        check_words({row.name: row.value for row in connection.execute(sa.select(table))}, session.config)
        return True
    strangers = [name for name in table_names() if name in there]
    if strangers:
        raise SchemaError(
            f"{session.address} has {', '.join(strangers)}, but no {METADATA_TABLE}: "
            "these tables are not of this package; use another database, or drop them (create_l1_schema --drop)"
        )
    return False
