"""One item of a batch, as the user gets it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Generic

import attrs

from fal_async.errors import FalError
from fal_async.models import Result, T_co


@attrs.frozen(kw_only=True, eq=False)
class BatchItem(Generic[T_co]):
    """One input with its result or its error.

    Exactly one of `result` and `error` is set, except when a file of the result can't be downloaded: then both are.

    Attributes:
        index: the place of the input in `inputs`, from 0.
        key: the key of the item, which is its key in the ledger, too; None if no key could be made.
        input: the input as it was when `inputs` gave it.
        result: the result; None if the item failed.
        error: what went wrong; None if nothing did.
        request_id: the id of the newest request; None if fal took none.
        attempts: how often the item was submitted, counted over all processes that share the ledger.
        files: the files that `download=` wrote, in the order of the output; empty without `download=`.
        billable_units: units that fal billed for the request of the result; None if fal did not say.
        cost: the list price, in the price's currency; None, since this version knows no prices.
        from_ledger: whether the item had ended in an earlier run, so that nothing was sent for it.
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
        """Whether the item has its result, and all files that were to be downloaded."""
        return self.error is None

    def unwrap(self) -> Result[T_co, str]:
        """Return the result.

        Raises:
            FalError: the item has an `error`: that one is raised, even if there is a result, too.
        """
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result
