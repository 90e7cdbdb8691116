"""What `fal-async batch run` says: JSON lines for programs; for people failures, a summary, and the way on."""

from __future__ import annotations

import sys
from typing import Any

import attrs

from fal_async.batch.item import BatchItem
from fal_async.batch.progress.wording import ending
from fal_async.batch.summary import BatchSummary
from fal_async.cli import PROGRAM, fail
from fal_async.errors import FalError
from fal_async.outputs.json_values import json_text


def put(value: Any) -> None:
    """One line of JSON on standard output, at once: a reader may wait for it."""
    print(json_text(value), flush=True)


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

    def item(self, item: BatchItem[Any]) -> None:
        if self._as_json:
            put(document(item))
        elif item.error is not None:
            print(f"{item.key or item.index}: {item.error}", file=sys.stderr)

    def stopped(self, error: FalError) -> None:
        """What ended the run."""
        put_error("batch run", error, as_json=self._as_json)

    def summary(self, endpoint_id: str, summary: BatchSummary) -> None:
        if self._as_json:
            put({"summary": attrs.asdict(summary)})
            return
        if not self._shown:
            print(f"{endpoint_id}: {ending(summary)}")
        if summary.failed:
            print("what failed is paid for again only with --retry-failed", file=sys.stderr)
        if summary.uncertain:
            print(f"uncertain: {PROGRAM} batch uncertain --ledger {self._ledger}", file=sys.stderr)


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
