"""Download files by their URLs, and print the name of each.

A file appears under its name only when it is complete. Nothing in a folder is replaced: if the name exists, the new
one gets a number.
"""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json
from fal_async.cli.calls.call_arguments import add_quiet

EXAMPLES = ("fal-async download https://v3.fal.media/files/b/0a1b2c3d/cat.png --to out/",)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("urls", metavar="URL", nargs="+", help="URL of a file")
    parser.add_argument(
        "--to",
        metavar="FOLDER",
        default=".",
        help="folder, which is created if missing; for one URL also the name of the file (default: %(default)s)",
    )
    add_json(parser, "print a line of JSON with the URL and the file of each download")
    add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.files.transfers import download

    return download(options)
