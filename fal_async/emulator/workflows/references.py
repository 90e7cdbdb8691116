"""References of a workflow's definition, such as `$input.prompt` and `$node.images.0.url` (protocol 15.3): pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

INPUT = "input"
"""The name under which nodes refer to the workflow's input."""
_REFERENCE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_-]*)((?:\.[A-Za-z0-9_-]+)*)")
_ABSENT = object()
"""The value of a member of the input that the caller has not sent."""


class NoValue(ValueError):
    """Raised if an output lacks the member that a reference names."""


@attrs.frozen
class Reference:
    """The name of a node, or `input`, and the path of a member in its output."""

    text: str
    node: str
    path: tuple[str, ...]

    def value(self, values: Mapping[str, Any]) -> Any:
        """Return the member; `_ABSENT` for an optional member of the input. NoValue if an output lacks it."""
        found = values[self.node]
        for step in self.path:
            try:
                found = found[int(step)] if isinstance(found, list) else found[step]
            except (KeyError, IndexError, TypeError, ValueError):
                if self.node == INPUT:
                    return _ABSENT
                where = f"the output of the node {self.node}"
                raise NoValue(f"{self.text} has no value: {where} has no member {step!r} there") from None
        return found


def reference_of(text: str) -> Reference | None:
    """Return the reference that a whole text is; None if it is another text, such as `$5`."""
    match = _REFERENCE.fullmatch(text)
    return None if match is None else Reference(text, match[1], tuple(match[2].split(".")[1:]))


def references_in(value: Any) -> Iterator[Reference]:
    """Yield the references in JSON values."""
    if isinstance(value, str):
        if (reference := reference_of(value)) is not None:
            yield reference
    elif isinstance(value, Mapping | list):
        for member in value.values() if isinstance(value, Mapping) else value:
            yield from references_in(member)


def filled(value: Any, values: Mapping[str, Any]) -> Any:
    """Return JSON values with the values of their references.

    A member of an object whose reference names an absent member of the input is left out, so that the model uses
    its default; elsewhere it is None. NoValue if an output lacks a member.
    """
    found = _filled(value, values)
    return None if found is _ABSENT else found


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        reference = reference_of(value)
        return value if reference is None else reference.value(values)
    if isinstance(value, Mapping):
        members = {name: _filled(member, values) for name, member in value.items()}
        return {name: member for name, member in members.items() if member is not _ABSENT}
    return [filled(member, values) for member in value] if isinstance(value, list) else value
