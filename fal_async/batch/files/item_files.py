"""Downloads the files of a batch's results while other requests run, for a few items at a time."""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import attrs

from fal_async.batch.files.file_names import of_file, of_item
from fal_async.batch.requests.request_maker import Outcome, Work
from fal_async.batch.shown_values import short
from fal_async.config import RetryPolicy
from fal_async.errors import ApiError, ConfigurationError, DownloadError, FalError, LedgerError
from fal_async.ledger.store import Store
from fal_async.models import Files
from fal_async.outputs.output_files import OutputFile
from fal_async.protocol.ledger.entry import StoredFile
from fal_async.protocol.retry import delay_before_retry
from fal_async.storage.output_download import missing_files
from fal_async.storage.threads import in_thread

logger: logging.Logger = logging.getLogger("fal_async")

ITEMS_AT_A_TIME = 8
"""Number of items whose files are downloaded at a time. `storage.download_all` limits the files of one item."""
_KEPT = 1000
"""Number of items whose files are remembered, for later items with the same key."""
_GONE = frozenset({403, 404, 410})
"""HTTP statuses for a file that no longer exists, or that the caller may not read. Further attempts are useless."""


@attrs.frozen(kw_only=True, eq=False)
class FoundFiles:
    """The files of an item that are on disk, and why others are not.

    Attributes:
        paths: paths of the files on disk, in the order of the output.
        error: why files are missing; None if none is missing.
        is_gone: whether further attempts to download the missing files are useless.
    """

    paths: tuple[Path, ...] = ()
    error: FalError | None = None
    is_gone: bool = False


NO_FILES = FoundFiles()


@attrs.define(kw_only=True, eq=False, repr=False)
class ItemFiles:
    """Downloads the files of each result into one folder.

    Attributes:
        template: template of the files' names.
        retries: maximum number of further attempts for files that could not be downloaded.
        policy: the pauses between these attempts.
        store: returns the ledger's store, which keeps the list of files on disk; None without a ledger.
    """

    files: Files
    folder: Path
    template: str
    retries: int
    policy: RetryPolicy
    store: Callable[[], Awaitable[Store]] | None
    _places: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(ITEMS_AT_A_TIME), init=False)
    _known: OrderedDict[str, asyncio.Future[FoundFiles]] = attrs.field(factory=OrderedDict, init=False)
    """The files of the latest items, by key. An item that shares a request shares its files."""

    async def begin(self) -> None:
        """Create the folder if it is missing. Raises ConfigurationError if files can't be written there."""
        try:
            await in_thread(lambda: _make_writable(self.folder))
        except OSError as error:
            raise ConfigurationError(
                f"download={short(self.folder)!r}: expected a folder to which files can be written; "
                f"{error.strerror or error}"
            ) from error

    async def of(self, work: Work, outcome: Outcome) -> FoundFiles:
        """Download the files of the result that are not on disk yet, and return all that are on disk then."""
        key = work.key or str(work.index)
        known = self._known.get(key) if outcome.shared else None
        if known is not None:
            return await asyncio.shield(known)
        known = self._known[key] = asyncio.get_running_loop().create_future()
        try:
            found = await self._found(key, outcome)
        except BaseException:
            if self._known.get(key) is known:
                del self._known[key]
            known.cancel()
            raise
        known.set_result(found)
        if len(self._known) > _KEPT and next(iter(self._known.values())).done():
            self._known.popitem(last=False)
        return found

    async def _found(self, key: str, outcome: Outcome) -> FoundFiles:
        assert outcome.result is not None
        try:
            files = outcome.result.files()
        except FalError as error:
            return FoundFiles(error=error)
        if not files:
            return NO_FILES
        fetching = _Fetching(files, of_item(self.template, key))
        async with self._places:
            await in_thread(lambda: fetching.take_stored(self.folder, outcome.files))
            if fetching.missing():
                await self._fetch(fetching)
                await self._keep(outcome, fetching)
        return fetching.outcome()

    async def _fetch(self, fetching: _Fetching) -> None:
        attempt = 0
        while True:
            if all(found is None for found in fetching.found):
                await self._all(fetching)
            else:
                await asyncio.gather(*(self._one(fetching, number) for number in fetching.missing()))
            causes = fetching.causes()
            attempt += 1
            if not causes or attempt > self.retries or fetching.is_gone():
                return
            seconds = delay_before_retry(self.policy, attempt, causes[0], random.random())
            if seconds is None:  # the server demands a longer wait than the policy allows
                return
            await asyncio.sleep(seconds)

    # `take_equal`, because a process may have been killed after it wrote the file, but before the ledger noted it.

    async def _all(self, fetching: _Fetching) -> None:
        try:
            fetching.found[:] = await self.files.download_all(
                fetching.files, self.folder, names=fetching.template, take_equal=True
            )
        except DownloadError as error:
            fetching.note(error)

    async def _one(self, fetching: _Fetching, number: int) -> None:
        names = of_file(fetching.template, number)
        try:
            file = fetching.files[number]
            (path,) = await self.files.download_all([file], self.folder, names=names, take_equal=True)
        except DownloadError as error:
            fetching.found[number] = error.causes[0] if error.causes else error
        else:
            fetching.found[number] = path

    async def _keep(self, outcome: Outcome, fetching: _Fetching) -> None:
        """Note in the ledger which files are on disk. If the ledger can't be written, log that and do not raise."""
        if self.store is None or outcome.entry is None:
            return
        stored = await in_thread(lambda: fetching.stored(self.folder))
        try:
            await (await self.store()).set_files(outcome.entry, stored)
        except LedgerError as error:
            logger.error(
                "the ledger can't be written: it does not know that the files of request %s are on disk (%s)",
                outcome.request_id,
                error,
            )


class _Fetching:
    """The files of one item.

    `found` has, for each file, its path or the error of its download; None before the download.
    """

    def __init__(self, files: Sequence[OutputFile], template: str) -> None:
        self.files, self.template = files, template
        self.found: list[Path | FalError | None] = [None] * len(files)

    def take_stored(self, folder: Path, stored: Sequence[StoredFile]) -> None:
        """Set the paths of files that an earlier run wrote and that still have the same size. Blocks."""
        for file in stored:
            if file.n < len(self.found) and _size_of(folder / file.path) == file.size:
                self.found[file.n] = folder / file.path

    def missing(self) -> list[int]:
        return [number for number, found in enumerate(self.found) if not isinstance(found, Path)]

    def note(self, error: DownloadError) -> None:
        """Set the paths and errors of a download of all files that failed for some of them."""
        if len(error.paths) != len(
            self.found
        ):  # nothing was downloaded: the folder can't be created, for example
            self.found[:] = [error] * len(self.found)
            return
        causes = iter(error.causes)
        self.found[:] = [next(causes) if path is None else path for path in error.paths]

    def causes(self) -> list[FalError]:
        return [found for found in self.found if isinstance(found, FalError)]

    def is_gone(self) -> bool:
        return any(isinstance(cause, ApiError) and cause.status in _GONE for cause in self.causes())

    def outcome(self) -> FoundFiles:
        paths = tuple(found for found in self.found if isinstance(found, Path))
        if not self.causes():
            return FoundFiles(paths=paths)
        error = missing_files(self.files, [found for found in self.found if found is not None])
        return FoundFiles(paths=paths, error=error, is_gone=self.is_gone())

    def stored(self, folder: Path) -> list[StoredFile]:
        """Return the files on disk, relative to the folder, as the ledger keeps them. Blocks."""
        return [
            StoredFile(n=number, path=found.relative_to(folder).as_posix(), size=_size_of(found) or 0)
            for number, found in enumerate(self.found)
            if isinstance(found, Path)
        ]


def _make_writable(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
