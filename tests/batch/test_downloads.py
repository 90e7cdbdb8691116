"""`download=`: the names of each result's files, and what happens if a file is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fal_async import ConfigurationError, DownloadError, Session
from fal_async.batch.files.file_names import of_file, of_item
from fal_async.emulator import Emulator, Fault
from tests.quick import session_on

PICTURES = "me/pictures"


@pytest.fixture
def pictures(emulator: Emulator) -> str:
    @emulator.endpoint(PICTURES)
    async def pictures(input: Any) -> Any:
        return {"images": [{"url": url} for url in input["urls"]], "id": input.get("id")}

    return PICTURES


async def stored(fal: Session, *contents: bytes) -> list[str]:
    return [await fal.upload(content, file_name="picture.png") for content in contents]


async def test_files_of_each_item_are_written_under_its_key(
    fal: Session, pictures: str, tmp_path: Path
) -> None:
    urls = await stored(fal, b"one", b"two")
    inputs = [{"id": "a", "urls": urls}, {"id": "b", "urls": urls[:1]}, {"id": "c", "urls": []}]
    items = await fal.map(pictures, inputs, key="id", download=tmp_path / "out").collect()

    assert [[path.name for path in item.files] for item in items] == [["a-0.png", "a-1.png"], ["b-0.png"], []]
    assert [path.read_bytes() for path in items[0].files] == [b"one", b"two"]
    assert all(item.ok for item in items)


async def test_keys_that_make_the_same_file_name_overwrite_nothing(
    fal: Session, pictures: str, tmp_path: Path
) -> None:
    urls = await stored(fal, b"one", b"two")
    inputs = [
        {"id": "x/y", "urls": urls[:1]},
        {"id": "x_y", "urls": urls[1:]},
        {"id": "../z", "urls": urls[1:]},
    ]
    items = await fal.map(pictures, inputs, key="id", download=tmp_path, concurrency=1).collect()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["_z-0.png", "x_y-0-2.png", "x_y-0.png"]
    assert [item.files[0].read_bytes() for item in items] == [b"one", b"two", b"two"]


async def test_items_with_the_same_key_share_their_files(fal: Session, pictures: str, tmp_path: Path) -> None:
    urls = await stored(fal, b"one")
    items = await fal.map(pictures, [{"id": "a", "urls": urls}] * 3, key="id", download=tmp_path).collect()

    assert {item.files for item in items} == {(tmp_path / "a-0.png",)}
    assert len(list(tmp_path.iterdir())) == 1


async def test_files_are_named_by_the_template_in_names(fal: Session, pictures: str, tmp_path: Path) -> None:
    urls = await stored(fal, b"one", b"two")
    (item,) = await fal.map(
        pictures, [{"id": "{a}", "urls": urls}], key="id", download=tmp_path, names="{n:02d} {key:>4}{ext}"
    ).collect()
    assert [path.name for path in item.files] == ["00  {a}.png", "01  {a}.png"]


def test_a_template_of_names_is_filled_in_field_by_field() -> None:
    item = of_item("{key}-{n:03d}-{name!s}{ext}", "a/{b}")
    assert item.format(n=7, name="cat", ext=".png") == "a_{b}-007-cat.png"
    assert of_file(item, 12).format(name="cat", ext=".png") == "a_{b}-012-cat.png"


@pytest.mark.parametrize("names", [7, "", "{index}", "{key", "a/{key}", "{key.x}", "{n:z}"])
async def test_a_wrong_template_of_names_is_refused(fal: Session, names: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="names"):
        fal.map(PICTURES, [], download=tmp_path, names=names)


async def test_names_without_download_and_a_download_that_is_not_a_path_are_refused(fal: Session) -> None:
    with pytest.raises(ConfigurationError, match="download="):
        fal.map(PICTURES, [], names="{key}{ext}")
    with pytest.raises(ConfigurationError, match="download"):
        fal.map(PICTURES, [], download=7)  # type: ignore[arg-type]


async def test_an_item_with_a_deleted_file_has_both_result_and_error(
    emulator: Emulator, pictures: str, tmp_path: Path
) -> None:
    async with session_on(emulator) as fal:
        urls = await stored(fal, b"one")
        urls.append(urls[0].replace("picture", "nothing"))
        async with fal.map(pictures, [{"urls": urls}], download=tmp_path, retries=5) as batch:
            (item,) = [item async for item in batch]

    assert not item.ok
    assert item.result is not None
    assert isinstance(item.error, DownloadError)
    assert [path.read_bytes() for path in item.files] == [b"one"]
    assert batch.summary.failed == 1
    assert emulator.count("file") <= 3


async def test_a_failed_download_is_retried_for_that_file_alone(
    emulator: Emulator, pictures: str, tmp_path: Path
) -> None:
    async with session_on(emulator) as fal:
        urls = await stored(fal, b"one", b"two")
        emulator.faults.add(Fault.answer(418, on="file"))
        (item,) = await fal.map(pictures, [{"id": "a", "urls": urls}], key="id", download=tmp_path).collect()

    assert item.ok
    assert [(path.name, path.read_bytes()) for path in item.files] == [
        ("a-0.png", b"one"),
        ("a-1.png", b"two"),
    ]


@pytest.mark.parametrize("folder", ["file", "file/x"])
async def test_a_download_folder_that_cant_be_made_raises_before_anything_is_sent(
    emulator: Emulator, fal: Session, pictures: str, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigurationError, match=r"download=.*expected a folder to which files can be written"
    ):
        await fal.map(pictures, [{"urls": []}], download=tmp_path / folder).collect()
    assert emulator.count() == 0


async def test_a_download_folder_that_disappears_gives_an_item_with_result_and_error(
    fal: Session, pictures: str, tmp_path: Path
) -> None:
    urls, folder = await stored(fal, b"one"), tmp_path / "out"

    def inputs() -> Iterator[Any]:
        folder.rmdir()
        folder.write_text("")
        yield {"urls": urls}

    (item,) = await fal.map(pictures, inputs(), download=folder, retries=0).collect()
    assert item.result is not None
    assert isinstance(item.error, DownloadError)
