"""Runs `subscribe` and `result` with parsed arguments: both wait for a request and print its result."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fal_async.cli import exits
from fal_async.cli.calls.call_arguments import call_options
from fal_async.cli.calls.making import noting_interrupts, run_call, run_request
from fal_async.cli.calls.queue_display import QueueDisplay
from fal_async.cli.calls.result_output import downloaded, put_result
from fal_async.cli.live_line import QuietLine, live_line
from fal_async.cli.messages import PROGRAM
from fal_async.cli.output import OutputLostError
from fal_async.errors import ConfigurationError, RequestRef, naming
from fal_async.models import Result
from fal_async.queue import RequestHandle
from fal_async.session import Session


def subscribe(options: argparse.Namespace) -> int:
    """Submit the request, wait for it and print its result. Return the exit status."""
    return run_call("subscribe", options, _subscribe, cancels=options.idempotency_key is None)


def result(options: argparse.Namespace) -> int:
    """Fetch the result of a request, with `--wait` when it is completed. Return the exit status."""
    return run_request("result", options, _result)


def _is_quiet(options: argparse.Namespace) -> bool:
    """Return whether people see no progress: with `--json --logs` it is on standard output."""
    return bool(options.quiet or (options.json and options.logs))


def _display(line: QuietLine, endpoint_id: str, options: argparse.Namespace) -> QueueDisplay:
    return QueueDisplay(line, endpoint_id, as_json=options.json and options.logs)


async def _subscribe(fal: Session, input: dict[str, Any], options: argparse.Namespace) -> int:
    keyed = options.idempotency_key is not None
    note = "the request keeps running: the same command waits for it again" if keyed else "interrupted"
    with live_line(quiet=_is_quiet(options)) as line:
        display = _display(line, options.endpoint, options)
        if line.is_redrawn:
            line.show("submitting")  # which takes long if the input has files
        with noting_interrupts(note, line):
            got = await fal.subscribe(
                options.endpoint,
                input,
                logs=options.logs,
                on_enqueue=display.submitted,
                on_queue_update=display.moved,
                timeout=options.timeout,
                key=options.idempotency_key,
                **call_options(options),
            )
        paths = await _downloaded(got, options.endpoint, options, line)
    return _printed(got, paths, options.endpoint, options)


async def _result(handle: RequestHandle, options: argparse.Namespace) -> int:
    if options.timeout is not None and not options.wait:
        raise ConfigurationError("--timeout: expected --wait with it")
    note = f"the request keeps running: {PROGRAM} result {handle.endpoint_id} {handle.request_id} --wait"
    with live_line(quiet=_is_quiet(options) or not options.wait) as line:
        with noting_interrupts(note, line):
            got = await (_waited(handle, line, options) if options.wait else handle.result())
        paths = await _downloaded(got, handle.endpoint_id, options, line)
    return _printed(got, paths, handle.endpoint_id, options)


async def _waited(handle: RequestHandle, line: QuietLine, options: argparse.Namespace) -> Result[Any, str]:
    display = _display(line, handle.endpoint_id, options)
    return await handle.wait(
        logs=options.logs, on_queue_update=display.moved, timeout=options.timeout, cancel_on_exit=False
    )


async def _downloaded(
    got: Result[Any, str], endpoint_id: str, options: argparse.Namespace, line: QuietLine
) -> list[Path]:
    note = f"interrupted: the files were not downloaded; {_again(endpoint_id, got.request_id)}"
    with (
        naming(RequestRef(endpoint_id=endpoint_id, request_id=got.request_id)),
        noting_interrupts(note, line),
    ):
        return await downloaded(got, options, line)


def _printed(got: Result[Any, str], paths: list[Path], endpoint_id: str, options: argparse.Namespace) -> int:
    try:
        put_result(got, paths, options)
    except (OutputLostError, ConfigurationError) as error:
        raise type(error)(f"{error}; {_again(endpoint_id, got.request_id)}") from error
    return exits.DONE


def _again(endpoint_id: str, request_id: str) -> str:
    return f"to fetch the result again: {PROGRAM} result {endpoint_id} {request_id}"
