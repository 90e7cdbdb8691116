"""Uploads in parts (small parts here): failures, tokens, outages, cancellation, files that change."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fal_async import NotFoundError, RetryPolicy, Session, StorageSettings, UploadError
from fal_async.emulator import Emulator, Fault
from tests.storage.conftest import QUICK
from tests.storage.outage import Outage
from tests.storage.pictures import KiB, header, requests_of_parts, some_bytes, some_file, stored

PART = 16 * KiB
SMALL: dict[str, Any] = {"multipart_above": PART, "part_size": PART, "parallel": 4}


async def test_an_upload_in_parts_sends_each_part_once_and_completes_in_order(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path = some_file(tmp_path, 40 * PART + 5)
    url = await fal.storage.upload(path, **SMALL)
    assert hashlib.sha256(stored(emulator, url)).digest() == hashlib.sha256(path.read_bytes()).digest()
    assert requests_of_parts(emulator) == Counter(range(1, 42))
    assert header(emulator, "part", "Accept-Encoding") == "identity"
    listed = json.loads(next(r.body for r in emulator.requests if r.kind == "complete"))["parts"]
    assert [part["partNumber"] for part in listed] == list(range(1, 42))
    assert (emulator.count("multipart"), emulator.count("complete"), emulator.count("cdn_token")) == (1, 1, 1)


@pytest.mark.parametrize("size", [PART + 1, 2 * PART, 2 * PART + 1])
async def test_an_upload_near_a_multiple_of_the_part_size_is_complete(
    fal: Session, emulator: Emulator, size: int
) -> None:
    assert len(stored(emulator, await fal.storage.upload(some_bytes(size), **SMALL))) == size
    assert emulator.count("part") == -(-size // PART)


async def test_a_file_of_exactly_multipart_above_bytes_is_sent_in_one_piece(
    fal: Session, emulator: Emulator
) -> None:
    await fal.storage.upload(some_bytes(PART), **SMALL)
    assert (emulator.count("upload"), emulator.count("multipart")) == (1, 0)


async def test_bytes_iterables_and_file_objects_are_uploaded_in_parts(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    data = some_bytes(5 * PART + 1)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 1000):
            yield data[at : at + 1000]

    with some_file(tmp_path, len(data)).open("rb") as handle:
        for source in (data, pieces(), handle):
            assert stored(emulator, await fal.storage.upload(source, **SMALL)) == data


async def test_an_upload_sends_at_most_parallel_parts_at_a_time(emulator: Emulator) -> None:
    emulator.faults.add(Fault.stall(0.02, on="part", times=None))
    async with Session(emulator.key, hosts=emulator.hosts) as fal:
        await fal.storage.upload(some_bytes(12 * PART), **{**SMALL, "parallel": 3})
    assert emulator.connections_opened <= 3


@pytest.mark.parametrize("seed", range(3))
async def test_a_part_is_sent_once_more_for_each_of_its_failures(
    fal: Session, emulator: Emulator, seed: int
) -> None:
    """About every tenth part fails, at random."""
    emulator.faults.seed(seed)
    emulator.faults.add(
        Fault.answer(503, on="part", chance=0.04, times=None),
        Fault.answer(500, on="part", chance=0.03, times=None),
        Fault.reset(on="part", chance=0.03, times=None),
        Fault.close(on="part", taken=True, chance=0.03, times=None),
    )
    data = some_bytes(100 * PART)
    url = await fal.storage.upload(data, **SMALL)
    assert stored(emulator, url) == data
    assert emulator.faults.struck > 0
    assert emulator.count("part") == 100 + emulator.faults.struck
    assert emulator.count("multipart") == emulator.count("complete") == 1


async def test_an_upload_in_parts_renews_a_token_that_is_revoked(fal: Session, emulator: Emulator) -> None:
    revoked = 0

    def revoke(sent: int, total: int) -> None:
        nonlocal revoked
        if sent > total * (revoked + 1) / 3:
            revoked += 1
            emulator.revoke_cdn_tokens()

    data = some_bytes(60 * PART)
    url = await fal.storage.upload(data, **SMALL, on_progress=revoke)
    assert stored(emulator, url) == data
    refused = Counter(r.status for r in emulator.requests if r.kind in ("part", "complete"))[401]
    assert emulator.count("part") + emulator.count("complete") == 61 + refused
    assert revoked == 2
    assert emulator.count("cdn_token") == 1 + revoked
    assert 0 < refused <= 4 * revoked, "at most the parts being sent"


async def test_an_upload_in_parts_survives_an_outage_of_the_server(fal: Session, emulator: Emulator) -> None:
    outage = Outage(emulator)

    def begin(sent: int, total: int) -> None:
        if sent > total / 2:
            outage.begin()

    patient = fal.with_options(retry=outage.policy)
    data = some_bytes(60 * PART)
    url = await patient.storage.upload(data, **SMALL, on_progress=begin)
    await outage.over()
    assert stored(emulator, url) == data
    assert max(requests_of_parts(emulator).values()) <= 2
    assert emulator.count("part") <= 60 + SMALL["parallel"]


async def test_a_part_that_always_fails_ends_the_upload_with_its_number(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.answer(400, on="part", after=5, detail="no such luck", times=None))
    with pytest.raises(UploadError, match=r"upload\.bin: part \d+ of 40: 400 no such luck") as caught:
        await fal.storage.upload(some_bytes(40 * PART), **SMALL)
    assert caught.value.part is not None
    assert caught.value.to_dict()["part"] == caught.value.part
    assert getattr(caught.value.__cause__, "status", None) == 400
    assert emulator.count("initiate") == 0, "parts are stored already, so there is no fallback"
    assert emulator.count("complete") == 0
    await asyncio.sleep(0.05)  # requests already sent arrive; no further ones are sent
    assert emulator.count("part") <= 5 + SMALL["parallel"]


async def test_a_cancelled_upload_in_parts_sends_nothing_more(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.stall(30, on="part", after=8, times=None))
    task = asyncio.create_task(fal.storage.upload(some_bytes(40 * PART), **SMALL))
    await emulator.wait_for("part", 12)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert emulator.count("part") == 12
    assert emulator.count("complete") == 0


async def test_an_error_of_the_progress_callback_ends_the_upload_unchanged(
    fal: Session, emulator: Emulator
) -> None:
    def fails(*_: int) -> None:
        raise RuntimeError("my own mistake")

    for size in (PART, 40 * PART):
        with pytest.raises(RuntimeError, match="my own"):
            await fal.storage.upload(some_bytes(size), **SMALL, on_progress=fails)
    assert emulator.count("complete") == emulator.count("initiate") == 0


async def test_an_upload_in_parts_uses_presigned_urls_if_the_cdn_cannot_begin(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.answer(418, on="multipart"))
    emulator.faults.add(Fault.answer(503, on="part", chance=0.1, times=None))
    data = some_bytes(40 * PART)
    url = await fal.storage.upload(data, **SMALL, lifecycle=StorageSettings(expires_in="1d"))
    assert stored(emulator, url) == data
    assert header(emulator, "part", "Authorization") is None
    assert next(u for u in emulator.uploads.values() if u.completed).lifecycle.expires_in == 86_400


async def test_an_upload_succeeds_if_the_response_to_complete_is_lost(
    fal: Session, emulator: Emulator
) -> None:
    """The second `complete` gets 404, but the file exists."""
    emulator.faults.add(Fault.reset(on="complete", taken=True))
    data = some_bytes(5 * PART)
    lifecycle = StorageSettings(initial_acl="hide")
    assert stored(emulator, await fal.storage.upload(data, **SMALL, lifecycle=lifecycle)) == data
    assert emulator.count("complete") == 2


async def test_an_upload_that_cannot_be_completed_raises_an_upload_error(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.answer(400, on="complete", times=None))
    with pytest.raises(UploadError, match="all parts were sent, but") as caught:
        await fal.storage.upload(some_bytes(5 * PART), **SMALL)
    assert getattr(caught.value.__cause__, "status", None) == 400


async def test_a_file_that_shrinks_during_an_upload_in_parts_is_refused(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path = some_file(tmp_path, 60 * PART)

    def shrink(sent: int, total: int) -> None:
        if sent > total / 2:
            with path.open("r+b") as file:
                file.truncate(55 * PART)

    with pytest.raises(UploadError, match=r"part \d+ of 60: big\.bin shrank"):
        await fal.storage.upload(path, **SMALL, on_progress=shrink)
    assert emulator.count("complete") == 0


async def test_a_file_that_grows_during_an_upload_in_parts_is_refused(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path = some_file(tmp_path, 10 * PART)

    def grow(*_: int) -> None:
        with path.open("ab") as file:
            file.write(b"x")

    with pytest.raises(UploadError, match="changed while it was read"):
        await fal.storage.upload(path, **SMALL, on_progress=grow)
    assert emulator.count("complete") == 0


async def test_an_upload_that_the_server_has_dropped_raises_an_upload_error(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.answer(404, on="part", after=3, times=None))
    with pytest.raises(UploadError) as caught:
        await fal.storage.upload(some_bytes(10 * PART), **SMALL)
    assert isinstance(caught.value.__cause__, NotFoundError)


async def test_an_upload_in_parts_without_retries_fails_at_the_first_error(emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(503, on="part"))
    async with Session(emulator.key, hosts=emulator.hosts, retry=RetryPolicy(max_attempts=1)) as fal:
        with pytest.raises(UploadError, match="503"):
            await fal.storage.upload(some_bytes(3 * PART), **{**SMALL, "parallel": 1})
    assert emulator.count("part") == 1


async def test_many_concurrent_uploads_in_parts_share_one_pool(fal: Session, emulator: Emulator) -> None:
    urls = await asyncio.gather(
        *(fal.storage.upload(some_bytes(6 * PART, seed), **SMALL) for seed in range(12))
    )
    for seed, url in enumerate(urls):
        assert stored(emulator, url) == some_bytes(6 * PART, seed)


@pytest.mark.parametrize("retry", [QUICK], ids=["quick retries"])
async def test_an_upload_reads_its_file_only_in_threads(
    emulator: Emulator, tmp_path: Path, retry: RetryPolicy
) -> None:
    """No callback of the event loop reads the disk (field notes B21)."""
    path = some_file(tmp_path, 4096 * KiB)
    reads: list[str] = []

    class Watched:
        """A seekable file that notes where it is read."""

        def __init__(self) -> None:
            self.file = path.open("rb")

        def seekable(self) -> bool:
            return True

        def tell(self) -> int:
            return self.file.tell()

        def seek(self, offset: int, whence: int = 0) -> int:
            return self.file.seek(offset, whence)

        def read(self, length: int) -> bytes:
            reads.append(in_loop())
            return self.file.read(length)

    def in_loop() -> str:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return "thread"
        return "loop"

    async with Session(emulator.key, hosts=emulator.hosts, retry=retry) as fal:
        watched = Watched()
        await fal.storage.upload(watched, **{**SMALL, "part_size": 512 * KiB})
        watched.file.close()
    assert set(reads) == {"thread"}


# Files that change during their upload.


def _rewritten(path: Path) -> Callable[[int, int], None]:
    """Return a progress callback that overwrites the file with other bytes of the same size."""

    def rewrite(sent: int, total: int) -> None:
        if sent < total and path.read_bytes() != some_bytes(total, seed=2):
            with path.open("r+b") as file:
                file.write(some_bytes(total, seed=2))

    return rewrite


@pytest.mark.parametrize("how", [SMALL | {"parallel": 1}, {}], ids=["parts", "one piece"])
@pytest.mark.parametrize("kind", ["path", "raw file", "buffered file", "temporary file"])
async def test_a_file_that_is_rewritten_in_place_during_its_upload_is_refused(
    fal: Session, emulator: Emulator, tmp_path: Path, kind: str, how: dict[str, Any]
) -> None:
    size = 1024 * KiB
    path = some_file(tmp_path, size)
    with ExitStack() as stack:
        file: Any = path
        if kind == "temporary file":
            file = stack.enter_context(tempfile.NamedTemporaryFile())
            file.write(some_bytes(size))
            file.flush()
            path = Path(file.name)
        elif kind != "path":
            buffering = 0 if kind == "raw file" else -1
            file = stack.enter_context(await asyncio.to_thread(path.open, "rb", buffering=buffering))
        os.utime(path, (1, 1))  # otherwise both versions may have the same modification time
        with pytest.raises(UploadError, match="changed while it was read") as caught:
            await fal.storage.upload(file, **how, on_progress=_rewritten(path))
        assert caught.value.retryable
        assert emulator.count("complete") == 0
        assert stored(emulator, await fal.storage.upload(file, **how)) == some_bytes(size, seed=2)


async def test_a_resumed_upload_of_a_rewritten_file_starts_again(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path, record, size = some_file(tmp_path, 40 * PART), tmp_path / "record", 40 * PART
    os.utime(path, (1, 1))
    how = SMALL | {"parallel": 1, "resume": record}
    with pytest.raises(UploadError, match="changed while it was read"):
        await fal.storage.upload(path, **how, on_progress=_rewritten(path))
    assert stored(emulator, await fal.storage.upload(path, **how)) == some_bytes(size, seed=2)


async def test_a_file_that_is_replaced_during_its_upload_is_sent_as_it_was(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path, other = some_file(tmp_path, 40 * PART), some_file(tmp_path, 40 * PART, name="other", seed=2)

    def replace(*_: int) -> None:
        if other.exists():
            other.replace(path)

    url = await fal.storage.upload(path, **SMALL, on_progress=replace)
    assert stored(emulator, url) == some_bytes(40 * PART)
