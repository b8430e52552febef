"""Files of a Google Cloud Storage bucket through gcsfs. Imported only when a gs:// address is opened."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import google.auth
import requests
from gcsfs.core import GCSFileSystem
from gcsfs.retry import HttpError, NonRetryableError, retry_request
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.oauth2.credentials import Credentials as UserCredentials
from google.oauth2.service_account import Credentials as ServiceCredentials

from ..domain.errors import CredentialsMissing, GatewayRefused, GatewayUnavailable
from .access import GcsAccess

SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"

_HOW = "set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account that may read the bucket"


class _Bucket(GCSFileSystem):  # type: ignore[misc,unused-ignore]
    """gcsfs, except that it gives up after three tries (about five seconds) instead of six (half a minute).

    Whoever started the upload should hear of a wrong token soon, and a unit of work is tried again anyway.
    """

    _request = retry_request(retries=3)(GCSFileSystem._request.__wrapped__)


class GcsStore:
    """The files under `gs://bucket/path`. It connects at first use, in the process that uses it."""

    def __init__(self, url: str, access: GcsAccess) -> None:
        self._url = url.rstrip("/")
        self._root = self._url.removeprefix("gs://")
        self._access = access
        self._token = _token(access)
        self._made: tuple[int, Any] | None = None

    def names(self) -> tuple[str, ...]:
        """File names, sorted."""
        with self._clear_errors():
            entries = self._files().ls(self._root, detail=True)
        return tuple(sorted(e["name"].rpartition("/")[2] for e in entries if e["type"] == "file"))

    def size(self, name: str) -> int:
        """Bytes of a file."""
        with self._clear_errors():
            # gcsfs's own `info` also lists the name as a folder, side by side, for nothing.
            bucket, _, key = f"{self._root}/{name}".partition("/")
            return int(self._files().call("GET", "b/{}/o/{}", bucket, key, json_out=True)["size"])

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop)."""
        with self._clear_errors():
            try:
                return bytes(self._files().cat_file(f"{self._root}/{name}", start=start, end=stop))
            except HttpError as error:
                if _code(error) == 416:  # nothing from `start` on
                    return b""
                raise

    def _files(self) -> Any:
        if self._made is None or self._made[0] != os.getpid():
            files = _Bucket(
                token=self._token,
                access="read_only",
                endpoint_url=self._access.endpoint or None,
                requests_timeout=aiohttp.ClientTimeout(total=self._access.timeout),
                use_listings_cache=False,
                skip_instance_cache=True,
            )
            self._made = (os.getpid(), files)
        return self._made[1]

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """gcsfs answers a failure with one of eight classes; ours are three, and FileNotFoundError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except HttpError as error:
            raise self._refused(error) from error
        except (aiohttp.ClientError, TimeoutError, requests.RequestException, TransportError) as error:
            raise self._down(type(error).__name__) from error
        except (GoogleAuthError, NonRetryableError) as error:
            raise CredentialsMissing(f"{self._url} cannot be read: {error}; {_HOW}") from error
        except (OSError, ValueError) as error:
            if str(error).startswith("Forbidden"):
                raise CredentialsMissing(f"{self._url} may not be read with these credentials; {_HOW}") from error
            raise GatewayRefused(f"the storage service refused to read {self._url}: {error}") from error

    def _refused(self, error: HttpError) -> Exception:
        code = _code(error)
        if code in (401, 403):
            return CredentialsMissing(f"{self._url} may not be read with these credentials ({error}); {_HOW}")
        if code >= 500 or code in (408, 429):
            return self._down(str(code))
        return GatewayRefused(f"the storage service refused to read {self._url}: {error}")

    def _down(self, why: str) -> GatewayUnavailable:
        return GatewayUnavailable(f"the storage service of {self._url} does not answer ({why})", service="storage")


def _code(error: HttpError) -> int:
    return int(error.code or 0)


def _token(access: GcsAccess) -> Any:
    """What gcsfs calls a token: credentials, or "anon"."""
    try:
        if access.credentials_file:
            return _from_file(access.credentials_file)
        if access.endpoint:
            return "anon"
        return google.auth.default(scopes=[SCOPE])[0]
    except (DefaultCredentialsError, OSError, ValueError) as error:
        given = f"the file {access.credentials_file} holds none" if access.credentials_file else "there are none"
        raise CredentialsMissing(f"gs:// needs Google credentials, and {given} ({error}); {_HOW}") from error


def _from_file(path: str) -> Any:
    """The two kinds of file that people have; Google's own loader of any kind is deprecated as unsafe."""
    account = json.loads(Path(path).read_text(encoding="utf-8"))
    kind = account.get("type") if isinstance(account, dict) else None
    if kind == "service_account":
        return ServiceCredentials.from_service_account_info(account, scopes=[SCOPE])  # type: ignore[no-untyped-call,unused-ignore]
    if kind == "authorized_user":
        return UserCredentials.from_authorized_user_info(account, scopes=[SCOPE])  # type: ignore[no-untyped-call,unused-ignore]
    raise ValueError(f"its type is {kind!r}, neither service_account nor authorized_user")
