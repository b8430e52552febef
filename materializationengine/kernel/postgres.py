"""PostgreSQL: addresses, and a private cluster with PostGIS in a folder of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import psycopg2

from .cluster_home import give, prepare
from .own_process import PrivateServer
from .processes import (
    Account,
    ServerError,
    kill_all,
    launch_prefix,
    processes_in,
    require,
    tail,
    unprivileged_account,
    wait_until,
)
from .urls import libpq, masked, normalize, with_database

__all__ = ["PACKAGES", "PrivateCluster", "ServerError", "libpq", "masked", "normalize", "with_database"]

PACKAGES = "postgresql postgresql-postgis"
"""What Debian and Ubuntu call the server and PostGIS in whatever version they have."""

SETTINGS: Mapping[str, str] = {
    # Sized for two cores and 4 GB or more.
    "shared_buffers": "256MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "256MB",
    "effective_cache_size": "2GB",
    "max_connections": "200",
    "max_locks_per_transaction": "128",
    # Bulk loads: few checkpoints, and no log of rows that a new table's file holds anyway.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A client that vanished is noticed within half a minute, not after the system's two hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
}
_FORGETFUL: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_POSTGIS = "postgis-3"
_PORT_TAKEN = "could not create any TCP/IP sockets"


class PrivateCluster(PrivateServer):
    """A PostgreSQL server of our own on 127.0.0.1, with its data in `folder`.

    The first start makes the cluster, a later one takes it up again. Started by root it runs under an
    unprivileged account; if that account cannot enter `folder`, the data moves to `/var/tmp` and `folder`
    becomes a link to it. It dies with the process (exactly: the thread) that started it, as in an immediate
    shutdown, so that no statement runs on.

    Parameters
    ----------
    folder
        Home of this cluster; made if missing, mode 700.
    durable
        False trades safety at a power cut for speed; a killed process loses nothing either way.
    settings
        Server settings beside or instead of `SETTINGS`.
    extensions
        Extensions whose absence is an error at start.
    log
        The server's log; default `folder`'s `server.log`.
    keep
        False removes the data at `stop`.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        extensions: tuple[str, ...] = ("postgis",),
        log: Path | None = None,
        keep: bool = True,
    ) -> None:
        self.folder = Path(os.path.abspath(folder))
        super().__init__(f"the PostgreSQL server of {self.folder}")
        self._settings = {**SETTINGS, **({} if durable else _FORGETFUL), **(settings or {})}
        self._extensions = extensions
        self._log = log
        self.keep = keep
        self._account: Account | None = None

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.folder.resolve() / "data"

    @property
    def log(self) -> Path:
        """File of the server's log."""
        return self._log or self.folder.resolve() / "server.log"

    @property
    def url(self) -> str:
        """`postgresql://` address of the superuser on database `postgres`, password included."""
        password = (self.folder / "password").read_text().strip()
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/postgres"

    def start(self) -> Self:
        """Make the cluster if need be and start it. Raises ServerError with the reason and the fix."""
        if self.running:
            return self
        new = not self.folder.exists()
        try:
            self._start()
        except BaseException:
            self._shut_down()
            # What was there before may be another's, even a running one's.
            if new and not self.keep:
                self._remove()
            raise
        return self

    def _start(self) -> None:
        self._account = unprivileged_account()
        prepare(self.folder, self._account, keep=self.keep)
        self._initialize()
        self._clear_leftovers()
        self._find_port(self._launch, self.log)
        self._check_extensions()

    def stop(self) -> None:
        """Shut down, clients or not, and leave no process behind."""
        self._shut_down()
        if not self.keep:
            self._remove()

    def _shut_down(self) -> None:
        self._end(signal.SIGINT, signal.SIGQUIT)

    def _remove(self) -> None:
        shutil.rmtree(self.folder.resolve(), ignore_errors=True)
        if self.folder.is_symlink():
            self.folder.unlink()

    def _initialize(self) -> None:
        if (self.data / "PG_VERSION").exists() and (self.folder / "password").exists():
            return
        # A first start that was killed half way leaves no cluster worth keeping.
        shutil.rmtree(self.data, ignore_errors=True)
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(18) + "\n")
        give(secret, self._account)
        half = self.data.with_name("data.new")
        shutil.rmtree(half, ignore_errors=True)
        # A password even here: whoever may connect as superuser may run programs as the server's account.
        options = [f"--pwfile={secret.resolve()}", "--auth=scram-sha-256", "--username=postgres"]
        options += ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        made = subprocess.run(
            [
                *launch_prefix(signal.SIGKILL, self._account),
                self._binary("initdb"),
                f"--pgdata={half}",
                *options,
            ],
            capture_output=True,
            text=True,
            cwd=self.folder.resolve(),
        )
        if made.returncode:
            raise ServerError(f"initdb failed in {self.folder}: {made.stderr.strip()}")
        half.rename(self.data)

    def _clear_leftovers(self) -> None:
        """Wait for a dying predecessor, end its orphans, forget its lock file.

        The process number in that file may be another's by now, on which PostgreSQL would refuse to start.
        """
        lock = self.data / "postmaster.pid"
        master = _first_number(lock)
        if not wait_until(lambda: master not in set(self._processes()), 10.0, 0.05):
            raise ServerError(f"{self.folder} is in use by a running PostgreSQL, process {master}; stop it first")
        kill_all(self._processes)
        lock.unlink(missing_ok=True)

    def _processes(self) -> Iterator[int]:
        return processes_in(self.data, "postgres")

    def _launch(self, port: int) -> bool:
        """One attempt on one port; False when somebody took it first."""
        settings = {
            **self._preloaded(),
            **self._settings,
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            **_shared_memory(),
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        # SIGQUIT, an immediate shutdown, takes the backends along; SIGKILL would leave busy ones running.
        process, _ = self._spawn(
            [self._binary("postgres"), "-D", str(self.data), *words],
            log=self.log,
            folder=self.data,
            dies_by=signal.SIGQUIT,
            account=self._account,
        )
        self.port = port
        wait_until(lambda: self._accepting() or process.poll() is not None, 60.0)
        if self._accepting():
            return True
        self._end(signal.SIGQUIT)
        if _PORT_TAKEN in tail(self.log, 20):
            return False
        raise ServerError(f"PostgreSQL did not start in {self.folder}; {self.log} ends:\n{tail(self.log)}")

    def _preloaded(self) -> Mapping[str, str]:
        """PostGIS comes up with the server: else each session that meets a geometry loads it (m: 12 ms of a core)."""
        library = Path(self._binary("postgres")).resolve().parent.parent / "lib" / f"{_POSTGIS}.so"
        wanted = "postgis" in self._extensions and library.exists()
        return {"shared_preload_libraries": _POSTGIS} if wanted else {}

    def _binary(self, name: str) -> str:
        """A program of the version that made the data, or of the newest one."""
        made_by = self.data / "PG_VERSION"
        return require(name, PACKAGES, installations(made_by.read_text().strip() if made_by.exists() else ""))

    def _accepting(self) -> bool:
        # The lock file says it of this very server; the port could be answered by another.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0].strip() == str(self.pid) and lines[7].strip() == "ready"

    def _check_extensions(self) -> None:
        connection = psycopg2.connect(self.url)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT name FROM pg_available_extensions")
                absent = [name for name in self._extensions if (name,) not in set(cursor.fetchall())]
                version = connection.server_version // 10_000
        finally:
            connection.close()
        if absent:
            raise ServerError(
                f"PostgreSQL {version} lacks {', '.join(absent)}; "
                f"`apt-get install postgresql-{version}-postgis-3` brings PostGIS (or `make setup`)"
            )


def installations(preferred: str) -> list[Path]:
    """Folders of Debian's versioned servers: the preferred version first, then the newest."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    version = {path: path.parent.name for path in found}
    return sorted(found, key=lambda path: (version[path] == preferred, float(version[path])), reverse=True)


def _first_number(path: Path) -> int | None:
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _shared_memory(enough: int = 1 << 30) -> dict[str, str]:
    # Containers often have 64 MB there, too little for a parallel index build.
    try:
        room = os.statvfs("/dev/shm")  # nosec B108 # only its size is read
    except OSError:
        return {"dynamic_shared_memory_type": "mmap"}
    return {} if room.f_bavail * room.f_frsize >= enough else {"dynamic_shared_memory_type": "mmap"}
