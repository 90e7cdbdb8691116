"""Runs a verb that calls a model: reads its input, and runs it with a session."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fal_async.cli.calls.call_arguments import wrong_key_arguments
from fal_async.cli.calls.call_input import make_folder, read_input
from fal_async.cli.calls.request_words import handle_of, read_request
from fal_async.cli.command import failed, run_command
from fal_async.cli.live_line import QuietLine
from fal_async.cli.messages import say
from fal_async.errors import ConfigurationError, FalError
from fal_async.queue import RequestHandle
from fal_async.session import Session

Work = Callable[[RequestHandle, argparse.Namespace], Coroutine[Any, Any, int]]
Call = Callable[[Session, dict[str, Any], argparse.Namespace], Coroutine[Any, Any, int]]


def run_call(verb: str, options: argparse.Namespace, call: Call, *, cancels: bool = True) -> int:
    """Read the input, before anything is sent, then run `call` with an open session, the input and the arguments.

    Args:
        verb: the name of the verb, for messages.
        options: the parsed arguments.
        call: makes the call, and returns the exit status.
        cancels: whether Ctrl-C cancels the request on fal; default True.

    Returns:
        The exit status; 2 if an argument or the input is not valid. See `run_command`.
    """
    try:
        if "ledger" in options and (wrong := wrong_key_arguments(options)):
            raise ConfigurationError(wrong)
        input = read_input(options)
        _prepare(options)
    except FalError as error:
        return failed(verb, options, error)
    return run_command(verb, options, lambda session: call(session, input, options), cancels=cancels)


def run_request(verb: str, options: argparse.Namespace, work: Work) -> int:
    """Read which request the arguments name, then run `work` with an open session and its handle.

    Ctrl-C does not cancel the request. See `run_command` for the exit status.
    """
    try:
        request = read_request(options)
        _prepare(options)
    except FalError as error:
        return failed(verb, options, error)

    async def run(session: Session) -> int:
        return await work(handle_of(session, request), options)

    return run_command(verb, options, run, cancels=False)


def _prepare(options: argparse.Namespace) -> None:
    if getattr(options, "download", None) is not None:
        options.download = os.path.expanduser(options.download)
        make_folder(options.download)


@contextlib.contextmanager
def noting_interrupts(note: str, line: QuietLine) -> Iterator[None]:
    """Print a note on standard error, below what `line` shows, if Ctrl-C cancels the block."""
    try:
        yield
    except asyncio.CancelledError:
        line.close()
        say(note)
        raise
