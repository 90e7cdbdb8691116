"""Makes an item from the outcome of its request: downloads the files of the result, and counts the item."""

from __future__ import annotations

import attrs

from fal_async.batch.files.item_files import ItemFiles
from fal_async.batch.item import BatchItem
from fal_async.batch.requests.request_maker import Outcome, Work
from fal_async.batch.stopping import too_many
from fal_async.batch.summary import Tally
from fal_async.errors import BatchStoppedError, FalError, SubmissionUncertainError


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ItemMaker:
    """Makes the items of one batch.

    Attributes:
        files: downloads the files of results; None without `download=`.
        renews: whether an item that is done, but whose files are gone from disk and from fal, is submitted and
            paid for again (`retry_failed=`).
    """

    tally: Tally
    files: ItemFiles | None
    max_failures: int | float | None
    renews: bool

    async def begin(self) -> None:
        """Raise ConfigurationError if files can't be written. Called before the first submit."""
        if self.files is not None:
            await self.files.begin()

    async def item(self, work: Work, outcome: Outcome) -> BatchItem[object] | None:
        """Return the item; None if its files are gone and it must be submitted again. Then `work.renew` is set."""
        found = None
        if self.files is not None and outcome.result is not None and outcome.error is None:
            found = await self.files.of(work, outcome)
            if found.is_gone and self.renews and outcome.from_ledger:
                work.renew = outcome.request_id
                return None
        error = outcome.error if found is None else found.error
        self._count(error, outcome)
        return BatchItem(
            index=work.index,
            key=work.key,
            input=work.input,
            result=outcome.result,
            error=error,
            request_id=outcome.request_id,
            attempts=outcome.attempts,
            files=() if found is None else found.paths,
            billable_units=outcome.billable_units,
            cost=outcome.cost,
            from_ledger=outcome.from_ledger,
        )

    def _count(self, error: FalError | None, outcome: Outcome) -> None:
        if error is None:
            self.tally.done += 1
        elif isinstance(error, SubmissionUncertainError):
            self.tally.uncertain += 1
        else:
            self.tally.failed += 1
        if not outcome.from_ledger or error is not outcome.error:
            self.tally.ended_anew += 1
            self.tally.failed_anew += error is not None
        self.tally.end_of_item(from_ledger=outcome.from_ledger)

    def too_many_failures(self) -> BatchStoppedError | None:
        """Return the error that stops the batch if more items have failed than `max_failures` allows, else None."""
        tally, limit = self.tally, self.max_failures
        failed, ended = tally.failed_anew, tally.ended_anew
        if not too_many(limit, failed, ended):
            return None
        return BatchStoppedError(
            f"{failed} of {ended} items failed: more than max_failures={limit} allows",
            reason="max_failures",
            summary=tally.summary(),
        )
