"""Every error of the engine. The class docstring is the message when none is given.

Three families: `UserMistake` (the caller can mend it: 4xx, exit code 2), `NeighborDown` (a service we need does
not answer: 503), and the rest, which are ours (500 with an id and a log line).
"""

from __future__ import annotations


class MaterializationError(Exception):
    """Something went wrong in the materialization engine."""

    def __init__(self, message: str | None = None, **details: object) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))
        self.details = details

    @property
    def message(self) -> str:
        """The sentence a person reads."""
        return str(self.args[0])


class UserMistake(MaterializationError):
    """The request cannot be carried out as it stands."""


class BadRequest(UserMistake):
    """The request is malformed."""


class BadName(BadRequest):
    """A table name starts with a lower-case letter or _, and holds only a-z, 0-9 and _."""


class BadMoment(BadRequest):
    """A moment is written in ISO 8601, for instance 2026-01-31T12:00:00+00:00."""


class BackDated(UserMistake):
    """A row created before the newest version would change what that version should have shown."""


class BadQuery(BadRequest):
    """The query names something that the table does not have."""


class BadRootIds(BadRequest):
    """Some of the ids are no roots at the moment asked for."""


class NotOffered(UserMistake):
    """The answer is not offered in a form that the request accepts."""


class OnlyShown(BadRequest):
    """The datastack only shows versions of another one."""


class MissingLookups(UserMistake):
    """Rows of the moment wait for the look-up of their supervoxels."""


class BadUpload(BadRequest):
    """The files do not fit the table."""


class BadCoordinates(BadRequest):
    """Coordinates must be finite and fit 32 bits in the volume's voxels."""


class BadAnnotation(BadRequest):
    """An annotation does not fit its schema."""


class Unknown(UserMistake):
    """There is no such thing."""


class UnknownDatastack(Unknown):
    """There is no datastack of that name."""


class UnknownTable(Unknown):
    """There is no table of that name."""


class UnknownSchema(Unknown):
    """There is no annotation schema of that name."""


class UnknownAnnotation(Unknown):
    """There is no annotation of that id."""


class UnknownRun(Unknown):
    """There is no run of that id."""


class UnknownVersion(Unknown):
    """There is no version of that number."""


class VersionNotAvailable(UserMistake):
    """The version exists, but cannot be queried."""


class TableExists(UserMistake):
    """A table of that name exists already."""


class RunInProgress(UserMistake):
    """Another run on the same aligned volume is active."""


class NoRoom(UserMistake):
    """The plan would fill the database's disk; retire versions, or give it more room."""


class KeyReused(UserMistake):
    """The Idempotency-Key came before with another request; a new request takes a new key."""


class UnreadableForm(UserMistake):
    """The body is in a form that is not read here; send JSON."""


class TooManyRequests(UserMistake):
    """You have asked as often as one may in a while; wait until the time in Retry-After has passed."""


class AlreadySuperseded(UserMistake):
    """The annotation was updated or deleted before; change its successor."""


class NotAllowed(UserMistake):
    """You lack the permission for that."""


class TableDenied(NotAllowed):
    """The owner of this table keeps it from you."""


class NotLoggedIn(UserMistake):
    """This needs a token."""


class TooManyQueries(UserMistake):
    """You have as many queries running as one may; wait for one of them to end."""


class QueryTimeout(UserMistake):
    """The query took longer than a query may; ask for fewer rows, or filter by an indexed column."""


class TooLarge(UserMistake):
    """The request holds more rows than one call may carry."""


class ConfigurationError(UserMistake):
    """A setting is missing or wrong."""


class NewerDatabase(ConfigurationError):
    """The database was upgraded by a newer release; install that one."""


class BrokenBackup(UserMistake):
    """The folder holds no whole backup."""


class CredentialsMissing(ConfigurationError):
    """Reading gs:// needs credentials: set GOOGLE_APPLICATION_CREDENTIALS to a service account file."""


class NeighborDown(MaterializationError):
    """A service that the engine needs does not answer."""

    def __init__(self, message: str | None = None, *, retry_after: float = 30.0, **details: object) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class GatewayUnavailable(NeighborDown):
    """A neighboring service does not answer."""


class StorageUnavailable(NeighborDown):
    """The database does not answer."""


class GatewayRefused(MaterializationError):
    """A neighboring service refused the request."""


class GatewayAnswer(MaterializationError):
    """A neighboring service gave an answer that cannot be right."""


class VolumeUnreadable(MaterializationError):
    """The segmentation volume cannot be read."""


class StaleUnit(MaterializationError):
    """Another worker has taken over this unit of work; what was done here is dropped."""


class NewerWork(MaterializationError):
    """The unit was written by a newer release; it is left to that one's workers."""


class VerificationFailed(MaterializationError):
    """The frozen tables differ from the snapshot they were copied from."""


class WritersStillOpen(MaterializationError):
    """A transaction older than the version's moment is still open, so the version would not be final."""


class RunFailed(MaterializationError):
    """The run failed."""
