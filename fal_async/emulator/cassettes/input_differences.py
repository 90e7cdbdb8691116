"""How two inputs differ, by JSON path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from fal_async.emulator.cassettes.canonical_input import FILE
from fal_async.emulator.cassettes.document_fields import shown

_ABSENT: Any = object()


def differences(recorded: Any, asked: Any, place: str = "input") -> Iterator[str]:
    """Yield a line for each difference, such as `input.seed: 7 recorded, 8 asked`.

    Args:
        recorded: the canonical input of a cassette.
        asked: the canonical input of a call.
        place: what the lines call the input.
    """
    if _is_open(recorded) and _is_open(asked):
        for key in dict.fromkeys((*recorded, *asked)):
            yield from differences(recorded.get(key, _ABSENT), asked.get(key, _ABSENT), f"{place}.{key}")
    elif isinstance(recorded, list) and isinstance(asked, list):
        for at, (one, other) in enumerate(zip_longest(recorded, asked, fillvalue=_ABSENT)):
            yield from differences(one, other, f"{place}[{at}]")
    elif recorded is _ABSENT or asked is _ABSENT or not _equal(recorded, asked):
        yield f"{place}: {_shown(recorded)} recorded, {_shown(asked)} asked"


def _is_open(value: Any) -> bool:
    """Return whether a value is an object, and not a file."""
    return isinstance(value, Mapping) and FILE not in value


def _equal(one: Any, other: Any) -> bool:
    # In Python, but not in JSON, true equals 1.
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    if isinstance(value, Mapping) and FILE in value:
        return f"the file {str(value[FILE])[:12]} ({value.get('content_type')})"
    return shown(value)
