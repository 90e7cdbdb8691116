"""Uploads in one request: route C and its fallback, tokens, names and content types, files that are refused."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import fal_async
from fal_async import (
    AuthenticationError,
    ConfigurationError,
    File,
    RetryPolicy,
    Session,
    StorageSettings,
    TransportError,
    UploadError,
    encode_file,
)
from fal_async.emulator import Emulator, Fault
from fal_async.protocol.storage.media import HEAD
from fal_async.storage.sources import opened
from tests.storage.conftest import QUICK
from tests.storage.pictures import PNG, KiB, header, some_bytes, some_file, stored

ONCE = RetryPolicy(max_attempts=1)
PARTS: dict[str, Any] = {"multipart_above": 1000 * KiB, "part_size": 500 * KiB}


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_path_is_uploaded_with_its_name_and_a_cdn_token(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path = some_file(tmp_path, 3 * KiB, "cat.png")
    url = await fal.storage.upload(path)
    assert url.endswith("/cat.png")
    assert stored(emulator, url) == path.read_bytes()
    assert header(emulator, "upload", "Content-Type") == "image/png"
    assert header(emulator, "upload", "Authorization") != f"Key {emulator.key}"
    assert await fal.storage.upload(str(path)) != url
    assert (emulator.count("cdn_token"), emulator.count("upload")) == (1, 2)


@pytest.mark.parametrize(
    ("data", "options", "name", "content_type"),
    [
        (PNG + b"x", {}, "upload.bin", "image/png"),
        (b"plain", {}, "upload.bin", "application/octet-stream"),
        (b"plain", {"file_name": "a.mp4"}, "a.mp4", "video/mp4"),
        (b"plain", {"file_name": "../Zürich.png"}, "Zurich.png", "image/png"),
        (File(b"plain", content_type="image/gif", file_name="a.png"), {}, "a.png", "image/gif"),
        (File(b"plain", file_name="a.png"), {"content_type": "audio/wav"}, "a.png", "audio/wav"),
        (bytearray(b"x"), {}, "upload.bin", "application/octet-stream"),
    ],
)
async def test_an_upload_has_the_given_or_guessed_name_and_content_type(
    fal: Session, emulator: Emulator, data: Any, options: dict[str, str], name: str, content_type: str
) -> None:
    await fal.storage.upload(data, **options)  # type: ignore[arg-type]
    assert header(emulator, "upload", "X-Fal-File-Name") == name
    assert header(emulator, "upload", "Content-Type") == content_type


async def test_a_non_ascii_file_name_is_kept_on_the_presigned_route(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(400, on="upload"))
    await fal.storage.upload(b"x", file_name="日本.png")
    asked = [request for request in emulator.requests if request.kind == "initiate"]
    assert json.loads(asked[0].body)["file_name"] == "日本.png"
    assert header(emulator, "upload", "Content-Type") == "image/png"


async def test_a_tilde_in_an_upload_path_means_the_home_folder(
    fal: Session, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "a.txt").write_bytes(b"data")
    for path in ("~/a.txt", Path("~/a.txt"), File("~/a.txt")):
        assert stored(emulator, await fal.storage.upload(path)) == b"data"
    assert encode_file("~/a.txt") == "data:text/plain;base64,ZGF0YQ=="


async def test_a_file_object_is_uploaded_from_its_position_and_left_open(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path = some_file(tmp_path, 5 * KiB)
    with path.open("rb") as handle:
        handle.seek(KiB)
        url = await fal.storage.upload(handle)
        assert handle.tell() == KiB, "still open, with its position restored"
    assert stored(emulator, url) == path.read_bytes()[KiB:]
    assert url.endswith("/big.bin")


async def test_an_async_iterable_is_sent_again_after_a_failed_attempt(
    fal: Session, emulator: Emulator
) -> None:
    parts = [some_bytes(KiB, seed) for seed in range(5)]
    emulator.faults.add(Fault.reset(on="upload"), Fault.answer(503, on="upload"))
    url = await fal.storage.upload(pieces(*parts), size=5 * KiB)
    assert stored(emulator, url) == b"".join(parts)


async def test_the_output_of_a_subprocess_is_uploaded_whole(fal: Session, emulator: Emulator) -> None:
    """The output has no line breaks, like that of ffmpeg: reading it by lines would fail after 64 KiB."""
    command = ("head", "-c", "300000", "/dev/zero")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    url = await fal.storage.upload(process.stdout)
    await process.wait()
    assert stored(emulator, url) == bytes(300_000)


class WebUpload:
    """An uploaded file as web frameworks pass it to a handler, with an async `read`."""

    filename = "cat.png"

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


async def test_an_upload_object_of_a_web_framework_is_uploaded_with_its_name(
    fal: Session, emulator: Emulator
) -> None:
    url = await fal.storage.upload(WebUpload(b"meow"))
    assert url.endswith("/cat.png")
    assert stored(emulator, url) == b"meow"


@pytest.mark.parametrize("buffering", [0, -1])
async def test_concurrent_uploads_of_one_file_object_each_send_all_of_it(
    fal: Session, emulator: Emulator, tmp_path: Path, buffering: int
) -> None:
    path = some_file(tmp_path, 3000 * KiB)
    with path.open("rb", buffering=buffering) as handle:
        as_two = {"a": File(handle, content_type="image/png"), "b": File(handle, content_type="image/gif")}
        *urls, input = await asyncio.gather(
            *(fal.storage.upload(handle, **PARTS) for _ in range(3)), fal.storage.transform_input(as_two)
        )
        assert handle.tell() == 0
    for url in (*urls, *input.values()):
        assert stored(emulator, url) == path.read_bytes()


async def test_a_file_object_in_use_by_another_event_loop_is_refused() -> None:
    """The reads must not be mixed, and an asyncio lock can't wake a waiter in another event loop."""
    file = io.BytesIO(b"x")

    async def size_of() -> int:
        async with opened(file) as source:
            return source.size

    async with opened(file):
        with pytest.raises(UploadError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, size_of())
    assert await asyncio.to_thread(asyncio.run, size_of()) == 1


async def test_the_second_upload_of_an_object_that_is_readable_once_fails(
    fal: Session, emulator: Emulator
) -> None:
    upload = WebUpload(b"meow")
    ends = await asyncio.gather(*(fal.storage.upload(upload) for _ in range(2)), return_exceptions=True)
    assert [type(end) for end in ends] == [str, UploadError], "the second upload has no bytes left to read"


async def test_a_pillow_image_is_uploaded_as_png_or_in_the_format_of_its_name(
    fal: Session, emulator: Emulator
) -> None:
    from PIL import Image

    picture = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    url = await fal.storage.upload(picture)
    assert stored(emulator, url).startswith(PNG)
    url = await fal.storage.upload(picture, file_name="a.jpg")
    assert stored(emulator, url).startswith(b"\xff\xd8\xff")
    assert header(emulator, "upload", "Content-Type") == "image/jpeg"


async def test_lifecycle_and_acl_are_sent_in_both_headers(fal: Session, emulator: Emulator) -> None:
    await fal.storage.upload(b"x", lifecycle=StorageSettings(expires_in="1h", initial_acl="hide"))
    wanted = {"expiration_duration_seconds": 3600, "initial_acl": {"default": "hide"}}
    for name in ("X-Fal-Object-Lifecycle", "X-Fal-Object-Lifecycle-Preference"):
        assert json.loads(header(emulator, "upload", name) or "") == wanted
    assert next(iter(emulator.uploads.values())).lifecycle.expires_in == 3600


async def test_the_reported_progress_of_an_upload_never_decreases(fal: Session, emulator: Emulator) -> None:
    reported: list[tuple[int, int]] = []
    emulator.faults.add(Fault.reset(on="upload"))
    size = 1200 * KiB
    await fal.storage.upload(some_bytes(size), on_progress=lambda sent, total: reported.append((sent, total)))
    assert reported == sorted(set(reported)), "it never decreases, even if bytes are sent again"
    assert reported[-1] == (size, size)
    assert len(reported) == 3


async def test_the_progress_callback_of_an_upload_may_be_async(fal: Session) -> None:
    reported: list[tuple[int, int]] = []

    async def tell(sent: int, total: int) -> None:
        await asyncio.sleep(0)
        reported.append((sent, total))

    await fal.storage.upload(b"abc", on_progress=tell)
    assert reported == [(3, 3)]


# Tokens.


async def test_concurrent_uploads_of_one_key_fetch_one_cdn_token(fal: Session, emulator: Emulator) -> None:
    view = fal.with_options(tags={"a": "b"})
    await asyncio.gather(*(session.storage.upload(b"x") for session in [fal, view] * 10))
    assert (emulator.count("cdn_token"), emulator.count("upload")) == (1, 20)
    other = fal.with_options(credentials=emulator.key)
    await other.storage.upload(b"x")
    assert emulator.count("cdn_token") == 2, "credentials never share a token"


async def test_a_cancelled_upload_does_not_cancel_the_token_fetch_of_the_others(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.stall(1, on="cdn_token"))
    first = asyncio.create_task(fal.storage.upload(b"x"))
    await emulator.wait_for("cdn_token")
    second = asyncio.create_task(fal.storage.upload(b"x"))
    first.cancel()
    assert await second
    assert first.cancelled()


async def test_a_failed_token_fetch_is_shared_by_all_waiting_uploads(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.answer(400, on="cdn_token", times=None))
    urls = await asyncio.gather(*(fal.storage.upload(b"x") for _ in range(20)))
    assert len(set(urls)) == 20, "uploaded by route A"
    assert emulator.count("cdn_token") == 1, "not one fetch after the other for each upload"
    emulator.faults.clear()
    await fal.storage.upload(b"x")
    assert (emulator.count("cdn_token"), emulator.count("initiate")) == (2, 20)


async def test_a_refused_cdn_token_is_renewed_once(fal: Session, emulator: Emulator) -> None:
    await fal.storage.upload(b"x")
    emulator.revoke_cdn_tokens()
    await asyncio.gather(*(fal.storage.upload(b"x") for _ in range(5)))
    assert emulator.count("cdn_token") == 2
    assert emulator.count("initiate") == 0


async def test_a_cdn_token_is_renewed_before_it_expires(tmp_path: Path) -> None:
    async with (
        Emulator(folder=tmp_path, cdn_token_lifetime=0.4) as emulator,
        Session(emulator.key, hosts=emulator.hosts, retry=QUICK) as fal,
    ):
        async with asyncio.timeout(10):
            while emulator.count("cdn_token") < 3:
                await fal.storage.upload(b"x")
        refused = [request for request in emulator.requests if request.status == 401]
        assert refused == []


# The fallback.


async def test_an_upload_uses_a_presigned_url_if_the_cdn_refuses_it(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(400, on="upload"))
    url = await fal.storage.upload(b"data", lifecycle=StorageSettings(initial_acl="forbid"))
    assert stored(emulator, url) == b"data"
    assert header(emulator, "initiate", "X-Fal-Object-Lifecycle") is not None
    assert header(emulator, "upload", "Authorization") is None, "a presigned URL never gets the key"


async def test_an_upload_uses_a_presigned_url_if_no_token_can_be_fetched(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.answer(500, on="cdn_token", times=None))
    assert stored(emulator, await fal.storage.upload(b"data")) == b"data"


async def test_an_upload_that_fails_on_both_routes_reports_both_causes(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.answer(418, on="upload", detail="the first", times=1))
    emulator.faults.add(Fault.answer(409, on="initiate", detail="the second", times=None))
    with pytest.raises(UploadError, match=r"upload\.bin.*418 the first.*409 the second") as caught:
        await fal.storage.upload(b"data")
    assert "the first" in str(caught.value.__cause__)
    assert [getattr(cause, "status", None) for cause in caught.value.causes] == [418, 409]


@pytest.mark.parametrize(
    "url",
    [
        "https://x:99999/",
        "https://x:y/",
        "https://[::1",
        "https://\u2100.com/",
        "//x",
        "ftp://x/",
        "x:0",
        "\0",
    ],
)
async def test_an_invalid_presigned_url_raises_an_upload_error(
    fal: Session, emulator: Emulator, url: str
) -> None:
    emulator.faults.add(Fault.answer(404, on="cdn_token", times=None))
    answer = json.dumps({"upload_url": url, "file_url": "https://v3.fal.media/x"})
    emulator.faults.add(Fault.answer(200, body=answer, on="initiate", times=None))
    with pytest.raises(UploadError, match="no host or port that can be reached"):
        await fal.storage.upload(b"data")


async def test_an_upload_with_a_wrong_key_raises_an_authentication_error(emulator: Emulator) -> None:
    async with Session("wrong:key", hosts=emulator.hosts) as fal:
        with pytest.raises(AuthenticationError):
            await fal.storage.upload(b"x")
    assert emulator.count("upload") == 0


async def test_an_upload_without_a_connection_raises_a_retryable_upload_error(emulator: Emulator) -> None:
    async with Session(emulator.key, hosts=emulator.hosts, retry=ONCE) as fal:
        await emulator.pause()
        with pytest.raises(UploadError, match="no connection") as caught:
            await fal.storage.upload(b"x")
        await emulator.resume()
    assert isinstance(caught.value.__cause__, TransportError)
    assert caught.value.retryable


# Files and options that are refused.


async def test_a_file_that_cannot_be_read_is_refused_before_anything_is_sent(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.bin"
    empty.touch()
    with some_file(tmp_path, 5).open("rb") as closed:
        pass
    reading_end, writing_end = os.pipe()
    os.close(reading_end)
    with (tmp_path / "written").open("wb") as written, os.fdopen(writing_end, "wb") as pipe:
        written.write(b"x")
        written.seek(0)
        await _refused_files(fal, tmp_path, empty, closed, written, pipe)
    assert emulator.requests == []


async def _refused_files(
    fal: Session, tmp_path: Path, empty: Path, closed: Any, written: Any, pipe: Any
) -> None:
    for file, word in (
        (tmp_path, "is a directory"),
        (tmp_path / "missing.png", r"missing\.png' can't be read: No such file"),
        (empty, r"empty\.bin is empty"),
        (b"", "is empty"),
        ("/dev/null", "not a regular file"),
        (pieces(), "is empty"),
        (closed, r"big\.bin can't be read: I/O operation on closed file"),
        (written, r"written can't be read"),
        (pipe, "can't be read"),
    ):
        with pytest.raises(UploadError, match=word):
            await fal.storage.upload(file)


@pytest.mark.parametrize(
    ("file", "options", "word"),
    [
        (5, {}, "file is of type int"),
        (b"x", {"content_type": "png"}, "content_type"),
        (b"x", {"part_size": 0}, "part_size"),
        (b"x", {"parallel": 0}, "parallel"),
        (b"x", {"multipart_above": -1}, "multipart_above"),
        (b"x", {"resume": 5}, "resume"),
        (b"x", {"size": "1"}, "size"),
        (b"x", {"content_type": b"image/png"}, "content_type"),
        (b"x", {"content_type": "imäge/png"}, "content_type"),
        (b"x", {"file_name": Path("x.png")}, "file_name is of type PosixPath"),
        (b"x", {"lifecycle": {"expires_in": "1h"}}, "lifecycle is of type dict: expected StorageSettings"),
    ],
)
async def test_a_wrong_option_of_upload_is_refused_before_anything_is_sent(
    fal: Session, emulator: Emulator, file: Any, options: dict[str, Any], word: str
) -> None:
    with pytest.raises(ConfigurationError, match=word):
        await fal.storage.upload(file, **options)
    assert emulator.requests == []


async def test_a_text_file_and_a_wrong_size_are_refused_before_anything_is_sent(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    with (
        some_file(tmp_path, 5).open(encoding="latin-1") as text,
        pytest.raises(ConfigurationError, match="binary"),
    ):
        await fal.storage.upload(text)
    with pytest.raises(UploadError, match=r"size=5: upload\.bin has 4 bytes"):
        await fal.storage.upload(pieces(b"data"), size=5)
    with pytest.raises(ConfigurationError, match="expected bytes"):
        await fal.storage.upload(pieces("text"))  # type: ignore[arg-type]
    assert emulator.requests == []


async def test_an_error_of_an_async_iterable_is_raised_unchanged_by_upload(
    fal: Session, emulator: Emulator
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise RuntimeError("the camera fell down")

    with pytest.raises(RuntimeError, match="camera"):
        await fal.storage.upload(broken())
    assert emulator.requests == []


async def test_a_file_that_shrinks_or_grows_during_its_upload_is_refused(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path = some_file(tmp_path, 3000 * KiB)
    with pytest.raises(UploadError, match="shrank"):
        await fal.storage.upload(path, on_progress=lambda *_: truncate(path))
    assert emulator.count("initiate") == 0
    path = some_file(tmp_path, 3000 * KiB)
    with pytest.raises(UploadError, match="changed while it was read"):
        await fal.storage.upload(path, on_progress=lambda *_: append(path))


class _Slow(io.BytesIO):
    """A file on a disk that hangs: reading beyond the first bytes blocks until `go` is set."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.begun, self.go, self.over = threading.Event(), threading.Event(), False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() + (size or 0) > HEAD:
            self.begun.set()
            assert self.go.wait(30)
            self.over = True
        return super().read(size)


async def test_a_cancelled_upload_waits_for_the_thread_that_reads_its_file(fal: Session) -> None:
    """The task that sends the body belongs to aiohttp, which cancels it without waiting for it."""
    file = _Slow(some_bytes(64 * KiB))
    uploading = asyncio.create_task(fal.storage.upload(file))
    await asyncio.to_thread(file.begun.wait, 30)
    uploading.cancel()
    await asyncio.wait([uploading], timeout=0.1)
    file.go.set()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    assert file.over


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(600 * KiB)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


async def test_the_module_level_upload_shortcut_stores_the_file(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_BASE_URL", emulator.url)
    monkeypatch.setenv("FAL_KEY", emulator.key)
    assert stored(emulator, await fal_async.upload(b"data")) == b"data"
    from fal_async.session.shortcuts import current_session

    await (await current_session()).aclose()


async def test_the_response_timeout_of_an_upload_excludes_the_time_to_send(
    fal: Session, emulator: Emulator
) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            time.sleep(0.1)  # in a thread
            return super().read(size)

    data = some_bytes(3000 * KiB)
    hasty = fal.with_options(timeout=0.3)
    assert stored(emulator, await hasty.storage.upload(Slow(data))) == data
    assert emulator.count("upload") == 1
