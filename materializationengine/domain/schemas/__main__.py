"""Write the JSON schema of every type to standard output: the content of `localcave/schemas.json`."""

from __future__ import annotations

import sys

from .jsonschema import as_text

if __name__ == "__main__":
    sys.stdout.write(as_text())
