"""Uploading the files in inputs and downloading those of results, for one view.

The storage is loaded when the first file occurs.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fal_async.errors import UploadError
from fal_async.outputs.output_files import FileNames, OutputFile
from fal_async.protocol.json_input import input_value, is_flat

if TYPE_CHECKING:
    from fal_async.storage import Storage


class _HasStorage(Protocol):
    @property
    def storage(self) -> Storage: ...


class ViewFiles:
    """Uploads and downloads files with the storage of `owner`. Implements `models.py: Files`."""

    def __init__(self, owner: _HasStorage) -> None:
        self._owner = owner

    async def with_urls(
        self,
        input: Any,
        *,
        inline_below: int | None = None,
        sha256s: Sequence[str] | None = None,
    ) -> Any:
        if is_flat(input):
            return input
        value = input_value(input)
        from fal_async.protocol.storage.input_files import files_to_send

        files = files_to_send(value)
        if not files:
            return value
        sent = await self._owner.storage.transform_input(value, inline_below=inline_below or 0)
        if sha256s is not None:
            await _check_unchanged(value, files, sha256s)
        return sent

    async def download_all(
        self,
        files: Sequence[OutputFile],
        folder: str | PathLike[str],
        *,
        names: FileNames | None = None,
        take_equal: bool = False,
    ) -> list[Path]:
        storage = self._owner.storage
        return await storage.download_all(files, folder, names=names, take_equal=take_equal)


async def _check_unchanged(value: Any, files: Sequence[Any], sha256s: Sequence[str]) -> None:
    from fal_async.keyed.input_digests import check_unchanged
    from fal_async.protocol.storage.input_files import place_of

    for number, (file, sha256) in enumerate(zip(files, sha256s, strict=True)):
        try:
            await check_unchanged(file, sha256)
        except UploadError as error:
            raise error.at(place_of(value, number)) from None
