"""`BatchItem`: what iterating a batch yields."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Generic

import attrs

from fal_async.errors import FalError
from fal_async.models import Result, T_co


@attrs.frozen(kw_only=True, eq=False)
class BatchItem(Generic[T_co]):
    """One input of a batch with its result or its error.

    Exactly one of `result` and `error` is set. The exception: if the request succeeded, but a file of its result
    can't be downloaded, both are set.

    Attributes:
        index: the position of the input in `inputs`, from 0.
        key: the key of the item, under which the ledger stores it; None if the key could not be derived, for
            example because a file of the input can't be read.
        input: a copy of the input, made when it was read from `inputs`.
        result: the result; None if the item failed.
        error: why the item failed, or why files of its result are missing; None if it succeeded.
        request_id: the id of the newest request; None if fal accepted none.
        attempts: how often the item was submitted. With a ledger, all processes that share it are counted.
        files: paths of the files that `download=` wrote, in the order of the output; empty without `download=`.
        billable_units: units that fal billed for the request of the result; None if fal's response does not
            report them.
        cost: what the item cost by list price, in US dollars: all of its attempts, as far as their cost is known.
            None if the cost of no attempt is known. Items that share a request all have its cost.
        from_ledger: whether the outcome was in the ledger already, so that nothing was submitted for the item.
    """

    index: int
    key: str | None = None
    input: Any = attrs.field(default=None, repr=False)
    result: Result[T_co, str] | None = None
    error: FalError | None = None
    request_id: str | None = None
    attempts: int = 0
    files: tuple[Path, ...] = ()
    billable_units: Decimal | None = None
    cost: Decimal | None = None
    from_ledger: bool = False

    @property
    def ok(self) -> bool:
        """Whether the item has its result, and with `download=` all files of it."""
        return self.error is None

    def unwrap(self) -> Result[T_co, str]:
        """Return the result, or raise the error.

        Raises:
            FalError: `error`, if it is set, even if `result` is set, too.
        """
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result
