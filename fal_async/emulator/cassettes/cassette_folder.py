"""A folder of recordings: a JSON file for each call, and the files of the answers in `files`."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from fal_async.emulator.cassettes.canonical_input import FileOf, canonical
from fal_async.emulator.cassettes.cassette import CallKey, Cassette
from fal_async.emulator.cassettes.cassette_redaction import Redactor
from fal_async.emulator.cassettes.document_fields import CassetteError
from fal_async.emulator.cassettes.input_differences import differences

FILES = "files"
"""The folder of the files, within the folder of the cassettes."""
_FILE_NAME = re.compile(r"[0-9a-f]{64}\.[A-Za-z0-9]{1,16}")
_SHORT_DIGEST = 12
_UNSAFE = re.compile(r"[^\w.-]+")
_LONGEST_NAME = 200
"""Characters of a folder's name; file systems allow 255 bytes."""
_DIGITS = re.compile(r"(\d+)")


@attrs.frozen(kw_only=True)
class Stored:
    """A cassette and the path of its file, relative to the folder."""

    name: str
    cassette: Cassette


@attrs.frozen(kw_only=True)
class Nearest:
    """The recording that differs least from a call, with one line for each difference."""

    stored: Stored
    differences: tuple[str, ...]


class CassetteFolder:
    """The cassettes of a folder. All are read and checked when it is created.

    Args:
        path: the folder; it need not exist.
        keys: API keys that are replaced in everything that is written.

    Raises:
        CassetteError: If the path is not a folder, or a cassette can't be read; the message names file and field.
    """

    def __init__(self, path: str | os.PathLike[str], keys: Iterable[str] = ()) -> None:
        self.path: Path = Path(path)
        self._redactor = Redactor(keys)
        self._by_key: dict[CallKey, list[Stored]] = {}
        if self.path.exists() and not self.path.is_dir():
            raise CassetteError(f"{self.path}: expected a folder of recordings, but it is a file")
        try:
            found = sorted(self._read_all(), key=_order)
        except OSError as error:
            raise CassetteError(
                f"{self.path}: the folder can't be read: {error.strerror or error}"
            ) from error
        for stored in found:
            self._by_key.setdefault(stored.cassette.key, []).append(stored)

    def __iter__(self) -> Iterator[Stored]:
        """Yield all cassettes; those of one call in the order in which they were recorded."""
        for several in self._by_key.values():
            yield from several

    def __len__(self) -> int:
        return sum(map(len, self._by_key.values()))

    # Reading.

    def input(self, input: Any, file_of: FileOf) -> Any:
        """Return an input as a cassette has it: canonical, and without secrets.

        Args:
            input: the input, as JSON values.
            file_of: returns the file to which a URL leads.
        """
        return self._redactor.value(canonical(input, file_of))

    def find(self, key: CallKey) -> list[Stored]:
        """Return the recordings of a call, in the order in which they were recorded."""
        return self._by_key.get(key, [])

    def named(self, name: str) -> Stored | None:
        """Return the cassette with the path `name` in the folder; None if there is none."""
        return next((stored for stored in self if stored.name == name), None)

    def nearest(self, key: CallKey, endpoint_id: str, input: Any) -> Nearest | None:
        """Return the recording of the endpoint that differs least from a call; None if there is none.

        Args:
            key: the call.
            endpoint_id: its endpoint.
            input: its canonical input.
        """
        candidates = (
            Nearest(stored=stored, differences=tuple(_all_differences(stored.cassette, key, input)))
            for stored in self
            if stored.cassette.endpoint_id == endpoint_id
        )
        return min(candidates, key=_distance, default=None)

    def file(self, name: str) -> Path:
        """Return the path of a file."""
        return self.path / FILES / name

    def read_file(self, name: str) -> bytes:
        """Return the bytes of a file. Raise OSError if it can't be read."""
        return self.file(name).read_bytes()

    def names_of_files(self) -> set[str]:
        """Return the names of the files that the cassettes need."""
        return {name for stored in self for name in stored.cassette.names_of_files()}

    def _read_all(self) -> Iterator[Stored]:
        present = frozenset(_names(self.path / FILES))
        for path in self.path.glob("*/*.json"):
            if path.parent.name != FILES:
                stored = Stored(name=path.relative_to(self.path).as_posix(), cassette=_read(path))
                _check_files(stored, path, present)
                yield stored

    # Writing.

    def check_writable(self) -> None:
        """Make the folder, and try to write to it, so that no call is billed whose recording is then lost.

        Raises:
            CassetteError: If it can't be made, or can't be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise CassetteError(
                f"{self.path}: recordings can't be written to this folder: {error.strerror or error}"
            ) from error

    def add(self, cassette: Cassette) -> Stored:
        """Write a cassette, without secrets. An existing one is never overwritten.

        Args:
            cassette: the recorded call.

        Returns:
            The cassette as it was written, with its name.

        Raises:
            CassetteError: If it can't be written, such as when the disk is full.
        """
        document = self._redactor.value({**cassette.to_document(), "digest": None})
        del document["digest"]
        written = Cassette.from_document("the recorded call", document)
        folder = self.path / _folder_name(written.endpoint_id)
        stem, known = written.digest.partition(":")[2][:_SHORT_DIGEST], len(self.find(written.key))
        path = _written(folder, stem, known + 1, _readable(written.to_document()))
        stored = Stored(name=path.relative_to(self.path).as_posix(), cassette=written)
        self._by_key.setdefault(written.key, []).append(stored)
        return stored

    def copy(self, cassettes: Iterable[Stored], target: Path) -> None:
        """Write cassettes of this folder, with their files, to another one, in which they have the same names.

        A cassette of which a file was deleted in the meantime is left out.

        Args:
            cassettes: the cassettes, which are written as they were read.
            target: the other folder.

        Raises:
            OSError: If a file can't be written.
        """
        for stored in cassettes:
            names = set(stored.cassette.names_of_files())
            if all(self.file(name).is_file() for name in names):
                copy_files(self.path / FILES, target / FILES, names)
                path = target / stored.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_readable(stored.cassette.to_document()))

    def add_file(self, data: bytes, content_type: str) -> str:
        """Write a file, without the keys, unless it is there.

        Args:
            data: its bytes.
            content_type: its content type.

        Returns:
            Its name in `files`: the SHA-256 of its bytes, and a suffix.

        Raises:
            CassetteError: If it can't be written, such as when the disk is full.
        """
        data = self._redactor.data(data)
        name = f"{hashlib.sha256(data).hexdigest()}{_suffix(content_type)}"
        target = self.file(name)
        if not target.exists():
            _write_new(target, data, replace=True)
        return name


def copy_files(source: Path, target: Path, names: Iterable[str]) -> None:
    """Copy files from one folder to another, unless they are there. Raise OSError if one can't be copied."""
    for name in names:
        if not (path := target / name).exists():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, path)


def _folder_name(endpoint_id: str) -> str:
    name = _UNSAFE.sub("_", endpoint_id.replace("/", "__"))[:_LONGEST_NAME]
    return f"_{name}" if name.startswith(".") else name


def _readable(document: dict[str, Any]) -> bytes:
    try:
        return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n".encode()
    except UnicodeEncodeError:  # an input may have half of a surrogate pair
        return f"{json.dumps(document, indent=2)}\n".encode()


def _written(folder: Path, stem: str, number: int, data: bytes) -> Path:
    """Write a new file `stem-n.json`, where n is the first free number from `number` on; return its path."""
    while not _write_new(path := folder / f"{stem}-{number}.json", data, replace=False):
        number += 1
    return path


def _read(path: Path) -> Cassette:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CassetteError(f"{path}: the file is not JSON: {error}") from error
    except OSError as error:
        raise CassetteError(f"{path}: the file can't be read: {error.strerror or error}") from error
    return Cassette.from_document(str(path), document)


def _check_files(stored: Stored, path: Path, present: frozenset[str]) -> None:
    for name in stored.cassette.names_of_files():
        if not _FILE_NAME.fullmatch(name):
            raise CassetteError(f"{path}: file {name!r}: expected a name such as <sha256>.png in {FILES}")
        if name not in present:
            raise CassetteError(f"{path}: the file {FILES}/{name} is missing: restore it, or record again")


def _order(stored: Stored) -> tuple[datetime, list[Any]]:
    """Sort by the time of recording, then by name, in which -10 comes after -9."""
    parts: list[Any] = _DIGITS.split(stored.name)
    parts[1::2] = map(int, parts[1::2])
    return datetime.fromisoformat(stored.cassette.recorded_at), parts


def _distance(nearest: Nearest) -> tuple[int, int]:
    """Return the number of differences, and their size: another seed is nearer than another prompt."""
    return len(nearest.differences), sum(map(len, nearest.differences))


def _all_differences(cassette: Cassette, key: CallKey, input: Any) -> Iterator[str]:
    for name in ("via", "method", "path"):
        if (recorded := getattr(cassette, name)) != (asked := getattr(key, name)):
            yield f"{name}: {recorded} recorded, {asked} asked"
    yield from differences(cassette.input, input)


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


_SUFFIXES: Mapping[str, str] = {
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "application/octet-stream": ".bin",
}


def _suffix(content_type: str) -> str:
    kind = content_type.partition(";")[0].strip().lower()
    return _SUFFIXES.get(kind) or mimetypes.guess_extension(kind) or ".bin"


def _write_new(path: Path, data: bytes, *, replace: bool) -> bool:
    """Write a file as a whole or not at all. Return False if it exists and must not be replaced."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as part:
            temporary = Path(part.name)
            try:
                part.write(data)
                part.close()
                temporary.chmod(0o644)
                return _put(temporary, path, replace=replace)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CassetteError(f"{path}: the recording can't be written: {error.strerror or error}") from error


def _put(temporary: Path, path: Path, *, replace: bool) -> bool:
    if replace:
        temporary.replace(path)
        return True
    try:
        os.link(temporary, path)  # unlike rename, it fails if another process has written the file meanwhile
    except FileExistsError:
        return False
    return True
