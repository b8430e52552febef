"""`python -m materializationengine.stack FOLDER OPTIONS FD`: the supervisor in the background.

It writes `ready`, or the reason why not, to the file descriptor and closes it. People use
`matengine stack up`.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys

from ..kernel.processes import ServerError
from .assembly import Options
from .info import Layout, StackInfo
from .run import supervise


def main(folder: str, options: str, descriptor: str) -> int:
    """Supervise; 0 after an orderly end."""
    faulthandler.enable()
    with os.fdopen(int(descriptor), "w", encoding="utf-8") as report:

        def announce(info: StackInfo) -> None:
            report.write("ready")
            report.close()

        try:
            supervise(Layout(folder), Options(**json.loads(options)), os.environ, announce)
        except (ServerError, OSError) as error:
            if report.closed:
                raise
            report.write(str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
