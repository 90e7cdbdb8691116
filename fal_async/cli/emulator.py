"""Run a complete local fal: the queue, direct calls, files, and built-in models that draw, write and train.

Point the SDK at it with FAL_BASE_URL and FAL_KEY, as printed when it starts. Ctrl-C or SIGTERM stops it.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from fal_async.cli import listening
from fal_async.cli.argument_types import add_json
from fal_async.cli.messages import fail
from fal_async.emulator.defaults import DEFAULT_HOST, DEFAULT_KEY, DEFAULT_PORT, DEFAULT_RUNNERS, KEEP_JOBS

EXAMPLES = (
    "fal-async emulator --port 8765",
    "FAL_BASE_URL=http://127.0.0.1:8765 FAL_KEY=emulator:key fal-async run fal-ai/any-llm prompt=hello",
)


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    default = "(default: %(default)s)"
    add("--host", default=DEFAULT_HOST, help=f"address to listen on {default}")
    add(
        "--port",
        type=listening.port,
        default=DEFAULT_PORT,
        help=f"port to listen on, 0 for a free one {default}",
    )
    _add_accounts(parser, default)
    add("--speed", type=_positive, default=1.0, help=f"factor by which the models work faster {default}")
    add(
        "--runners",
        type=_runners,
        default=DEFAULT_RUNNERS,
        help=f"requests that each model works on at a time {default}",
    )
    add(
        "--folder",
        type=_folder,
        help="folder for produced and uploaded files (default: a temporary one)",
    )
    add(
        "--retention",
        type=_seconds,
        metavar="SECONDS",
        help="seconds for which results are kept (default: as long as fal keeps them)",
    )
    _add_memory(parser)
    add("--seed", type=int, default=0, help=f"seed of the random generator for faults {default}")
    add(
        "--record",
        action="store_true",
        help="store the latest HTTP requests; without it they are only counted",
    )
    add_json(parser, "print the address and the keys as one JSON document")


def _add_accounts(parser: argparse.ArgumentParser, default: str) -> None:
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--key", type=_key, default=DEFAULT_KEY, help=f"the accepted API key {default}")
    who.add_argument("--no-key", action="store_true", help="accept any key, or no key")
    parser.add_argument(
        "--account",
        type=_key,
        action="append",
        default=[],
        metavar="KEY",
        help="API key of a further account with its own requests and files; may be repeated",
    )
    parser.add_argument(
        "--concurrency",
        type=_runners,
        help="requests that each account runs at a time, over all models (default: no limit)",
    )
    parser.add_argument(
        "--balance",
        type=_dollars,
        metavar="USD",
        help="US dollars of the emulator's own account, which is locked when they are spent (default: no limit)",
    )


def _add_memory(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that limit the number and the lifetime of jobs and files."""
    add = parser.add_argument
    add(
        "--keep-jobs",
        type=_runners,
        default=KEEP_JOBS,
        metavar="N",
        help="how many jobs are kept; those that completed first are deleted first (default: %(default)s)",
    )
    add(
        "--forget-after",
        type=_seconds,
        metavar="SECONDS",
        help="delete a job this many seconds after its completion (default: never)",
    )
    add(
        "--file-lifetime",
        type=_seconds,
        metavar="SECONDS",
        help="seconds for which produced files are kept (default: no limit)",
    )
    add(
        "--gone-status",
        type=int,
        choices=(403, 404, 410),
        default=404,
        help="HTTP status for a file that has expired (default: %(default)s)",
    )
    add(
        "--plain-pictures",
        action="store_true",
        help="draw pictures of one colour, which take almost no CPU time",
    )


def run(options: argparse.Namespace) -> int:
    # Imported late: these take a quarter of a second to load, and --help does not need them.
    import asyncio

    from fal_async.emulator.serve import serve

    serving = serve(
        options.host,
        options.port,
        key=options.key,
        require_key=not options.no_key,
        speed=options.speed,
        runners=options.runners,
        concurrency=options.concurrency,
        balance=options.balance,
        accounts=options.account,
        folder=options.folder,
        retention=options.retention,
        keep_jobs=options.keep_jobs,
        forget_after=options.forget_after,
        file_lifetime=options.file_lifetime,
        gone_status=options.gone_status,
        plain_pictures=options.plain_pictures,
        seed=options.seed,
        record=options.record,
        as_json=options.json,
    )
    try:
        asyncio.run(serving)
    except ValueError as error:
        return fail("emulator", str(error))
    except OSError as error:
        return fail("emulator", listening.explained(error, options.host, options.port))
    return 0


def _key(text: str) -> str:
    if not all(text.partition(":")):
        raise argparse.ArgumentTypeError("expected an API key of the form id:secret")
    return text


def _runners(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an integer >= 1")
    return int(text)


def _positive(text: str) -> float:
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number > 0")
    return value


def _dollars(text: str) -> str:
    """Return the text, since it is exact; a float is not."""
    if _number(text) < 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected US dollars >= 0")
    return text


def _seconds(text: str) -> float:
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected seconds >= 0")
    return value


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number")
    return value


def _folder(text: str) -> Path:
    folder = Path(text)
    if folder.exists() and not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: expected a folder, but it is a file")
    return folder
