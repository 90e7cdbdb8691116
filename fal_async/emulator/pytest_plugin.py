"""The pytest plugin: fixtures for tests against the emulator, their options, checks of a test, and a network guard.

The fixtures are synchronous, so they work in synchronous tests, and with every plugin for asynchronous ones.
pytest imports this module in every run if fal_async is installed, so it imports nothing heavy.
"""

from __future__ import annotations

import weakref
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from fal_async.emulator.defaults import OTHER_SETTINGS
from fal_async.emulator.markers.cassette_marker import (
    CASSETTE,
    RECORD,
    delete_replaced,
    fail_for_misses,
    is_recorded,
    show_misses,
    wait_for_ends,
)
from fal_async.emulator.markers.emulator_marker import EMULATOR, check_markers_are_used, emulator_of

if TYPE_CHECKING:
    from fal_async.emulator.network_guard import NetworkGuard
    from fal_async.emulator.scopes.scope import Scope
    from fal_async.emulator.server import Emulator
    from fal_async.emulator.verification import Checkpoint
    from fal_async.session import Session

SCOPE = "fal_scope"
"""Name of the fixture of a test that shares its emulator with others."""
VERIFY, GUARD = "fal_verify", "fal_network_guard"
"""Names of the markers and of the options in pytest's configuration; on the command line --fal-verify, ..."""
_OPTIONS = {
    VERIFY: "check at the end of each test with fal_emulator that every fault has applied, that every endpoint of "
    "the test was called, and that no request was unexpected, is still running, or was paid twice",
    GUARD: "stop every call of a real fal host, by any library, and fail the test that makes it",
}
_RECORD_HELP = (
    f"record the calls of tests with the marker {CASSETTE}: fal is called with FAL_KEY, and bills them"
)
_MARKERS = (
    f'{EMULATOR}(clock="auto", ...): arguments of Emulator for the fixture {EMULATOR}; those of a test precede '
    "those of its class and its module.",
    f'{CASSETTE}(folder=None, missing="strict", speed=1): {EMULATOR} replays a folder, by default '
    f"cassettes/MODULE/TEST beside the file of the test. With {RECORD}, the test makes them.",
    f"{VERIFY}(faults=True, endpoints=True, unexpected=True, running=True, repeats=True): make the checks of "
    f"Emulator.verify at the end of the test; with an argument of False not that one. {VERIFY}(False): make none.",
    f"{GUARD}: stop every call of a real fal host, and fail the test that makes it. {GUARD}(False): do not.",
)
_guard_of = pytest.StashKey["NetworkGuard"]()
_checkpoints_of = pytest.StashKey["dict[Emulator, Checkpoint]"]()
_has_passed = pytest.StashKey[bool]()
_emulators_of = pytest.StashKey["weakref.WeakSet[Emulator]"]()


# The fixtures.


@pytest.fixture
def fal_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A local fal for this test, on a free port, in a thread of its own, with plain pictures and speed=50.

    The marker fal_emulator changes these options, and adds others; fal_cassette lets it replay recordings.
    """
    with emulator_of(request.node) as emulator:
        yield emulator
        wait_for_ends(request.node, emulator)


@pytest.fixture
def fal_scope(request: pytest.FixtureRequest, fal_emulator: Emulator) -> Iterator[Scope]:
    """A scope of fal_emulator for this test, such as one that several tests share."""
    with fal_emulator.scope(request.node.name) as scope:
        yield scope


@pytest.fixture
def fal_key(request: pytest.FixtureRequest, fal_emulator: Emulator) -> str:
    """The API key of fal_emulator; that of fal_scope in a test that uses it."""
    if SCOPE not in request.fixturenames:
        return fal_emulator.key
    scope: Scope = request.getfixturevalue(SCOPE)
    return scope.key


@pytest.fixture
def fal_env(fal_emulator: Emulator, fal_key: str, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """Lead this process and its child processes to fal_emulator by FAL_BASE_URL and FAL_KEY; returns both."""
    variables = {"FAL_BASE_URL": fal_emulator.url, "FAL_KEY": fal_key}
    for name in OTHER_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def fal(fal_emulator: Emulator, fal_key: str) -> Iterator[Session]:
    """A session on fal_emulator, for every event loop; it is open from its first call to the end of the test."""
    from fal_async.session import Session
    from fal_async.session.loop_sessions import SessionOfEachLoop

    session = SessionOfEachLoop(lambda: Session(fal_key, hosts=fal_emulator.hosts))
    yield session
    session.close_all()


@pytest.fixture
def fal_network_guard(request: pytest.FixtureRequest) -> Iterator[NetworkGuard]:
    """Stop every call of a real fal host, by any library, and fail the test, even if it catches the error."""
    from fal_async.emulator.network_guard import NetworkGuard

    stash = request.node.stash
    if _guard_of in stash:
        yield stash[_guard_of]
        return
    if is_recorded(request.node):
        yield NetworkGuard()  # not begun, since the emulator calls fal in this process
        return
    with NetworkGuard() as guard:
        stash[_guard_of] = guard
        yield guard


# The options.


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("fal", "tests against the emulator of fal_async")
    group.addoption(RECORD, action="store_true", help=_RECORD_HELP)
    for name, text in _OPTIONS.items():
        group.addoption("--" + name.replace("_", "-"), action="store_true", help=text)
        parser.addini(name, text, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for line in _MARKERS:
        config.addinivalue_line("markers", line)
    config.stash[_emulators_of] = weakref.WeakSet()


def _wanted(item: pytest.Item, name: str) -> dict[str, Any] | None:
    """Return the marker's arguments, {} without a marker if the option is set, and None if neither is."""
    marker = item.get_closest_marker(name)
    if marker is None:
        return {} if item.config.getoption(name) or item.config.getini(name) else None
    return None if marker.args == (False,) else dict(marker.kwargs)


# What is done around each test.


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Guard the whole test, its fixtures included."""
    if _wanted(item, GUARD) is None or is_recorded(item):
        return (yield)
    from fal_async.emulator.network_guard import NetworkGuard

    with NetworkGuard() as guard:
        item.stash[_guard_of] = guard
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember what emulators that other tests have used, of fixtures with a wider scope, have seen so far."""
    if _wanted(item, VERIFY) is not None:
        seen = item.config.stash[_emulators_of]
        item.stash[_checkpoints_of] = {emulator: emulator.checkpoint() for emulator in seen}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Make the checks after the test function, so that a failed check fails the test."""
    emulator: Emulator | None = getattr(item, "funcargs", {}).get(EMULATOR)
    check_markers_are_used(item, emulator)
    wanted = _wanted(item, VERIFY)
    start = None if emulator is None or wanted is None else emulator.checkpoint()
    try:
        result = yield
    except BaseException as error:
        _show_stopped_calls(item, error)
        show_misses(item, emulator)
        raise
    _fail_for_stopped_calls(item)
    if emulator is not None:
        fail_for_misses(emulator)
        item.config.stash[_emulators_of].add(emulator)
    if emulator is not None and start is not None and wanted is not None:
        _verify(item, emulator, start, wanted)
    item.stash[_has_passed] = True
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Report calls of the real fal that were made after the test function, and keep what it has recorded."""
    result = yield
    _fail_for_stopped_calls(item)
    if item.stash.get(_has_passed, False):
        delete_replaced(item)
    return result


def _verify(item: pytest.Item, emulator: Emulator, start: Checkpoint, wanted: dict[str, Any]) -> None:
    """Make the checks of what happened since the test's setup; of endpoints, since the start of its function."""
    import attrs

    since = item.stash[_checkpoints_of].get(emulator)
    since = start.created() if since is None else attrs.evolve(since, endpoints=start.endpoints)
    scope: Scope | None = getattr(item, "funcargs", {}).get(SCOPE)
    try:
        emulator.verify(since=since, **wanted)
        if scope is not None and wanted.get("faults", True):
            scope.verify(
                unexpected=False, running=False, repeats=False
            )  # the emulator's checks include these
    except AssertionError as error:
        message = str(error)
    else:
        return
    pytest.fail(f"{VERIFY}: {message}", pytrace=False)


def _fail_for_stopped_calls(item: pytest.Item) -> None:
    guard = item.stash.get(_guard_of, None)
    if guard is not None and (calls := guard.take()):
        pytest.fail(
            "\n".join([f"{GUARD}: calls of the real fal were stopped:", *map(str, calls)]), pytrace=False
        )


def _show_stopped_calls(item: pytest.Item, error: BaseException) -> None:
    """Add the stopped calls to the report of a test that failed, unless it failed with their error."""
    guard = item.stash.get(_guard_of, None)
    if guard is None or not (calls := guard.take()) or type(error).__name__ == "NetworkGuardError":
        return
    item.add_report_section("call", GUARD, "\n".join(map(str, calls)))
