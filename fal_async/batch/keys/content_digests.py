"""Digests of inputs and of the files in them. A file that is in a thousand inputs is read once."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from typing import Any

from fal_async.keyed.input_digests import Recognised, file_digest, recognised
from fal_async.protocol.ledger.digests import FileDigest
from fal_async.protocol.storage.input_files import File

_KEPT = 10_000
"""Number of files whose digests are remembered."""
_TICK = 2_000_000_000
"""The coarsest resolution of file times among file systems, in nanoseconds."""


class ContentDigests:
    """Computes digests, and remembers that of a file on disk while its size, times and inode stay the same."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], FileDigest] = OrderedDict()

    async def of_input(self, input: Any) -> Recognised:
        """Return the digest of an input, and of each file in it: see `keyed.input_digests.recognised`.

        Raises:
            ConfigurationError: `input` is not a valid input, or a file in it can be read only once.
            UploadError: a file in it can't be read.
        """
        return await recognised(input, self.of_file)

    async def of_file(self, file: Any) -> FileDigest:
        """Return the digest of the file's current content."""
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
    """Return values that change whenever the file on disk changes. Blocks.

    None if it is not a file on disk, or if it was written within the last `_TICK`. In the latter case a second
    change could have the same time, and would not be noticed.
    """
    content_type = file_name = None
    if isinstance(file, File):
        file, content_type, file_name = file.data, file.content_type, file.file_name
    if not isinstance(file, str | os.PathLike):
        return None
    try:
        path = os.path.expanduser(os.fsdecode(file))
        found = os.stat(path)
    except (OSError, ValueError, TypeError):
        return None  # the error is reported when the file is read
    if abs(time.time_ns() - found.st_mtime_ns) < _TICK:
        return None
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return (path, found.st_dev, found.st_ino, found.st_size, *times, content_type, file_name)
