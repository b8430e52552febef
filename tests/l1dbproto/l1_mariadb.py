"""A private MariaDB, from nothing but the distribution's `mariadb-server-core`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER = shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
_SCRIPTS = Path("/usr/share/mysql")
_TABLES = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")


@contextmanager
def private_mariadb() -> Iterator[Path]:
    """A server on a socket of its own, whose path it yields; no password, no network."""
    # /var/tmp, because a socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="my-", dir="/var/tmp") as folder:
        home = Path(folder)
        (home / "data" / "mysql").mkdir(parents=True)
        _command(home, "--bootstrap", wait=True)
        process = _command(home, f"--socket={home}/s", f"--pid-file={home}/pid", "--skip-networking")
        try:
            _wait(process, home)
            yield home / "s"
        finally:
            # Nothing in it is to be kept, and an orderly shutdown takes many seconds.
            process.kill()
            process.wait(60)


def _command(home: Path, *words: str, wait: bool = False) -> subprocess.Popen[bytes]:
    script = "use mysql;\n" + "".join((_SCRIPTS / name).read_text() for name in _TABLES)
    common = [
        "--no-defaults",
        "--user=root",
        f"--datadir={home}/data",
        f"--tmpdir={home}",
        "--skip-grant-tables",
    ]
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(
            [
                str(SERVER),
                *common,
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-log-file-size=32M",
                *words,
            ],
            stdin=subprocess.PIPE if wait else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    if wait:
        process.communicate(script.encode())
        assert process.returncode == 0, (home / "log").read_text()[-2000:]
    return process


def _wait(process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + 60
    while not (home / "s").exists():
        assert process.poll() is None, (home / "log").read_text()[-2000:]
        assert time.monotonic() < deadline, "MariaDB did not open its socket within a minute"
        time.sleep(0.05)
