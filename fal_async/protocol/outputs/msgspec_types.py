"""Building Structs of msgspec. It is imported only here, for types that the caller made with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from fal_async.protocol.outputs.placed_errors import MISSING, Place, placed_error

_PLACE = re.compile(r"(.*?)(?: - at `\$(.*)`)?", re.DOTALL)
_PART = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_MISSING = re.compile(r"Object missing required field `(.*)`")


def msgspec_type(into: Any, builder: Callable[[Any], Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Return the function that builds the type.

    `builder`: returns the function that builds a type which msgspec does not know, such as a pydantic model in a
    Struct. Raises msgspec's and the builder's exceptions if a type can't be built from JSON.
    """
    import msgspec

    known = {kind: builder(kind) for kind in set(_foreign(msgspec.inspect.type_info(into), []))}
    msgspec.json.Decoder(into)  # raises TypeError for a union that msgspec can't tell apart

    def build(value: Any) -> Any:
        foreign: Exception | None = None

        def build_foreign(kind: Any, inner: Any) -> Any:
            nonlocal foreign
            try:
                return known[kind](inner)
            except Exception as error:
                foreign = error
                raise ValueError from None  # msgspec adds the place

        try:
            return msgspec.convert(value, into, dec_hook=build_foreign)
        except msgspec.ValidationError as error:
            place, words = _problem(str(error))
            raise placed_error([(place, foreign or ValueError(words))], into) from None

    return build


def _problem(message: str) -> tuple[Place, str]:
    """Return the place and the description in a message of msgspec."""
    found = _PLACE.fullmatch(message)
    words, path = (found[1], found[2] or "") if found else (message, "")
    place: list[str | int] = []
    at = 0
    # msgspec writes "[...]" for any key of a mapping: the place before it is known.
    while part := _PART.match(path, at):
        place.append(part[1] if part[1] is not None else int(part[2]))
        at = part.end()
    if lacks := _MISSING.fullmatch(words):
        return (*place, lacks[1]), MISSING
    return tuple(place), words


def _foreign(node: Any, seen: list[Any]) -> Iterator[Any]:
    """Yield the classes in a type that msgspec does not know. `node`: msgspec's description of the type."""
    from msgspec import Struct

    if any(node is other for other in seen):  # Structs may refer to themselves
        return
    seen.append(node)
    if type(node).__name__ == "CustomType":
        yield node.cls
    for name in type(node).__struct_fields__:
        inner = getattr(node, name)
        for part in inner if isinstance(inner, tuple) else (inner,):
            if isinstance(part, Struct):
                yield from _foreign(part, seen)
