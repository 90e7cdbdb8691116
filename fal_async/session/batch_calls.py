"""The calls of a session about many requests: `map` and `recover`.

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from decimal import Decimal
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Unpack

from fal_async.errors import ConfigurationError, short_tracebacks
from fal_async.models import In, Out, OutOr
from fal_async.options import CallOptions, QueueOptions, documented
from fal_async.protocol.endpoint import Endpoint, EndpointId
from fal_async.session.view import View

if TYPE_CHECKING:
    from fal_async.batch.arguments import BatchArguments
    from fal_async.batch.batch import Batch
    from fal_async.batch.composition import Kept, Lent
    from fal_async.batch.display import Display
    from fal_async.batch.keyed_items import KeyedItems
    from fal_async.batch.keys.item_keys import KeyOf
    from fal_async.batch.scheduler import ItemCallback
    from fal_async.keyed.recover import Recovered
    from fal_async.protocol.ledger.decisions import Uncertain


@short_tracebacks
class BatchCalls:
    """The calls of `Session` about many requests."""

    _view: View

    @documented(QueueOptions)
    def map(
        self,
        endpoint_id: str | Endpoint[In, Out],
        inputs: Iterable[In] | AsyncIterable[In],
        *,
        # The key of each item.
        key: KeyOf | None = None,
        run: str | None = None,
        # The number of requests in flight, and the order of the items.
        concurrency: int = 40,
        ordered: bool = False,
        # Failures and limits.
        retries: int = 2,
        retry_failed: bool = False,
        extend: bool = False,
        max_failures: int | float | None = None,
        max_cost: Decimal | float | None = None,
        timeout: float | None = None,
        # Results.
        output_type: type[OutOr] | None = None,
        download: str | PathLike[str] | None = None,
        names: str | None = None,
        progress: bool | Display = False,
        on_item: ItemCallback | None = None,
        # Requests of earlier runs of the program, and of a batch that is left early.
        uncertain: Uncertain = "lookup",
        cancel_on_exit: bool = False,
        **options: Unpack[QueueOptions],
    ) -> Batch[OutOr]:
        """Submit one request for each input, and yield each item with its result or its error.

        Use it as `async with fal.map(...) as batch:`, with `async for item in batch:` inside. Nothing is sent
        before the first item is requested. The failure of one item does not stop the others.

        With `Session(ledger=...)` each item is a call with a key. If the program is started again, in any process,
        the same call submits only the items that are missing, and no item is billed twice. Requests of the same
        `run` that an earlier process left running are followed as well, starting before the first submit, even if
        `inputs` no longer has their inputs. Without a ledger nothing is stored.

        If the task is cancelled, open requests are cancelled or keep running as `cancel_on_exit` says.

        Args:
            endpoint_id: such as `"fal-ai/flux/dev"`, or an `Endpoint`.
            inputs: an iterable, async or not, of inputs as `subscribe` takes them, of any length. The next input is
                read when `concurrency` allows another request, in the event loop: a slow iterable blocks it, unless
                it is async. A generator is closed when the batch is over.
            key: how to derive `item.key`: the name of a member of each input, or a function of the input. None
                (default): derived from the endpoint and the input. Items with the same key share one request. If
                their inputs differ, the later item gets a KeyConflictError.
            run: the namespace of the keys. With the same name, a second start of the program continues the batch;
                with another name, everything is submitted and billed again. None (default): the endpoint id.
            concurrency: maximum number of requests in flight; default 40. fal accepts more and queues them. No
                further request is started while this many completed items wait to be received by your loop.
            ordered: whether items are yielded in the order of the inputs. False (default): in the order in which
                they are completed.
            retries: maximum number of further submits of an item whose failure may be temporary, such as a 5xx of
                the model; default 2. With a ledger, submits by earlier processes in the same `run` count as well.
            retry_failed: whether to submit again what failed in an earlier start of the program, for any reason,
                and what succeeded but whose files no longer exist at fal (`download`); default False.
            extend: whether to continue a `run` in which the ledger has none of the first `concurrency` inputs.
                False (default): such a batch raises ConfigurationError before the first submit, because derived
                keys change with every seed and every signed URL in the inputs, and everything would be billed
                again.
            max_failures: the batch is stopped when more than this many items fail (an int), or more than this share
                of the completed items (a float between 0 and 1, applied from the 20th item on). Items whose outcome
                was in the ledger do not count. None (default): no limit.
            max_cost: US dollars that the run may cost, by list price; a float is taken as it is printed. With a
                ledger all that was ever submitted in the run counts, by any process. Before each submit the batch
                reserves what the request may cost: the highest cost so far, or fal's estimate for one call. Submits
                without room wait for running requests to end; if none runs any more, the batch is stopped.
                Uncertain submits, and requests whose cost is not known, are counted like running ones. None
                (default): no limit.
            timeout: seconds for one request, counted from the first status that says that a runner works on it. The
                time before is limited by `start_timeout`. A request that exceeds it is cancelled. With a ledger it
                keeps running instead, and the next start of the program continues to follow it. None (default): no
                limit.
            output_type: the type that `item.result.data` is built as; see `subscribe`. None (default): that of the
                `Endpoint`, else decoded JSON.
            download: a folder, created if missing, for the files of the results; see `item.files`. If it can't be
                written to, ConfigurationError is raised before the first submit. If a file can't be fetched, the
                item has both `result` and `error`. Existing files are never overwritten. With a ledger, files that
                exist with the right size are not fetched again. None (default): files are not fetched.
            names: a template for the names of these files, with `{key}`, `{n}` (position among the item's files,
                from 0), `{name}` (the server's name without its suffix) and `{ext}` (the suffix with its dot). None
                (default): `"{key}-{n}{ext}"`.
            progress: whether to report progress on standard error: live in terminals and notebooks if
                `pip install 'fal-async[progress]'` was run, else one line every 5 seconds; default False. Or your
                own display. An error of the display never stops the batch.
            on_item: a function, async or not, that is called with each item when it is completed, also if items are
                yielded in another order. An exception in it stops the batch and is raised by the loop. None
                (default): no function.
            uncertain: with a ledger: what to do if it is unknown whether fal accepted an earlier submit; see
                `subscribe`. Default "lookup".
            cancel_on_exit: with a ledger: whether to cancel also requests that already run if the batch is left
                early. False (default): only requests that wait in fal's queue are cancelled. The others keep
                running, and the next start of the program continues to follow them. Without a ledger all requests
                are cancelled.
            **options: see `CallOptions`.

        Returns:
            The batch, an async context manager and async iterator of `BatchItem`.

        Raises:
            ConfigurationError: an invalid argument; while iterating: no API key, `max_cost` for an endpoint of
                which fal tells neither price nor estimate, or see `extend` and `download`.
            TypeError: an unknown argument; the message suggests the one that was probably meant.
            AuthenticationError, BalanceExhaustedError: while iterating: fal refused a submit because of the API key
                or the account. This and the following errors are raised after all completed items were yielded.
            PermissionDeniedError, NotFoundError: while iterating: fal refused a submit before it accepted any
                request of the batch, for example because the endpoint id is mistyped.
            BatchStoppedError: while iterating: more failures than `max_failures`, or no room within `max_cost`.
            LedgerError: while iterating: the ledger can't be read or written.
            SessionStateError: while iterating: the session was closed.
            Exception: while iterating: an exception that `inputs` or `on_item` raised.
        """
        from fal_async.batch.arguments import BatchArguments
        from fal_async.batch.batch import Batch
        from fal_async.batch.progress import display_of

        endpoint = EndpointId.parse(endpoint_id)
        arguments = BatchArguments(
            endpoint=endpoint,
            inputs=inputs,
            options=CallOptions.of("map", options, QueueOptions),
            concurrency=concurrency,
            ordered=ordered,
            retries=retries,
            max_failures=max_failures,
            max_cost=max_cost,
            timeout=timeout,
            output_type=endpoint.output_type(output_type),
            on_item=on_item,
            key=key,
            folder=download,
            names=names,
            retry_failed=retry_failed,
            extend=extend,
            uncertain=uncertain,
            cancel_on_exit=cancel_on_exit,
        )
        kept = self._kept(arguments.endpoint.full if run is None else run)
        if kept is None and uncertain == "resubmit":
            raise ConfigurationError(
                "uncertain='resubmit' needs a ledger, which records what was resubmitted: Session(ledger=...)"
            )

        return Batch(arguments, partial(self._lent, kept), display_of(progress))

    def _kept(self, run: str) -> Kept | None:
        """Return the parts that only a batch with a ledger needs; None without a ledger.

        Raises ConfigurationError for an invalid run, or if the view has other credentials but no tenant.
        """
        from fal_async.protocol.ledger.key_checks import check_run

        run = check_run(run)
        if self._view.ledger.given is None:
            return None
        from fal_async.batch.composition import Kept

        scope = self._view.with_ledger("map")
        space = scope.place("-", run).space
        return Kept(calls=scope.calls_over, space=space, recover=partial(self.recover, run))

    def _lent(self, kept: Kept | None) -> Lent:
        from fal_async.batch.composition import Lent

        view = self._view
        return Lent(
            operations=view.operations,
            key_source=view.keys,
            storage=lambda: view.storage,
            platform=lambda: view.platform,
            opened=view.shared.open_parts.add,
            kept=kept,
        )

    async def recover(self, run: str | None = None) -> Recovered:
        """Follow the requests in the ledger that earlier processes left running. Nothing is submitted or billed.

        Each request that no running process follows is followed until it is completed, the oldest submits first,
        because fal keeps results for minutes only (protocol 4.4). If a result has expired, it is read from fal's
        request history if it is there. Uncertain entries are looked up there as well. `map` does the same first,
        for its own `run`.

        With a ledger in a database, a process is known to be gone when its lock has been free for 10 seconds. If a
        lock is free, the call first waits for that, 20 seconds at most.

        Only entries of this session's queue host and tenant are considered. A failure of one request does not stop
        the others. All outcomes are stored in the ledger, errors included. Cancelling is safe: the session
        continues to follow the requests until it is closed, and the next call continues with the rest.

        Args:
            run: the namespace of keys to which it is limited; "" means calls without a `run`. None (default): all.

        Returns:
            How many requests were completed, are still uncertain, belong to another running process, or were left
            unchanged.

        Raises:
            ConfigurationError: the session has no ledger, or `run` is invalid.
            LedgerError: the ledger can't be read or written.
            SessionStateError: the session is closed.
        """
        return await self._view.with_ledger("recover").recover(run)


def keyed_items(fal: BatchCalls, arguments: BatchArguments, run: str | None) -> KeyedItems:
    """Return the maker of items that are requested one by one, in the ledger of this session.

    `run` is that of `Session.map`. Raises ConfigurationError if it is invalid, or if the session has no ledger.
    """
    from fal_async.batch.composition import composed_items

    kept = fal._kept(arguments.endpoint.full if run is None else run)
    if kept is None:
        raise ConfigurationError("ledger=None: expected a path or a URL, because each item has a key")
    return composed_items(arguments, fal._lent(kept), kept)
