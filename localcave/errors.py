"""What a request can be refused with; the class says the HTTP status."""

from __future__ import annotations


class ServiceError(Exception):
    """The request cannot be answered."""

    status = 500

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class BadRequest(ServiceError):
    """The request is malformed."""

    status = 400


class Frozen(ServiceError):
    """A virtual table shows one moment: it cannot be edited, nor asked about what came later."""

    status = 401


class Absent(ServiceError):
    """The real service offers this, localcave does not."""

    status = 501


class NotFound(ServiceError):
    """There is no such thing here."""

    status = 404


class Conflict(ServiceError):
    """The request contradicts what is already recorded."""

    status = 409


class Unanswerable(ServiceError):
    """The chunkedgraph fails on this question; the real service answers 500 as well."""

    status = 500
