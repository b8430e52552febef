"""Every way in which the L1 wing says no; the first line of each docstring is the default message."""

from __future__ import annotations


class L1dbError(Exception):
    """The L1 database refused."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").splitlines()[0])


class ConfigError(L1dbError, ValueError):
    """The configuration is wrong."""


class SchemaError(L1dbError):
    """The database does not hold the schema that the configuration describes."""


class OutOfOrder(L1dbError, ValueError):
    """Visits are stored in the order of their times."""


class BadRecords(L1dbError, ValueError):
    """Some records cannot be stored."""


class AlreadyStored(L1dbError):
    """A record with the same key is already stored; nothing of this call was kept."""


class StoreBusy(L1dbError):
    """Another transaction was in the way; nothing of this one was kept."""


class StoreUnavailable(L1dbError):
    """The database cannot be reached, or broke off."""


class BadSources(L1dbError, ValueError):
    """The file of variable sources is missing or is not an (N, 3) array of unit vectors."""
