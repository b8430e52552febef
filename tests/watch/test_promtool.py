"""deploy/alerts.yml through Prometheus's own tool: each alert fires where it should and says what it should."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/alerts.yml"
RULES = {rule["alert"]: rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}
PROMTOOL = shutil.which("promtool", path=f"{ROOT / '.tools'}") or shutil.which("promtool")

Labels = dict[str, str]


@dataclass(frozen=True)
class Case:
    """Series by name and values, in Prometheus's short form; the labels of what must fire at a moment."""

    alert: str
    at: str
    series: dict[str, str]
    fires: list[Labels] = field(default_factory=list)
    interval: str = "1m"

    def as_test(self) -> dict[str, Any]:
        """The form of `promtool test rules`."""
        rule = RULES[self.alert]
        wanted = [
            {
                "exp_labels": {**rule["labels"], **labels},
                "exp_annotations": {name: _filled(text, labels) for name, text in rule["annotations"].items()},
            }
            for labels in self.fires
        ]
        return {
            "interval": self.interval,
            "input_series": [{"series": name, "values": values} for name, values in self.series.items()],
            "alert_rule_test": [{"eval_time": self.at, "alertname": self.alert, "exp_alerts": wanted}],
        }


def _filled(text: str, labels: Labels) -> str:
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)


def _check(name: str, values: str, instance: str = "a") -> dict[str, str]:
    return {f'matengine_check{{check="{name}",instance="{instance}"}}': values}


def _datastack(name: str, values: str) -> dict[str, str]:
    return {f'matengine_datastack_check{{check="{name}",datastack="fly"}}': values}


def _workers(living: str, lost: str) -> dict[str, str]:
    return {'matengine_workers{queue="process"}': living, 'matengine_workers_lost{queue="process"}': lost}


def _seconds(name: str, labels: str, edges: dict[str, str]) -> dict[str, str]:
    """A histogram whose buckets grow by so much a minute."""
    return {f'{name}_bucket{{{labels},le="{edge}"}}': values for edge, values in edges.items()}


FLY = {"datastack": "fly"}
SLOW = {"10.0": "0+1x60", "30.0": "0+1x60", "120.0": "0+50x60", "+Inf": "0+50x60"}
FAST = {"10.0": "0+99x60", "30.0": "0+99x60", "120.0": "0+100x60", "+Inf": "0+100x60"}
GRAPH = ("matengine_graph_request_seconds", 'outcome="ok"')
QUERY = ("matengine_http_request_seconds", 'rule="/table/<table>/query"')
OTHER = ("matengine_http_request_seconds", 'rule="/health"')
OWED = 'matengine_unresolved_rows{{database="fly_volume",table="t",instance="a",reason="{}"}}'
GROWING = 'matengine_table_bytes{database="fly_volume",table="root_held",instance="a"}'
POOL = 'matengine_pool_connections{{pool="{}",state="{}",instance="a"}}'

CASES = [
    Case("MatengineAbsent", "2m", {}, [{}]),
    Case("MatengineAbsent", "2m", {'matengine_build_info{version="1"}': "1x5"}),
    Case("MatengineDatabaseDown", "1m", _check("postgresql", "1 0") | _check("postgresql", "1 1", "b"), [{}]),
    Case("MatengineDatabaseDown", "1m", _check("postgresql", "1 0.5") | _check("redis", "1 0")),
    Case("MatengineRedisDown", "1m", _check("redis", "1 0"), [{}]),
    Case("MatengineRedisDown", "1m", _check("redis", "1 1") | _check("postgresql", "1 0")),
    Case(
        "MatengineQueueWithoutWorker",
        "1m",
        {'matengine_workers{queue="process"}': "1 0", 'matengine_workers{queue="workflow"}': "1 1"},
        [{"queue": "process"}],
    ),
    Case("MatengineWorkerLost", "6m", _workers("3x2 2x60", "0x2 1x20 0x40"), [{"queue": "process"}]),
    # Stopped in order, replaced at once, replaced after a while, and long ago.
    Case("MatengineWorkerLost", "6m", _workers("3x2 2x60", "0x60")),
    Case("MatengineWorkerLost", "6m", _workers("3x60", "0x2 1x20 0x40")),
    Case("MatengineWorkerLost", "4m", _workers("3x2 2 3x60", "0x2 1x20 0x40")),
    Case("MatengineWorkerLost", "30m", _workers("3x2 2x60", "0x2 1x20 0x40")),
    Case("MatengineBeatSilent", "6m", {"matengine_beat_last_tick_timestamp_seconds": "0 60 120x10"}, [{}]),
    Case("MatengineBeatSilent", "6m", {"matengine_beat_last_tick_timestamp_seconds": "0+60x10"}),
    Case("MatengineBeatSilent", "3m", _check("beat", "1 0x5"), [{}]),
    Case("MatengineOtherCheck", "3m", _check("layout", "1 0x5"), [{"check": "layout"}]),
    Case("MatengineOtherCheck", "3m", _check("workers", "1 0x5") | _check("clock", "0.5x5")),
    Case("MatengineDiskFull", "1m", {"matengine_free_bytes": "2e9 9e8", "matengine_reserve_bytes": "1e9x2"}, [{}]),
    Case("MatengineDiskFull", "1m", {"matengine_free_bytes": "2e9 2e9", "matengine_reserve_bytes": "1e9x2"}),
    Case(
        "MatengineDiskFillsUp",
        "7h",
        {f'matengine_free_bytes{{instance="{name}"}}': "1e12-1e9x500" for name in "ab"},
        [{}],
    ),
    Case("MatengineDiskFillsUp", "7h", {'matengine_free_bytes{instance="a"}': "1e12-1e8x500"}),
    Case(
        "MatengineDatabaseGrows",
        "180h",
        {GROWING: "1e9x170 3e9x30"},
        [{"database": "fly_volume", "table": "root_held"}],
        interval="1h",
    ),
    Case("MatengineDatabaseGrows", "180h", {GROWING: "2e9x170 3e9x30"}, interval="1h"),
    Case("MatengineDatabaseGrows", "180h", {GROWING: "1e6x170 3e6x30"}, interval="1h"),
    Case("MatengineTokenRefused", "1m", _datastack("token", "1 0"), [FLY]),
    Case("MatengineTokenRefused", "1m", _datastack("graph", "1 0")),
    Case("MatengineGraphDown", "3m", _datastack("graph", "1 0x5"), [FLY]),
    Case("MatengineGraphDown", "3m", _datastack("graph", "1 0 1x5")),
    Case("MatengineInfoDown", "7m", _datastack("info", "1 0x10"), [FLY]),
    Case("MatengineInfoDown", "4m", _datastack("info", "1 0x10")),
    Case("MatengineGraphSlow", "30m", _seconds(*GRAPH, SLOW), [{}]),
    Case("MatengineGraphSlow", "30m", _seconds(*GRAPH, FAST)),
    Case("MatengineVersionOld", "1m", {'matengine_version_age_seconds{datastack="fly"}': "7e5x2"}, [FLY]),
    Case("MatengineVersionOld", "1m", {'matengine_version_age_seconds{datastack="fly"}': "6e5x2"}),
    Case(
        "MatengineUnresolvedRows",
        "26h",
        {OWED.format("missing chunk"): "600x30", OWED.format("unknown id"): "600x30"},
        [{"database": "fly_volume", "table": "t"}],
        interval="1h",
    ),
    Case("MatengineUnresolvedRows", "26h", {OWED.format("missing chunk"): "600x30"}, interval="1h"),
    Case(
        "MatengineQueueOld", "7m", {'matengine_queue_age_seconds{queue="workflow"}': "1000x10"}, [{"queue": "workflow"}]
    ),
    Case("MatengineQueueOld", "7m", {'matengine_queue_age_seconds{queue="workflow"}': "800x10"}),
    Case(
        "MatengineRunFailed",
        "1m",
        {'matengine_runs_ended_1d{status="FAILED",workflow="freeze"}': "0 1"},
        [{"workflow": "freeze"}],
    ),
    Case("MatengineRunFailed", "1m", {'matengine_runs_ended_1d{status="SUCCEEDED",workflow="freeze"}': "0 1"}),
    Case(
        "MatengineRequestsFail",
        "30m",
        {
            'matengine_http_requests_total{status="200",rule="/x"}': "0+98x60",
            'matengine_http_requests_total{status="503",rule="/x"}': "0+2x60",
        },
        [{}],
    ),
    Case(
        "MatengineRequestsFail",
        "30m",
        {
            'matengine_http_requests_total{status="404",rule="/x"}': "0+50x60",
            'matengine_http_requests_total{status="200",rule="/x"}': "0+50x60",
        },
    ),
    Case("MatengineRequestsSlow", "30m", _seconds(*QUERY, SLOW), [{}]),
    Case("MatengineRequestsSlow", "30m", _seconds(*QUERY, FAST) | _seconds(*OTHER, SLOW)),
    Case(
        "MatenginePoolFull",
        "7m",
        {POOL.format("session fly_volume", "busy"): "15x10"},
        [{"pool": "session fly_volume", "state": "busy", "instance": "a"}],
    ),
    Case("MatenginePoolFull", "7m", {POOL.format("session fly_volume", "idle"): "15x10"}),
]


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    if PROMTOOL is None:
        pytest.skip("promtool is missing: `make setup-clients` takes it out of Debian's package of Prometheus")
    return subprocess.run([PROMTOOL, *words], capture_output=True, text=True, timeout=120, check=False)


def _written(case: Case, folder: Path) -> Path:
    """The case in a file. Rules are evaluated as often as there are values, as a value is stale after five minutes."""
    tests = {"rule_files": [str(ALERTS)], "evaluation_interval": case.interval, "tests": [case.as_test()]}
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump(tests))
    return file


def test_prometheus_reads_the_rules() -> None:
    done = promtool("check", "rules", str(ALERTS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    assert {case.alert for case in CASES if case.fires} == set(RULES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert} {'fires' if case.fires else 'rests'}")
def test_an_alert_fires_where_it_should(case: Case, tmp_path: Path) -> None:
    done = promtool("test", "rules", str(_written(case, tmp_path)))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_expectation_would_be_seen(tmp_path: Path) -> None:
    done = promtool(
        "test", "rules", str(_written(Case("MatengineRedisDown", "1m", _check("redis", "1 1"), [{}]), tmp_path))
    )
    assert done.returncode == 1 and "MatengineRedisDown" in done.stdout + done.stderr
