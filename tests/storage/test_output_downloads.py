"""Downloading all files of one output: names in its order, and a failure that does not affect the others."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fal_async import (
    ApiError,
    ConfigurationError,
    DownloadError,
    NotFoundError,
    OutputFile,
    Session,
    SessionStateError,
    TransportError,
)
from fal_async.emulator import Emulator
from fal_async.storage.unnamed_files import open_unnamed
from tests.servers.file_host import Asked, Says, file_host

PNG = b"\x89PNG\r\n\x1a\n"
NAMED = {"content-disposition": "attachment; filename=picture.png"}


UNREADABLE: Any = [OutputFile(url=["https://x/a.png"])]  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "to"


class BackToFront:
    """Answers the requests in reverse order of the files. `says(number)` is the response for `/f/number`."""

    def __init__(self, count: int, says: Any) -> None:
        self._says, self._given = says, [asyncio.Event() for _ in range(count)]

    async def __call__(self, asked: Asked) -> Says:
        number = int(asked.path.rpartition("/")[2].partition(".")[0])
        if number + 1 < len(self._given):
            await self._given[number + 1].wait()
        self._given[number].set()
        says: Says = self._says(number)
        return says


def in_list(urls: Sequence[str]) -> list[OutputFile]:
    return [OutputFile(url=url, path=f"$.images[{number}]") for number, url in enumerate(urls)]


@pytest.mark.parametrize(
    ("says", "names"),
    [
        (
            lambda n: Says(b"%d" % n, NAMED),
            ["picture.png", "picture-2.png", "picture-3.png", "picture-4.png"],
        ),
        (lambda n: Says(b"%d" % n, {"content-type": "image/webp"}), ["0.webp", "1.webp", "2.webp", "3.webp"]),
        (
            lambda n: Says(b"%d" % n, {"content-disposition": f"inline; filename={'aA'[n % 2]}.png"}),
            ["a.png", "A-2.png", "a-3.png", "A-4.png"],
        ),
        (
            lambda n: Says(b"%d" % n, NAMED if n % 2 else {"content-type": "image/png"}),
            ["0.png", "picture.png", "2.png", "picture-2.png"],
        ),
    ],
    ids=["from Content-Disposition", "from the URL and type", "names that differ only in case", "mixed"],
)
async def test_downloaded_names_follow_the_order_of_the_output_not_of_arrival(
    fal: Session, folder: Path, says: Any, names: list[str]
) -> None:
    async with file_host(BackToFront(4, says)) as host:
        paths = await fal.storage.download_all(in_list([f"{host.url}/f/{n}" for n in range(4)]), folder)
    assert [path.name for path in paths] == names
    assert [path.read_bytes() for path in paths] == [b"0", b"1", b"2", b"3"]
    assert len(os.listdir(folder)) == 4


async def test_equal_names_of_downloaded_and_existing_files_are_numbered_in_order(
    fal: Session, folder: Path
) -> None:
    folder.mkdir()
    (folder / "file.png").write_bytes(b"precious")
    (folder / "0-2.png").write_bytes(b"precious")
    async with file_host(BackToFront(2, lambda n: Says(b"%d" % n))) as host:
        urls = [
            f"{host.url}/a/0.png",
            "data:image/png;base64,AAAA",
            f"{host.url}/b/1.png",
            "data:image/png,x",
        ]
        paths = await fal.storage.download_all(
            [*in_list(urls), OutputFile(url=f"{host.url}/c/0.png")], folder
        )
    assert [path.name for path in paths] == ["0.png", "file-2.png", "1.png", "file-3.png", "0-3.png"]
    assert (folder / "file.png").read_bytes() == (folder / "0-2.png").read_bytes() == b"precious"


async def test_take_equal_uses_an_existing_file_with_the_same_bytes(fal: Session, folder: Path) -> None:
    """A process that was killed may have left such a file. A file with other bytes is never used."""
    folder.mkdir()
    (folder / "0.png").write_bytes(b"0")
    (folder / "1.png").write_bytes(b"precious")
    async with file_host(BackToFront(3, lambda n: Says(b"%d" % n))) as host:
        files = in_list([f"{host.url}/{n}.png" for n in range(3)])
        paths = await fal.storage.download_all(files, folder, take_equal=True)
    assert [path.name for path in paths] == ["0.png", "1-2.png", "2.png"]
    assert [path.read_bytes() for path in paths] == [b"0", b"1", b"2"]
    assert len(os.listdir(folder)) == 4


async def test_a_slow_file_does_not_block_the_download_of_the_others(fal: Session, folder: Path) -> None:
    """The first of 30 files waits for the last one, and still gets the first name."""
    last = asyncio.Event()

    async def answer(asked: Asked) -> Says:
        if asked.path == "/0.png":
            await last.wait()
        if asked.path == "/29.png":
            last.set()
        return Says(asked.path.encode(), NAMED)

    async with file_host(answer) as host:
        paths = await fal.storage.download_all(in_list([f"{host.url}/{n}.png" for n in range(30)]), folder)
    assert [path.read_text() for path in paths] == [f"/{n}.png" for n in range(30)]
    assert [path.name for path in paths[:2]] == ["picture.png", "picture-2.png"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("cat-{n}{ext}", ["cat-0.png", "cat-1.jpg"]),
        ("{name}", ["picture.png", "picture.jpg"]),
        ("same.png", ["same.png", "same-2.png"]),
        (lambda file, n: f"{file.width}x{n}", ["5x0.png", "Nonex1.jpg"]),
    ],
)
async def test_names_of_downloaded_files_follow_a_template_or_a_function(
    emulator: Emulator, fal: Session, folder: Path, names: Any, expected: list[str]
) -> None:
    def says(number: int) -> Says:
        return Says([PNG, b"\xff\xd8\xff"][number], NAMED)

    async with file_host(BackToFront(2, says)) as host:

        @emulator.endpoint("me/pictures")
        async def pictures(_: Any) -> Any:
            return {"images": [{"url": f"{host.url}/0", "width": 5}, {"url": f"{host.url}/1"}]}

        result = await fal.run("me/pictures")
        paths = await result.download(folder, names=names)
    assert [path.name for path in paths] == expected


async def test_wrong_names_are_refused_before_anything_is_downloaded(fal: Session, folder: Path) -> None:
    async with file_host(lambda _: Says(b"x")) as host:
        files = in_list([f"{host.url}/0.png"])
        with pytest.raises(ConfigurationError, match="names"):
            await fal.storage.download_all(files, folder, names="{key}{ext}")
        with pytest.raises(ZeroDivisionError):
            await fal.storage.download_all(files, folder, names=lambda _, n: str(1 // n))
        assert host.asked == []


async def test_download_all_refuses_values_that_are_not_output_files(fal: Session, folder: Path) -> None:
    files: Any
    for files in (
        "https://x/a.png",
        ["https://x/a.png"],
        [None],
        5,
        None,
        {"url": "https://x/a.png"},
        UNREADABLE,
    ):
        with pytest.raises(ConfigurationError, match="file"):
            await fal.storage.download_all(files, folder)
    assert await fal.storage.download_all(iter(()), folder) == []  # type: ignore[arg-type]


# Files that can't be downloaded.

MISSING: dict[str, tuple[Any, str, type[Exception]]] = {
    "404": (Says(b"gone", status=404), "404", NotFoundError),
    "no bytes of the body": (Says(b"x" * 100, only=0), "broke before the end", TransportError),
    "shorter than Content-Length": (
        Says(b"x", {"content-length": "5"}, only=1),
        "broke before the end",
        TransportError,
    ),
    "an HTML page": (
        Says(b"<html>Log in</html>", {"content-type": "text/html"}),
        "an HTML page",
        DownloadError,
    ),
    "an unrequested 206": (
        Says(b"x", {"content-range": "bytes 0-0/2"}, status=206),
        "file was requested",
        DownloadError,
    ),
}


@pytest.mark.parametrize(("says", "words", "kind"), MISSING.values(), ids=MISSING)
async def test_a_file_that_cannot_be_downloaded_is_named_and_the_others_are_kept(
    fal: Session, folder: Path, says: Says, words: str, kind: type[Exception]
) -> None:
    async with file_host(lambda asked: says if "/2.png" in asked.path else Says(PNG)) as host:
        files = in_list([f"{host.url}/{n}.png?sig=secret" for n in range(4)])
        with pytest.raises(DownloadError) as caught:
            await fal.storage.download_all(files, folder)
        error, text = caught.value, f"{caught.value} {caught.value.to_dict()}"
        assert "1 of 4 files could not be fetched: " in str(error)
        assert f"$.images[2] ({host.url}/2.png)" in str(error)
        assert words in str(error)
    assert "secret" not in text
    assert json.loads(json.dumps(error.to_dict()))["causes"] == [str(error.causes[0])]
    assert sorted(os.listdir(folder)) == ["0.png", "1.png", "3.png"]
    assert (error.missing, error.__cause__) == ((files[2],), error.causes[0])
    assert error.paths == (folder / "0.png", folder / "1.png", None, folder / "3.png")
    assert isinstance(error.causes[0], kind)
    assert pickle.loads(pickle.dumps(error)).missing == error.missing


@pytest.mark.parametrize(
    "url",
    [
        "https://[cdn]/x.png",
        "https://[::1/x.png",
        "https://host:port/x.png",
        "http://host:99999/x.png",
        "http://:80/x.png",
        "http://a b/x.png",
        "http://a..b/x.png",
        f"http://{'a' * 70}.b/x.png",
        "http://\u2100.b/x.png",
        "http://\ud800/x.png",
        "http://a\0b/x.png",
        "data:image/png;base64,***",
        "data:image/png",
        "ftp://x/y.png",
        "",
    ],
)
async def test_a_file_with_an_invalid_url_is_named_and_the_others_are_kept(
    fal: Session, folder: Path, url: str
) -> None:
    with pytest.raises(
        DownloadError, match=r"1 of 2 files could not be fetched: \$\.images\[0\] \("
    ) as caught:
        await fal.storage.download_all(in_list([url, "data:image/png;base64,AAAA"]), folder)
    assert os.listdir(folder) == ["file.png"]
    assert caught.value.missing[0].url == url


async def test_all_files_that_cannot_be_downloaded_are_named(fal: Session, folder: Path) -> None:
    async with file_host(lambda asked: Says(status=404 if asked.path < "/3" else 200)) as host:
        files = in_list([f"{host.url}/{n}.png" for n in range(6)])
        with pytest.raises(DownloadError) as caught:
            await fal.storage.download_all(files, folder)
    assert "3 of 6 files could not be fetched: $.images[0], $.images[1], $.images[2]; the first: " in str(
        caught.value
    )
    causes = caught.value.to_dict()["causes"]
    assert [f"$.images[{number}]" in cause for number, cause in enumerate(causes)] == [True] * 3
    assert all(isinstance(cause, ApiError) for cause in caught.value.causes)
    assert caught.value.missing == tuple(files[:3])


async def test_the_missing_files_of_a_download_error_can_be_downloaded_later(
    fal: Session, folder: Path
) -> None:
    async with file_host(lambda _: Says(PNG, status=400 if len(host.asked) == 1 else 200)) as host:
        files = in_list([f"{host.url}/{n}.png" for n in range(2)])
        with pytest.raises(DownloadError) as caught:
            await fal.storage.download_all(files, folder)
        paths = await fal.storage.download_all(caught.value.missing, folder)
    assert sorted(os.listdir(folder)) == ["0.png", "1.png"]
    assert paths[0] not in caught.value.paths


FULL_DISK = """
import asyncio, json, resource, signal, sys
from fal_async import DownloadError, OutputFile, Session

async def main() -> None:
    # Simulates a full disk without mounting one: no file may grow beyond 100 kB.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    async with Session() as fal:
        try:
            await fal.storage.download_all([OutputFile(url=url) for url in sys.argv[2:]], sys.argv[1])
        except DownloadError as error:
            print(json.dumps([str(error), *[path and path.name for path in error.paths]]))

asyncio.run(main())
"""


async def test_a_file_too_large_for_the_disk_is_named_and_the_others_are_kept(folder: Path) -> None:
    async with file_host(lambda asked: Says(b"x" * (200_000 if "big" in asked.path else 10))) as host:
        urls = [f"{host.url}/{name}.png" for name in ("a", "big", "b")]
        environment = {**os.environ, "FAL_KEY": "kid:key"}
        command = [sys.executable, "-c", FULL_DISK, str(folder), *urls]
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE)
        out, _ = await process.communicate()
    message, *names = json.loads(out)
    assert "/big.png" in message
    assert "File too large" in message
    assert names == ["a.png", None, "b.png"]
    assert sorted(os.listdir(folder)) == ["a.png", "b.png"]


PROGRAM = """
import asyncio, sys
from fal_async import OutputFile, Session

async def main() -> None:
    async with Session() as fal:
        await fal.storage.download_all([OutputFile(url=url) for url in sys.argv[2:]], sys.argv[1])

asyncio.run(main())
"""


async def test_a_killed_download_of_several_files_leaves_no_file_without_its_name(folder: Path) -> None:
    """Files 1 to 18 are complete, and wait for file 0 to be named first, when the process is killed."""
    folder.mkdir()
    file = open_unnamed(folder)
    if file is None:
        pytest.skip("this system or file system has no unnamed files")
    file.close()
    all_asked_for = asyncio.Event()

    async def answer(asked: Asked) -> Says:
        if asked.path == "/19.png":
            all_asked_for.set()
        if asked.path in ("/0.png", "/19.png"):
            await asyncio.Event().wait()
        return Says(PNG)

    async with file_host(answer) as host:
        urls = [f"{host.url}/{n}.png" for n in range(20)]
        command = [sys.executable, "-c", PROGRAM, str(folder), *urls]
        process = await asyncio.create_subprocess_exec(*command, env={**os.environ, "FAL_KEY": "kid:key"})
        await all_asked_for.wait()
        process.kill()
        assert await process.wait() == -signal.SIGKILL
    assert os.listdir(folder) == []


async def test_many_small_files_wait_for_the_name_of_a_slow_first_one(fal: Session, folder: Path) -> None:
    """More files than may be open at a time: they are downloaded when the first one has its name."""
    others = 0
    enough = asyncio.Event()

    async def answer(asked: Asked) -> Says:
        nonlocal others
        if asked.path == "/0.png":
            await enough.wait()
        others += 1
        if others >= 50:
            enough.set()
        return Says(asked.path.encode(), NAMED)

    async with file_host(answer) as host:
        paths = await fal.storage.download_all(in_list([f"{host.url}/{n}.png" for n in range(150)]), folder)
    assert [path.read_text() for path in paths] == [f"/{n}.png" for n in range(150)]


async def test_a_cancelled_download_of_several_files_leaves_only_complete_ones(
    fal: Session, folder: Path
) -> None:
    stalled = asyncio.Event()

    async def answer(asked: Asked) -> Says:
        if asked.path == "/1.png":
            stalled.set()
            await asyncio.Event().wait()
        return Says(PNG)

    async with file_host(answer) as host:
        files = in_list([f"{host.url}/{n}.png" for n in range(4)])
        task = asyncio.create_task(fal.storage.download_all(files, folder))
        await stalled.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert set(os.listdir(folder)) <= {"0.png"}


async def test_closing_the_session_during_download_all_raises_a_session_state_error(
    emulator: Emulator, folder: Path
) -> None:
    closing: list[asyncio.Task[None]] = []

    async def answer(_: Asked) -> Says:
        closing.append(asyncio.create_task(fal.aclose()))
        await asyncio.Event().wait()
        return Says()

    async with file_host(answer) as host:
        fal = Session(emulator.key, hosts=emulator.hosts)
        with pytest.raises(SessionStateError):
            await fal.storage.download_all(in_list([f"{host.url}/0.png", f"{host.url}/1.png"]), folder)
        await asyncio.gather(*closing)
    assert os.listdir(folder) == []
