"""What all tests of the client share: an emulator, a session on it, and the proof that nothing is left over."""

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
from tests.quick import nothing_held
from tests.testbed.held import Held, left_since

# A hundred tests start programs, each of which would compile the package, and read the machine's certificate
# authorities, of which none is asked for but by what really goes to the network.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
if "FAL_ASYNC_REAL" not in os.environ:
    os.environ["SSL_CERT_FILE"] = os.devnull

# No test asserts a time: on a busy machine an example takes what it takes.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")
STEPS_TO_END = 3
"""Steps of the event loop in which things end by themselves, such as a closed connection's last callback."""


TEMPORARY = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Temporary files of this process, and of those that it starts, go to a folder of their own. `tmp_path` does
    not: what a failed test wrote is still there afterwards."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="fal-async-tests-")
    config.stash[TEMPORARY] = Path(tempfile.tempdir)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[TEMPORARY])


def pytest_collection_finish() -> None:
    """What is there before the first test is not searched through again after each one (see below)."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own key, hosts and proxies stay out of the tests."""
    for name in [name for name in os.environ if name.startswith("FAL_") or name.lower().endswith("_proxy")]:
        if name != "FAL_ASYNC_REAL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("FAL_HOME_DIR", "/nonexistent")


@pytest.fixture(autouse=True)
def no_open_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test forgot to close shows as a ResourceWarning here, in the test that forgot it."""
    yield
    # Tests of the pure layer have no event loop and open nothing; there are a thousand of them.
    if inspect.iscoroutinefunction(request.function) or hasattr(request.module, "asyncio"):
        gc.collect()


@pytest.fixture(scope="module", autouse=True)
def nothing_left_by_a_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """Open files, threads, child processes and temporary files are as they were before the tests of the file."""

    def now() -> Held:
        return Held.now(request.config.stash[TEMPORARY])

    before = now()
    gc.freeze()  # nor is what earlier files have imported
    yield
    left = left_since(before, now)
    assert left == [], f"left by {request.path.name}: {'; '.join(left)}"


@pytest.fixture
async def no_tasks_left() -> AsyncIterator[None]:
    """Asked for by the fixtures below, so that it looks after they have closed what they opened."""
    yield
    for _ in range(STEPS_TO_END):
        await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    assert open_generators() == []


def open_generators() -> list[str]:
    """The package's own async generators that were begun and neither ended nor closed."""
    # What the loop would close at its end (`shutdown_asyncgens`); there is no public list of it.
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
