"""Prints the result of a request on standard output, and downloads its files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fal_async.cli.live_line import QuietLine
from fal_async.cli.output import put, put_bytes, put_line, put_pretty
from fal_async.cli.screen import is_live, printable
from fal_async.cli.sizes import file_line, size_text
from fal_async.errors import ConfigurationError
from fal_async.models import Result


async def downloaded(result: Result[Any, Any], options: argparse.Namespace, line: QuietLine) -> list[Path]:
    """Download the files of a result if `--download` is given, and return their paths.

    If that fails or is cancelled, the result is printed without them, because it is paid for. Raises DownloadError.
    """
    if options.download is None or not (files := result.files()):
        return []
    line.show(f"downloading {len(files)} file{'s' * (len(files) > 1)}")
    try:
        return await result.download(options.download)
    except BaseException as error:
        line.close()
        put_result(result, [path for path in getattr(error, "paths", ()) if path and options.json], options)
        raise


def put_result(result: Result[Any, Any], paths: Sequence[Path], options: argparse.Namespace) -> None:
    """Print a result as the arguments say.

    With `--json` the whole result is one document. If files were downloaded, their names are printed, in a terminal
    with their sizes. Otherwise the output is printed: text as it is, everything else as indented JSON.

    Args:
        result: the result of the request.
        paths: its downloaded files.
        options: `json`.

    Raises:
        ConfigurationError: the output is binary, and standard output is a terminal.
        OutputLostError: standard output can't be written.
    """
    if options.json:
        put(document_of(result, paths))
    elif paths:
        for path in paths:
            put_line(file_line(path))
    else:
        _put_output(result)


def document_of(result: Result[Any, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """Return the document of `--json`: the result, and the names of its downloaded files."""
    more = {"cost": result.cost, "from_ledger": result.from_ledger, "files": [str(path) for path in paths]}
    return result.to_dict() | more


def _put_output(result: Result[Any, Any]) -> None:
    data = result.data
    if isinstance(data, str):
        put_line(printable(data) if is_live(sys.stdout) else data)
    elif not isinstance(data, bytes):
        put_pretty(data)
    elif is_live(sys.stdout):
        raise ConfigurationError(
            f"the output is {size_text(len(data))} of binary data: pass --download FOLDER, or send it to a file"
        )
    else:
        put_bytes(data)
