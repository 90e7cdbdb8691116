"""Targets of downloads: pipes and devices are never replaced, and a path means a file or a folder as it looks."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from fal_async import ConfigurationError, DownloadError, Session
from tests.servers.file_host import FileHost, Says, file_host


@pytest.fixture
async def host() -> AsyncIterator[FileHost]:
    def answer(asked: Any) -> Says:
        disposition = {"content-disposition": "attachment; filename=pipe"} if asked.path == "/pipe" else {}
        return Says(asked.path.encode(), {"content-type": "image/x-odd", **disposition})

    async with file_host(answer) as host:
        yield host


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "to"
    path.mkdir()
    return path


def node(folder: Path, kind: str) -> Path:
    """Create a file system node of this kind, or a link to one."""
    path = folder / "pipe"
    if kind.startswith("link to "):
        path.symlink_to(node(_made(folder.parent / "elsewhere"), kind.removeprefix("link to ")))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    else:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path.relative_to(Path.cwd())))  # an absolute path may be too long for a socket
    return path


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


KINDS = ["fifo", "socket", "link to fifo", "link to socket", "link to link to fifo", "loop"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_download_to_a_pipe_socket_or_broken_link_is_refused_and_leaves_it(
    fal: Session, host: FileHost, folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    if kind == "link to link to fifo":
        (folder / "pipe").symlink_to(folder / "second")
        (folder / "second").symlink_to(folder / "third")
        os.mkfifo(folder / "third")
        target = folder / "pipe"
    else:
        target = node(folder, kind)
    before = target.lstat()
    for to in (target, f"{target}/"):
        with pytest.raises(DownloadError, match="pipe"):
            await fal.storage.download(f"{host.url}/cat.png", to)
        with pytest.raises(DownloadError, match="pipe"):
            await fal.storage.download_all([], to)
    assert host.asked == []
    assert (target.lstat().st_ino, target.lstat().st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize("kind", ["fifo", "socket", "link to fifo"])
async def test_a_download_into_a_folder_never_replaces_a_pipe_or_socket(
    fal: Session, host: FileHost, folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    taken = node(folder, kind)
    before = taken.lstat()
    path = await fal.storage.download(f"{host.url}/pipe", folder)
    assert path == folder / "pipe-2"
    assert path.read_bytes() == b"/pipe"
    assert taken.lstat().st_ino == before.st_ino


async def test_a_pipe_created_at_the_target_during_a_download_is_not_replaced(
    fal: Session, folder: Path
) -> None:
    target = folder / "cat.png"

    def answer(_: Any) -> Says:
        os.mkfifo(target)
        return Says(b"data")

    async with file_host(answer) as host:
        with pytest.raises(DownloadError, match="a named pipe"):
            await fal.storage.download(f"{host.url}/cat.png", target)
    assert stat.S_ISFIFO(target.lstat().st_mode)
    assert os.listdir(folder) == ["cat.png"]


async def test_a_download_to_a_symbolic_link_replaces_the_file_it_points_to(
    fal: Session, host: FileHost, folder: Path
) -> None:
    link, file, hanging = folder / "link.png", folder / "file.png", folder / "hanging.png"
    file.write_bytes(b"old")
    link.symlink_to(file)
    hanging.symlink_to(folder / "new" / "other.png")
    assert await fal.storage.download(f"{host.url}/1.png", link) == file
    assert await fal.storage.download(f"{host.url}/2.png", hanging) == folder / "new" / "other.png"
    assert (link.readlink(), link.read_bytes(), hanging.read_bytes()) == (file, b"/1.png", b"/2.png")


async def test_a_download_to_a_link_to_a_folder_goes_into_the_folder(
    fal: Session, host: FileHost, folder: Path
) -> None:
    link = folder.parent / "link.png"
    link.symlink_to(folder)
    assert await fal.storage.download(f"{host.url}/1.png", link) == link / "1.png"
    assert os.listdir(folder) == ["1.png"]


@pytest.mark.parametrize("name", ["downloads", "v1.2", ".cache", "2026.11.30", "a. b", "."])
async def test_a_missing_download_target_without_a_suffix_becomes_a_folder(
    fal: Session, host: FileHost, folder: Path, name: str
) -> None:
    for number in range(3):
        path = await fal.storage.download(f"{host.url}/{number}.png", folder / name)
        assert path == folder / name / f"{number}.png"


@pytest.mark.parametrize(
    "name", ["cat.png", "clip.mp4", "x.7z", "archive.tar.gz", "CAT.JPEG", "x.safetensors"]
)
async def test_a_missing_download_target_with_a_suffix_becomes_a_file(
    fal: Session, host: FileHost, folder: Path, name: str
) -> None:
    assert await fal.storage.download(f"{host.url}/1.odd", folder / name) == folder / name


async def test_an_existing_file_without_a_suffix_is_replaced_by_a_download(
    fal: Session, host: FileHost, folder: Path
) -> None:
    (folder / "LICENSE").write_bytes(b"old")
    assert (await fal.storage.download(f"{host.url}/1", folder / "LICENSE")).read_bytes() == b"/1"


@pytest.mark.parametrize("form", [str, Path])
async def test_a_tilde_in_a_download_target_means_the_home_folder(
    fal: Session, host: FileHost, folder: Path, form: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder / "home"))
    assert await fal.storage.download(f"{host.url}/1.png", form("~/pics/")) == folder / "home/pics/1.png"
    assert await fal.storage.download(f"{host.url}/1.png", form("~/x.png")) == folder / "home/x.png"
    assert await fal.storage.download(f"{host.url}/2.png", form("~")) == folder / "home/2.png"
    assert os.listdir(folder) == ["home"]


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("", "is empty"),
        ("~nobody-of-that-name/x.png", "home folder"),
        ("a\0b.png", "NUL"),
        ("out\\cat.png", "backslash"),
        ("C:\\out\\", "backslash"),
        ("x\ud800.png", "is not a path"),
        (None, "NoneType"),
        (5, "int"),
        (b"x.png", "bytes"),
    ],
)
async def test_an_invalid_download_target_is_refused_before_anything_is_sent(
    fal: Session, host: FileHost, folder: Path, to: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigurationError, match=words):
        await fal.storage.download(f"{host.url}/1.png", to)
    if words != "backslash":
        with pytest.raises(ConfigurationError, match=words):
            await fal.storage.download_all([], to)
    assert (os.listdir(folder), host.asked) == ([], [])


async def test_a_path_object_that_does_not_return_a_path_is_refused_as_target(
    fal: Session, host: FileHost
) -> None:
    class Odd(os.PathLike[str]):
        def __fspath__(self) -> str:
            return 5  # type: ignore[return-value]

    with pytest.raises(ConfigurationError, match="to is not a path"):
        await fal.storage.download(f"{host.url}/1.png", Odd())


async def test_every_kind_of_path_object_is_accepted_as_download_target(
    fal: Session, host: FileHost, folder: Path
) -> None:
    class OfBytes(os.PathLike[bytes]):
        def __fspath__(self) -> bytes:
            return os.fsencode(folder / "bytes.png")

    (folder / "sub").mkdir()
    with os.scandir(folder) as entries:
        entry = next(entries)
    to: Any
    for to, expected in (
        (anyio.Path(folder / "any.png"), "any.png"),
        (anyio.Path(folder / "new"), "new/1.png"),
        (entry, "sub/1.png"),
        (OfBytes(), "bytes.png"),
    ):
        path = await fal.storage.download(f"{host.url}/1.png", to)
        assert type(path) is type(folder)
        assert path == folder / expected
        assert path.is_file()


async def test_a_target_that_the_system_refuses_raises_a_download_error_naming_it(
    fal: Session, host: FileHost, folder: Path
) -> None:
    (folder / "file").write_bytes(b"")
    refused = [folder / f"{'x' * 300}.png", folder / ("y" * 300) / "1.png", folder / "file" / "1.png"]
    if Path("/proc/self").is_dir():
        refused.append(Path("/proc/self/xxx.png"))  # no user can create a file there
    if os.geteuid():
        (folder / "closed").mkdir(0o500)
        refused.append(folder / "closed" / "1.png")
    for to in refused:
        with pytest.raises(DownloadError, match=r"to/|/proc/self|xxx|yyy"):
            await fal.storage.download(f"{host.url}/1.png", to)
    with pytest.raises(DownloadError, match="file"):
        await fal.storage.download_all([], folder / "file")
    assert (os.listdir(folder), host.asked) == (["file"], [])
