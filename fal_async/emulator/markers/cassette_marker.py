"""The marker `fal_cassette`: a test replays the recordings of its folder, or makes them with `--fal-record`."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from fal_async.emulator.markers.marker_arguments import check_names

if TYPE_CHECKING:
    from fal_async.emulator.cassettes.cassette_folder import CassetteFolder, Stored
    from fal_async.emulator.recordings.recordings import Recordings
    from fal_async.emulator.server import Emulator

CASSETTE, RECORD = "fal_cassette", "--fal-record"
_ARGUMENTS = ("missing", "speed", "upstream", "upstream_key")
"""Arguments of `Recordings` that the marker takes, too."""
_UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)
_MAX_NAME = 100
"""Characters of a folder's name."""
_ENDING_LIMIT = 600.0
"""Seconds for which the end of a recorded test waits for its requests."""
_before = pytest.StashKey["list[Stored]"]()
_folder = pytest.StashKey[Path]()


def is_recorded(item: pytest.Item) -> bool:
    """Return whether a test makes recordings in this run."""
    return bool(item.config.getoption(RECORD)) and item.get_closest_marker(CASSETTE) is not None


def recordings_of(item: pytest.Item) -> Recordings | None:
    """Return the recordings of a test; None without the marker. The test fails if its marker is wrong."""
    markers = list(item.iter_markers(CASSETTE))
    if not markers:
        return None
    from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
    from fal_async.emulator.recordings.recordings import Recordings

    given, options = _arguments(markers)
    try:
        folder = CassetteFolder(folder_of(item, given))
        mode: Literal["record", "replay"] = "record" if is_recorded(item) else "replay"
        recordings = Recordings(folder.path, mode=mode, **options)
    except (TypeError, ValueError) as error:
        problem = f"@pytest.mark.{CASSETTE}: {error}"
    else:
        return _checked(item, folder, recordings)
    pytest.fail(problem, pytrace=False)


def _checked(item: pytest.Item, folder: CassetteFolder, recordings: Recordings) -> Recordings | None:
    """Return the recordings, or None if the emulator answers everything. A test that has none fails."""
    if is_recorded(item):
        item.stash[_folder], item.stash[_before] = folder.path, list(folder)
    elif not len(folder) and recordings.missing == "emulate":
        return None
    elif not len(folder) and recordings.missing == "strict":
        pytest.fail(
            f"{CASSETTE}: {folder.path} has no recordings: make them with pytest {RECORD}, which calls fal, "
            "which bills the calls",
            pytrace=False,
        )
    return recordings


def _arguments(markers: Iterable[pytest.Mark]) -> tuple[Any, dict[str, Any]]:
    """Return the folder and the other arguments; those of a test precede those of its class and its module."""
    given: Any = None
    options: dict[str, Any] = {}
    for marker in reversed(list(markers)):
        check_names(marker, _ARGUMENTS, "the marker")
        if len(marker.args) > 1:
            pytest.fail(f"@pytest.mark.{CASSETTE}{marker.args}: expected one folder, or none", pytrace=False)
        given = marker.args[0] if marker.args else given
        if not isinstance(given, str | os.PathLike | None):
            pytest.fail(f"@pytest.mark.{CASSETTE}({given!r}): expected the path of a folder", pytrace=False)
        options.update(marker.kwargs)
    return given, options


def folder_of(item: pytest.Item, given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of a test's recordings; a relative path is one beside the file of the test.

    Args:
        item: the test.
        given: the argument of the marker. None: `cassettes/MODULE/TEST`, a folder for each test and each of its
            parameters.
    """
    here = item.path.parent
    if given is not None:
        return here / given
    return here / "cassettes" / item.path.stem / name_of(item.nodeid.partition("::")[2])


def name_of(test: str) -> str:
    """Return the name of the folder of a test, such as `TestPictures.test_size-1024-wide`.

    Args:
        test: what follows the file in its node id, such as `TestPictures::test_size[1024-wide]`.
    """
    plain = test.replace("::", ".").replace("[", "-").removesuffix("]")
    name = _UNSAFE.sub("_", plain)
    if name == plain and len(name) <= _MAX_NAME:
        return name
    # Names that are alike without their other characters must not have the same folder.
    return f"{name[:_MAX_NAME]}-{hashlib.sha256(test.encode()).hexdigest()[:8]}"


def fail_for_misses(emulator: Emulator) -> None:
    """Fail a test that has made calls without a recording, even if it has caught the errors."""
    if text := _misses(emulator):
        pytest.fail(f"{CASSETTE}: {text}", pytrace=False)


def show_misses(item: pytest.Item, emulator: Emulator | None) -> None:
    """Add the calls without a recording to the report of a test that has failed."""
    if emulator is not None and (text := _misses(emulator)):
        item.add_report_section("call", CASSETTE, text)


def _misses(emulator: Emulator) -> str:
    lines = emulator.misses
    first = f"calls without a recording, which pytest {RECORD} makes by calling fal, which bills them:"
    return "\n- ".join([first, *lines]) if lines else ""


def wait_for_ends(item: pytest.Item, emulator: Emulator) -> None:
    """Wait for requests that a test has left running, since fal bills them, and only ended ones are recorded."""
    until = time.monotonic() + _ENDING_LIMIT if is_recorded(item) else 0.0
    while any(job.state != "COMPLETED" for job in emulator.jobs.values()) and time.monotonic() < until:
        time.sleep(0.05)


def delete_replaced(item: pytest.Item) -> None:
    """Delete the older recordings of the calls that a test has recorded; otherwise they would be replayed first."""
    from fal_async.emulator.cassettes.cassette_folder import CassetteFolder

    before = item.stash.get(_before, [])
    if not before:
        return
    names = {stored.name for stored in before}
    folder = CassetteFolder(item.stash[_folder])
    again = {stored.cassette.key for stored in folder if stored.name not in names}
    replaced = [stored for stored in before if stored.cassette.key in again]
    gone = {stored.name for stored in replaced}
    needed = _files(stored for stored in folder if stored.name not in gone)
    for stored in replaced:
        (folder.path / stored.name).unlink(missing_ok=True)
    for name in _files(replaced) - needed:
        folder.file(name).unlink(missing_ok=True)


def _files(cassettes: Iterable[Stored]) -> set[str]:
    return {name for stored in cassettes for name in stored.cassette.names_of_files()}
