"""Downloads: a file is complete or does not exist, whatever fails, and is never written outside the folder."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

import aiohttp.web
import pytest

import fal_async
from fal_async import (
    ApiError,
    ConfigurationError,
    DownloadError,
    NotFoundError,
    Session,
    SessionStateError,
    StorageSettings,
    TransportError,
)
from fal_async.emulator import Answer, Emulator, Fault, JobContext
from fal_async.storage.unnamed_files import give_name_or_copy, open_unnamed
from tests.storage.outage import Outage
from tests.storage.pictures import KiB, header, some_bytes

SIZE = 1500 * KiB


@pytest.fixture
async def url(fal: Session) -> str:
    return await fal.storage.upload(some_bytes(SIZE), file_name="cat.bin")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "to"
    path.mkdir()
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_download_to_a_file_or_a_folder_writes_it_and_reports_progress(
    fal: Session, url: str, folder: Path
) -> None:
    reported: list[tuple[int, int | None]] = []
    path = await fal.storage.download(url, folder / "mine.bin", on_progress=lambda *now: reported.append(now))
    assert path == folder / "mine.bin"
    assert path.read_bytes() == some_bytes(SIZE)
    assert reported == sorted(set(reported))
    assert reported[-1] == (SIZE, SIZE)
    assert await fal.storage.download(url, folder) == folder / "cat.bin"
    assert await fal.storage.download(url, f"{folder}/new/sub/") == folder / "new" / "sub" / "cat.bin"
    assert names(folder) == ["cat.bin", "mine.bin", "new"]


async def test_a_download_of_a_public_file_sends_no_key(
    fal: Session, emulator: Emulator, url: str, folder: Path
) -> None:
    await fal.storage.download(url, folder)
    assert header(emulator, "file", "Authorization") is None


async def test_a_download_replaces_a_file_that_the_caller_named_but_no_other(
    fal: Session, url: str, folder: Path
) -> None:
    mine = folder / "cat.bin"
    mine.write_bytes(b"precious")
    assert await fal.storage.download(url, folder) == folder / "cat-2.bin"
    assert await fal.storage.download(url, folder) == folder / "cat-3.bin"
    assert mine.read_bytes() == b"precious"
    await fal.storage.download(url, mine)
    assert mine.read_bytes() == some_bytes(SIZE)
    umask = os.umask(0)
    os.umask(umask)
    assert mine.stat().st_mode & 0o777 == 0o666 & ~umask


async def test_a_download_resumes_after_each_broken_connection(
    fal: Session, emulator: Emulator, url: str, folder: Path
) -> None:
    reported: list[int] = []
    emulator.faults.add(*[Fault.truncate(on="file")] * 6)
    path = await fal.storage.download(url, folder, on_progress=lambda received, _: reported.append(received))
    assert path.read_bytes() == some_bytes(SIZE)
    ranges = [request.headers.get("Range") for request in emulator.requests if request.kind == "file"]
    assert ranges[0] is None
    assert 0 < int((ranges[1] or "").removeprefix("bytes=").removesuffix("-")) <= SIZE // 2
    assert len(ranges) == 7
    assert reported == sorted(reported)


async def test_a_download_survives_a_short_outage_of_the_server(
    fal: Session, emulator: Emulator, url: str, folder: Path
) -> None:
    outage = Outage(emulator)
    patient = fal.with_options(retry=outage.policy)
    emulator.faults.add(Fault.stall(60, where="body", on="file"))
    path = await patient.storage.download(url, folder, on_progress=lambda *_: outage.begin())
    await outage.over()
    assert path.read_bytes() == some_bytes(SIZE)


async def test_a_download_that_makes_no_progress_fails_after_four_attempts(
    fal: Session, emulator: Emulator, folder: Path
) -> None:
    url = await fal.storage.upload(b"x")
    emulator.faults.add(Fault.truncate(on="file", times=None))
    with pytest.raises(TransportError, match="broke before the end"):
        await fal.storage.download(url, folder / "x.bin")
    assert emulator.count("file") == 4
    assert names(folder) == []


async def test_a_stalled_download_times_out_and_is_resumed(
    fal: Session, emulator: Emulator, url: str, folder: Path
) -> None:
    emulator.faults.add(Fault.stall(60, where="body", on="file"))
    hasty = fal.with_options(timeout=0.3)
    assert (await hasty.storage.download(url, folder)).read_bytes() == some_bytes(SIZE)
    assert emulator.count("file") == 2


async def test_a_download_raises_client_errors_and_retries_a_503(
    fal: Session, emulator: Emulator, url: str, folder: Path
) -> None:
    with pytest.raises(NotFoundError):
        await fal.storage.download(url + "x", folder)
    emulator.faults.add(Fault.answer(400, on="file"))
    with pytest.raises(ApiError, match="400"):
        await fal.storage.download(url, folder)
    emulator.faults.add(Fault.answer(503, on="file"))
    assert await fal.storage.download(url, folder)
    assert names(folder) == ["cat.bin"]


async def test_a_cancelled_download_leaves_no_file_behind(
    fal: Session, emulator: Emulator, url: str, folder: Path
) -> None:
    begun = asyncio.Event()
    emulator.faults.add(Fault.stall(60, where="body", on="file"))
    task = asyncio.create_task(fal.storage.download(url, folder, on_progress=lambda *_: begun.set()))
    await begun.wait()
    assert "cat.bin" not in names(folder)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(folder) == []


async def test_closing_the_session_ends_its_downloads_without_leaving_files(
    emulator: Emulator, url: str, folder: Path
) -> None:
    begun = asyncio.Event()
    emulator.faults.add(Fault.stall(60, where="body", on="file"))
    async with Session(emulator.key, hosts=emulator.hosts) as fal:
        task = asyncio.create_task(fal.storage.download(url, folder, on_progress=lambda *_: begun.set()))
        await begun.wait()
    with pytest.raises(SessionStateError):
        await asyncio.wait_for(task, 5)
    assert names(folder) == []


@pytest.mark.parametrize("steps", [0, 1, 2, 4])
async def test_a_download_that_is_cancelled_twice_leaves_no_partial_file(
    fal: Session, folder: Path, steps: int
) -> None:
    url = await fal.storage.upload(bytes(3_000_000))
    for moment in range(0, 100, 4):
        task = asyncio.create_task(fal.storage.download(url, folder / "x.bin"))
        for wait in (moment, steps):
            for _ in range(wait):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        assert set(names(folder)) <= {"x.bin"}


# Other servers than fal's, with hostile or odd responses.


class Server:
    """Answers as a test configures it."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = b"data"
        self.asked: list[Mapping[str, str]] = []
        self.path = ""
        self.break_before_the_end = False
        self.url = ""

    async def answer(self, request: aiohttp.web.BaseRequest) -> aiohttp.web.StreamResponse:
        self.asked.append(request.headers)
        self.path = request.raw_path
        if self.break_before_the_end:
            return await self._all_but_the_end(request)
        return aiohttp.web.Response(body=self.body, headers=self.headers)

    async def _all_but_the_end(self, request: aiohttp.web.BaseRequest) -> aiohttp.web.StreamResponse:
        """Send all bytes of a chunked body, but not its end."""
        if "Range" in request.headers:
            return aiohttp.web.Response(status=416, headers={"Content-Range": f"bytes */{len(self.body)}"})
        response = aiohttp.web.StreamResponse(headers={"ETag": '"v1"'})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(self.body)
        if request.transport is not None:
            request.transport.close()
        return response


@pytest.fixture
async def server() -> Any:
    server = Server()
    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(server.answer))
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ('attachment; filename="../../../evil.sh"', "evil.sh"),
        ('attachment; filename="/etc/passwd.txt"', "passwd.txt"),
        ("attachment; filename=..\\..\\evil.exe", "evil.exe"),
        ("attachment; filename*=UTF-8''%2e%2e%2f%2e%2e%2fevil.txt", "evil.txt"),
        ('attachment; filename=".."', "file.png"),
        ('attachment; filename=".ssh"', "ssh.png"),
        ('attachment; filename="a:b|c?.png"', "a_b_c_.png"),
        ("", "x.png"),
    ],
)
async def test_a_file_name_from_the_server_never_leads_out_of_the_folder(
    fal: Session, server: Server, folder: Path, disposition: str, expected: str
) -> None:
    server.headers = {"Content-Disposition": disposition, "Content-Type": "image/png"}
    path = await fal.storage.download(f"{server.url}/a/x.png", folder)
    assert path == folder / expected
    assert [p.name for p in folder.parent.rglob("*") if p.is_file()] == [expected]


async def test_a_download_sends_no_credentials_to_other_servers(
    fal: Session, emulator: Emulator, server: Server, folder: Path
) -> None:
    url = await fal.storage.upload(b"x", lifecycle=StorageSettings(initial_acl="forbid"))
    public = await fal.storage.upload(b"x")
    await fal.storage.download(f"{server.url}/x.png", folder)
    emulator.faults.add(Fault.redirect(f"{server.url}/y.png", on="file"))
    assert (await fal.storage.download(public, folder / "y.bin")).read_bytes() == b"data"
    emulator.faults.add(Fault.redirect(f"{server.url}/z.png", on="file", after=1))
    with pytest.raises(ApiError, match="redirected to 127"):
        await fal.storage.download(url, folder)
    assert len(server.asked) == 2
    assert not any("Authorization" in headers for headers in server.asked)


async def test_a_download_url_with_spaces_and_umlauts_is_percent_encoded(
    fal: Session, server: Server, folder: Path
) -> None:
    path = await fal.storage.download(f"{server.url}/a b/größe 1.png?x=ü", folder)
    assert server.path == "/a%20b/gr%C3%B6%C3%9Fe%201.png?x=%C3%BC"
    assert path == folder / "größe 1.png"


async def test_a_download_whose_connection_breaks_after_the_last_byte_is_complete(
    fal: Session, server: Server, folder: Path
) -> None:
    server.break_before_the_end = True
    assert (await fal.storage.download(f"{server.url}/x", folder)).read_bytes() == b"data"
    assert [headers.get("Range") for headers in server.asked] == [None, "bytes=4-"]


async def test_the_progress_callback_of_a_download_may_be_async(fal: Session, url: str, folder: Path) -> None:
    reported: list[tuple[int, int | None]] = []

    async def tell(received: int, total: int | None) -> None:
        await asyncio.sleep(0)
        reported.append((received, total))

    path = await fal.storage.download(url, folder, on_progress=tell)
    assert reported[-1] == (path.stat().st_size, path.stat().st_size)


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), TransportError("mine"), NotFoundError("mine", status=404), TimeoutError()],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_of_the_progress_callback_ends_the_download_without_a_retry(
    fal: Session, emulator: Emulator, url: str, folder: Path, error: Exception
) -> None:
    def tell(*_: Any) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await fal.storage.download(url, folder, on_progress=tell)
    assert caught.value is error
    assert emulator.count("file") == 1
    assert names(folder) == []


# Data URIs, wrong arguments, disks.


async def test_a_data_uri_is_downloaded_without_a_request(
    fal: Session, emulator: Emulator, folder: Path
) -> None:
    uri = fal_async.encode(b"\x89PNG\r\n\x1a\ndata")
    assert await fal.storage.download(uri, folder) == folder / "file.png"
    assert (folder / "file.png").read_bytes() == b"\x89PNG\r\n\x1a\ndata"
    assert await fal.storage.download("data:,hello%20you", folder / "a.txt") == folder / "a.txt"
    assert (folder / "a.txt").read_text() == "hello you"
    with pytest.raises(DownloadError, match="data URI"):
        await fal.storage.download("data:image/png;base64,***", folder)
    assert names(folder) == ["a.txt", "file.png"]
    assert emulator.requests == []


async def test_a_wrong_url_or_target_is_refused_before_a_download_starts(
    fal: Session, emulator: Emulator, url: str, folder: Path
) -> None:
    emulator.clear_requests()
    (folder / "file").write_bytes(b"")
    for to in (folder / "file" / "sub" / "x.png", f"{folder}/file/"):
        with pytest.raises(DownloadError, match=r"file"):
            await fal.storage.download(url, to)
    with pytest.raises(ConfigurationError, match="url="):
        await fal.storage.download("cat.png", folder)
    with pytest.raises(ConfigurationError, match="to is of type NoneType"):
        await fal.storage.download(url, None)  # type: ignore[arg-type]
    assert emulator.requests == []
    assert names(folder) == ["file"]


FULL_DISK = """
import asyncio, resource, signal, sys
from fal_async import DownloadError, Session

async def main() -> None:
    # Simulates a full disk without mounting one: no file may grow beyond 1 MB.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    async with Session() as fal:
        try:
            await fal.storage.download(sys.argv[1], sys.argv[2])
        except DownloadError as error:
            print(error, "|", type(error.__cause__).__name__)

asyncio.run(main())
"""


async def test_a_download_to_a_full_disk_fails_and_keeps_the_old_file(
    emulator: Emulator, url: str, folder: Path
) -> None:
    target = folder / "cat.bin"
    target.write_bytes(b"the old one")
    environment = {**os.environ, "FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FULL_DISK, url, str(target), env=environment, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.decode().startswith(f"can't write to '{folder}': File too large | OSError")
    assert names(folder) == ["cat.bin"]
    assert target.read_bytes() == b"the old one"


KILLED = """
import asyncio, os, signal, sys
from fal_async import Session

async def main() -> None:
    async with Session() as fal:
        await fal.storage.download(*sys.argv[1:], on_progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL))

asyncio.run(main())
"""


AS_ELSEWHERE = """
import os
vars(os).pop("O_TMPFILE", None)  # as on macOS and Windows, which have no unnamed files
"""


async def finish(emulator: Emulator, program: str, *arguments: object) -> int:
    environment = {**os.environ, "FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *map(str, arguments), env=environment
    )
    return await process.wait()


def skip_without_unnamed_files(folder: Path) -> None:
    file = open_unnamed(folder)
    if file is None:
        pytest.skip("this system or file system has no unnamed files")
    file.close()


async def test_a_process_that_is_killed_during_a_download_leaves_no_file(
    emulator: Emulator, url: str, folder: Path
) -> None:
    skip_without_unnamed_files(folder)
    for target in (folder / "cat.bin", folder):
        assert await finish(emulator, KILLED, url, target) == -signal.SIGKILL
        assert names(folder) == []


async def test_a_partial_file_of_a_killed_process_does_not_affect_later_downloads(
    fal: Session, emulator: Emulator, url: str, folder: Path
) -> None:
    target = folder / "cat.bin"
    for _ in range(2):
        assert await finish(emulator, AS_ELSEWHERE + KILLED, url, target) == -signal.SIGKILL
    left = set(names(folder))
    assert len(left) == 2
    assert all(name.startswith(".fal-") and name.endswith(".part") for name in left)
    assert (await fal.storage.download(url, target)).read_bytes() == some_bytes(SIZE)
    assert (await fal.storage.download(url, folder)).name == "cat-2.bin"
    assert set(names(folder)) == left | {"cat.bin", "cat-2.bin"}


WITHOUT_UNNAMED_FILES = (
    AS_ELSEWHERE
    + """
import asyncio, sys
from fal_async import OutputFile, Session

async def main() -> None:
    url, folder = sys.argv[1:]
    async with Session() as fal:
        for to in (folder, folder, f"{folder}/mine.bin", f"{folder}/mine.bin"):
            await fal.storage.download(url, to)
        await fal.storage.download_all([OutputFile(url=url)], folder, take_equal=True)

asyncio.run(main())
"""
)


async def test_downloads_work_on_systems_without_unnamed_files(
    emulator: Emulator, url: str, folder: Path
) -> None:
    assert await finish(emulator, WITHOUT_UNNAMED_FILES, url, folder) == 0
    assert names(folder) == ["cat-2.bin", "cat.bin", "mine.bin"]
    assert {(folder / name).read_bytes() for name in names(folder)} == {some_bytes(SIZE)}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has unnamed files")
def test_an_unnamed_file_that_cannot_be_linked_is_copied(folder: Path) -> None:
    with FileIO(folder / "deleted", "xb") as file:
        (folder / "deleted").unlink()  # Linux gives a deleted file no name again
        file.write(b"data")
        give_name_or_copy(file, folder / "named")
    assert names(folder) == ["named"]
    assert (folder / "named").read_bytes() == b"data"


# Restricted files.


@pytest.mark.parametrize("decision", ["forbid", "hide"])
async def test_only_the_owner_and_signed_urls_download_a_restricted_file(
    fal: Session, emulator: Emulator, folder: Path, decision: str
) -> None:
    url = await fal.storage.upload(b"mine", lifecycle=StorageSettings(initial_acl=decision))
    assert (await fal.storage.download(url, folder / "a.bin")).read_bytes() == b"mine"
    assert emulator.count("cdn_token") == 1
    signed = await fal.storage.sign(url, expires_in=60)
    assert (await fal.storage.download(signed, folder / "b.bin")).read_bytes() == b"mine"
    async with Session(None, hosts=emulator.hosts) as stranger:
        with pytest.raises((ApiError, ConfigurationError)):
            await stranger.storage.download(url, folder / "c.bin")
        await stranger.storage.download(signed, folder / "d.bin")
    assert names(folder) == ["a.bin", "b.bin", "d.bin"]


# Results.


@pytest.fixture
def pictures(emulator: Emulator) -> None:
    @emulator.endpoint("me/pictures")
    async def pictures(input: Any, job: JobContext) -> Any:
        made = [await job.file(text.encode(), "image/png", "out.png") for text in input["texts"]]
        return {"images": made, "preview": {"url": "data:image/gif;base64,R0lGODlh"}, "seed": 5}


@pytest.mark.usefixtures("pictures")
async def test_a_result_downloads_its_files_in_the_order_of_the_output(fal: Session, folder: Path) -> None:
    texts = [f"picture {number}" for number in range(5)]
    for call in (fal.run, fal.subscribe):
        result = await call("me/pictures", {"texts": texts})
        assert [file.path for file in result.files()] == [f"$.images[{n}]" for n in range(5)] + ["$.preview"]
        into = folder / call.__name__
        paths = await result.download(into)
        assert [path.read_text("latin-1") for path in paths[:5]] == texts
        assert names(into) == ["file.gif", "out-2.png", "out-3.png", "out-4.png", "out-5.png", "out.png"]
        assert [path.name for path in paths[:2]] == ["out.png", "out-2.png"], "in the order of the output"
        again = await result.download(into)
        assert not set(again) & set(paths)


async def test_a_result_whose_body_is_a_file_downloads_that_file(
    fal: Session, emulator: Emulator, folder: Path
) -> None:
    @emulator.endpoint("me/picture")
    async def picture(_: Any) -> Answer:
        return Answer(200, {"Content-Type": "image/png"}, b"\x89PNG\r\n\x1a\ndata")

    result = await fal.run("me/picture")
    paths = await result.download(folder)
    assert [path.name for path in paths] == ["file.png"]
    assert paths[0].read_bytes() == result.data


@pytest.mark.usefixtures("pictures")
async def test_a_result_of_a_handle_downloads_its_files_but_a_pickled_one_refuses(
    fal: Session, folder: Path
) -> None:
    handle = await fal.queue.submit("me/pictures", {"texts": ["a"]})
    result = await handle.wait()
    assert len(await result.download(folder)) == 2
    loose = pickle.loads(pickle.dumps(result))
    assert loose == result
    with pytest.raises(SessionStateError, match="not belong to a session"):
        await loose.download(folder)
