"""Runs a verb that uses fal: opens the session, handles Ctrl-C, prints errors, and returns the exit status."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine
from typing import Any

from fal_async.cancellation import BECAME
from fal_async.cli import exits
from fal_async.cli.advice import advice_on
from fal_async.cli.interrupts import run_until_interrupted
from fal_async.cli.key_check import check_key
from fal_async.cli.messages import PROGRAM, fail, say
from fal_async.cli.output import OutputLostError, forget_standard_output, put, put_error
from fal_async.errors import ConfigurationError, FalError, SessionStateError, SubmissionUncertainError
from fal_async.session import Session

Work = Callable[[Session], Coroutine[Any, Any, int]]


def run_command(
    verb: str, options: argparse.Namespace, work: Work, *, needs_key: bool = True, cancels: bool = True
) -> int:
    """Run `work` with an open session.

    Ctrl-C, SIGTERM or SIGHUP closes the session, so that a request that `work` waits for is cancelled on fal, and
    prints what became of it. With `cancels=False` it only cancels `work`. A second one exits at once.

    An error is one line on standard error and a second one with the way out; with `--json` it is also a document
    `{"error": ...}` on standard output.

    Args:
        verb: the name of the verb, for messages.
        options: the parsed arguments: `json`, and `ledger` if the verb has it.
        work: gets the open session and returns the exit status. It may raise FalError, OSError and OutputLostError.
        needs_key: whether a missing API key is reported before `work` starts; default True.
        cancels: whether Ctrl-C cancels the request on fal that `work` waits for; default True.

    Returns:
        The exit status: that of `work`, or of its error by `exits.of_error`; 3 without an API key, 130 after
        Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
    """
    try:
        if needs_key:
            check_key()
    except ConfigurationError as error:
        put_error(verb, error, as_json=options.json)
        return exits.REFUSED
    try:
        session = Session(ledger=getattr(options, "ledger", None))
        return run_until_interrupted(
            _within(session, verb, options, work), leave=session.aclose if cancels else None
        )
    except FalError as error:
        return failed(verb, options, error)
    except OutputLostError as error:
        forget_standard_output()
        return fail(verb, str(error))
    except OSError as error:
        return fail(verb, f"{error.filename}: {error.strerror}" if error.filename else str(error))


def failed(verb: str, options: argparse.Namespace, error: FalError) -> int:
    """Print an error, with the way out, and return its exit status."""
    put_error(verb, error, as_json=options.json)
    if advice := advice_on(error):
        say(advice)
    return exits.of_error(error)


async def _within(session: Session, verb: str, options: argparse.Namespace, work: Work) -> int:
    async with session:
        try:
            return await work(session)
        except SessionStateError as error:  # only the handler of Ctrl-C closes the session
            _report_end(verb, options, error)
            return exits.INTERRUPTED


def _report_end(verb: str, options: argparse.Namespace, error: SessionStateError) -> None:
    """Print what became of the request that Ctrl-C has ended."""
    if options.json:
        put({"error": error.to_dict()})
    if error.request_id is None:
        say(f"{PROGRAM} {verb}: interrupted: {error.message.partition('; ')[2] or error.message}")
        if isinstance(error.__cause__, SubmissionUncertainError):
            say(advice_on(error.__cause__) or "")
        return
    say(f"{PROGRAM} {verb}: interrupted: {BECAME[error.cancel_outcome]}")
    say(f"request {error.request_id}; to look again: {PROGRAM} status {error.endpoint_id} {error.request_id}")
