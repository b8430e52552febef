"""`python -m materializationengine.cli`: the same as `matengine`."""

from . import main

main()
