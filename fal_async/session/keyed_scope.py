"""The keyed calls of one view, in its ledger and under its tenant."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol

from fal_async.errors import CancelOutcome, ConfigurationError
from fal_async.protocol.ledger.entry import Place, Record, Space
from fal_async.protocol.ledger.key_checks import check_key, check_run, check_uncertain, space_of

if TYPE_CHECKING:
    from fal_async.config import Settings
    from fal_async.keyed.call import Ended
    from fal_async.keyed.caller import Caller
    from fal_async.keyed.ledger_requests import LedgerRequests
    from fal_async.keyed.recover import Recovered
    from fal_async.keyed.session_ledger import SessionLedger
    from fal_async.keyed.view_calls import ViewCalls
    from fal_async.models import Completed
    from fal_async.protocol.ledger.decisions import Uncertain
    from fal_async.queue.operations import QueueOperations
    from fal_async.queue.subscription import Subscription
    from fal_async.session.ledger_choice import LedgerChoice
    from fal_async.session.shared import Shared
    from fal_async.webhooks import Webhooks


class _View(Protocol):
    shared: Shared
    settings: Settings
    ledger: LedgerChoice

    @property
    def operations(self) -> QueueOperations: ...

    @property
    def webhooks(self) -> Webhooks: ...


class KeyedScope:
    """The keyed calls of one view. It is created when the view first needs it."""

    def __init__(self, view: _View) -> None:
        self._view, self._choice = view, view.ledger
        self._spaces: dict[str, Space] = {}

    @cached_property
    def calls(self) -> ViewCalls:
        """The calls that start the drivers of keyed requests, or join running ones."""
        return self.calls_over(self._view.operations)

    def calls_over(self, operations: QueueOperations) -> ViewCalls:
        """Return `calls` with other queue operations, such as those of a batch."""
        from fal_async.keyed.view_calls import ViewCalls

        return ViewCalls(operations, self.ledger(), self._view.shared.open, self._receiver_url)

    def ledger(self) -> SessionLedger:
        """Return the ledger of the view, which knows the credentials of its tenant then."""
        ledger = self._view.shared.ledger_of(self._choice.given)
        if self._choice.tenant is not None:
            space = self._space("")
            ledger.tenants.setdefault((space.origin, space.tenant), self)
        return ledger

    def _receiver_url(self) -> str | None:
        receiver = self._view.webhooks.receiver
        return None if receiver is None else receiver.url

    async def cancel(self, record: Record) -> CancelOutcome:
        """Cancel the request of an entry on fal, with the credentials of this view."""
        return await self.requests.cancel(record)

    async def fetch(self, record: Record, completed: Completed) -> Ended:
        """Fetch and store the outcome of a completed request, with the credentials of this view."""
        return await self.requests.fetch(record, completed)

    async def recover(self, run: str | None) -> Recovered:
        """Follow the requests that earlier processes left running: those of one run of keys, or of all (None)."""
        from fal_async.keyed.recover import recover

        return await recover(self.calls, self._space("" if run is None else check_run(run)), run=run)

    @cached_property
    def requests(self) -> LedgerRequests:
        """The ledger's requests, for the queue and its handles."""
        from fal_async.keyed.ledger_requests import LedgerRequests

        whose = None if self._choice.tenant is None else self._space("")
        return LedgerRequests(self._view.operations, self.calls, place_of=self.place, whose=whose)

    def caller(
        self,
        asked: Subscription,
        *,
        key: str | None,
        run: str,
        uncertain: Uncertain,
        by_webhook: bool,
    ) -> Caller:
        """Return the caller that joins or starts the request. Raises ConfigurationError for an invalid argument.

        `by_webhook`: whether it waits for the delivery to the session's receiver.
        """
        from fal_async.keyed.call import KeyedRequest
        from fal_async.keyed.caller import Caller

        check_uncertain(uncertain)
        request = KeyedRequest(
            place=self.place(key, run),
            new=asked.new,
            following=asked.following,
            uncertain=uncertain,
            delivery="wait" if by_webhook else None,
        )
        return Caller(
            begin=partial(self.calls.begin, request),
            key=request.place.key,
            endpoint_id=asked.new.endpoint.full,
            logs=asked.following.logs,
            on_enqueue=asked.on_enqueue,
            on_queue_update=asked.on_queue_update,
            output_type=asked.output_type,
            cancel_on_exit=asked.wait.cancel_on_exit,
            waits=asked.wait.among,
        )

    def place(self, key: object, run: str) -> Place:
        """Return the place of a key's entry. Raises ConfigurationError for an invalid key or run."""
        return Place(space=self._space(check_run(run)), key=check_key(key))

    def _space(self, run: str) -> Space:
        space = self._spaces.get(run)
        if space is None:
            settings, tenant = self._view.settings, self._choice.tenant
            if tenant is None:
                raise ConfigurationError(
                    "this view has other credentials, so its keys must not mix with those of another account: use "
                    'with_options(credentials=..., tenant="acme"), or another ledger=...'
                )
            space = space_of(settings.hosts, proxy_url=settings.proxy_url, tenant=tenant, run=run)
            # A cache with a limit, because a program may use a new `run` for each key.
            if len(self._spaces) < 64:
                self._spaces[run] = space
        return space
