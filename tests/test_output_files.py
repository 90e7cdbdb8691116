from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.errors import SessionStateError
from fal_async.models import OutputFile, Result, files_in

IMAGE = {
    "url": "https://v3.fal.media/files/a/cat.png",
    "content_type": "image/png",
    "width": 5,
    "height": None,
}


def test_files_of_every_shape_of_output() -> None:
    data = {
        "images": [IMAGE, {**IMAGE, "file_name": "dog.png", "file_size": 12}],
        "video": {"url": "https://v3.fal.media/files/a/v.mp4"},
        "nested": {"deep": [{"audio": {"url": "data:audio/wav;base64,UklGRg=="}}]},
        "seed": 1,
        "prompt": "https://not.a/file.png",
        "source": {"url": "ftp://x"},
    }
    found = files_in(data)
    assert [file.path for file in found] == [
        "$.images[0]",
        "$.images[1]",
        "$.video",
        "$.nested.deep[0].audio",
    ]
    assert (found[1].file_name, found[1].file_size, found[1].width, found[1].height) == (
        "dog.png",
        12,
        5,
        None,
    )
    assert files_in(IMAGE) == [OutputFile(url=IMAGE["url"], content_type="image/png", width=5)]  # type: ignore[arg-type]
    assert files_in(None) == files_in("https://x/y.png") == files_in(5) == []


@attrs.frozen
class Picture:
    url: str
    content_type: str | None = None


@dataclass
class Output:
    images: list[Picture]


def test_files_of_a_typed_output() -> None:
    found = files_in(Output([Picture("https://x/a.png", "image/png")]))
    assert found == [OutputFile(url="https://x/a.png", content_type="image/png", path="$.images[0]")]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("https://x/y"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["url", "width", "file_name", "x"]), inner, max_size=3)
    ),
)


@given(json_values)
def test_any_output_gives_files_with_urls(data: Any) -> None:
    assert all(file.url == "https://x/y" for file in files_in(data))


def test_no_secret_in_a_repr() -> None:
    assert "token" not in repr(OutputFile(url="https://x/a.png?token=1"))
    assert "AAAA" not in repr(OutputFile(url="data:image/png;base64,AAAA"))


async def test_a_result_without_a_session() -> None:
    class NoFiles:
        async def with_urls(self, input: Any, *, inline_below: int | None = None) -> Any:
            return input

        async def download_all(self, files: Sequence[OutputFile], folder: str | PathLike[str]) -> list[Path]:
            return []

    bound: Result[Any] = Result(data={"image": IMAGE}, request_id="1", files=NoFiles())
    assert await bound.download("x") == []
    for loose in (pickle.loads(pickle.dumps(bound)), copy.deepcopy(bound), Result(data=1)):
        with pytest.raises(SessionStateError, match="no session"):
            await loose.download("x")
    assert pickle.loads(pickle.dumps(bound)) == bound
