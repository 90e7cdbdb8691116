"""`fal-async upload` and `download`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shell import Shell


def test_files_go_to_fal_and_come_back(shell: Shell, tmp_path: Path) -> None:
    for name in ("a.txt", "größe.txt"):
        (tmp_path / name).write_text(name)
    files = [str(tmp_path / name) for name in ("a.txt", "größe.txt")]
    up = shell.run("upload", *files)
    assert (up.status, up.err, len(up.out.split())) == (0, "", 2)
    down = shell.run("download", *up.out.split(), "--to", str(tmp_path / "back"))
    assert (down.status, down.err) == (0, "")
    paths = [Path(line) for line in down.out.splitlines()]
    assert [path.read_text() for path in paths] == ["a.txt", "größe.txt"]
    assert {path.parent for path in paths} == {tmp_path / "back"}


def test_json_of_both_is_a_line_for_each_file(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_text("text")
    up = shell.run("upload", str(file), "--content-type", "image/png", "--json").document
    assert up["file"] == str(file)
    down = shell.run("download", up["url"], "--to", str(tmp_path / "b.png"), "--json").document
    assert down == {"url": up["url"], "file": str(tmp_path / "b.png")}


def test_a_download_needs_no_key(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("text")
    url = shell.run("upload", str(tmp_path / "a.txt")).out.strip()
    monkeypatch.delenv("FAL_KEY")
    assert shell.run("download", url, "--to", str(tmp_path / "b.txt")).status == 0
    assert shell.run("upload", str(tmp_path / "a.txt")).status == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("upload", "missing.png"), "missing.png: expected the path of a file"),
        (("upload", "/"), "/: expected the path of a file"),
        (("download", "cat.png"), "cat.png"),
        (("download", "https://a/b", "https://a/c", "--to", __file__), "expected a folder for 2 files"),
    ],
)
def test_wrong_files_and_urls_exit_with_2_and_a_message(
    shell: Shell, words: tuple[str, ...], told: str
) -> None:
    done = shell.run(*words)
    assert (done.status, told in done.err) == (2, True), done.err


def test_a_file_that_is_not_there_exits_with_1(shell: Shell, tmp_path: Path) -> None:
    url = f"{shell.emulator.url}/v3.fal.media/files/b/0a1b2c3d/cat.png"
    done = shell.run("download", url, "--to", str(tmp_path))
    assert (done.status, list(tmp_path.iterdir()), len(done.err.splitlines())) == (1, [], 1)
