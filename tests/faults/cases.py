"""Every case of the fault matrix as data: what breaks, in which workflow, where, and what must come of it.

The tests play this table and the manual shows it; both read it, so neither can say what the other does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Flow(StrEnum):
    """The workflow that is disturbed."""

    UPLOAD = "bulk upload"
    INGEST = "ingest"
    UPDATE = "update roots"
    FREEZE = "freeze, merged"
    SPLIT = "freeze, split"
    COMPLETE = "complete"
    INCREMENTAL = "incremental"
    RETIRE = "retire"
    PERIODIC = "periodic"


class Fault(StrEnum):
    """What breaks."""

    ONE_WORKER = "one of two workers is killed (`kill -9`)"
    ALL_WORKERS = "all workers are killed (`kill -9`), and started again"
    BEAT = "beat is killed (`kill -9`), and started again"
    WEB = "the web server is killed (`kill -9`), and started again"
    REDIS_FLUSHED = "Redis forgets everything"
    REDIS_DOWN = "Redis is down for 30 s, and comes back empty"
    POSTGRES_IMMEDIATE = "PostgreSQL is restarted, immediate shutdown"
    POSTGRES_FAST = "PostgreSQL is restarted, fast shutdown"
    STATEMENT = "the statement is cancelled by an administrator"
    DISK_FULL = "the disk is full, and stays so"
    DISK_FULL_ONCE = "the disk is full, until room is made"
    GRAPH_503_ONCE = "the graph answers 503, more often than one request is repeated"
    GRAPH_503 = "the graph answers 503, and stays so"
    GRAPH_TIMEOUT = "the graph does not answer in time, more often than one request is repeated"
    GRAPH_SLOW = "the graph takes a second for each answer"
    GRAPH_SHORT = "the graph answers with one root too few"
    GRAPH_PAGE = "a proxy answers 200 with an HTML page instead of the graph"
    GRAPH_WRONG = "the graph answers with roots of other neurons"
    MISSING_CHUNK = "a chunk of the volume is missing, and comes back later"
    TWICE = "every message is delivered twice"
    LATE = "every message comes again when the run is over"
    SAME_MESSAGE = "a second worker gets the message of a unit that is at work"
    FROZEN_WORKER = "a worker is stopped (`SIGSTOP`) beyond its lease, and goes on when another has done its unit"


class End(StrEnum):
    """What must come of it; a test asserts each of them."""

    UNNOTICED = "succeeds; each unit is done at its first attempt"
    TAKEN_OVER = "succeeds; another worker does the unit again, which counts as no failure"
    AGAIN = "succeeds; the unit is done again"
    KEPT = "succeeds; the unit stays done, and what else was at work is done again, which counts as no failure"
    RETRIED = "succeeds; the unit fails, says why, and is tried again"
    FAILS = "fails; the version, if it makes one, is FAILED and has no database"
    OWED = "succeeds; what could not be looked up is NULL, listed with its reason, and filled by the next ingest"
    REFUSED = "is not started; nothing of it is there"
    ONE_RUN = "succeeds; the slot starts one run, whoever looks at it and however often"


@dataclass(frozen=True)
class Case:
    """One case. `at` is `POINT ACTION`, the place in the workflow where it breaks; POINT is one of `POINTS`.

    `sentence` is what a failed run says, as a regular expression that is also fit to be read.
    """

    flow: Flow
    fault: Fault
    end: End
    at: str = ""
    sentence: str = ""

    @property
    def name(self) -> str:
        """Its name in the list of tests."""
        words = f"{self.fault.name} {self.flow.name} {self.at}".lower()
        return words.replace("_", "-").replace(".", "-").strip().replace(" ", "-")


POINTS = {
    "claimed": "before",
    "inside": "in the middle of a statement of",
    "worked": "before the commit of",
    "committed": "after the commit of",
    "launched": "between commit and message of",
    "planned": "before the commit of",
    "taken": "between slot and run of",
}
"""Where a case breaks: the word of the table, and of the manual."""

CASES = (
    Case(Flow.UPLOAD, Fault.ONE_WORKER, End.TAKEN_OVER, "worked bulk_load.load"),
    Case(Flow.INGEST, Fault.ONE_WORKER, End.TAKEN_OVER, "worked ingest.look_up"),
    Case(Flow.UPDATE, Fault.ONE_WORKER, End.TAKEN_OVER, "inside update_roots.apply"),
    Case(Flow.FREEZE, Fault.ONE_WORKER, End.TAKEN_OVER, "inside freeze.copy"),
    Case(Flow.INCREMENTAL, Fault.ONE_WORKER, End.TAKEN_OVER, "worked incremental.copy"),
    Case(Flow.RETIRE, Fault.ONE_WORKER, End.TAKEN_OVER, "worked retire.drop"),
    Case(Flow.SPLIT, Fault.ALL_WORKERS, End.TAKEN_OVER, "worked freeze.publish"),
    Case(Flow.COMPLETE, Fault.ALL_WORKERS, End.KEPT, "committed ingest.look_up"),
    Case(Flow.UPDATE, Fault.ALL_WORKERS, End.TAKEN_OVER, "claimed update_roots.look_up"),
    Case(Flow.PERIODIC, Fault.ALL_WORKERS, End.ONE_RUN, "taken slot"),
    Case(Flow.PERIODIC, Fault.BEAT, End.ONE_RUN, "taken slot"),
    Case(Flow.UPLOAD, Fault.WEB, End.UNNOTICED, "launched request"),
    Case(Flow.COMPLETE, Fault.WEB, End.REFUSED, "planned request"),
    Case(Flow.INGEST, Fault.REDIS_FLUSHED, End.UNNOTICED, "committed ingest.scan"),
    Case(Flow.FREEZE, Fault.REDIS_FLUSHED, End.UNNOTICED, "worked freeze.copy"),
    Case(Flow.RETIRE, Fault.REDIS_FLUSHED, End.UNNOTICED, "committed retire.decide"),
    Case(Flow.UPDATE, Fault.REDIS_DOWN, End.UNNOTICED, "worked update_roots.look_up"),
    Case(Flow.COMPLETE, Fault.REDIS_DOWN, End.UNNOTICED, "committed freeze.copy"),
    Case(Flow.PERIODIC, Fault.REDIS_DOWN, End.ONE_RUN, "taken slot"),
    Case(Flow.UPLOAD, Fault.POSTGRES_IMMEDIATE, End.AGAIN, "worked bulk_load.load"),
    Case(Flow.INCREMENTAL, Fault.POSTGRES_IMMEDIATE, End.AGAIN, "inside incremental.copy"),
    Case(Flow.SPLIT, Fault.POSTGRES_IMMEDIATE, End.AGAIN, "worked freeze.publish"),
    Case(Flow.RETIRE, Fault.POSTGRES_IMMEDIATE, End.AGAIN, "worked retire.drop"),
    Case(Flow.INGEST, Fault.POSTGRES_FAST, End.AGAIN, "worked ingest.look_up"),
    Case(Flow.UPDATE, Fault.POSTGRES_FAST, End.AGAIN, "worked update_roots.apply"),
    Case(Flow.COMPLETE, Fault.POSTGRES_FAST, End.AGAIN, "inside freeze.copy"),
    Case(Flow.FREEZE, Fault.STATEMENT, End.RETRIED, "inside freeze.copy"),
    Case(Flow.INCREMENTAL, Fault.STATEMENT, End.RETRIED, "inside incremental.copy"),
    Case(Flow.UPLOAD, Fault.DISK_FULL, End.FAILS, "inside bulk_load.load", "No space left on device"),
    Case(Flow.INCREMENTAL, Fault.DISK_FULL, End.FAILS, "inside incremental.copy", "No space left on device"),
    Case(Flow.FREEZE, Fault.DISK_FULL_ONCE, End.RETRIED, "inside freeze.copy"),
    Case(Flow.INGEST, Fault.GRAPH_503_ONCE, End.RETRIED, "claimed ingest.look_up"),
    Case(Flow.SPLIT, Fault.GRAPH_503, End.FAILS, "claimed freeze.verify", "chunkedgraph at .* answered 503"),
    Case(Flow.UPDATE, Fault.GRAPH_TIMEOUT, End.RETRIED, "claimed update_roots.look_up"),
    Case(Flow.COMPLETE, Fault.GRAPH_SLOW, End.UNNOTICED, "claimed ingest.scan"),
    Case(Flow.UPDATE, Fault.GRAPH_SHORT, End.FAILS, "claimed update_roots.look_up", "asked for .* roots, got .* bytes"),
    Case(Flow.INCREMENTAL, Fault.GRAPH_PAGE, End.FAILS, "claimed incremental.copy", "did not answer with JSON"),
    Case(Flow.FREEZE, Fault.GRAPH_WRONG, End.FAILS, "claimed freeze.verify", "roots differ from the graph's"),
    Case(Flow.INGEST, Fault.MISSING_CHUNK, End.OWED),
    Case(Flow.COMPLETE, Fault.MISSING_CHUNK, End.OWED),
    Case(Flow.UPLOAD, Fault.TWICE, End.UNNOTICED),
    Case(Flow.COMPLETE, Fault.TWICE, End.UNNOTICED),
    Case(Flow.PERIODIC, Fault.TWICE, End.ONE_RUN),
    Case(Flow.UPDATE, Fault.LATE, End.UNNOTICED),
    Case(Flow.RETIRE, Fault.LATE, End.UNNOTICED),
    Case(Flow.INGEST, Fault.SAME_MESSAGE, End.UNNOTICED, "worked ingest.look_up"),
    Case(Flow.SPLIT, Fault.FROZEN_WORKER, End.TAKEN_OVER, "worked freeze.copy"),
    Case(Flow.UPLOAD, Fault.FROZEN_WORKER, End.TAKEN_OVER, "worked bulk_load.load"),
)
