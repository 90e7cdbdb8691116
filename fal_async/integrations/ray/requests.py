"""Makes the requests of the rows of one actor, a limited number of them at a time."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs

from fal_async.batch.item import BatchItem
from fal_async.batch.keyed_items import KeyedItems
from fal_async.errors import FalError
from fal_async.storage.threads import in_thread


@attrs.frozen(eq=False)
class Answered:
    """A row whose request has ended. `files`: the bytes of its result's files; None if they were not fetched."""

    item: BatchItem[object]
    files: list[bytes] | None = None


class RowRequests:
    """Makes the requests of all batches of one actor.

    Args:
        items: makes the item of a row.
        concurrency: maximum number of rows in flight.
        read_files: whether to fetch the bytes of each result's files.
    """

    def __init__(self, items: KeyedItems, *, concurrency: int, read_files: bool) -> None:
        self._items, self._read_files = items, read_files
        self._room = asyncio.Semaphore(concurrency)

    async def begin(self) -> None:
        """Open the ledger: see `KeyedItems.begin`. Call it before the first row."""
        await self._items.begin()

    async def answers(
        self, asked: Sequence[tuple[object, object]], *, until_failure: bool
    ) -> list[Answered | None]:
        """Return what each row of a batch, given by its key and its input, got.

        After a failure nothing more is submitted: with `until_failure` after that of any row, else only after an
        error that every row would get, which is raised. Open requests are followed to their outcome before. None
        stands for a row that was not submitted.
        """
        is_stopped = False

        async def answer(key: object, input: object) -> Answered | None:
            nonlocal is_stopped
            async with self._room:
                if is_stopped:
                    return None
                try:
                    answered = await self._answer(key, input)
                except BaseException:
                    is_stopped = True
                    raise
                is_stopped = is_stopped or (until_failure and not answered.item.ok)
                return answered

        ended = await asyncio.gather(*(answer(*each) for each in asked), return_exceptions=True)
        for each in ended:
            if isinstance(each, BaseException):
                raise each
        return [each for each in ended if not isinstance(each, BaseException)]

    async def _answer(self, key: object, input: object) -> Answered:
        item = await self._items.item(key, input)
        if not (self._read_files and item.ok):
            return Answered(item)
        try:
            return Answered(item, await _files_of(item))
        except FalError as error:
            return Answered(attrs.evolve(item, error=error))


async def _files_of(item: BatchItem[object]) -> list[bytes]:
    """Return the bytes of the files of an item's result."""
    if item.files:
        return await _read(item.files)
    with tempfile.TemporaryDirectory() as folder:
        return await _read(await item.unwrap().download(folder))


async def _read(paths: Sequence[Path]) -> list[bytes]:
    return await in_thread(lambda: [path.read_bytes() for path in paths])
