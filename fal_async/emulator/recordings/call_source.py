"""What the option `recordings` adds to an emulator."""

from __future__ import annotations

from collections.abc import Iterable

from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from fal_async.emulator.cassettes.document_fields import CassetteError
from fal_async.emulator.core import CallSource
from fal_async.emulator.recordings.recordings import Recordings
from fal_async.emulator.recordings.replay import Replay


def source_of(recordings: Recordings | None, keys: Iterable[str]) -> CallSource | None:
    """Return what answers calls in place of endpoints; None without recordings.

    Args:
        recordings: the option.
        keys: the emulator's own API keys, which are never written.

    Raises:
        CassetteError: If the folder can't be used.
    """
    if recordings is None:
        return None
    if recordings.may_record:
        raise CassetteError('mode="record" and missing="record": recording is not available yet')
    return Replay(recordings, CassetteFolder(recordings.folder, keys))
