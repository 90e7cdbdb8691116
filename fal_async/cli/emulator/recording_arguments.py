"""The arguments of `emulator` and `emulator exec` about recordings."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fal_async.emulator.recordings.recordings import Recordings


def add_recordings(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--replay",
        type=Path,
        metavar="DIR",
        help="answer calls from the recordings of a folder",
    )
    source.add_argument(
        "--record",
        type=Path,
        metavar="DIR",
        help="send calls to fal with the API key of the variable FAL_KEY, which is billed for them, and record "
        "them in a folder",
    )
    add = parser.add_argument
    add(
        "--upstream",
        metavar="URL",
        help="what stands in for fal while recording: calls of https://queue.fal.run/... go to "
        "URL/queue.fal.run/... (default: fal itself)",
    )
    add(
        "--missing",
        choices=("strict", "emulate", "record"),
        default="strict",
        help="what happens to a call that --replay has no recording of. strict: it fails, with an error that names "
        "the nearest recording; emulate: the built-in models answer it; record: it is sent to fal "
        "(default: %(default)s)",
    )
    add(
        "--replay-speed",
        type=_replay_speed,
        default=1.0,
        metavar="N",
        help="factor by which recorded times pass faster, inf for no waiting (default: %(default)s)",
    )


def recordings_of(options: argparse.Namespace) -> Recordings | None:
    """Return what the arguments describe; None without recordings. Raise ValueError if they do not fit together."""
    from fal_async.emulator.recordings.recordings import Recordings

    if options.replay is None and (options.missing != "strict" or options.replay_speed != 1):
        raise ValueError("--missing and --replay-speed belong to --replay DIR, which is missing")
    if options.upstream is not None and options.record is None and options.missing != "record":
        raise ValueError("--upstream belongs to --record DIR or to --missing record, which are missing")
    if options.record is not None:
        return Recordings(options.record, mode="record", upstream=options.upstream)
    if options.replay is None:
        return None
    return Recordings(
        options.replay, missing=options.missing, speed=options.replay_speed, upstream=options.upstream
    )


def _replay_speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number > 0, or inf")
    return value
