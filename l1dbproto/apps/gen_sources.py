"""`gen_sources`: scatter variables over the sky and write them to a file for `ap_proto`."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import click

from ..constants import FOV_deg
from ..generators import rand_sphere_xyz
from ..sky import write_sky
from .common import configure_logging, one_line_errors, verbose_option

_LOG = logging.getLogger("gen_sources")


def total(counts: int, hemi: int) -> int:
    """Variables on the sky, or half of it, for so many in a field of view, which counts as a flat disc."""
    area = 2 * math.pi if hemi else 4 * math.pi
    return int(counts * area / (math.pi * math.radians(FOV_deg / 2) ** 2))


@click.command()
@verbose_option
@click.option("-m", "--mode", default="xyz", type=click.Choice(["xyz"]), help="Form of the positions; unit vectors.")
@click.option(
    "-H",
    "--hemi",
    default=0,
    show_default=True,
    help="0 for the whole sky, below 0 for the south, above for the north.",
)
@click.option(
    "-n",
    "--counts",
    default=10_000,
    show_default=True,
    type=click.IntRange(min=0),
    help="Variables in a field of view.",
)
@click.option("--seed", default=1, show_default=True, help="Seed of the positions.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@one_line_errors
def main(verbosity: int, mode: str, hemi: int, counts: int, seed: int, file: Path) -> None:
    """Write unit vectors, shape (n, 3), doubles, to FILE, in the order of the sky's trixels."""
    configure_logging(verbosity)
    count = total(counts, hemi)
    _LOG.info("generating %d sources (%s)", count, mode)
    write_sky(file, rand_sphere_xyz(count, hemi, seed))


if __name__ == "__main__":
    main()
