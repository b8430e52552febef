"""The table of visits: which one was the last to be stored whole."""

from __future__ import annotations

from .backends import Session
from .moments import parse_moment
from .records import Visit
from .tables import VISITS


def last_row(session: Session) -> Visit | None:
    """The newest visit as it was saved, within a transaction of the session."""
    found = session.rows(
        f'SELECT "visitId", "visitTime", "lastObjectId", "lastSourceId" FROM "{VISITS.name}" '
        'ORDER BY "visitId" DESC LIMIT 1'
    )
    if not found:
        return None
    visit_id, time, last_object, last_source = found[0]
    return Visit(int(visit_id), parse_moment(time) if isinstance(time, str) else time, last_object, last_source)


def with_ids(session: Session, visit: Visit, objects: str) -> Visit:
    """The visit with the largest ids in use, looked up where it was saved without them."""
    last_object, last_source = visit.lastObjectId, visit.lastSourceId
    if last_object is None:
        last_object = _largest(session, objects, "diaObjectId")
    if last_source is None:
        last_source = _largest(session, "DiaSource", "diaSourceId")
    return visit._replace(lastObjectId=last_object, lastSourceId=last_source)


def _largest(session: Session, table: str, column: str) -> int:
    return int(session.rows(f'SELECT max("{column}") FROM "{table}"')[0][0] or 0)
