"""Downloads that break while the file at the URL changes: one complete version or an error, never a mixture."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fal_async import DownloadError, Session, TransportError
from tests.servers.file_host import Asked, Says, file_host

OLD, NEW, SHORT = b"A" * 1000, b"B" * 1000, b"C" * 400
CUT = 400
V1, V2 = {"etag": '"v1"'}, {"etag": '"v2"'}
BEFORE, LATER = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 09:49:37 GMT"
DATED = {"last-modified": BEFORE, "date": LATER}
Answer = Callable[[Asked], Says]


def start_of(asked: Asked) -> int:
    return int(asked.headers["range"].removeprefix("bytes=").removesuffix("-"))


def part(data: bytes, start: int, headers: Mapping[str, str], total: object = "") -> Says:
    span = {"content-range": f"bytes {start}-{len(data) - 1}/{total or len(data)}"}
    return Says(data[start:], {**span, **headers}, 206)


def compressed_rest(asked: Asked) -> Says:
    plain, packed = part(NEW, start_of(asked), V1), gzip.compress(NEW[start_of(asked) :])
    return Says(packed, {**plain.headers, "content-encoding": "gzip"}, 206)


async def outcome(
    fal: Session, folder: Path, first: Says, rest: Answer, again: Says
) -> tuple[bytes, list[str | None]]:
    """Download a file whose first response, `first`, breaks off. Return its bytes and the requested ranges.

    Later requests get `rest` if they ask for a range, else `again`.
    """

    def answer(asked: Asked) -> Says:
        if len(host.asked) == 1:
            return first
        return rest(asked) if "range" in asked.headers else again

    async with file_host(answer) as host:
        path = await fal.storage.download(f"{host.url}/f.png", folder / "f.png")
        return path.read_bytes(), host.ranges


@pytest.mark.parametrize(
    "marks",
    [V1, DATED, {**V1, **DATED}, {"etag": 'W/"v1"', **DATED}],
    ids=["strong ETag", "dates", "strong ETag and dates", "weak ETag and dates"],
)
async def test_a_broken_download_resumes_if_the_file_is_unchanged(
    fal: Session, tmp_path: Path, marks: dict[str, str]
) -> None:
    first, again = Says(OLD, marks, only=CUT), Says(NEW, V2)
    data, ranges = await outcome(fal, tmp_path, first, lambda asked: part(OLD, start_of(asked), marks), again)
    assert data == OLD
    assert ranges == [None, f"bytes={CUT}-"]


@pytest.mark.parametrize(
    "rest",
    [
        lambda asked: part(NEW, start_of(asked), V2),
        lambda asked: part(NEW, start_of(asked), {}),
        lambda asked: part(NEW, start_of(asked), {"etag": 'W/"v1"'}),
        lambda asked: part(NEW, start_of(asked), {**V1, "last-modified": LATER}),
        lambda asked: part(NEW + NEW, start_of(asked), V1),
        lambda asked: part(NEW, start_of(asked), V1, "2000"),
        lambda asked: part(NEW, start_of(asked) - 1, V1),
        lambda _: part(NEW, 0, V1),
        compressed_rest,
        lambda asked: part(NEW, start_of(asked), {**V1, "content-range": ""}),
        lambda _: Says(b"", {"content-range": "bytes */1000", **V2}, 416),
        lambda _: Says(b"", {"content-range": f"bytes */{CUT}", **V1}, 416),
        lambda _: Says(b"", {}, 416),
        lambda _: Says(NEW, V2),
        lambda _: Says(NEW),
    ],
    ids=[
        "another ETag", "no validator", "a weak ETag", "another date", "longer", "another total",
        "an earlier start", "whole file as 206", "compressed", "no Content-Range", "416 with another ETag",
        "416 with the size received", "416 without headers", "200", "200 without validators",
    ],
)  # fmt: skip
async def test_a_broken_download_starts_again_if_the_response_is_not_the_rest(
    fal: Session, tmp_path: Path, rest: Answer
) -> None:
    first = Says(OLD, {**V1, "last-modified": BEFORE}, only=CUT)
    data, ranges = await outcome(fal, tmp_path, first, rest, Says(NEW, V2))
    assert data == NEW
    assert ranges[:2] == [None, f"bytes={CUT}-"]


@pytest.mark.parametrize(
    "marks",
    [
        {},
        {"etag": 'W/"v1"'},
        {"etag": "v1"},
        {"last-modified": BEFORE},
        {"last-modified": LATER, "date": LATER},
        {"etag": '"v\u00fc"'},
        {**V1, "content-encoding": "odd"},
    ],
    ids=[
        "none",
        "weak ETag",
        "unquoted ETag",
        "Last-Modified without Date",
        "Last-Modified equal to Date",
        "non-ASCII ETag",
        "compressed",
    ],
)
async def test_a_broken_download_without_a_strong_validator_requests_the_whole_file(
    fal: Session, tmp_path: Path, marks: dict[str, str]
) -> None:
    first = Says(OLD, marks, only=CUT)
    data, ranges = await outcome(
        fal, tmp_path, first, lambda asked: part(NEW, start_of(asked), {}), Says(NEW)
    )
    assert data == NEW
    assert ranges == [None, None]


@pytest.mark.parametrize(
    "says",
    [
        Says(NEW[:500], {"content-range": "bytes 0-499/1000"}, 206),
        Says(NEW[:500], {"content-range": "bytes 500-999/1000", **V1}, 206),
        Says(NEW[:500], {}, 206),
        Says(NEW, {"content-range": "bytes 0-999/*"}, 206),
        Says(NEW, {"content-type": "multipart/byteranges; boundary=x"}, 206),
        Says(b"", {}, 204),
    ],
    ids=["first half", "second half", "no Content-Range", "unknown total", "multipart", "204"],
)
async def test_a_partial_response_to_a_request_for_the_whole_file_is_refused(
    fal: Session, tmp_path: Path, says: Says
) -> None:
    async with file_host(lambda _: says) as host:
        with pytest.raises(DownloadError, match="127"):
            await fal.storage.download(f"{host.url}/f.png", tmp_path / "f.png")
        assert len(host.asked) == 1
    assert list(tmp_path.iterdir()) == []


async def test_a_partial_response_that_covers_the_whole_file_is_accepted(
    fal: Session, tmp_path: Path
) -> None:
    async with file_host(lambda _: part(NEW, 0, V1)) as host:
        path = await fal.storage.download(f"{host.url}/f.png", tmp_path / "f.png")
    assert path.read_bytes() == NEW


async def test_a_broken_download_starts_again_if_the_url_redirects_to_another_file(
    fal: Session, tmp_path: Path
) -> None:
    def answer(asked: Asked) -> Says:
        if asked.path == "/f.png":
            return Says(b"", {"location": "/old.png" if len(host.asked) == 1 else "/new.png"}, 302)
        if asked.path == "/old.png":
            return Says(OLD, V1, only=CUT)
        return part(NEW, start_of(asked), V2) if "range" in asked.headers else Says(NEW, V2)

    async with file_host(answer) as host:
        path = await fal.storage.download(f"{host.url}/f.png", tmp_path / "f.png")
    assert path.read_bytes() == NEW


async def test_a_download_that_always_breaks_and_changes_ends_in_an_error(
    fal: Session, tmp_path: Path
) -> None:
    """The breaks alternate between two offsets, so that every second one is farther than the one before it."""

    def answer(_: Asked) -> Says:
        version = len(host.asked)
        return Says(OLD, {"etag": f'"{version}"'}, only=CUT + 100 * (version % 2))

    async with file_host(answer) as host:
        with pytest.raises(TransportError, match="broke before the end"):
            await fal.storage.download(f"{host.url}/f.png", tmp_path / "f.png")
        assert len(host.asked) <= 8
    assert list(tmp_path.iterdir()) == []


async def test_a_shorter_version_leaves_no_bytes_of_a_longer_one_in_the_file(
    fal: Session, tmp_path: Path
) -> None:
    first = Says(OLD, V1, only=900)
    data, _ = await outcome(fal, tmp_path, first, lambda _: Says(SHORT, V2), Says(SHORT, V2))
    assert data == SHORT
