"""`python -m fal_async demo`, which new users run first."""

from __future__ import annotations

import io
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

from fal_async.cli.screen import Screen

ROOT = Path(__file__).parents[2]


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "fal_async", "demo", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_demo_writes_four_pictures_to_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    done = demo("--folder", str(folder), "--prompt", "a fox")
    assert (done.returncode, done.stderr) == (0, "")
    pictures = sorted(folder.iterdir())
    assert len(pictures) == 4
    for picture in pictures:
        head = picture.read_bytes()[:24]
        assert head.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", head[16:24]) == (1024, 768)
        assert str(picture) in done.stdout
    assert "\033" not in done.stdout  # without a terminal it prints plain lines
    assert re.search(r"in queue +\d ahead of us", done.stdout)
    assert "drawing     " in done.stdout
    for line in (r"request id +[0-9a-f-]{36}", r"queue time +\d", r"inference time +\d", r"status polls +\d"):
        assert re.search(line, done.stdout)


def test_a_folder_that_cant_be_made_exits_with_1_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = demo("--folder", str(tmp_path / "file" / "x"))
    assert done.returncode == 1
    assert done.stderr.startswith("fal-async demo: ")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_ends_the_demo_without_a_message(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "fal_async", "demo", "--folder", str(tmp_path)]
    # Without this, a process that is started in the background would ignore Ctrl-C.
    foreground = "import signal, runpy, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command[3:5] = [
        "-c",
        foreground + "sys.argv[0] = 'demo'; runpy.run_module('fal_async', run_name='__main__')",
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "in queue" in line:
                process.send_signal(signal.SIGINT)
                break
        _, errors = process.communicate(timeout=50)
    assert (process.returncode, errors) == (130, "")


def test_a_live_line_is_overwritten_and_a_plain_one_is_not() -> None:
    live, plain = io.StringIO(), io.StringIO()
    for out, screen in ((live, Screen(live, live=True)), (plain, Screen(plain, live=False))):
        screen.title("title")
        for text in ("10 %", "10 %", "20 %"):
            screen.show(text)
        screen.note("end")
        assert out.getvalue().count("10 %") == 1
    assert plain.getvalue() == "title\n10 %\n20 %\nend\n"
    assert "\r\033[K20 %\n" in live.getvalue()
