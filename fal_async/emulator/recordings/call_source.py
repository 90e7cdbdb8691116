"""What the option `recordings` adds to an emulator."""

from __future__ import annotations

import os
from collections.abc import Iterable

from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from fal_async.emulator.cassettes.cassette_redaction import Redactor
from fal_async.emulator.core import CallSource
from fal_async.emulator.recordings.call_recorder import CallRecorder
from fal_async.emulator.recordings.recordings import Recordings
from fal_async.emulator.recordings.replay import Replay
from fal_async.emulator.recordings.upstream import Upstream


def source_of(recordings: Recordings | None, keys: Iterable[str]) -> CallSource | None:
    """Return what answers calls in place of endpoints; None without recordings.

    Args:
        recordings: the option.
        keys: the emulator's own API keys, which are never written.

    Raises:
        TypeError: If the option is something else, such as a path.
        CassetteError: If the folder can't be used, or calls may be recorded and it can't be written to.
        ValueError: If calls may be recorded, but the API key or the address of upstream is missing or wrong.
    """
    if recordings is None:
        return None
    if not isinstance(recordings, Recordings):
        raise TypeError(f"recordings={recordings!r}: expected a Recordings, such as Recordings('cassettes')")
    if not recordings.may_record:
        return Replay(recordings, CassetteFolder(recordings.folder, keys))
    key = _key(recordings)
    secrets = [key, *keys]
    folder = CassetteFolder(recordings.folder, secrets)
    recorder = CallRecorder(folder, Upstream(key, recordings.upstream), Redactor(secrets))
    folder.check_writable()
    return recorder if recordings.mode == "record" else Replay(recordings, folder, recorder)


def _key(recordings: Recordings) -> str:
    """Return fal's API key. No message shows it, since a mistyped key may still be guessed from it."""
    given = recordings.upstream_key
    key = (os.environ.get("FAL_KEY", "") if given is None else given).strip()
    if not key:
        raise ValueError(
            "recording needs an API key of fal: set FAL_KEY in the environment of the emulator, or pass "
            "Recordings(upstream_key=...)"
        )
    if not (all(key.partition(":")) and key.isascii() and key.isprintable() and " " not in key):
        name = "FAL_KEY" if given is None else "upstream_key"
        raise ValueError(f"{name} is not an API key of the form id:secret, which recording needs")
    return key
