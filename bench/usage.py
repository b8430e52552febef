"""What processes cost: CPU seconds and the most memory, read from the kernel."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process so far, and of its children that have ended; 0 if it is gone."""
    return sum(_cpu(pid))


def family_seconds(pid: int) -> float:
    """The same of a server process and of its children that live."""
    total = cpu_seconds(pid)
    for task in Path("/proc").glob("[0-9]*"):
        if _parent(task) == pid:
            total += sum(_cpu(int(task.name))[:2])
    return total


def _cpu(pid: int) -> tuple[float, float, float]:
    """User, system, and ended children's CPU seconds of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0, 0.0
    user, system, child_user, child_system = (int(field) / _TICKS for field in fields[11:15])
    return user, system, child_user + child_system


def _parent(task: Path) -> int:
    try:
        return int((task / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def peak_mb(pid: int | str = "self") -> float:
    """The most memory that a process has held since it began, or since `forget_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def forget_peak(pid: int | str = "self") -> None:
    """Let the peak of memory begin anew at what is held now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@dataclass(frozen=True, slots=True)
class Spent:
    """One deed of this process: seconds by the clock, its CPU seconds, those of the server asked, and memory."""

    seconds: float
    cpu: float
    server: float
    peak_mb: float


def spent(deed: Callable[[], object], server: Callable[[], float] = lambda: 0.0) -> Spent:
    """Do it and tell the cost; `server` tells a server's CPU seconds so far."""
    forget_peak()
    asked, cpu, began = server(), time.process_time(), time.perf_counter()
    deed()
    seconds = time.perf_counter() - began
    return Spent(seconds, time.process_time() - cpu, server() - asked, peak_mb())


def typical(costs: Sequence[Spent]) -> Spent:
    """Of the same deed done several times: the median of seconds, means of CPU seconds, the most memory."""
    return Spent(
        statistics.median(each.seconds for each in costs),
        statistics.fmean(each.cpu for each in costs),
        statistics.fmean(each.server for each in costs),
        max(each.peak_mb for each in costs),
    )
