"""The marker `fal_emulator`: arguments of `Emulator` for the fixture of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from fal_async.emulator.markers.cassette_marker import CASSETTE, recordings_of
from fal_async.emulator.markers.marker_arguments import check_names

if TYPE_CHECKING:
    from fal_async.emulator.server import Emulator

SPEED = 50.0
"""Time factor of the fixture's emulator in real time: a model's 2 s take 40 ms."""
EMULATOR = "fal_emulator"
"""Name of the fixture, and of the marker."""
_is_made_of_markers = pytest.StashKey[bool]()


def emulator_of(item: pytest.Item) -> Emulator:
    """Return the emulator that the markers of a test describe; the test fails if they are wrong."""
    from fal_async.emulator.server import Emulator

    item.stash[_is_made_of_markers] = True
    given = _options(item)
    recordings = recordings_of(item)
    options = {**_usual_options(given), **({} if recordings is None else {"recordings": recordings}), **given}
    try:
        return Emulator(**options)
    except (TypeError, ValueError, OSError) as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
        markers = ([f"{EMULATOR}({shown})"] if given else []) + ([CASSETTE] if recordings else [])
        message = f"@pytest.mark.{' and '.join(markers)}: {error}"
    pytest.fail(message, pytrace=False)


def check_markers_are_used(item: pytest.Item, emulator: Emulator | None) -> None:
    """Fail a test whose marker has no effect, because another fixture made the emulator."""
    if emulator is None or _is_made_of_markers in item.stash:
        return
    for name in (EMULATOR, CASSETTE):
        if item.get_closest_marker(name) is not None:
            pytest.fail(
                f"@pytest.mark.{name} has no effect, because another fixture replaces the {EMULATOR} of the "
                "plugin: pass the options to the Emulator in that fixture, or give it another name",
                pytrace=False,
            )


def _options(item: pytest.Item) -> dict[str, Any]:
    """Return the arguments of all markers; those of a test precede those of its class and its module."""
    import inspect

    from fal_async.emulator.server import Emulator

    options: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers(EMULATOR))):
        if marker.args:
            pytest.fail(
                f"@pytest.mark.{EMULATOR}({marker.args[0]!r}): expected arguments with names, such as "
                'clock="auto"',
                pytrace=False,
            )
        check_names(marker, inspect.signature(Emulator).parameters, "Emulator")
        options.update(marker.kwargs)
    return options


def _usual_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options without a marker. Virtual time has no speed."""
    usual: dict[str, Any] = {"plain_pictures": True}
    return usual if options.get("clock", "real") != "real" else {**usual, "speed": SPEED}
