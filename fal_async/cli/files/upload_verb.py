"""Upload files to fal's storage, and print the URL of each. Uploading costs nothing.

A call uploads the files of its input itself, such as image_url@cat.png: this verb is for files that several calls
share.
"""

from __future__ import annotations

import argparse

from fal_async.cli.argument_types import add_json
from fal_async.cli.calls.call_arguments import add_quiet

EXAMPLES = ("fal-async upload cat.png", "fal-async upload *.png --json")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="a file to upload")
    parser.add_argument(
        "--content-type",
        metavar="TYPE",
        help="such as image/png (default: by the file's name and content)",
    )
    add_json(parser, "print a line of JSON with the file and the URL of each upload")
    add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    from fal_async.cli.files.transfers import upload

    return upload(options)
