"""Fixtures of all tests: an emulator, a session on it, and checks that a test leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from fal_async import Session
from fal_async.emulator import Emulator
from fal_async.ledger.opening import Where
from tests.quick import nothing_held
from tests.testbed.held import Held, left_since
from tests.testbed.postgres import Cluster, cluster

# A hundred tests start programs. Each would compile the package and read the machine's certificate authorities,
# which only tests against the real network need.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
if "FAL_ASYNC_REAL" not in os.environ:
    os.environ["SSL_CERT_FILE"] = os.devnull

# No deadline: on a busy machine an example may take long, and no test asserts a time.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")
STEPS_TO_END = 3
"""Steps of the event loop in which things may still end, such as the last callback of a closed connection."""


TEMPORARY = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Give each worker of `-n` whole files, from which a worker that has no more tests takes some.

    Otherwise the fixtures of a file are made in each worker, and the last worker may have the slow tests.
    """
    if config.getoption("numprocesses", None) and config.getoption("dist") == "no":
        config.option.dist = "worksteal"


def pytest_configure(config: pytest.Config) -> None:
    """Put the temporary files of this process and its child processes into a separate folder.

    `tmp_path` stays outside of it, so that the files of a failed test are kept.
    """
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="fal-async-tests-")
    config.stash[TEMPORARY] = Path(tempfile.tempdir)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[TEMPORARY])


def pytest_collection_finish() -> None:
    """Keep the garbage collector from searching what exists before the first test after each test (see below)."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own key, hosts, databases and proxies out of the tests."""
    for name in [
        name for name in os.environ if name.startswith(("FAL_", "PG")) or name.lower().endswith("_proxy")
    ]:
        if name != "FAL_ASYNC_REAL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("FAL_HOME_DIR", "/nonexistent")


@pytest.fixture(autouse=True)
def no_open_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect garbage, so that what a test forgot to close raises its ResourceWarning in this test."""
    yield
    # Skipped for the thousand tests of the pure layer, which have no event loop and open nothing.
    if inspect.iscoroutinefunction(request.function) or hasattr(request.module, "asyncio"):
        gc.collect()


@pytest.fixture(scope="module", autouse=True)
def nothing_left_by_a_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that the tests of a file leave no open files, threads, child processes or temporary files."""

    def now() -> Held:
        return Held.now(request.config.stash[TEMPORARY])

    functions = [item for item in request.session.items if isinstance(item, pytest.Function)]
    if any(
        {"postgres", "where"}.intersection(item.fixturenames)
        for item in functions
        if item.path == request.path
    ):
        request.getfixturevalue("postgres")  # it stays for the tests of other files
    before = now()
    gc.freeze()  # imports of earlier files need no search either
    yield
    left = left_since(before, now)
    assert left == [], f"left by {request.path.name}: {'; '.join(left)}"


@pytest.fixture
async def no_tasks_left() -> AsyncIterator[None]:
    """Check that no tasks and async generators are left. The fixtures below use it, so that it runs after them."""
    yield
    for _ in range(STEPS_TO_END):
        await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    assert open_generators() == []


def open_generators() -> list[str]:
    """Return the package's async generators that were started and neither ended nor closed."""
    # The loop closes them at its end (`shutdown_asyncgens`), but has no public list of them.
    begun = getattr(asyncio.get_running_loop(), "_asyncgens", ())
    return [
        generator.ag_code.co_qualname
        for generator in begun
        if generator.ag_frame is not None and f"{os.sep}fal_async{os.sep}" in generator.ag_code.co_filename
    ]


@pytest.fixture
async def emulator(no_tasks_left: None) -> AsyncIterator[Emulator]:
    async with Emulator(speed=50) as emulator:
        yield emulator


@pytest.fixture
async def fal(emulator: Emulator) -> AsyncIterator[Session]:
    async with Session(emulator.key, hosts=emulator.hosts) as session:
        yield session
    await nothing_held(session)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """Return a PostgreSQL server that all tests of this process share. A test that stops it starts it again."""
    if sys.platform == "win32":
        pytest.skip("the tests' PostgreSQL needs a POSIX shell")
    with cluster() as running:
        yield running


@pytest.fixture
def database(postgres: Cluster) -> Iterator[str]:
    """Return the URL of an empty database on PostgreSQL, which is dropped after the test."""
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    """Return where an empty ledger is: a path, or the URL of a database."""
    if request.param == "sqlite":
        return tmp_path / "runs.db"
    url: str = request.getfixturevalue("database")
    return url
