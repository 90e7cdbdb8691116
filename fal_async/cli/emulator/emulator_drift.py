"""Compare recordings of fal with what this emulator answers to the same calls: does it still behave like fal?

Each recorded call is made again, of an emulator in this process, and nothing is sent elsewhere. Compared are HTTP
statuses, headers, and the members of bodies with their JSON types, not their values: the submit, the statuses, the
log, the events of a stream, the result and the error. If the emulator does not have the endpoint, its result is
not compared; --endpoints and --app add endpoints of your own.

The exit status is 0 without differences, 1 with some, and 2 if the folder can't be used.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fal_async.cli.argument_types import add_json
from fal_async.cli.emulator.emulator_arguments import add_endpoints, serve_endpoints
from fal_async.cli.messages import fail, say
from fal_async.cli.output import OutputLostError, forget_standard_output, put
from fal_async.cli.parsers import USAGE

if TYPE_CHECKING:
    from fal_async.emulator.drift.drift_report import DriftReport

EXAMPLES = (
    "fal-async emulator drift recordings",
    "fal-async emulator drift recordings --json",
    "fal-async emulator drift recordings --endpoints models.toml",
)
_COLUMNS = ("FILE", "PLACE IN IT", "RECORDED", "EMULATOR")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder of the recordings")
    add_endpoints(parser)
    add_json(parser, "print the differences as one JSON document")


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    import asyncio

    from fal_async.emulator.apps.hosted_application import StartError
    from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
    from fal_async.emulator.drift.drift_report import drift

    try:
        folder = CassetteFolder(options.folder)
        if not len(folder):
            raise ValueError(f"{options.folder}: expected a folder with recordings, but it has none")
        report = asyncio.run(drift(folder, partial(serve_endpoints, options=options)))
    except (ValueError, ModuleNotFoundError, StartError) as error:
        fail("emulator drift", str(error))
        return USAGE
    try:
        _put(report, as_json=options.json)
    except OutputLostError as error:
        forget_standard_output()
        fail("emulator drift", str(error))
    return int(bool(report.differences))


def _put(report: DriftReport, *, as_json: bool) -> None:
    from fal_async.cli.platform.tables import put_table

    rows = [(name, each.path, each.recorded, each.emulated) for name, each in report.differences]
    if as_json:
        members = ("file", "path", "recorded", "emulator")
        listed = [dict(zip(members, row, strict=True)) for row in rows]
        put({"calls": report.calls, "unknown_endpoints": list(report.unknown), "differences": listed})
        return
    if rows:
        put_table(_COLUMNS, rows)
    files = len({name for name, _ in report.differences})
    count = f"{len(rows)} difference{'s' * (len(rows) > 1)} in {files}" if rows else "no differences in any"
    say(f"{count} of {report.calls} recorded calls")
    if report.unknown:
        names = ", ".join(report.unknown)
        say(f"endpoints that the emulator does not have, so that results were not compared: {names}")
