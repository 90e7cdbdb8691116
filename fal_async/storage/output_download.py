"""Download all files of one output concurrently, and name them in the order of the output.

A file that can't be downloaded does not stop the download of the other files.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from fal_async.errors import DownloadError, FalError, SessionStateError
from fal_async.outputs.output_files import FileNames, OutputFile
from fal_async.protocol.origins import without_query
from fal_async.protocol.storage.download_names import Arrived, check_is_no_page, chosen_names, final_name
from fal_async.storage.concurrency import gather_first_error
from fal_async.storage.download import Downloader

FILES_AT_A_TIME = 8
"""Maximum number of files of one input or output that are transferred at the same time."""
_MOST_OPEN = 64
"""Maximum number of files of one output that are transferred, or complete and waiting for an earlier file's name.

Each of them may be open, and processes may often have only 1,024 open files.
"""


class OutputDownload:
    def __init__(
        self,
        downloader: Downloader,
        files: Sequence[OutputFile],
        folder: Path,
        names: FileNames | None,
        take_equal: bool,
    ) -> None:
        self._downloader, self._files, self._folder = downloader, files, folder
        self._take_equal = take_equal
        self._names = chosen_names(names, files)
        self._taken: set[str] = set()
        self._places = asyncio.Semaphore(FILES_AT_A_TIME)
        # Files enter in their order, so that the first one without a name is always among those that are open.
        self._open = asyncio.Semaphore(_MOST_OPEN)
        self._settled = [asyncio.Event() for _ in files]
        """One event for each file, set when this file and all files before it have their names or have failed."""

    async def run(self) -> list[Path]:
        """Return the paths in the order of the files. Raises DownloadError if a file could not be downloaded."""
        numbers = range(len(self._files))
        outcomes = await gather_first_error(self._one, numbers, at_a_time=len(self._files))
        paths = [outcome for outcome in outcomes if isinstance(outcome, Path)]
        if len(paths) < len(self._files):
            raise missing_files(self._files, outcomes)
        return paths

    async def _one(self, number: int) -> Path | FalError:
        try:
            return await self._kept(number)
        except SessionStateError:
            raise
        except FalError as error:
            await self._turn(number)
            file = self._files[number]
            url = "data:..." if file.url[:5].lower() == "data:" else without_query(file.url)
            return error.at(f"{file.path} ({url})")
        finally:
            self._settled[number].set()

    async def _kept(self, number: int) -> Path:
        file = self._files[number]
        async with self._open, contextlib.AsyncExitStack() as stack:
            async with self._places:
                incoming = await stack.enter_async_context(self._downloader.fetched(file.url, self._folder))
            arrived = Arrived(url=file.url, headers=incoming.headers, head=incoming.head, said=file)
            check_is_no_page(arrived)
            await self._turn(number)
            name = final_name(self._names[number], number, arrived)
            return await incoming.keep_beside(name, self._taken, take_equal=self._take_equal)

    async def _turn(self, number: int) -> None:
        if number > 0:
            await self._settled[number - 1].wait()


def missing_files(files: Sequence[OutputFile], outcomes: Sequence[Path | FalError]) -> DownloadError:
    """Return the error for the files that could not be downloaded.

    `outcomes` has the path or the error of each file, in the order of `files`.
    """
    causes = [outcome for outcome in outcomes if isinstance(outcome, FalError)]
    missing = [file for file, outcome in zip(files, outcomes, strict=True) if isinstance(outcome, FalError)]
    places = ", ".join(file.path for file in missing[:4]) + (", ..." if len(missing) > 4 else "")
    reasons = f"{places}; the first: {causes[0]}" if len(missing) > 1 else str(causes[0])
    error = DownloadError(
        f"{len(missing)} of {len(files)} files could not be fetched: {reasons}",
        missing=missing,
        paths=[outcome if isinstance(outcome, Path) else None for outcome in outcomes],
        causes=causes,
        retryable=all(cause.retryable for cause in causes),
    )
    error.__cause__ = causes[0]
    return error
