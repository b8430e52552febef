"""Run in a folder of its own: carries out `matengine` lines from standard input, in one process, as a shell would."""

from __future__ import annotations

import shlex
import sys

from materializationengine.cli import main

for line in sys.stdin:
    words = shlex.split(line)
    main.main(words[1:], prog_name=words[0], standalone_mode=False)
