"""`ap_proto`: run the alert production's work on the database over many visits, and measure it."""

from __future__ import annotations

import functools
import os
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from ..constants import FIRST_NOISE_ID, N_FALSE_PER_VISIT, N_TRANS_PER_VISIT
from ..l1db import L1db
from ..moments import parse_moment
from ..records import Visit
from ..sky import Sky
from ..survey import Footprint, Survey, SurveyPlan
from ..tilepool import InProcess, TilePool
from ..timing import MetricsFile
from .common import config_option, configure_logging, one_line_errors, verbose_option


# Without a type argument, which click's class takes only in its newest versions.
class _Moment(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return parse_moment(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time; write YYYY-MM-DD hh:mm:ss, in UTC", param, ctx)


class _Footprint(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    name = "ra,decl,radius"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Footprint:
        try:
            ra, decl, radius = map(float, str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} must be three numbers, degrees: RA,DECL,RADIUS", param, ctx)
        if not (-90 <= decl <= 90 and 0 <= radius <= 180):
            self.fail(f"{value!r} is not on the sky: declination from -90 to 90, radius from 0 to 180", param, ctx)
        return Footprint(ra, decl, radius)


@dataclass(frozen=True)
class _Run:
    num_visits: int
    config: str
    first: Visit | None
    update: bool
    explain: bool
    metrics: MetricsFile | None
    verbosity: int
    workers: int


@click.command()
@verbose_option
@click.option("-n", "--num-visits", default=1, show_default=True, type=click.IntRange(min=0), help="Visits to do.")
@click.option(
    "-i",
    "--interval",
    default=45,
    show_default=True,
    type=click.IntRange(min=1),
    help="Seconds between visits.",
)
@config_option
@click.option("-e", "--explain", is_flag=True, help="Log the plan of every statement (with -v).")
@click.option("-U", "--no-update", is_flag=True, help="Only read.")
@click.option("--start-time", type=_Moment(), help="Time of the first visit in an empty database, UTC.")
@click.option("--start-visit-id", default=1, show_default=True, help="Id of the first visit in an empty database.")
@click.option(
    "--divide",
    default=0,
    type=click.IntRange(min=0),
    help="Cut the field of view into so many squares a side.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes for tiles.  [default: one per processor]")
@click.option("--seed", default=1, show_default=True, help="Seed of pointings and detections.")
@click.option(
    *("--transients", "n_trans"),
    default=N_TRANS_PER_VISIT + N_FALSE_PER_VISIT,
    show_default=True,
    type=click.IntRange(min=0),
    help="Mean number of transients and false detections per visit.",
)
@click.option(
    "--detection-fraction", default=1.0, type=click.FloatRange(0, 1), help="Probability to detect a variable."
)
@click.option("--footprint", type=_Footprint(), help="Point only into this part of the sky.")
@click.option("--metrics", type=click.Path(dir_okay=False, path_type=Path), help="Append figures as JSON lines.")
@click.argument("sources_file", type=click.Path(dir_okay=False, path_type=Path))
@one_line_errors
def main(
    verbosity: int,
    num_visits: int,
    interval: int,
    config: str,
    explain: bool,
    no_update: bool,
    start_time: datetime | None,
    start_visit_id: int,
    divide: int,
    workers: int | None,
    seed: int,
    n_trans: int,
    detection_fraction: float,
    footprint: Footprint | None,
    metrics: Path | None,
    sources_file: Path,
) -> None:
    """Simulate visits over the variables in SOURCES_FILE, which gen_sources writes.

    A database that has visits already is continued; the start options then do not matter.
    """
    configure_logging(verbosity)
    plan = SurveyPlan(timedelta(seconds=interval), seed, n_trans, max(divide, 1), detection_fraction, footprint)
    first = None if start_time is None else Visit(start_visit_id, start_time, FIRST_NOISE_ID, 0)
    sink = None if metrics is None else MetricsFile(metrics)
    processes = workers or os.cpu_count() or 1
    _run(
        _Run(num_visits, config, first, not no_update, explain, sink, verbosity, processes),
        plan,
        sources_file,
    )


def _run(run: _Run, plan: SurveyPlan, sources_file: Path) -> None:
    with ExitStack() as stack:
        db = L1db(run.config)
        stack.callback(db.close)
        workers: TilePool | InProcess = InProcess()
        if plan.divide > 1:
            logs = functools.partial(configure_logging, run.verbosity)
            workers = stack.enter_context(TilePool(Path(run.config), run.workers, logs))
        survey = Survey(db, Sky.open(sources_file), plan, workers)
        # Log lines and a bar would tear each other up.
        console = Console(stderr=True)
        shown = console.is_terminal and not run.verbosity
        progress = stack.enter_context(Progress(console=console, disable=not shown))
        task = progress.add_task("visits", total=run.num_visits)
        visits = survey.run(run.num_visits, run.first, update=run.update, explain=run.explain, metrics=run.metrics)
        for _ in visits:
            progress.advance(task)


if __name__ == "__main__":
    main()
