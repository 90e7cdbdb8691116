"""`FileInput`: the type of a file in an input, for type checkers and for libraries that validate."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any, get_type_hints

import attrs
import msgspec
import PIL.Image
import pydantic
import pytest

from fal_async import File, FileInput


@attrs.frozen
class Edit:
    image_url: FileInput
    mask_url: FileInput | None = None


class EditModel(pydantic.BaseModel):
    image_url: FileInput
    more: FileInput | list[FileInput] | None = None


class EditStruct(msgspec.Struct):
    image_url: FileInput


def accepted_by_type_checkers(opened: IO[bytes]) -> list[FileInput]:
    """Never called."""
    wrong: FileInput = b"bytes have no content type"  # type: ignore[assignment]
    image = PIL.Image.new("RGB", (1, 1))
    return [Path("a"), File(b""), opened, io.BytesIO(), "https://a", image, open("a", "rb"), wrong]


def test_hints_of_a_class_with_files_can_be_read() -> None:
    assert set(get_type_hints(Edit)) == {"image_url", "mask_url"}
    assert Edit(Path("a.png")).image_url == Path("a.png")


@pytest.mark.parametrize("file", ["https://example.com/a.png", Path("a.png"), File(b"x"), io.BytesIO(b"x")])
def test_pydantic_and_msgspec_keep_urls_and_files_as_they_are(file: Any) -> None:
    assert EditModel(image_url=file).image_url is file
    assert EditModel(image_url=file, more=[file]).more == [file]
    assert EditModel.model_validate({"image_url": file}).image_url is file
    assert msgspec.convert({"image_url": file}, EditStruct).image_url is file


@pytest.mark.parametrize("value", [b"x", 5, {"url": "x"}, None])
def test_pydantic_refuses_what_is_neither_a_url_nor_a_file(value: Any) -> None:
    with pytest.raises(pydantic.ValidationError, match="expected a URL as str, or a file"):
        EditModel(image_url=value)


def test_a_file_is_described_as_a_url_in_a_json_schema() -> None:
    described = EditModel.model_json_schema()["properties"]
    assert {"type": "string", "format": "uri"}.items() <= described["image_url"].items()
