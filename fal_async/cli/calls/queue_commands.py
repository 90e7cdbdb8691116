"""Runs `submit`, `status` and `cancel` with parsed arguments."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from fal_async.cancellation import BECAME
from fal_async.cli import exits
from fal_async.cli.calls.call_arguments import call_options
from fal_async.cli.calls.making import run_call, run_request
from fal_async.cli.calls.queue_display import state_text, status_document
from fal_async.cli.output import put, put_line
from fal_async.cli.screen import printable
from fal_async.errors import CancelOutcome
from fal_async.models import Completed, QueueStatus, RequestLog
from fal_async.queue import RequestHandle
from fal_async.session import Session


def submit(options: argparse.Namespace) -> int:
    """Submit the request, and print its id or handle. Return the exit status."""
    return run_call("submit", options, _submit)


def status(options: argparse.Namespace) -> int:
    """Print the status of a request, or each change of it. Return the exit status."""
    return run_request("status", options, _status)


def cancel(options: argparse.Namespace) -> int:
    """Cancel a request, and print the outcome. Return the exit status."""
    return run_request("cancel", options, _cancel)


async def _submit(fal: Session, input: dict[str, Any], options: argparse.Namespace) -> int:
    handle = await fal.queue.submit(
        options.endpoint, input, key=options.idempotency_key, **call_options(options)
    )
    put_line(handle.to_json() if options.json else handle.request_id)
    return exits.DONE


async def _status(handle: RequestHandle, options: argparse.Namespace) -> int:
    if not options.follow:
        found = await handle.status(logs=options.logs)
        _put_status(found, found.logs, options)
        return _of_status(found)
    shown = None
    async with contextlib.aclosing(handle.updates(logs=options.logs)) as updates:
        async for found in updates:
            if found.new_logs or found.headline != shown:
                _put_status(found, found.new_logs, options)
            shown = found.headline
    return _of_status(found)


def _put_status(found: QueueStatus, logs: tuple[RequestLog, ...], options: argparse.Namespace) -> None:
    if options.json:
        put(status_document(found, logs))
        return
    for log in logs:
        put_line(printable(log.message))
    error = found.error or found.error_type if isinstance(found, Completed) else None
    put_line(f"{state_text(found)}: {printable(error)}" if error else state_text(found))


def _of_status(found: QueueStatus) -> int:
    return exits.FAILED if state_text(found) == "failed" else exits.DONE


async def _cancel(handle: RequestHandle, options: argparse.Namespace) -> int:
    outcome = await handle.cancel()
    if options.json:
        put({"request_id": handle.request_id, "outcome": outcome})
    else:
        put_line(BECAME[outcome])
    is_asked = outcome in (CancelOutcome.CANCELLED, CancelOutcome.CANCELLATION_REQUESTED)
    return exits.DONE if is_asked else exits.FAILED
