"""`ap_plot`: draw time and rows per visit from the metrics that `ap_proto --metrics` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from ..errors import L1dbError
from .common import one_line_errors

_STAGES = {
    "Objects-read": "read objects",
    "Source-read": "read sources",
    "L1-store": "store",
    "VisitProcessing": "visit",
}
_ROWS = {
    "obj_selected": "objects read",
    "src_selected": "sources read",
    "fsrc_selected": "forced sources read",
}
_STORED = {"stored_Objects": "objects stored"}
_MOST_POINTS = 100


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file, one dict per visit. Raises L1dbError naming the line that is not one."""
    visits = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise L1dbError(f"cannot read the metrics {str(path)!r}: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            visits.append(json.loads(line))
            visits[-1]["visit"], visits[-1]["timers"]
        except (ValueError, KeyError, TypeError) as error:
            raise L1dbError(f"{path}, line {number}: not a line of ap_proto --metrics") from error
    if not visits:
        raise L1dbError(f"{path} holds no visits")
    return visits


def draw(visits: list[dict[str, Any]], title: str, out: Path) -> None:
    """Draw two panels, seconds and rows against the visit, into a file whose ending names its format."""
    # Imported here: of all programs only this one draws, and the library takes a second to load.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 8), layout="constrained")
    seconds, rows = figure.subplots(2, 1, sharex=True)
    for name, label in _STAGES.items():
        _line(seconds, visits, label, lambda v, name=name: v["timers"].get(name, {}).get("real"))
    for name, label in {**_ROWS, **_STORED}.items():
        _line(rows, visits, label, lambda v, name=name: v["counts"].get(name))
    for axes, what in ((seconds, "seconds per visit"), (rows, "rows per visit")):
        axes.set_ylabel(what)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left")
    rows.set_xlabel("visit")
    seconds.set_title(title)
    figure.savefig(out)


def _line(axes: Any, visits: list[dict[str, Any]], label: str, value: Any) -> None:
    points = [(v["visit"], value(v)) for v in visits if value(v) is not None]
    if points:
        x, y = _thinned(np.array(points, dtype=float))
        axes.plot(x, y, label=label, linewidth=1.2)


def _thinned(points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Medians of so many neighbors that a line has some hundred points: single slow visits hide the trend."""
    size = max(1, len(points) // _MOST_POINTS)
    whole = points[: len(points) // size * size].reshape(-1, size, 2)
    return np.median(whole[:, :, 0], axis=1), np.median(whole[:, :, 1], axis=1)


@click.command()
@click.option(
    *("-o", "--output"),
    default="visits.png",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Picture to write, .png or .svg.",
)
@click.option("-t", "--title", default="", help="Heading of the picture.")
@click.argument("metrics", type=click.Path(path_type=Path))
@one_line_errors
def main(output: Path, title: str, metrics: Path) -> None:
    """Draw per-visit times and rows from the METRICS file."""
    if output.suffix not in (".png", ".svg"):
        raise L1dbError(f"--output {output} must end in .png or .svg")
    draw(read_metrics(metrics), title or metrics.stem, output)


if __name__ == "__main__":
    main()
