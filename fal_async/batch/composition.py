"""Builds the parts of a batch from its arguments and from the parts that its session lends."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from fal_async.auth.credentials import KeySource
from fal_async.batch.arguments import BatchArguments
from fal_async.batch.costs.endpoint_price import EndpointPrice, PriceList
from fal_async.batch.costs.spending import OwnCosts, Spending
from fal_async.batch.display import Display
from fal_async.batch.files.file_names import DEFAULT
from fal_async.batch.inputs import Inputs
from fal_async.batch.item_maker import ItemMaker
from fal_async.batch.keys.content_digests import ContentDigests
from fal_async.batch.keys.item_keys import ItemKeys
from fal_async.batch.keys.seen_keys import SeenKeys
from fal_async.batch.ready_items import ReadyItems
from fal_async.batch.requests.duplicates import Duplicates
from fal_async.batch.requests.plain_requests import PlainRequests
from fal_async.batch.requests.request_maker import RequestMaker
from fal_async.batch.requests.shared_uploads import SharedUploads, Stores
from fal_async.batch.scheduler import Scheduler
from fal_async.batch.summary import Tally
from fal_async.batch.works import Works
from fal_async.ledger.store import Costs, Search
from fal_async.protocol.ledger.entry import Space
from fal_async.queue.operations import QueueOperations

if TYPE_CHECKING:
    from fal_async.batch.files.item_files import ItemFiles
    from fal_async.batch.keyed_items import KeyedItems
    from fal_async.batch.keys.run_guard import RunGuard
    from fal_async.batch.requests.keyed_requests import KeyedRequests, Ledgered


_WITH_LEDGER = "Run it again with a higher max_cost: nothing is paid twice"
_WITHOUT_LEDGER = "Submit the other inputs with a higher max_cost"
"""What to do if `max_cost=` stops a batch."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Kept:
    """The parts that a view with a ledger lends to a batch.

    Attributes:
        calls: returns the keyed calls that use the given queue operations.
        space: the run, with its tenant and queue host.
        recover: follows the requests that an earlier process left running in the run, until each has its outcome.
    """

    calls: Callable[[QueueOperations], Ledgered]
    space: Space
    recover: Callable[[], Coroutine[Any, Any, object]]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Lent:
    """The parts that a view of a session lends to a batch.

    Attributes:
        storage: returns the storage client, which is loaded only for inputs with files.
        platform: returns the platform client, which is loaded only to fetch prices.
        opened: registers the scheduler with the session, which closes it when the session is closed.
        kept: the parts for a batch with a ledger; None without a ledger.
    """

    operations: QueueOperations
    key_source: KeySource
    storage: Callable[[], Stores]
    platform: Callable[[], PriceList]
    opened: Callable[[Scheduler], None]
    kept: Kept | None


def composed(
    arguments: BatchArguments, lent: Lent, inputs: Inputs, tally: Tally, display: Display | None
) -> Scheduler:
    """Build the scheduler of a batch, and register it with the session, which closes it. It is not started yet."""
    digests, seen, kept = ContentDigests(), SeenKeys(), lent.kept
    uploads = SharedUploads(lent.operations.files, lent.storage, digests)
    operations = attrs.evolve(lent.operations, files=uploads)
    calls = None if kept is None else kept.calls(operations)
    maker: RequestMaker
    if kept is None or calls is None:
        maker = _plain(arguments, lent, operations, seen, tally, is_shown=display is not None)
    else:
        maker = _keyed(arguments, lent, kept, calls, operations, tally)
    works = Works(
        inputs=inputs,
        keys=ItemKeys(arguments.key, arguments.endpoint, digests, seen),
        tally=tally,
        guard=_guard(arguments, kept, calls),
        looked_at=arguments.concurrency,
    )
    items = ItemMaker(
        tally=tally,
        files=_files(arguments, operations, calls),
        max_failures=arguments.max_failures,
        renews=arguments.retry_failed,
    )
    scheduler = Scheduler(
        works=works,
        maker=maker,
        items=items,
        ready=ReadyItems(ordered=arguments.ordered),
        tally=tally,
        concurrency=arguments.concurrency,
        on_item=arguments.on_item,
        over=(seen.close,) if display is None else (seen.close, display.end),
    )
    lent.opened(scheduler)
    return scheduler


def composed_items(arguments: BatchArguments, lent: Lent, kept: Kept) -> KeyedItems:
    """Build the maker of items that are requested one by one. The arguments `inputs` and `key` have no effect."""
    from fal_async.batch.keyed_items import KeyedItems

    digests, tally = ContentDigests(), Tally(None, time.monotonic, lambda: None)
    uploads = SharedUploads(lent.operations.files, lent.storage, digests)
    operations = attrs.evolve(lent.operations, files=uploads)
    calls = kept.calls(operations)
    return KeyedItems(
        maker=_keyed(arguments, lent, kept, calls, operations, tally),
        items=ItemMaker(
            tally=tally,
            files=_files(arguments, operations, calls),
            max_failures=None,
            renews=arguments.retry_failed,
        ),
        digests=digests,
        tally=tally,
    )


def _plain(
    arguments: BatchArguments,
    lent: Lent,
    operations: QueueOperations,
    seen: SeenKeys,
    tally: Tally,
    *,
    is_shown: bool,
) -> RequestMaker:
    own_costs = OwnCosts(tally)
    plain = PlainRequests(
        operations=operations,
        key_source=lent.key_source,
        endpoint=arguments.endpoint,
        options=arguments.options,
        output_type=arguments.output_type,
        timeout=arguments.timeout,
        retries=arguments.retries,
        spending=_spending(arguments, lent, tally, own_costs, is_shown=is_shown, way_out=_WITHOUT_LEDGER),
        own_costs=own_costs,
    )
    return plain if arguments.key is None else Duplicates(plain, seen)


def _keyed(
    arguments: BatchArguments,
    lent: Lent,
    kept: Kept,
    calls: Ledgered,
    operations: QueueOperations,
    tally: Tally,
) -> KeyedRequests:
    from fal_async.batch.requests.keyed_requests import KeyedRequests

    return KeyedRequests(
        calls=calls,
        operations=operations,
        key_source=lent.key_source,
        space=kept.space,
        tally=tally,
        endpoint=arguments.endpoint,
        options=arguments.options,
        output_type=arguments.output_type,
        timeout=arguments.timeout,
        retries=arguments.retries,
        retry_failed=arguments.retry_failed,
        uncertain=arguments.uncertain,
        cancel_on_exit=arguments.cancel_on_exit,
        recover=kept.recover,
        spending=_spending(
            arguments,
            lent,
            tally,
            partial(_costs_of_run, calls, kept.space),
            is_shown=True,
            way_out=_WITH_LEDGER,
        ),
    )


def _spending(
    arguments: BatchArguments,
    lent: Lent,
    tally: Tally,
    costs: Callable[[], Awaitable[Costs]],
    *,
    is_shown: bool,
    way_out: str,
) -> Spending:
    endpoint_id, known = arguments.endpoint.full, lent.operations.prices
    return Spending(
        tally=tally,
        price=EndpointPrice(endpoint_id=endpoint_id, platform=lent.platform, known=known),
        limit=arguments.max_cost,
        is_shown=is_shown,
        costs=costs,
        way_out=way_out,
    )


async def _costs_of_run(calls: Ledgered, space: Space) -> Costs:
    store = await calls.store()
    return await store.costs(Search(origin=space.origin, tenant=space.tenant, run=space.run))


def _guard(arguments: BatchArguments, kept: Kept | None, calls: Ledgered | None) -> RunGuard | None:
    if kept is None or calls is None or arguments.key is not None or arguments.extend:
        return None
    from fal_async.batch.keys.run_guard import RunGuard

    return RunGuard(store=calls.store, space=kept.space, endpoint_id=arguments.endpoint.full)


def _files(
    arguments: BatchArguments, operations: QueueOperations, calls: Ledgered | None
) -> ItemFiles | None:
    if arguments.folder is None:
        return None

    from fal_async.batch.files.item_files import ItemFiles

    return ItemFiles(
        files=operations.files,
        folder=arguments.folder,
        template=arguments.names or DEFAULT,
        retries=arguments.retries,
        policy=arguments.options.retry or operations.settings.retry,
        store=None if calls is None else calls.store,
    )
