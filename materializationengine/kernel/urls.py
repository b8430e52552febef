"""Database addresses: one spelling for SQLAlchemy, one for libpq and ADBC, and one that may be printed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote, unquote

DRIVER = "postgresql+psycopg2"

_URL = re.compile(
    r"""(?P<scheme>[A-Za-z][\w.+-]*)://
        (?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?
        (?P<place>\[[^\]]*\](?::\d+)?|[^/?]*)
        (?:/(?P<database>[^?]*))?
        (?:\?(?P<query>.*))?$""",
    re.VERBOSE,
)
_SECRET = re.compile(r"(?P<head>://[^:/@\s]*:)[^@\s]*(?=@)|(?P<field>[?&]password=)[^&\s]*")

# Words that belong to the connection; every other option is a setting of the server.
_CONNECTION_WORDS = frozenset(
    (
        *("application_name", "channel_binding", "client_encoding", "connect_timeout", "gssencmode", "host"),
        *("hostaddr", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "passfile"),
        *("port", "sslcert", "sslcrl", "sslkey", "sslmode", "sslrootcert", "target_session_attrs"),
        *("fallback_application_name", "load_balance_hosts", "tcp_user_timeout"),
    )
)


@dataclass(frozen=True, slots=True)
class _Address:
    scheme: str
    user: str | None
    password: str | None
    place: str
    database: str
    query: tuple[tuple[str, str], ...]

    def render(self) -> str:
        login = "" if self.user is None else quote(self.user, safe="")
        if self.password is not None:
            login += ":" + quote(self.password, safe="")
        at = "@" if login else ""
        # A blank must be %20: libpq takes a plus sign literally.
        query = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in self.query)
        database = quote(self.database, safe="")
        return f"{self.scheme}://{login}{at}{self.place}/{database}" + (f"?{query}" if query else "")


def _parse(url: str) -> _Address:
    match = _URL.match(url.strip())
    scheme = match["scheme"].lower() if match else ""
    if match is None or scheme.partition("+")[0] not in ("postgres", "postgresql"):
        raise ValueError(f"{masked(url)!r} is not a PostgreSQL address: postgresql://user:password@host:port/database")
    user, password = match["user"], match["password"]
    return _Address(
        scheme,
        None if user is None else unquote(user),
        None if password is None else unquote(password),
        match["place"],
        unquote(match["database"] or ""),
        tuple(parse_qsl(match["query"] or "", keep_blank_values=True)),
    )


def normalize(url: str) -> str:
    """The address as SQLAlchemy must see it: `postgresql+psycopg2://...`, whatever PostgreSQL scheme came in.

    SQLAlchemy 2.1 takes the bare `postgresql://` for psycopg 3. Raises ValueError for any other address.
    """
    return replace(_parse(url), scheme=DRIVER).render()


def with_database(url: str, name: str) -> str:
    """The address of another database on the same server, in the same spelling."""
    return replace(_parse(url), database=name).render()


def libpq(
    url: str,
    *,
    database: str | None = None,
    application: str | None = None,
    options: Mapping[str, object] | None = None,
) -> str:
    """The address as libpq, psycopg2 and ADBC take it: a plain `postgresql://` URI.

    Parameters
    ----------
    database
        Another database on the same server.
    application
        `application_name` of the connection.
    options
        Connection words of libpq (`connect_timeout`, `keepalives_idle`, ...) or settings of the server
        (`lock_timeout`, `client_connection_check_interval`, ...); the latter travel in `options`.
    """
    address = _parse(url)
    words = dict(address.query)
    given = {} if options is None else {name: str(value) for name, value in options.items()}
    if application is not None:
        given["application_name"] = application
    words |= {name: given[name] for name in given if name in _CONNECTION_WORDS}
    settings = [f"-c {name}={_escape(given[name])}" for name in given if name not in _CONNECTION_WORDS]
    if settings:
        words["options"] = " ".join(filter(None, [words.get("options", ""), *settings]))
    return replace(
        address,
        scheme="postgresql",
        database=address.database if database is None else database,
        query=tuple(words.items()),
    ).render()


def _escape(value: str) -> str:
    # The server splits `options` at blanks, where a backslash protects the next sign.
    return re.sub(r"([\s\\])", r"\\\1", value)


def password(url: str) -> str:
    """The password in an address of any scheme, or ''."""
    match = _URL.match(url.strip())
    if match is None:
        return ""
    return unquote(match["password"] or dict(parse_qsl(match["query"] or "")).get("password", ""))


def masked(url: str) -> str:
    """The address without its password, fit to be printed."""
    return _SECRET.sub(lambda found: (found["head"] or found["field"]) + "***", url)
