"""Files in a model's input: finding them, and replacing them by URLs.

`Storage.transform_input` of `storage/client.py` uploads them, for every call with files in its input.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeAlias

import attrs

from fal_async.checks import check_str, checked
from fal_async.errors import ConfigurationError
from fal_async.protocol.json_input import LEAVES, encode_json, plain_value
from fal_async.protocol.storage.media import check_content_type
from fal_async.records import is_record

Path = tuple[str | int, ...]
"""The place of a value in an input: a str is a key of a mapping, an int an index of a list."""
# Tuples created once, because creating a union type takes as long as the check that uses it.
_SCALARS, _SEQUENCES = (str, int, float), (list, tuple)


def _check_type(_: Any, __: Any, value: str | None) -> None:
    check_content_type(value)


@attrs.frozen(eq=False)
class File:
    """A file with an explicit name and content type, for uploads and anywhere in an input.

    Attributes:
        data: a path, bytes, a binary file object, an async iterable of bytes, or a Pillow image.
        content_type: such as "image/png". None (default): derived from the name or the content.
        file_name: such as "cat.png". None (default): the name of the path or of the file object.

    Raises:
        ConfigurationError: `content_type` or `file_name` is invalid.
    """

    data: Any = attrs.field(repr=False)
    content_type: str | None = attrs.field(default=None, kw_only=True, validator=_check_type)
    file_name: str | None = attrs.field(
        default=None, kw_only=True, validator=checked(check_str, such_as="cat.png", or_none=True)
    )


if TYPE_CHECKING:

    class PathLike(Protocol):
        """A path, such as `pathlib.Path`."""

        def __fspath__(self) -> str:
            """Return the path as a str."""
            ...

    class FileObject(Protocol):
        """An open binary file, synchronous or asynchronous."""

        def read(self, size: int = ..., /) -> bytes | Awaitable[bytes]:
            """Return at most `size` bytes; b"" at the end of the file."""
            ...

    class PillowImage(Protocol):
        """An image of Pillow."""

        @property
        def size(self) -> tuple[int, int]:
            """Width and height in pixels."""
            ...

        def tobytes(self, encoder_name: str = ..., *args: Any) -> bytes:
            """Return the pixels."""
            ...

    FileInput: TypeAlias = str | File | PathLike | FileObject | PillowImage
    """A file in an input: a URL (or a data URI) as str, or what is uploaded before the request is sent."""
else:

    class _FileInput:
        """Tells pydantic how to check a `FileInput`, and how to describe it in a JSON schema: as a URL."""

        def __get_pydantic_core_schema__(self, *_: Any) -> Any:
            from pydantic_core import core_schema

            return core_schema.no_info_plain_validator_function(self._checked)

        def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
            return {"type": "string", "format": "uri"}

        def _checked(self, value: Any) -> Any:
            if not isinstance(value, str) and not is_file(value):
                raise ValueError("expected a URL as str, or a file such as Path, File or an open file")
            return value

    # While a program runs, this is Any, so that attrs, cattrs and msgspec accept every kind of file.
    FileInput = Annotated[Any, _FileInput()]


def is_image(value: Any) -> bool:
    """Return whether it is a Pillow image, without importing Pillow."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(value).__mro__)


def is_path(value: Any) -> bool:
    """Return whether it is an `os.PathLike` (pathlib, anyio, a directory entry, ...). A str is not a path here."""
    return hasattr(type(value), "__fspath__")


def is_file_object(value: Any) -> bool:
    return isinstance(value, io.IOBase) or (callable(getattr(value, "read", None)) and not is_image(value))


def is_file(value: Any) -> bool:
    """Return whether a value in an input must be uploaded. A str is never uploaded, even if it names a file."""
    return isinstance(value, File) or is_path(value) or is_image(value) or is_file_object(value)


def find_files(value: Any) -> list[Any]:
    """Return every file anywhere in `value`, in the order of the input; a file that occurs twice is there twice.

    Raises ConfigurationError for plain bytes. The list is empty if `value` can't be traversed, because encoding it
    then raises an error that says why.
    """
    found: list[Any] = []

    def note(file: Any) -> str:
        found.append(file)
        return ""

    try:
        replace_files(value, note)
    except ConfigurationError:
        raise
    except Exception:  # nested too deeply, or a record whose fields raise when they are read
        return []
    return found


def files_to_send(value: Any) -> list[Any]:
    """Return the same as `find_files`, and check that JSON can represent the input, before any file is uploaded."""
    found = find_files(value)
    if found:
        encode_json(replace_files(value, lambda _: ""))
    return found


def replace_files(value: Any, url_of: Callable[[Any], str]) -> Any:
    """Return `value` with each file replaced by its URL.

    `value` is not modified, and parts without files are not copied. A record (attrs, dataclass, pydantic, ...) with
    a file in it becomes a dict, because its own fields may not accept a str.
    """
    return _replaced(value, lambda file, _: url_of(file), (), ())


def places_of(value: Any) -> tuple[Any, list[Path]]:
    """Return `value` with None instead of each file, and the places of the files, in the order of `find_files`.

    A value that can't be traversed is returned unchanged, without places.
    """
    places: list[Path] = []
    try:
        return _replaced(value, lambda _, path: places.append(path), (), ()), places
    except ConfigurationError:
        raise
    except Exception:  # nested too deeply, or a record whose fields raise when they are read
        return value, []


def place_of(value: Any, number: int) -> str:
    """Return the place of file `number` of `find_files`, such as `input.images[2]`."""
    _, places = places_of(value)
    return _place("input", places[number])


def _place(name: str, path: Path) -> str:
    return name + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _replaced(value: Any, by: Callable[[Any, Path], Any], path: Path, above: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, _SCALARS) or id(value) in above:
        return value
    if isinstance(value, Mapping):
        if LEAVES.issuperset(map(type, value.values())):
            return value
        above = (*above, id(value))
        return _if_changed(
            value, {key: _replaced(item, by, (*path, key), above) for key, item in value.items()}
        )
    if isinstance(value, _SEQUENCES):
        if LEAVES.issuperset(map(type, value)):
            return value
        above = (*above, id(value))
        items = [_replaced(item, by, (*path, at), above) for at, item in enumerate(value)]
        return value if all(a is b for a, b in zip(value, items, strict=True)) else items
    if is_file(value):
        return by(value, path)
    if isinstance(value, bytes | bytearray | memoryview):
        raise ConfigurationError(
            f"{_place('input', path)} is bytes: upload them with File(data, content_type=...), "
            "or encode(...) them as a data URI"
        )
    if not is_record(value):
        return value
    before = plain_value(value)
    after = _replaced(before, by, path, (*above, id(value)))
    return value if after is before else after


def _if_changed(before: Mapping[Any, Any], after: dict[Any, Any]) -> Any:
    return before if all(after[key] is before[key] for key in after) else after
