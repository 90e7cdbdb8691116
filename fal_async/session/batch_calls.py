"""The calls of a session about many requests: `map`, `recover`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from decimal import Decimal
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Unpack

from fal_async.errors import ConfigurationError, short_tracebacks
from fal_async.models import T
from fal_async.options import CallOptions, QueueOptions, documented
from fal_async.protocol.endpoint import EndpointId
from fal_async.session.view import View

if TYPE_CHECKING:
    from fal_async.batch.batch import Batch
    from fal_async.batch.composition import Kept, Lent
    from fal_async.batch.display import Display
    from fal_async.batch.keys.item_keys import KeyOf
    from fal_async.batch.scheduler import ItemCallback
    from fal_async.keyed.recover import Recovered
    from fal_async.protocol.ledger.decisions import Uncertain


@short_tracebacks
class BatchCalls:
    """What `Session` does with many inputs."""

    _view: View

    @documented(QueueOptions)
    def map(
        self,
        endpoint_id: str,
        inputs: Iterable[Any] | AsyncIterable[Any],
        *,
        # What each is known by.
        key: KeyOf | None = None,
        run: str | None = None,
        # How many at once, and in which order they are given.
        concurrency: int = 40,
        ordered: bool = False,
        # What happens to those that fail.
        retries: int = 2,
        retry_failed: bool = False,
        extend: bool = False,
        max_failures: int | float | None = None,
        max_cost: Decimal | float | None = None,
        timeout: float | None = None,
        # What comes of them.
        output_type: type[T] | None = None,
        download: str | PathLike[str] | None = None,
        names: str | None = None,
        progress: bool | Display = False,
        on_item: ItemCallback | None = None,
        # What is left behind.
        uncertain: Uncertain = "lookup",
        cancel_on_exit: bool = False,
        **options: Unpack[QueueOptions],
    ) -> Batch[T]:
        """Submit one request for each input, and give each item with its result or its error.

        `async with fal.map(...) as batch:`, and `async for item in batch:` in it. Nothing is sent before the first
        item is asked for. One item's failure does not stop the others.

        With `Session(ledger=...)` each item is a call with a key: the same line again, in any process, finishes
        the run, and pays for nothing twice. What an earlier process left under way in it is followed to its end,
        beginning before the first submit, whatever `inputs` holds now. Without a ledger nothing is kept.

        Args:
            endpoint_id: such as `"fal-ai/flux/dev"`.
            inputs: an iterable of inputs as `subscribe` takes them, async or not, of any length: it is asked for
                the next one when there is a place for it, in the event loop. A generator is closed at the end.
            key: what `item.key` is: the name of a member of each input, or a function of the input. By default it
                is made of the endpoint and the input. Items of one key are one request; a key that comes with
                another input is a KeyConflictError of that item.
            run: a name space of keys: another one pays anew, the same one goes on. Default: the endpoint id.
            concurrency: requests in flight at most; default 40. fal does not refuse more: they wait in its queue.
                None is begun either while as many items have ended that were not taken yet.
            ordered: give the items in the order of the inputs; by default as they end.
            retries: further attempts of one item that failed in a way that may pass, such as a 5xx of the model;
                default 2. With a ledger they count over all runs of the same name.
            retry_failed: submit anew, once, what failed in an earlier run, for good or not, and what is done there
                but has lost its files (`download`).
            extend: go on with a run that has none of the first `concurrency` inputs. By default that is a
                ConfigurationError before the first submit: keys that are made of the inputs change with every
                seed and every signed URL in them, and all would be paid for again.
            max_failures: stop where more items than this fail (an int), or a larger share of those that have ended
                (a float below 1, judged from the 20th on). What an earlier run has ended counts for neither.
                Default: no such limit.
            max_cost: there are no prices yet: a ConfigurationError.
            timeout: seconds for one request, from when a runner was first seen to work on it; default none. The
                wait before that is bounded by `start_timeout`. The request is cancelled then; with a ledger it goes
                on, and the next run takes it up.
            output_type: attrs class, dataclass or TypedDict that `item.result.data` is built as.
            download: a folder, made if missing, for the files of the results; see `item.files`. A
                ConfigurationError before the first submit where nothing can be written there. Where a file can't
                be had, an item has its `result` and an `error`. Nothing that is there is overwritten. With a ledger
                files that are there, with their size, are not fetched again.
            names: what they are called: a template with `{key}`, `{n}` (the place among the item's files, from 0),
                `{name}` (the server's) and `{ext}`; default `"{key}-{n}{ext}"`.
            progress: True: show on standard error how far it is: live in a terminal and in notebooks, with
                `pip install 'fal-async[progress]'`; else a line every 5 seconds. It never ends the batch. Or a
                display of your own.
            on_item: called with each item as it ends, also where they are given in another order. May be async; an
                exception in it ends the batch.
            uncertain: with a ledger, where nobody knows whether fal took an earlier submit: see `subscribe`.
            cancel_on_exit: with a ledger, where the batch is left early: cancel what runs, too. By default only
                what waits in the queue is cancelled, and the next run takes up the rest. Without a ledger all is.

        Raises:
            ConfigurationError: a wrong argument. The rest is raised while it is iterated, when all items that had
            ended were given: AuthenticationError, PermissionDeniedError, BalanceExhaustedError: the first submit
            that was refused so. BatchStoppedError: more failures than `max_failures`. LedgerError: the ledger
            can't be read or written. SessionStateError: the session was closed. And what `inputs` raises.
        """
        from fal_async.batch.arguments import BatchArguments
        from fal_async.batch.batch import Batch
        from fal_async.batch.progress import display_of
        from fal_async.batch.stopping import check_max_cost

        arguments = BatchArguments(
            endpoint=EndpointId.parse(endpoint_id),
            inputs=inputs,
            options=CallOptions.of("map", options, QueueOptions),
            concurrency=concurrency,
            ordered=ordered,
            retries=retries,
            max_failures=max_failures,
            timeout=timeout,
            output_type=output_type,
            on_item=on_item,
            key=key,
            folder=download,
            names=names,
            retry_failed=retry_failed,
            extend=extend,
            uncertain=uncertain,
            cancel_on_exit=cancel_on_exit,
        )
        check_max_cost(max_cost)
        kept = self._kept(arguments.endpoint.full if run is None else run)
        if kept is None and uncertain == "resubmit":
            raise ConfigurationError(
                "uncertain='resubmit' without a ledger: nobody would know what was resubmitted. Session(ledger=...)"
            )

        return Batch(arguments, partial(self._lent, kept), display_of(progress))

    def _kept(self, run: str) -> Kept | None:
        """ConfigurationError for what can't be a run, and for a view whose keys nobody knows to be whose."""
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
            opened=view.shared.open_parts.add,
            kept=kept,
        )

    async def recover(self, run: str | None = None) -> Recovered:
        """End what an earlier process left under way in the ledger: nothing is submitted, and nothing paid.

        Each entry with a request that no living process follows is followed to its end, those first that were
        submitted first, as fal keeps results for minutes (protocol 4.4). A result that is gone is taken out of
        fal's request history, where that has it, and each uncertain entry is looked for there. `map` does this
        first, for its run.

        Only entries of this session's queue and tenant. What happens to one of them stops none of the others, and
        is in the ledger, the error included. Cancelling it is safe: what is followed goes on until the session is
        closed, and then stays for the next call.

        Args:
            run: of this run only; "" for calls without one. Default: of all runs.

        Returns:
            How many were done, failed, cancelled, are still uncertain, are followed by another living process, or
            were left as they were: a `Recovered`.

        Raises:
            ConfigurationError: the session has no ledger, or `run` can't be one.
            LedgerError: the ledger can't be read or written. SessionStateError: the session is closed.
        """
        return await self._view.with_ledger("recover").recover(run)
