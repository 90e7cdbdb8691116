"""Checks of the arguments of markers."""

from __future__ import annotations

from collections.abc import Collection

import pytest


def check_names(marker: pytest.Mark, known: Collection[str], owner: str) -> None:
    """Fail the test if a marker has an argument that its owner, such as `Emulator`, does not have."""
    import difflib

    for name in marker.kwargs.keys() - known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
        pytest.fail(
            f"@pytest.mark.{marker.name}({name}=...): {owner} has no such argument; {hint}", pytrace=False
        )
