"""Runs `upload` and `download` with parsed arguments: one file after the other, each with its progress."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from fal_async.cli import exits
from fal_async.cli.command import failed, run_command
from fal_async.cli.live_line import QuietLine, live_line
from fal_async.cli.output import put, put_line
from fal_async.cli.sizes import file_line, size_text
from fal_async.errors import ConfigurationError
from fal_async.session import Session


def upload(options: argparse.Namespace) -> int:
    """Upload the files, and print their URLs. Return the exit status."""
    for file in options.files:
        path = os.path.expanduser(file)
        if not os.path.exists(path) or os.path.isdir(path):
            return failed("upload", options, ConfigurationError(f"{file}: expected the path of a file"))
    return run_command("upload", options, lambda fal: _upload(fal, options))


def download(options: argparse.Namespace) -> int:
    """Download the files, and print their names. Return the exit status."""
    if len(options.urls) > 1 and os.path.isfile(os.path.expanduser(options.to)):
        error = ConfigurationError(f"--to {options.to}: expected a folder for {len(options.urls)} files")
        return failed("download", options, error)
    return run_command("download", options, lambda fal: _download(fal, options), needs_key=False)


async def _upload(fal: Session, options: argparse.Namespace) -> int:
    for file in options.files:
        with live_line(quiet=options.quiet, only_redrawn=True) as line:
            url = await fal.storage.upload(
                Path(file), content_type=options.content_type, on_progress=_progress(line, file)
            )
        if options.json:
            put({"file": file, "url": url})
        else:
            put_line(url)
    return exits.DONE


async def _download(fal: Session, options: argparse.Namespace) -> int:
    to = options.to if len(options.urls) == 1 else os.path.join(options.to, "")  # more than one need a folder
    for url in options.urls:
        with live_line(quiet=options.quiet, only_redrawn=True) as line:
            path = await fal.storage.download(url, to, on_progress=_progress(line, url.rpartition("/")[2]))
        if options.json:
            put({"url": url, "file": str(path)})
        else:
            put_line(file_line(path))
    return exits.DONE


def _progress(line: QuietLine, name: str) -> Callable[[int, int | None], None]:
    def show(moved: int, total: int | None) -> None:
        of = f" of {size_text(total)}" if total else ""
        line.show(f"{name}  {size_text(moved)}{of}")

    return show
