"""Files in the inputs of a batch. The same content is uploaded once, and is a part of the item's key."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fal_async import ConfigurationError, File, Session, UploadError
from fal_async.batch.keys.content_digests import ContentDigests
from fal_async.emulator import Emulator
from tests.batch.test_map import echo as echo


async def test_a_file_in_many_inputs_is_uploaded_once(
    emulator: Emulator, fal: Session, echo: str, tmp_path: Path
) -> None:
    (tmp_path / "cat.png").write_bytes(b"a cat")
    (tmp_path / "dog.png").write_bytes(b"a dog")
    inputs = [{"n": n, "image_url": tmp_path / ("cat.png" if n % 2 else "dog.png")} for n in range(40)]
    items = await fal.map(echo, inputs).collect()

    assert all(item.ok for item in items)
    assert len(emulator.uploads) == 2
    assert len({item.unwrap().data["image_url"] for item in items}) == 2
    assert len({item.key for item in items}) == 40


async def test_equal_file_content_is_uploaded_once_whatever_its_path(
    emulator: Emulator, fal: Session, echo: str, tmp_path: Path
) -> None:
    inputs: list[Any] = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cat.png").write_bytes(b"a cat")
        inputs.append({"image": [tmp_path / folder / "cat.png"]})
    inputs.append({"image": [File(b"a cat", file_name="cat.png")]})
    items = await fal.map(echo, inputs, concurrency=1).collect()

    assert len(emulator.uploads) == 1
    stem = items[0].key
    assert [item.key for item in items] == [stem, f"{stem}-2", f"{stem}-3"]


async def test_files_below_inline_below_go_inside_the_input(
    emulator: Emulator, fal: Session, echo: str, tmp_path: Path
) -> None:
    (tmp_path / "cat.png").write_bytes(b"a cat")
    items = await fal.map(echo, [{"image_url": tmp_path / "cat.png"}] * 3, inline_below=100).collect()
    assert {item.unwrap().data["image_url"][:15] for item in items} == {"data:image/png;"}
    assert not emulator.uploads


async def test_a_missing_file_fails_only_its_own_item(fal: Session, echo: str, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"a cat")
    items = await fal.map(echo, [{"image_url": tmp_path / name} for name in ("no.png", "cat.png")]).collect()

    assert [item.ok for item in items] == [False, True]
    assert isinstance(items[0].error, UploadError)


async def test_a_file_that_can_be_read_only_once_is_refused_with_advice(fal: Session, echo: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a cat"

    (item,) = await fal.map(echo, [{"image_url": File(pieces())}]).collect()
    assert isinstance(item.error, ConfigurationError)
    assert "only once" in str(item.error)


async def test_a_changed_file_gets_another_digest(tmp_path: Path) -> None:
    digests, path = ContentDigests(), tmp_path / "cat.png"
    path.write_bytes(b"a cat")
    os.utime(path, (1, 1))
    first = await digests.of_file(path)
    assert await digests.of_file(path) is first
    path.write_bytes(b"a bigger cat")
    assert await digests.of_file(path) != first


async def test_a_file_object_keeps_its_position_when_digested(tmp_path: Path) -> None:
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    digest = await ContentDigests().of_file(file)
    assert file.tell() == 4
    assert digest == await ContentDigests().of_file(File(b"456789"))


@pytest.mark.parametrize("bad", [b"bytes", {"inner": b"bytes"}])
async def test_bare_bytes_in_an_input_fail_its_item(fal: Session, echo: str, bad: Any) -> None:
    (item,) = await fal.map(echo, [{"image_url": bad}]).collect()
    assert isinstance(item.error, ConfigurationError)
    assert "File(" in str(item.error)
