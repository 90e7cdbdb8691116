"""All files of one output: fetched side by side, named in its order, and what can be had is had."""

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
"""Of one input or output. A large file sends its parts side by side as well."""


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
        self._settled = [asyncio.Event() for _ in files]
        """Of each file, once it and all before it have their names, or will have none."""

    async def run(self) -> list[Path]:
        """Paths in the order of the files. DownloadError, which names them, if some are missing."""
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
        async with contextlib.AsyncExitStack() as stack:
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
    """The error for those that could not be fetched. `outcomes`: for each file its path, or why there is none."""
    causes = [outcome for outcome in outcomes if isinstance(outcome, FalError)]
    missing = [file for file, outcome in zip(files, outcomes, strict=True) if isinstance(outcome, FalError)]
    places = ", ".join(file.path for file in missing[:4]) + (", ..." if len(missing) > 4 else "")
    told = f"{places}; the first: {causes[0]}" if len(missing) > 1 else str(causes[0])
    error = DownloadError(
        f"{len(missing)} of {len(files)} files could not be fetched: {told}",
        missing=missing,
        paths=[outcome if isinstance(outcome, Path) else None for outcome in outcomes],
        causes=causes,
        retryable=all(cause.retryable for cause in causes),
    )
    error.__cause__ = causes[0]
    return error
