"""What reading from a bucket takes beside its address."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GcsAccess:
    """How gs:// is reached.

    `endpoint` replaces Google's address (STORAGE_EMULATOR_HOST) and then needs no credentials;
    `credentials_file` is what GOOGLE_APPLICATION_CREDENTIALS names; without both, the machine's own
    credentials are used. `timeout`, seconds, is for one request, of which there are up to three.
    """

    endpoint: str = ""
    credentials_file: str = ""
    timeout: float = 60.0
