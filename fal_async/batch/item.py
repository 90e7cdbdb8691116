"""One item of a batch, as its user gets it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Generic

import attrs

from fal_async.errors import FalError
from fal_async.models import Result, T_co


@attrs.frozen(kw_only=True, eq=False)
class BatchItem(Generic[T_co]):
    """One input with its result or its error. Either is set; both where a file of the result is lost.

    Attributes:
        index: the input's place in `inputs`, from 0.
        key: what the item is known by in the ledger; None where none could be made.
        input: as it was given.
        result: None where there is none.
        error: what went wrong; None where nothing did.
        request_id: of its newest request; None where none was taken.
        attempts: how often it was submitted, in all processes that share the ledger.
        files: what `download=` wrote, in the order of the output.
        billable_units: of the request that gave the result, where fal said it.
        cost: in the price's currency, by list price; None while no price is known.
        from_ledger: whether it had ended before: nothing was sent for it.
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
        """Whether the result is there, and all of its files that were asked for."""
        return self.error is None

    def unwrap(self) -> Result[T_co, str]:
        """The result; raises `error` where there is one."""
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result
