"""The state of an emulator that runs as a process: it is saved when the emulator stops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fal_async.emulator.server import Emulator
from fal_async.emulator.state.state_folder import is_unused


@asynccontextmanager
async def kept_state(emulator: Emulator, folder: Path | None) -> AsyncIterator[None]:
    """Save the state to a new folder at once, so that a folder that can't be used is noticed; and at the end.

    Args:
        emulator: the emulator, which runs.
        folder: the folder. None: the state is not saved.

    Raises:
        ValueError: If the state can't be saved.
    """
    if folder is None:
        yield
        return
    emulator.allow_saving(folder)
    if is_unused(folder):
        await _save(emulator, folder)
    try:
        yield
    finally:
        await emulator.pause()
        await _save(emulator, folder)


async def _save(emulator: Emulator, folder: Path) -> None:
    try:
        await emulator.save(folder)
    except OSError as error:
        raise ValueError(f"the state was not saved to {folder}: {error}") from error
