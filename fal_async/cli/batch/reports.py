"""Prints the output of `fal-async batch run`: JSON lines for programs, or failures, a summary and advice."""

from __future__ import annotations

from typing import Any

import attrs

from fal_async.batch.item import BatchItem
from fal_async.batch.progress.wording import ending
from fal_async.batch.summary import BatchSummary
from fal_async.cli.messages import PROGRAM, fail, say
from fal_async.cli.output import put, put_line, with_amounts
from fal_async.errors import FalError
from fal_async.ledger.postgres.postgres_address import is_address


class Report:
    """Prints the items, the errors and the summary of one run.

    Args:
        as_json: whether to print JSON lines, for programs.
        ledger: the argument `--ledger`, for the commands in advice.
        shown: whether the progress display prints the summary.
    """

    def __init__(self, *, as_json: bool, ledger: str, shown: bool) -> None:
        self._as_json, self._ledger, self._shown = as_json, ledger, shown
        self._is_error_put = False

    def item(self, item: BatchItem[Any]) -> None:
        """Print an item: as JSON, or, without `--json`, only if it failed."""
        if self._as_json:
            put(with_amounts(document(item)))
        elif item.error is not None:
            say(f"{item.key or item.index}: {item.error}")

    def put_json_error(self, error: FalError) -> None:
        """With `--json`, print the error that stopped the run. Called before `summary` prints the last line."""
        if self._as_json and not self._is_error_put:
            self._is_error_put = True
            put({"error": error.to_dict()})

    def stopped(self, error: FalError) -> None:
        """Print the error that stopped the run on standard error; with `--json` also on standard output."""
        self.put_json_error(error)
        fail("batch run", str(error))

    def summary(self, endpoint_id: str, summary: BatchSummary) -> None:
        """Print the summary, and what to do about failed and uncertain items."""
        if self._as_json:
            put({"summary": with_amounts(attrs.asdict(summary))})
            return
        if not self._shown:
            put_line(f"{endpoint_id}: {ending(summary)}")
        if summary.failed:
            say("to submit failed items again, and pay for them again, pass --retry-failed")
        if summary.uncertain:
            ledger = "postgresql://..." if is_address(self._ledger) else self._ledger  # a URL has a password
            say(f"to resolve uncertain items: {PROGRAM} batch uncertain --ledger {ledger}")


def document(item: BatchItem[Any]) -> dict[str, Any]:
    """Return an item as JSON values, without its input, which `index` and `key` identify."""
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
