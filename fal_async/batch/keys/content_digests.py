"""Digests of inputs and of the files in them. A file that stands in a thousand inputs is read once."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from typing import Any

from fal_async.keyed.input_digests import Recognised, file_digest, recognised
from fal_async.protocol.ledger.digests import FileDigest
from fal_async.protocol.storage.input_files import File

_KEPT = 10_000
"""Files."""
_TICK = 2_000_000_000
"""Nanoseconds: file systems write down times as coarse as that."""


class ContentDigests:
    """Remembers the digests of files that lie on disk, as long as they look the same."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], FileDigest] = OrderedDict()

    async def of_input(self, input: Any) -> Recognised:
        """As `keyed.input_digests.recognised`.

        ConfigurationError for what is no input, and for a file that can be read only once; UploadError for one that
        can't be read.
        """
        return await recognised(input, self.of_file)

    async def of_file(self, file: Any) -> FileDigest:
        """Of its bytes as they are now."""
        from fal_async.storage.threads import abandonable

        seen = await abandonable(lambda: _look_of(file))
        if seen is not None and (known := self._known.get(seen)) is not None:
            self._known.move_to_end(seen)
            return known
        digest = await file_digest(file)
        if seen is not None:
            self._known[seen] = digest
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return digest


def _look_of(file: Any) -> tuple[Any, ...] | None:
    """What changes when a file on disk does. Blocks. None for what lies on none, and for one that was written just
    now: a change to come might have the same time."""
    content_type = file_name = None
    if isinstance(file, File):
        file, content_type, file_name = file.data, file.content_type, file.file_name
    if not isinstance(file, str | os.PathLike):
        return None
    try:
        path = os.path.expanduser(os.fsdecode(file))
        found = os.stat(path)
    except (OSError, ValueError, TypeError):
        return None  # whoever opens it says why
    if abs(time.time_ns() - found.st_mtime_ns) < _TICK:
        return None
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return (path, found.st_dev, found.st_ino, found.st_size, *times, content_type, file_name)
