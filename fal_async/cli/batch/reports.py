"""What `fal-async batch run` says: JSON lines for programs; for people failures, a summary, and the way on."""

from __future__ import annotations

import os
import sys
from typing import Any

import attrs

from fal_async.batch.item import BatchItem
from fal_async.batch.progress.wording import ending
from fal_async.batch.summary import BatchSummary
from fal_async.cli import PROGRAM, fail, say
from fal_async.errors import FalError
from fal_async.outputs.json_values import json_text


class OutputLostError(Exception):
    """Standard output can't be written: its reader is gone, or its disk is full."""


def put(value: Any) -> None:
    """One line of JSON on standard output. See `put_line`."""
    put_line(json_text(value))


def put_line(line: str) -> None:
    """On standard output, at once: a reader may wait for it. OutputLostError where nobody will read it."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise OutputLostError("nobody reads standard output any more") from None
    except OSError as error:
        raise OutputLostError(f"standard output can't be written: {error.strerror or error}") from None


def forget_standard_output() -> None:
    """Or the interpreter complains at its end about what it could not write."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def put_error(verb: str, error: FalError, *, as_json: bool) -> None:
    """What ended it, or a part of it: on standard error, and for programs on standard output, too."""
    if as_json:
        put({"error": error.to_dict()})
    fail(verb, str(error))


class Report:
    """What is said of one run."""

    def __init__(self, *, as_json: bool, ledger: str, shown: bool) -> None:
        """`shown`: the progress shows the summary."""
        self._as_json, self._ledger, self._shown = as_json, ledger, shown
        self._is_told = False

    def item(self, item: BatchItem[Any]) -> None:
        if self._as_json:
            put(document(item))
        elif item.error is not None:
            say(f"{item.key or item.index}: {item.error}")

    def tell(self, error: FalError) -> None:
        """What ended the run, for programs: before the summary, which is the last line for them."""
        if self._as_json and not self._is_told:
            self._is_told = True
            put({"error": error.to_dict()})

    def stopped(self, error: FalError) -> None:
        """The same for everybody."""
        self.tell(error)
        fail("batch run", str(error))

    def summary(self, endpoint_id: str, summary: BatchSummary) -> None:
        if self._as_json:
            put({"summary": attrs.asdict(summary)})
            return
        if not self._shown:
            put_line(f"{endpoint_id}: {ending(summary)}")
        if summary.failed:
            say("what failed is paid for again only with --retry-failed")
        if summary.uncertain:
            say(f"uncertain: {PROGRAM} batch uncertain --ledger {self._ledger}")


def document(item: BatchItem[Any]) -> dict[str, Any]:
    """An item for other programs. The input is not in it: `index` and `key` lead back to it."""
    return {
        "index": item.index,
        "key": item.key,
        "ok": item.ok,
        "result": None if item.result is None else item.result.data,
        "error": None if item.error is None else item.error.to_dict(),
        "request_id": item.request_id,
        "attempts": item.attempts,
        "files": [str(path) for path in item.files],
        "billable_units": item.billable_units,
        "cost": item.cost,
        "from_ledger": item.from_ledger,
    }
