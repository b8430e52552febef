"""Run in the client's Python: blocks of code, each a line of JSON, carried out in one namespace."""

import contextlib
import io
import json
import sys
import traceback

namespace = {"__name__": "__main__"}
for line in sys.stdin:
    told, failed = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(told):
            exec(compile(json.loads(line), "<page>", "exec"), namespace)
    except Exception:  # noqa: BLE001  (whatever a page's code raises is what the test must show)
        failed = traceback.format_exc()
    print(json.dumps({"told": told.getvalue(), "failed": failed}), flush=True)
