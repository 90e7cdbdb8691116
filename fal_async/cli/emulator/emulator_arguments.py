"""The arguments of `emulator` and `emulator exec`, and the emulator that they describe."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fal_async.cli import listening
from fal_async.cli.emulator.recording_arguments import add_recordings, recordings_of
from fal_async.cli.screen import is_live
from fal_async.emulator.defaults import CLOCKS, DEFAULT_KEY, DEFAULT_RUNNERS, KEEP_JOBS, KEEP_REQUESTS

if TYPE_CHECKING:
    from fal_async.emulator.server import Emulator
    from fal_async.emulator.serving.certificates import Certificates

_DEFAULT = "(default: %(default)s)"


def configure_emulator(parser: argparse.ArgumentParser, *, port: int, log: str) -> None:
    """Add the arguments that both verbs have.

    Args:
        parser: the parser of the verb.
        port: the default of `--port`.
        log: the default of `--access-log`, in words.
    """
    add = parser.add_argument
    add(
        "--port",
        type=listening.port,
        default=port,
        help=f"port to listen on, 0 for a free one {_DEFAULT}",
    )
    add_endpoints(parser)
    _add_accounts(parser)
    add_recordings(parser)
    add("--speed", type=_positive, default=1.0, help=f"factor by which the models work faster {_DEFAULT}")
    add(
        "--clock",
        choices=CLOCKS,
        default="real",
        help="auto: virtual time, which moves on when only time is waited for; manual: virtual time that "
        f"only POST /_emulator/clock moves {_DEFAULT}",
    )
    add(
        "--runners",
        type=_runners,
        default=DEFAULT_RUNNERS,
        help=f"requests that each model works on at a time {_DEFAULT}",
    )
    add("--folder", type=folder, help="folder for produced and uploaded files (default: a temporary one)")
    _add_memory(parser)
    add("--seed", type=int, default=0, help=f"seed of the random generator for faults {_DEFAULT}")
    add(
        "--access-log",
        choices=("calls", "all", "none"),
        help="print a line for each HTTP request on standard error: calls leaves out polls of a status that "
        f"succeed, and calls of /_emulator; all has them, too (default: {log})",
    )
    add(
        "--tls-folder",
        type=folder,
        metavar="DIR",
        help="folder in which the certificates are made, and used again (default: a temporary one)",
    )


def add_endpoints(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for endpoints of the user's own."""
    parser.add_argument(
        "--app",
        action="append",
        default=[],
        metavar="[ID=]MODULE:NAME",
        help="your own endpoints: a function that takes the emulator, or with ID an ASGI application; "
        "may be repeated",
    )
    parser.add_argument(
        "--endpoints",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="endpoints that a TOML or JSON file declares, without Python; may be repeated",
    )


def _add_accounts(parser: argparse.ArgumentParser) -> None:
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--key", type=_key, default=DEFAULT_KEY, help=f"the accepted API key {_DEFAULT}")
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
    """Add the arguments that limit the number and the lifetime of jobs, results and files."""
    add = parser.add_argument
    add(
        "--retention",
        type=_seconds,
        metavar="SECONDS",
        help="seconds for which results are kept (default: as long as fal keeps them)",
    )
    add(
        "--keep-jobs",
        type=_runners,
        default=KEEP_JOBS,
        metavar="N",
        help="how many jobs are kept; those that completed first are deleted first (default: %(default)s)",
    )
    add(
        "--keep-requests",
        type=_count,
        default=KEEP_REQUESTS,
        metavar="N",
        help="how many HTTP requests are stored for the page, the latest ones; with 0 they are only counted "
        "(default: %(default)s)",
    )
    add(
        "--forget-after",
        type=_seconds,
        metavar="SECONDS",
        help="delete a job this many seconds after its completion (default: never)",
    )
    _add_memory_of_files(parser)


def _add_memory_of_files(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
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


def add_state(parser: argparse.ArgumentParser, when: str) -> None:
    """Add `--state`; `when` says when the state is saved."""
    parser.add_argument(
        "--state",
        type=folder,
        metavar="DIR",
        help=f"folder whose state the emulator goes on from, if it has one, and to which it is saved {when} "
        "(default: none)",
    )


def emulator_of(options: argparse.Namespace, certificates: Certificates | None) -> Emulator:
    """Return the emulator that the arguments describe, with its endpoints, and with a saved state.

    Raises:
        ValueError: If an argument is out of range, or an endpoint can't be added.
        OSError: If a file of endpoints can't be read.
    """
    from fal_async.emulator.server import Emulator
    from fal_async.emulator.state.state_folder import is_unused

    state = None if options.state is None or is_unused(options.state) else options.state
    emulator = Emulator(
        host=options.host,
        port=options.port,
        key=options.key,
        require_key=not options.no_key,
        speed=options.speed,
        clock=options.clock,
        folder=options.folder,
        runners=options.runners,
        concurrency=options.concurrency,
        balance=options.balance,
        retention=options.retention,
        record=options.keep_requests > 0,
        keep_requests=max(options.keep_requests, 1),
        keep_jobs=options.keep_jobs,
        forget_after=options.forget_after,
        file_lifetime=options.file_lifetime,
        gone_status=options.gone_status,
        plain_pictures=options.plain_pictures,
        recordings=recordings_of(options),
        seed=options.seed,
        ssl=None if certificates is None else certificates.context(),
        state=state,
    )
    saved = set() if state is None else set(emulator.accounts)
    for key in options.account:
        if key.partition(":")[0] in saved:
            continue
        emulator.add_account(key, concurrency=options.concurrency)
    serve_endpoints(emulator, options)
    return emulator


def serve_endpoints(emulator: Emulator, options: argparse.Namespace) -> None:
    """Add the endpoints of the user's own to an emulator. Raise as `emulator_of`."""
    from fal_async.emulator.serving.own_endpoints import add_app, add_declared

    for app in options.app:
        add_app(emulator, app)
    for path in options.endpoints:
        add_declared(emulator, path)


def start_log(emulator: Emulator, wanted: str | None) -> None:
    """Log HTTP requests on standard error.

    By default only on a terminal, because a program that starts the emulator and never reads its standard error
    would stop it when the pipe is full.
    """
    from fal_async.cli.messages import say

    wanted = wanted or ("calls" if is_live(sys.stderr) else "none")
    if wanted != "none":
        emulator.log_requests(say, everything=wanted == "all")


def _key(text: str) -> str:
    if not all(text.partition(":")):
        raise argparse.ArgumentTypeError("expected an API key of the form id:secret")
    return text


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: expected an integer >= 0")
    return int(text)


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


def folder(text: str) -> Path:
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: expected a folder, but it is a file")
    return path
