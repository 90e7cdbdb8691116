"""How a batch is put together, of its arguments and of what a session lends it."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from fal_async.auth.credentials import KeySource
from fal_async.batch.arguments import BatchArguments
from fal_async.batch.content_digests import ContentDigests
from fal_async.batch.display import Display
from fal_async.batch.duplicates import Duplicates
from fal_async.batch.file_names import DEFAULT
from fal_async.batch.inputs import Inputs
from fal_async.batch.item_files import ItemFiles
from fal_async.batch.item_keys import ItemKeys
from fal_async.batch.item_maker import ItemMaker
from fal_async.batch.plain_requests import PlainRequests
from fal_async.batch.ready_items import ReadyItems
from fal_async.batch.request_maker import RequestMaker
from fal_async.batch.scheduler import Scheduler
from fal_async.batch.seen_keys import SeenKeys
from fal_async.batch.shared_uploads import SharedUploads, Stores
from fal_async.batch.summary import Tally
from fal_async.queue.operations import QueueOperations


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Lent:
    """What a view of a session lends to a batch.

    Attributes:
        storage: loads it, for inputs with files.
        opened: is told of what the session has to close.
    """

    operations: QueueOperations
    key_source: KeySource
    storage: Callable[[], Stores]
    opened: Callable[[Scheduler], None]


def composed(
    asked: BatchArguments, lent: Lent, inputs: Inputs, tally: Tally, display: Display | None
) -> Scheduler:
    """The scheduler of a batch, which the session closes. It is not started yet."""
    digests, seen = ContentDigests(), SeenKeys()
    uploads = SharedUploads(lent.operations.files, lent.storage, digests)
    operations = attrs.evolve(lent.operations, files=uploads)
    scheduler = Scheduler(
        inputs=inputs,
        keys=ItemKeys(asked.key, asked.endpoint.full, digests, seen),
        maker=_maker(asked, lent, operations, seen),
        items=ItemMaker(tally=tally, files=_files(asked, operations), max_failures=asked.max_failures),
        ready=ReadyItems(ordered=asked.ordered),
        tally=tally,
        concurrency=asked.concurrency,
        on_item=asked.on_item,
        over=(seen.close,) if display is None else (seen.close, display.end),
    )
    lent.opened(scheduler)
    return scheduler


def _maker(asked: BatchArguments, lent: Lent, operations: QueueOperations, seen: SeenKeys) -> RequestMaker:
    plain = PlainRequests(
        operations=operations,
        key_source=lent.key_source,
        endpoint=asked.endpoint,
        options=asked.options,
        output_type=asked.output_type,
        timeout=asked.timeout,
        retries=asked.retries,
    )
    return plain if asked.key is None else Duplicates(plain, seen)


def _files(asked: BatchArguments, operations: QueueOperations) -> ItemFiles | None:
    if asked.folder is None:
        return None
    return ItemFiles(
        files=operations.files,
        folder=asked.folder,
        template=asked.names or DEFAULT,
        retries=asked.retries,
        policy=asked.options.retry or operations.settings.retry,
        keeps=None,
    )
