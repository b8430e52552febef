"""`log2csv` (also `log2cvs`): timings and counts of every visit, from the logs of `ap_proto`, as CSV."""

from __future__ import annotations

import csv
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import click

from ..errors import L1dbError
from .common import configure_logging, one_line_errors, verbose_option

_TIMES = r"real=(?P<real>[\d.]+) user=(?P<user>[\d.]+) sys=(?P<sys>[\d.]+)"
_TIMER = re.compile(rf"\] timer: (?:tile=\S+ )?(?P<name>[\w \-]+): {_TIMES}")
_STARTED = re.compile(r"\+\+\+ Start processing visit (?P<visit>\d+) at")
_FINISHED = re.compile(rf"--- Finished processing visit (?P<visit>\d+), time: {_TIMES}")
_COUNT = re.compile(
    r"\] ap_proto: (?:tile=\S+ )?(?P<what>database found|after filtering) "
    r"(?P<rows>\d+) (?P<of>objects|sources|forced sources)"
)
_ROWS = re.compile(r"\] ap_proto: (?P<table>\w+) row count: (?P<rows>\d+)")

# Column group by timer; with a nightly table, new versions are inserted there.
_STAGES = {
    "DiaObject select": "obj_select",
    "DiaObjectLast delete": "obj_last_delete",
    "DiaObjectLast insert": "obj_last_insert",
    "DiaObject truncate": "obj_trunc",
    "DiaObject insert": "obj_insert",
    "DiaObjectNightly insert": "obj_insert",
    "DiaSource select": "src_select",
    "DiaSource insert": "src_insert",
    "DiaForcedSource select": "fsrc_select",
    "DiaForcedSource insert": "fsrc_insert",
    "L1-store": "store",
    "VisitProcessing": "visit_proc",
    "DiaObjectNightly copy": "obj_daily_copy",
    "DiaObjectNightly delete": "obj_daily_delete",
}
_COUNTS = {
    ("database found", "objects"): "obj_selected",
    ("after filtering", "objects"): "obj_in_fov",
    ("database found", "sources"): "src_selected",
    ("database found", "forced sources"): "fsrc_selected",
}
_TABLES = {"DiaObject": "obj_count", "DiaSource": "src_count", "DiaForcedSource": "fsrc_count"}

_VISIT = ("visit_real", "visit_cpu")
_PROC = ("visit_proc_real", "visit_proc_cpu")
FULL = (
    *("visit", "obj_select_real", "obj_select_cpu", "obj_last_delete_real", "obj_last_insert_real"),
    *(
        "obj_trunc_real",
        "obj_trunc_cpu",
        "obj_insert_real",
        "obj_insert_cpu",
        "src_select_real",
        "src_select_cpu",
    ),
    *("src_insert_real", "src_insert_cpu", "fsrc_select_real", "fsrc_select_cpu", "fsrc_insert_real"),
    *("fsrc_insert_cpu", "select_real", "store_real", "store_cpu", *_PROC, *_VISIT, "obj_selected"),
    *("src_selected", "fsrc_selected", "obj_in_fov", *_TABLES.values()),
)
SHORT = ("visit", *_VISIT, *_PROC, *_TABLES.values())
DAILY = ("visit", "obj_daily_copy_real", "obj_daily_delete_real")


@dataclass
class _Visit:
    """What the log says of one visit: every occurrence of a timer, sums of counts."""

    times: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    counts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add_time(self, group: str, found: Mapping[str, Any]) -> None:
        self.times[f"{group}_real"].append(float(found["real"]))
        self.times[f"{group}_cpu"].append(float(found["user"]) + float(found["sys"]))

    def row(self, visit: int) -> dict[str, float]:
        """Means per occurrence, so per tile where there are tiles; the three selects are summed; counts are sums."""
        means = {name: sum(values) / len(values) for name, values in self.times.items()}
        selects = [means[name] for name in ("obj_select_real", "src_select_real", "fsrc_select_real") if name in means]
        return {**means, **self.counts, **({"select_real": sum(selects)} if selects else {}), "visit": visit}


def visits(lines: Iterable[str]) -> Iterator[dict[str, float]]:
    """The finished visits of a log. What is logged before a visit, such as the daily activities, counts to it."""
    current = _Visit()
    for line in lines:
        if _STARTED.search(line):
            # A visit that was cut short left timers; they are not this one's, but the daily ones may be.
            daily = {n: v for n, v in current.times.items() if n.startswith("obj_daily")}
            current = _Visit(times=defaultdict(list, daily))
        elif found := _FINISHED.search(line):
            current.add_time("visit", found.groupdict())
            yield current.row(int(found["visit"]))
            current = _Visit()
        else:
            _take(current, line)


def _take(visit: _Visit, line: str) -> None:
    if found := _TIMER.search(line):
        if group := _STAGES.get(found["name"]):
            visit.add_time(group, found.groupdict())
    elif found := _COUNT.search(line):
        visit.counts[_COUNTS[found["what"], found["of"]]] += int(found["rows"])
    elif (found := _ROWS.search(line)) and found["table"] in _TABLES:
        visit.counts[_TABLES[found["table"]]] = int(found["rows"])


def _write(rows: Iterable[dict[str, float]], names: tuple[str, ...], out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_text(row.get(name)) for name in names])


def _text(value: float | None) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _lines(files: Iterable[Path]) -> Iterator[str]:
    for path in files:
        try:
            with path.open(encoding="utf-8", errors="replace") as stream:
                yield from stream
        except OSError as error:
            raise L1dbError(f"cannot read the log {str(path)!r}: {error.strerror}") from error


@click.command()
@verbose_option
@click.option("-s", "--short", is_flag=True, help="Only the whole visit and the row counts.")
@click.option("-d", "--daily", is_flag=True, help="Only the daily activities.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@one_line_errors
def main(verbosity: int, short: bool, daily: bool, files: tuple[Path, ...]) -> None:
    """Write one CSV row per visit in the log FILES to standard output; they need ap_proto's -v."""
    configure_logging(verbosity)
    names = DAILY if daily else SHORT if short else FULL
    rows = visits(_lines(files))
    _write((row for row in rows if not daily or DAILY[1] in row), names, sys.stdout)


if __name__ == "__main__":
    main()
