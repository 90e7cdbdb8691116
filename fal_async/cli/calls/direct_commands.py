"""Runs `run` and `stream` with parsed arguments: the calls without fal's queue."""

from __future__ import annotations

import argparse
from typing import Any

from fal_async.cli import exits
from fal_async.cli.calls.call_arguments import call_options
from fal_async.cli.calls.making import noting_interrupts, run_call
from fal_async.cli.calls.result_output import downloaded, put_result
from fal_async.cli.calls.stream_output import StreamOutput
from fal_async.cli.live_line import QuietLine, live_line
from fal_async.session import Session

_CLOSED = "interrupted: the connection was closed; fal may still bill the call"


def run(options: argparse.Namespace) -> int:
    """Call the model, and print its output. Return the exit status."""
    return run_call("run", options, _run, cancels=False)


def stream(options: argparse.Namespace) -> int:
    """Print the values that the model sends, as they arrive. Return the exit status."""
    return run_call("stream", options, _stream, cancels=False)


async def _run(fal: Session, input: dict[str, Any], options: argparse.Namespace) -> int:
    with live_line(quiet=options.quiet, only_redrawn=True) as line:
        line.show("running")
        with noting_interrupts(_CLOSED, line):
            got = await fal.run(options.endpoint, input, timeout=options.timeout, **call_options(options))
        paths = await downloaded(got, options, line)
    put_result(got, paths, options)
    return exits.DONE


async def _stream(fal: Session, input: dict[str, Any], options: argparse.Namespace) -> int:
    output = StreamOutput(as_json=options.json)
    async with fal.stream(
        options.endpoint,
        input,
        path=options.path,
        idle_timeout=options.idle_timeout,
        **call_options(options),
    ) as events:
        with noting_interrupts(_CLOSED, QuietLine()):
            try:
                async for event in events:
                    output.put(event)
            finally:
                output.end()
    return exits.DONE
