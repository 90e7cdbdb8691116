"""Uploads that are resumed after a crash, a cancellation or a failure."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from fal_async import ConfigurationError, Session, UploadError, UploadState
from fal_async.emulator import Emulator, Fault
from tests.servers.serving import listening
from tests.storage.pictures import KiB, requests_of_parts, some_bytes, some_file, stored

PART = 16 * KiB
SMALL: dict[str, Any] = {"multipart_above": PART, "part_size": PART, "parallel": 4}
COUNT = 40


async def interrupted(fal: Session, emulator: Emulator, file: Any, resume: Any, after: int = 12) -> set[int]:
    """Cancel an upload after `after` parts. Return the numbers of the parts that the server has."""
    stall = Fault.stall(30, on="part", taken=False, after=after, times=None)
    emulator.faults.add(stall)
    task = asyncio.create_task(fal.storage.upload(file, **SMALL, resume=resume))
    await emulator.wait_for("part", after + SMALL["parallel"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    emulator.faults.remove(stall)
    arrived = set(next(iter(emulator.uploads.values())).parts)
    assert len(arrived) == after
    emulator.clear_requests()
    return arrived


@pytest.mark.parametrize("route", ["cdn", "presigned"])
async def test_a_cancelled_upload_is_resumed_with_the_missing_parts(
    fal: Session, emulator: Emulator, tmp_path: Path, route: str
) -> None:
    if route == "presigned":
        emulator.faults.add(Fault.answer(418, on="multipart"))
    path, record = some_file(tmp_path, COUNT * PART), tmp_path / "big.resume"
    arrived = await interrupted(fal, emulator, path, record)
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    reported: list[int] = []
    url = await fal.storage.upload(
        path, **SMALL, resume=record, on_progress=lambda sent, _: reported.append(sent)
    )
    assert stored(emulator, url) == path.read_bytes()
    assert set(requests_of_parts(emulator)) == set(range(1, COUNT + 1)) - arrived
    assert reported[0] >= 12 * PART
    assert reported[-1] == COUNT * PART
    assert not record.exists(), "deleted after the upload"


async def test_an_upload_is_resumed_from_a_stored_upload_state(fal: Session, emulator: Emulator) -> None:
    data, saved = some_bytes(COUNT * PART), [""]
    state = UploadState(on_change=lambda state: saved.append(state.to_json()))
    arrived = await interrupted(fal, emulator, data, state)
    assert len(saved) == 2 + len(arrived)
    again = UploadState.from_json(saved[-1])
    url = await fal.storage.upload(data, **SMALL, resume=again)
    assert stored(emulator, url) == data
    assert emulator.count("part") == COUNT - len(arrived)
    assert again.to_json() == ""


async def test_a_failed_upload_is_resumed_with_the_parts_that_are_not_recorded(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path, record = some_file(tmp_path, COUNT * PART), tmp_path / "record"
    broken = Fault.answer(400, on="part", after=10, times=None)
    emulator.faults.add(broken)
    with pytest.raises(UploadError):
        await fal.storage.upload(path, **SMALL, resume=record)
    emulator.faults.remove(broken)
    await emulator.restart()  # requests that were cut off must not arrive, and be counted, later
    noted = record.read_text().count('{"part":')
    assert 10 - SMALL["parallel"] <= noted <= 10, "a cancelled part may have lost its response"
    emulator.clear_requests()
    assert stored(emulator, await fal.storage.upload(path, **SMALL, resume=record)) == path.read_bytes()
    assert emulator.count("part") == COUNT - noted


@pytest.mark.parametrize("change", ["content", "size"])
async def test_a_resumed_upload_of_another_file_with_the_same_name_starts_again(
    fal: Session, emulator: Emulator, tmp_path: Path, change: str
) -> None:
    path, record = some_file(tmp_path, COUNT * PART), tmp_path / "record"
    await interrupted(fal, emulator, path, record)
    some_file(tmp_path, COUNT * PART - (change == "size"), seed=2)
    assert stored(emulator, await fal.storage.upload(path, **SMALL, resume=record)) == path.read_bytes()
    assert emulator.count("part") == COUNT
    assert emulator.count("multipart") == 1


async def test_a_resumed_upload_with_another_content_type_starts_again(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path, record = some_file(tmp_path, COUNT * PART), tmp_path / "record"
    await interrupted(fal, emulator, path, record)
    await fal.storage.upload(path, **SMALL, resume=record, content_type="video/mp4")
    assert emulator.count("part") == COUNT


async def test_a_resumed_upload_keeps_the_part_size_of_the_record(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path, record = some_file(tmp_path, COUNT * PART), tmp_path / "record"
    arrived = await interrupted(fal, emulator, path, record)
    url = await fal.storage.upload(path, **{**SMALL, "part_size": 3 * PART}, resume=record)
    assert stored(emulator, url) == path.read_bytes()
    assert emulator.count("part") == COUNT - len(arrived)


async def test_a_resumed_upload_that_the_server_has_dropped_starts_again(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path, record = some_file(tmp_path, COUNT * PART), tmp_path / "record"
    await interrupted(fal, emulator, path, record)
    emulator.forget_uploads()
    assert stored(emulator, await fal.storage.upload(path, **SMALL, resume=record)) == path.read_bytes()
    assert emulator.count("multipart") == 1


@pytest.mark.parametrize("status", [400, 403])
async def test_a_resumed_upload_whose_presigned_url_has_expired_starts_again(
    fal: Session, emulator: Emulator, tmp_path: Path, status: int
) -> None:
    emulator.faults.add(Fault.answer(418, on="multipart", times=None))
    path, record = some_file(tmp_path, COUNT * PART), tmp_path / "record"
    await interrupted(fal, emulator, path, record)
    emulator.faults.add(Fault.answer(status, on="part", detail="Request has expired"))
    assert stored(emulator, await fal.storage.upload(path, **SMALL, resume=record)) == path.read_bytes()
    assert emulator.count("initiate") == 1, "a new upload, with all parts"
    assert not record.exists()


async def test_a_file_that_is_not_a_resume_record_is_refused_and_kept(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path, record = some_file(tmp_path, COUNT * PART), tmp_path / "record"
    record.write_text("my diary")
    with pytest.raises(ConfigurationError, match="not a record of an upload"):
        await fal.storage.upload(path, **SMALL, resume=record)
    assert record.read_text() == "my diary"
    with pytest.raises(UploadError, match="resume record"):
        await fal.storage.upload(path, **SMALL, resume=tmp_path)
    assert emulator.requests == []


async def test_an_upload_in_one_piece_leaves_no_resume_record(fal: Session, tmp_path: Path) -> None:
    await fal.storage.upload(b"small", resume=tmp_path / "record")
    assert not (tmp_path / "record").exists()


UPLOADER = """
import asyncio, sys
from fal_async import Session

async def main() -> None:
    async with Session() as fal:
        url = await fal.storage.upload(
            sys.argv[1], resume=sys.argv[2], multipart_above=0, part_size=int(sys.argv[3]), parallel=4,
        )
    print(url)

asyncio.run(main())
"""


async def test_an_upload_of_a_killed_process_is_resumed_with_the_missing_parts(
    emulator: Emulator, tmp_path: Path
) -> None:
    path, record = some_file(tmp_path, COUNT * PART), tmp_path / "record"
    arguments = [sys.executable, "-c", UPLOADER, str(path), str(record), str(PART)]
    environment = {**os.environ, "FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key}
    emulator.faults.add(Fault.stall(60, on="part", taken=False, after=15, times=None))
    process = await asyncio.create_subprocess_exec(*arguments, env=environment)
    await emulator.wait_for("part", 15 + 4, timeout=30)
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    emulator.faults.clear()
    arrived = set(next(iter(emulator.uploads.values())).parts)
    noted = record.read_text().count('{"part":')
    assert len(arrived) - 4 <= noted <= len(arrived) == 15
    emulator.clear_requests()

    process = await asyncio.create_subprocess_exec(
        *arguments, env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert stored(emulator, out.decode().strip()) == path.read_bytes()
    assert emulator.count("part") == COUNT - noted
    assert max(requests_of_parts(emulator).values()) == 1
    assert not record.exists()


# Records that others could have changed, and files that are not records.


def changed(record: str, **values: Any) -> str:
    first, rest = record.split("\n", 1)
    return json.dumps({**json.loads(first), **values}) + "\n" + rest


@pytest.mark.parametrize("presigned", [False, True], ids=["cdn", "presigned"])
@pytest.mark.parametrize(
    "names", [["upload_url"], ["file_url"], ["upload_url", "file_url"]], ids=" and ".join
)
@pytest.mark.parametrize("kept_in", ["a file", "a value"])
async def test_a_resume_record_that_names_another_host_is_ignored(
    fal: Session, emulator: Emulator, tmp_path: Path, kept_in: str, names: list[str], presigned: bool
) -> None:
    """Neither the token nor the file is sent to another host, and its URL is not returned."""
    path, record = some_file(tmp_path, COUNT * PART), tmp_path / "record"
    await interrupted(fal, emulator, path, record)
    async with listening(_is_never_asked) as stranger:
        values: dict[str, Any] = dict.fromkeys(names, f"{stranger}/take")
        text = changed(record.read_text(), **values, presigned=presigned)
        record.write_text(text)
        resume = record if kept_in == "a file" else UploadState.from_json(text)
        url = await fal.storage.upload(path, **SMALL, resume=resume)
    assert stored(emulator, url) == path.read_bytes()
    assert emulator.count("part") == COUNT


async def _is_never_asked(request: web.BaseRequest) -> web.Response:
    raise AssertionError(f"{request.path} was requested")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
async def test_a_resume_record_that_other_users_can_write_is_replaced_by_a_private_one(
    fal: Session, emulator: Emulator, tmp_path: Path, mode: int
) -> None:
    path, record = some_file(tmp_path, COUNT * PART), tmp_path / "record"
    await interrupted(fal, emulator, path, record)
    record.chmod(mode)
    modes: set[int] = set()

    def look(*_: int) -> None:
        if record.exists():
            modes.add(stat.S_IMODE(record.stat().st_mode))

    url = await fal.storage.upload(path, **SMALL, resume=record, on_progress=look)
    assert stored(emulator, url) == path.read_bytes()
    assert emulator.count("part") == COUNT
    assert modes == {0o600}


@pytest.mark.parametrize("mode", [0o644, 0o400])
async def test_a_resume_record_that_other_users_can_read_is_made_private(
    fal: Session, emulator: Emulator, tmp_path: Path, mode: int
) -> None:
    path, record = some_file(tmp_path, COUNT * PART), tmp_path / "record"
    arrived = await interrupted(fal, emulator, path, record)
    record.chmod(mode)
    emulator.faults.add(Fault.answer(400, on="part", times=None))
    with pytest.raises(UploadError):
        await fal.storage.upload(path, **SMALL, resume=record)
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert record.read_text().count('{"part":') == len(arrived)


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"a\0b"


@pytest.mark.parametrize("record", ["", "no\0name", BytesPath(), 5])
async def test_an_invalid_path_of_a_resume_record_is_refused_before_anything_is_sent(
    fal: Session, emulator: Emulator, tmp_path: Path, record: Any
) -> None:
    with pytest.raises(ConfigurationError, match=r"^resume"):
        await fal.storage.upload(some_file(tmp_path, COUNT * PART), **SMALL, resume=record)
    assert emulator.count() == 0


async def test_a_resume_path_that_is_not_a_regular_file_is_refused_and_kept(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path, other = some_file(tmp_path, COUNT * PART), tmp_path / "other"
    other.write_text("precious")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(other)
    (tmp_path / "to-device").symlink_to("/dev/null")
    for name in ("pipe", "link", "to-device", "no-folder/record", "."):
        with pytest.raises(UploadError, match="resume record"):
            await fal.storage.upload(path, **SMALL, resume=tmp_path / name)
    with pytest.raises(UploadError, match="not a regular file"):
        await fal.storage.upload(path, **SMALL, resume="/dev/null")
    assert other.read_text() == "precious"
    assert (tmp_path / "pipe").is_fifo()
    assert emulator.count("part") == 0


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe\x00",
        b"[]",
        b'{"fal_upload":1}',
        b'{"fal_upload":1,"size":1e999,"part_size":1}',
        b"[" * 100_000,
        b'{"fal_upload":2}\n',
    ],
    ids=["binary", "a list", "truncated", "infinite size", "deeply nested", "another version"],
)
async def test_a_damaged_resume_record_is_refused_and_kept(
    fal: Session, emulator: Emulator, tmp_path: Path, text: bytes
) -> None:
    path, record = some_file(tmp_path, COUNT * PART), tmp_path / "record"
    record.write_bytes(text)
    with pytest.raises(ConfigurationError, match="not a record of an upload"):
        await fal.storage.upload(path, **SMALL, resume=record)
    assert record.read_bytes() == text
    assert emulator.requests == []


async def test_an_upload_returns_its_url_if_its_resume_record_cannot_be_removed(
    fal: Session, emulator: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, record = some_file(tmp_path, 2 * PART), tmp_path / "record"
    emulator.faults.add(Fault.stall(0.5, on="complete"))
    upload = asyncio.create_task(fal.storage.upload(path, **SMALL, resume=record))
    await emulator.wait_for("complete")
    record.unlink()
    record.mkdir()
    assert stored(emulator, await upload) == path.read_bytes()
    assert "resume record" in caplog.text
