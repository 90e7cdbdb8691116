"""Makes items that a caller requests one by one, in place of a batch that reads its inputs. It needs a ledger."""

from __future__ import annotations

import attrs

from fal_async.batch.item import BatchItem
from fal_async.batch.item_maker import ItemMaker
from fal_async.batch.keys.content_digests import ContentDigests
from fal_async.batch.keys.item_keys import key_of_value
from fal_async.batch.requests.keyed_requests import KeyedRequests
from fal_async.batch.requests.request_maker import Outcome, Work
from fal_async.batch.stopping import ends_all
from fal_async.batch.summary import Tally
from fal_async.errors import FalError
from fal_async.protocol.input_copies import own_copy


@attrs.frozen(kw_only=True, eq=False, repr=False)
class KeyedItems:
    """The items of one session. They follow the rules of a batch with a ledger.

    Unlike a batch, it does not follow the requests that an earlier process left running in the run, because its
    caller requests their items again.
    """

    maker: KeyedRequests
    items: ItemMaker
    digests: ContentDigests
    tally: Tally

    async def begin(self) -> None:
        """Open the ledger. Call it before the first item.

        Raises LedgerError or ConfigurationError if the ledger can't be opened, or if files can't be written.
        """
        await self.maker.calls.store()
        await self.items.begin()

    async def item(self, key: object, input: object) -> BatchItem[object]:
        """Submit and follow the request of this key, and return the item with its result or its error.

        Items with the same key share one request. If this call is cancelled, the request is cancelled if it waits
        in fal's queue; a running request continues, and the next item with the key follows it.

        Raises FalError if every further item would get the same error, such as a refused API key.
        """
        work = Work(index=0, input=own_copy(input), tally=self.tally, patient=True)
        try:
            work.key = key_of_value(key)
            self.maker.endpoint.check_input(work.input)
            work.recognised = await self.digests.of_input(work.input)
        except FalError as refusal:
            work.refused = refusal
        while True:
            outcome = await self._outcome(work)
            if (error := ends_all(outcome, accepted=self.tally.accepted)) is not None:
                raise error
            item = await self.items.item(work, outcome)
            if item is not None:
                return item

    async def _outcome(self, work: Work) -> Outcome:
        if work.refused is not None:
            return Outcome(error=work.refused)
        try:
            return await self.maker.outcome(work)
        finally:
            work.enter("none")
