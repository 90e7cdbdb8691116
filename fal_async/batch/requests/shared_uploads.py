"""Uploads the files of a batch's inputs. A file that is in several inputs is uploaded once."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from fal_async.batch.keys.content_digests import ContentDigests
from fal_async.errors import UploadError
from fal_async.keyed.input_digests import changed, check_unchanged
from fal_async.models import Files
from fal_async.outputs.output_files import FileNames, OutputFile
from fal_async.protocol.json_input import input_value, is_flat
from fal_async.protocol.ledger.digests import FileDigest
from fal_async.protocol.storage.input_files import File, files_to_send, place_of, replace_files
from fal_async.single_flight import SingleFlight

_KEPT = 10_000
"""Number of URLs that are remembered."""
_FRESH = 1800.0
"""Seconds after which a file is uploaded again, because an account's settings may delete files after an hour."""


class Stores(Protocol):
    """The two methods of the storage client that are used here."""

    async def upload(self, file: Any) -> str: ...

    async def transform_input(self, input: Any, *, inline_below: int = 0) -> Any: ...


class SharedUploads:
    """The `Files` of a batch, in place of those of its view."""

    def __init__(self, files: Files, storage: Callable[[], Stores], digests: ContentDigests) -> None:
        self._files, self._storage, self._digests = files, storage, digests
        self._flights: OrderedDict[tuple[Any, ...], SingleFlight[tuple[str, float]]] = OrderedDict()

    async def with_urls(
        self, input: Any, *, inline_below: int | None = None, sha256s: Sequence[str] | None = None
    ) -> Any:
        if is_flat(input):
            return input
        value = input_value(input)
        found = files_to_send(value)
        if not found:
            return value
        from fal_async.storage.concurrency import gather_first_error
        from fal_async.storage.output_download import FILES_AT_A_TIME

        async def send(number: int) -> str:
            try:
                known = None if sha256s is None else sha256s[number]
                return await self._url_of(found[number], known, inline_below or 0)
            except UploadError as error:
                raise error.at(place_of(value, number)) from error.__cause__

        urls = iter(await gather_first_error(send, range(len(found)), at_a_time=FILES_AT_A_TIME))
        return replace_files(value, lambda _: next(urls))

    async def download_all(
        self,
        files: Sequence[OutputFile],
        folder: str | PathLike[str],
        *,
        names: FileNames | None = None,
        take_equal: bool = False,
    ) -> list[Path]:
        return await self._files.download_all(files, folder, names=names, take_equal=take_equal)

    async def _url_of(self, file: Any, known: str | None, inline_below: int) -> str:
        digest = await self._digests.of_file(file)
        if known not in (None, digest.sha256):
            raise changed()
        name = _name_of(file)
        kept = (digest.sha256, digest.content_type, name, inline_below)
        flight = self._flights.get(kept)
        if flight is None:
            flight = self._flights[kept] = SingleFlight()
            self._trim()
        self._flights.move_to_end(kept)
        url, _ = await flight.get(_is_fresh, partial(self._sent, file, digest, inline_below))
        return url

    async def _sent(self, file: Any, digest: FileDigest, inline_below: int) -> tuple[str, float]:
        began = time.monotonic()
        if inline_below:
            sent: dict[str, str] = await self._storage().transform_input(
                {"file": file}, inline_below=inline_below
            )
            url = sent["file"]
        else:
            url = await self._storage().upload(file)
        await check_unchanged(file, digest.sha256, self._digests.of_file)
        return url, began

    def _trim(self) -> None:
        while len(self._flights) > _KEPT and not next(iter(self._flights.values())).under_way:
            self._flights.popitem(last=False)


def _is_fresh(sent: tuple[str, float]) -> bool:
    return time.monotonic() - sent[1] < _FRESH


def _name_of(file: Any) -> str | None:
    """Return the file's name; None if it has none.

    The URL ends with it. So the same content under two names is uploaded twice: a model may depend on the name.
    """
    if isinstance(file, File):
        return file.file_name or _name_of(file.data)
    return Path(file).name if isinstance(file, PathLike) else getattr(file, "name", None)
