"""Inputs that the program changes after `inputs` has yielded them: each item has the value that was yielded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from fal_async import ConfigurationError, Session, UploadError
from fal_async.emulator import Emulator
from fal_async.protocol.input_copies import own_copy
from tests.batch.test_map import echo as echo
from tests.quick import session_on


@dataclasses.dataclass
class Plain:
    n: int
    inner: list[int]


@attrs.define
class Attrs:
    n: int
    inner: list[int]


@attrs.frozen
class Frozen:
    n: int
    inner: list[int]


class Struct(msgspec.Struct):
    n: int
    inner: list[int]


class Model(pydantic.BaseModel):
    n: int
    inner: list[int]


class Row(dict[str, Any]):
    id: str


def changing(value: Any, count: int) -> Iterator[Any]:
    """Yield the same object repeatedly, changed each time."""
    inner = value["inner"] if isinstance(value, Mapping) else value.inner
    for n in range(count):
        inner[0] = n
        yield value


@pytest.mark.parametrize("with_ledger", [True, False])
async def test_an_object_changed_and_given_repeatedly_counts_as_separate_inputs(
    emulator: Emulator, echo: str, tmp_path: Path, with_ledger: bool
) -> None:
    async with session_on(emulator, ledger=tmp_path / "runs.db" if with_ledger else None) as fal:
        items = await fal.map(echo, changing({"inner": [0]}, 20), concurrency=5).collect()
    assert [item.unwrap().data for item in items] == [item.input for item in items]
    assert [item.input for item in items] == [{"inner": [n]} for n in range(20)]
    assert emulator.books.repeated() == []


@pytest.mark.parametrize(
    "value",
    [
        {"n": 0, "inner": [0]},
        Row(n=0, inner=[0]),
        MappingProxyType({"n": 0, "inner": [0]}),
        Plain(0, [0]),
        Attrs(0, [0]),
        Frozen(0, [0]),
        Struct(0, [0]),
        Model(n=0, inner=[0]),
    ],
)
def test_a_copied_input_is_equal_and_independent_of_later_changes(value: Any) -> None:
    copies = [own_copy(given) for given in changing(value, 3)]
    inner = [copy["inner"] if isinstance(copy, Mapping) else copy.inner for copy in copies]
    assert inner == [[0], [1], [2]]
    assert copies[2] == value
    assert isinstance(value, MappingProxyType) or type(copies[0]) is type(value)


def test_a_copied_input_keeps_attributes_and_file_paths(tmp_path: Path) -> None:
    row = Row(picture=tmp_path, more=[{"picture": tmp_path}])
    row.id = "a"
    copy = own_copy(row)
    assert copy.id == "a"
    assert copy["picture"] is copy["more"][0]["picture"] is tmp_path


def test_an_input_that_cant_be_copied_is_used_as_it_is() -> None:
    round: dict[str, Any] = {}
    round["round"] = round
    assert own_copy(round) is round


async def test_an_input_nested_too_deeply_fails_only_its_own_item(
    emulator: Emulator, echo: str, tmp_path: Path
) -> None:
    deep: list[Any] = []
    for _ in range(3000):
        deep = [deep]
    async with session_on(emulator, ledger=tmp_path / "runs.db") as fal:
        bad, good = await fal.map(echo, [{"deep": deep}, {"n": 1}]).collect()
    assert isinstance(bad.error, ConfigurationError)
    assert good.ok


async def test_a_file_overwritten_before_it_was_sent_fails_its_item(
    emulator: Emulator, fal: Session, echo: str, tmp_path: Path
) -> None:
    frame = tmp_path / "frame.png"

    def frames() -> Iterator[dict[str, Path]]:
        for n in range(8):
            frame.write_bytes(b"frame %d" % n)  # of one size, within one tick of the file system's clock
            yield {"image_url": frame}

    items = await fal.map(echo, frames(), concurrency=4).collect()
    sent = [item for item in items if item.ok]
    assert items[-1].ok
    assert len({item.key for item in items}) == 8
    assert len({item.unwrap().data["image_url"] for item in sent}) == len(sent) == emulator.count("submit")
    assert all(isinstance(item.error, UploadError) for item in items if not item.ok)


async def test_a_folder_in_place_of_a_file_fails_only_its_own_item(
    fal: Session, echo: str, tmp_path: Path
) -> None:
    items = await fal.map(echo, [{"image_url": tmp_path}, {"n": 1}]).collect()
    assert [type(item.error) for item in items] == [UploadError, type(None)]
