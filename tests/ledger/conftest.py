"""A ledger of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from fal_async.ledger.opening import Where


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    """Return where an empty ledger is: a path, or the URL of a database."""
    if request.param == "sqlite":
        return tmp_path / "runs.db"
    url: str = request.getfixturevalue("database")
    return url
