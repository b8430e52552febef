"""What each process of the service is told: words after `python`, the same on a laptop and in a container."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

CELERY_APP = "materializationengine.workflows.app:celery"
"""Importable from any directory and from an installed wheel; `run.celery` of a checkout is the same."""

WEB_APP = "materializationengine.web.app:create_app()"
QUEUES = ("celery", "process", "workflow")


def localcave(folder: Path | str, *listen: str, public_url: str) -> list[str]:
    """The neighbors. `listen` is `--fd N` or `--host H --port P`; clients reach them through `public_url`."""
    return ["-m", "localcave", "serve", "--dir", str(folder), *listen, "--public-url", public_url]


def web(bind: str) -> list[str]:
    """The REST API on `fd://N` or `host:port`.

    One process, so that `/metrics` counts everything; long answers let go of the interpreter lock in Arrow
    and libpq.
    """
    # Gunicorn's control socket would lie in the home directory, where two stacks meet.
    options = [
        "--worker-class=gthread",
        "--workers=1",
        "--threads=16",
        "--timeout=120",
        "--no-control-socket",
    ]
    return ["-m", "gunicorn", *options, f"--bind={bind}", WEB_APP]


def worker(name: str, *, queues: Sequence[str] = QUEUES, concurrency: int = 2) -> list[str]:
    """A Celery worker; fair, because one unit may take a thousand times as long as another."""
    options = ["--pool=prefork", f"--hostname={name}@%h", f"--queues={','.join(queues)}", "--loglevel=INFO"]
    # Workers need not know one another: mingling costs a second at start and gossip idle messages.
    options += [f"--concurrency={concurrency}", "-Ofair", "--without-gossip", "--without-mingle"]
    return ["-m", "celery", f"--app={CELERY_APP}", "worker", *options]


def beat(folder: Path | str) -> list[str]:
    """Celery's clock, its schedule file in `folder`; no pid file, which a killed one would leave behind."""
    options = [f"--schedule={folder}/beat-schedule", "--pidfile=", "--loglevel=INFO"]
    return ["-m", "celery", f"--app={CELERY_APP}", "beat", *options]
