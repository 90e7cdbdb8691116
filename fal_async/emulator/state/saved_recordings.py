"""A copy of the recordings, and how far each account has played them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import attrs

from fal_async.emulator.cassettes.cassette import CallKey
from fal_async.emulator.cassettes.cassette_folder import FILES, copy_files
from fal_async.emulator.core import Core
from fal_async.emulator.recordings.recordings import Recordings
from fal_async.emulator.recordings.replay import Replay
from fal_async.emulator.storage.file_store import UNFINISHED

COPY = "recordings"
"""Folder of the copy, within the folder of the save."""


@attrs.frozen(kw_only=True)
class SavedPosition:
    """How many calls of an account the recordings of one input have answered."""

    account: str
    via: str
    method: str
    path: str
    digest: str
    played: int


@attrs.frozen(kw_only=True)
class SavedRecordings:
    """How the copy is played; `speed` None: at once."""

    missing: Literal["strict", "emulate"] = "strict"
    speed: float | None = 1.0
    positions: list[SavedPosition] = attrs.field(factory=list)

    def option(self, folder: Path) -> Recordings:
        speed = math.inf if self.speed is None else self.speed
        return Recordings(folder, missing=self.missing, speed=speed)


def take_recordings(core: Core) -> SavedRecordings | None:
    """Return how recordings are played; None without any.

    Only an emulator that is asked to may send calls to fal, so the copy of one that records is only played.
    """
    source = core.recordings
    if source is None or not len(source.folder):
        return None
    if not isinstance(source, Replay):
        return SavedRecordings()
    option = source.recordings
    scopes = {account.nickname for account in core.keyring.accounts.values() if account.is_scope}
    return SavedRecordings(
        missing="emulate" if option.missing == "emulate" else "strict",
        speed=None if math.isinf(option.speed) else option.speed,
        positions=[
            SavedPosition(account=account, played=played, **attrs.asdict(key))
            for (account, key), played in source.played.items()
            if account not in scopes
        ],
    )


def put_positions(core: Core, saved: SavedRecordings | None, copy: Path) -> None:
    """Let the sequences of the copy go on; other recordings are played from the first one on."""
    if saved is None or (replay := _replay_of(core, copy)) is None:
        return
    for one in saved.positions:
        key = CallKey(via=one.via, method=one.method, path=one.path, digest=one.digest)
        replay.played[one.account, key] = one.played


async def bring_recordings(core: Core, copy: Path) -> None:
    """Copy the files of the cassettes to those of the emulator, since the next save replaces the copy."""
    if (replay := _replay_of(core, copy)) is not None:
        names, target = replay.folder.names_of_files(), _own(core) / FILES
        await core.files.work(lambda: copy_files(copy / FILES, target, names))


def leave_copy(core: Core, copy: Path) -> None:
    """Read the files where `bring_recordings` has put them."""
    if (replay := _replay_of(core, copy)) is not None:
        replay.folder.path = _own(core)


def _replay_of(core: Core, copy: Path) -> Replay | None:
    """Return what plays the copy; None if other recordings, or none, are in use."""
    source = core.recordings
    return source if isinstance(source, Replay) and source.folder.path == copy else None


def _own(core: Core) -> Path:
    return core.files.location(f"{UNFINISHED}/{COPY}")
