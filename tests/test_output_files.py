from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.errors import ResponseDecodeError, SessionStateError
from fal_async.models import Result
from fal_async.outputs.output_files import FileNames, OutputFile, files_in

URL = "https://v3.fal.media/files/a/b"
ELSEWHERE = "https://example.com/files/a/b"
IMAGE = {
    "url": "https://v3.fal.media/files/a/cat.png",
    "content_type": "image/png",
    "width": 5,
    "height": None,
}


def test_file_objects_are_found_anywhere_in_an_output() -> None:
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
    assert files_in(None) == files_in("a cat") == files_in(5) == []


@pytest.mark.parametrize(
    ("data", "places"),
    [
        ({"video_url": URL, "thumbnail_url": URL}, ["$.video_url", "$.thumbnail_url"]),
        ({"videoUrl": URL, "imageURL": URL, "audio_uri": URL}, ["$.videoUrl", "$.imageURL", "$.audio_uri"]),
        ({"frame_urls": [URL, {"x": 1}, URL]}, ["$.frame_urls[0]", "$.frame_urls[2]"]),
        ({"urls": [[URL], [URL]]}, ["$.urls[0][0]", "$.urls[1][0]"]),
        ({"images": [URL], "video": URL, "mask_2": URL}, ["$.images[0]", "$.video", "$.mask_2"]),
        ({"result": f"{URL}.MP4?sig=1", "x": {"link": f"{URL}.png"}}, ["$.result", "$.x.link"]),
        ({"result": "data:image/png;base64,iVBO"}, ["$.result"]),
        (URL, ["$"]),
        ([URL, URL], ["$[0]", "$[1]"]),
        ({"image": {"url": URL, "preview_url": f"{URL}2"}}, ["$.image", "$.image.preview_url"]),
        ({"image_url": {"url": URL}}, ["$.image_url"]),
        ({"video_url": URL, "video": {"url": URL}}, ["$.video"]),
        (
            {"output": URL, "views": {"front": f"{URL}/f"}, "subtitles": f"{URL}.srt"},
            ["$.output", "$.views.front", "$.subtitles"],
        ),
    ],
)
def test_a_string_that_is_the_url_of_a_file_is_found(data: Any, places: list[str]) -> None:
    assert [file.path for file in files_in(data)] == places


@pytest.mark.parametrize(
    "data",
    [
        {
            "prompt": f"{URL}.png",
            "revised_prompt": f"{URL}.png",
            "text": f"{URL}.png",
            "caption": f"{URL}.png",
        },
        {"image_url": f"see {URL}.png", "video_url": f"{URL}.mp4 and more", "images": [f"\n{URL}.png"]},
        {"status_url": URL, "response_url": URL, "cancel_url": URL, "webhookUrl": URL, "docs_url": URL},
        {"output": ELSEWHERE, "source": ELSEWHERE, "links": [ELSEWHERE], "model": f"{ELSEWHERE}.html"},
        {"output": "https://fal.media.example/files/a", "x": "http://evilfal.media/files/a"},
        {
            "image_url": "",
            "video_url": None,
            "frame_urls": [5],
            "mask_url": "cat.png",
            "audio_url": "ftp://x/a.mp3",
        },
        {"result": "data: is a noun", "video_url": "http://"},
        f"{URL} is where it is",
        ["a", {"b": "c"}],
    ],
)
def test_other_strings_in_an_output_are_not_files(data: Any) -> None:
    assert files_in(data) == []


@attrs.frozen
class Picture:
    url: str
    content_type: str | None = None


@dataclass
class Output:
    images: list[Picture]


def test_file_objects_in_a_typed_output_are_found() -> None:
    found = files_in(Output([Picture("https://x/a.png", "image/png")]))
    assert found == [OutputFile(url="https://x/a.png", content_type="image/png", path="$.images[0]")]


class Still(pydantic.BaseModel, extra="allow"):
    url: pydantic.HttpUrl
    content_type: str = pydantic.Field(default="image/png", alias="contentType")


class Shots(msgspec.Struct, rename={"stills": "Stills"}):
    stills: list[Still]
    video_url: str


def test_files_in_outputs_of_pydantic_and_msgspec_are_found_by_their_json_names() -> None:
    still = Still.model_validate({"url": f"{URL}.png", "preview": {"url": f"{URL}1"}})
    found = files_in(Shots([still], f"{URL}.mp4"))
    assert [(file.path, file.url) for file in found] == [
        ("$.Stills[0]", f"{URL}.png"),
        ("$.Stills[0].preview", f"{URL}1"),
        ("$.video_url", f"{URL}.mp4"),
    ]
    assert [file.path for file in files_in(pydantic.RootModel[list[Still]]([still]))] == [
        "$[0]",
        "$[0].preview",
    ]
    assert [file.url for file in files_in({"url": still.url})] == [f"{URL}.png"]


@pytest.mark.parametrize(
    ("content_type", "begin"),
    [
        ("image/png; charset=x", "data:image/png;base64,"),
        ("", "data:application/octet-stream;base64,"),
        ("no type, at all", "data:application/octet-stream;base64,"),
    ],
)
def test_an_output_of_bytes_is_one_file_of_its_content_type(content_type: str, begin: str) -> None:
    [file] = Result(data=b"\x89PNG", headers={"content-type": content_type}).files()
    assert file.url.startswith(begin)
    assert file.path == "$"


class Clip(TypedDict):
    video_url: str


@dataclass
class Texts:
    video_url: str
    frames: frozenset[str]
    clips: tuple[Clip, ...]
    caption: str


def test_url_strings_in_a_typed_output_are_found() -> None:
    found = files_in(Texts(URL, frozenset({f"{URL}2", f"{URL}1"}), ({"video_url": URL},), f"{URL}.png"))
    assert [(file.path, file.url) for file in found] == [
        ("$.video_url", URL),
        ("$.frames[0]", f"{URL}1"),
        ("$.frames[1]", f"{URL}2"),
        ("$.clips[0].video_url", URL),
    ]


def test_an_output_that_contains_itself_is_searched_once() -> None:
    data: dict[str, Any] = {"url": URL}
    data["self"] = [data]
    assert [file.path for file in files_in(data)] == ["$"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("https://x/y"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["url", "width", "file_name", "x"]), inner, max_size=3)
    ),
)


@given(json_values)
def test_files_found_in_any_output_have_urls(data: Any) -> None:
    assert all(file.url == "https://x/y" for file in files_in(data))


def test_the_repr_of_an_output_file_shows_no_secret() -> None:
    assert "token" not in repr(OutputFile(url="https://x/a.png?token=1"))
    assert "AAAA" not in repr(OutputFile(url="data:image/png;base64,AAAA"))


async def test_a_result_without_a_session_refuses_to_download() -> None:
    class NoFiles:
        async def with_urls(
            self, input: Any, *, inline_below: int | None = None, sha256s: Sequence[str] | None = None
        ) -> Any:
            return input

        async def download_all(
            self,
            files: Sequence[OutputFile],
            folder: str | PathLike[str],
            *,
            names: FileNames | None = None,
            take_equal: bool = False,
        ) -> list[Path]:
            return []

    bound: Result[Any] = Result(data={"image": IMAGE}, request_id="1", files=NoFiles())
    assert await bound.download("x") == []
    for loose in (pickle.loads(pickle.dumps(bound)), copy.deepcopy(bound), Result(data=1)):
        with pytest.raises(SessionStateError, match="does not belong to a session"):
            await loose.download("x")
    assert pickle.loads(pickle.dumps(bound)) == bound


def test_files_of_a_too_deeply_nested_output_raise_response_decode_error() -> None:
    data: list[Any] = []
    for _ in range(20_000):
        data = [data]
    with pytest.raises(ResponseDecodeError, match="nested too deeply"):
        Result(data=data).files()
