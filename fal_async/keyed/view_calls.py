"""The keyed calls of one view. A call joins the driver of its key, or starts one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from fal_async.keyed.call import Driver, Ended, KeyedRequest
from fal_async.keyed.driver import KeyedDriver
from fal_async.keyed.input_digests import Recognised, recognised
from fal_async.keyed.joined import Joined
from fal_async.keyed.outcomes import Outcomes, replay
from fal_async.keyed.session_ledger import SessionLedger
from fal_async.keyed.tools import Tools
from fal_async.ledger.store import Store
from fal_async.models import QueueStatus, RequestLog
from fal_async.protocol.following import Following
from fal_async.protocol.ledger import decisions, refusals
from fal_async.protocol.ledger.decisions import Asked, decide, difference
from fal_async.protocol.ledger.entry import Owner, Place, Record
from fal_async.queue.operations import QueueOperations
from fal_async.queue.state import RequestState


class Replayed(Joined):
    """A driver for an outcome that the ledger already has. It sends nothing."""

    request_id: str | None
    attempts: int
    state: RequestState | None = None
    last_status: QueueStatus | None = None
    logs: Sequence[RequestLog] = ()
    held_by: Owner | None = None
    is_given_up: bool = False
    is_cancelling: bool = False

    def __init__(self, outcome: Ended) -> None:
        super().__init__(outcome)
        self.request_id, self.attempts = outcome.request_id, outcome.attempts

    async def cancel(self) -> None:
        """Return None: the outcome is known, so nothing has to be cancelled."""


class ViewCalls:
    """Implements `KeyedCalls` for one view. The drivers belong to the session: all of its views share them."""

    def __init__(
        self,
        operations: QueueOperations,
        ledger: SessionLedger,
        check_open: Callable[[], None],
        receiver_url: Callable[[], str | None],
    ) -> None:
        """`receiver_url` returns the URL of the session's webhook receiver; None if it has none."""
        self._operations, self._ledger, self._check_open = operations, ledger, check_open
        self._receiver_url = receiver_url
        self._used: Tools | None = None

    async def begin(self, asked: KeyedRequest) -> Driver:
        """Join the driver of this key, or start one. If the ledger has the outcome, return a driver with it."""
        self._check_open()
        if asked.delivery is None and asked.new.webhook_url is not None:
            asked.delivery = "event" if asked.new.webhook_url == self._receiver_url() else None
        input = asked.recognised or await recognised(asked.new.input)
        compared = Asked(
            endpoint_id=asked.new.endpoint.full,
            input_digest=input.digest,
            uncertain=asked.uncertain,
            retries=asked.retries,
            retry_failed=asked.retry_failed,
            renew=asked.renew,
            after=0,  # as for a key without an entry, because most keys are new
        )
        driver = self._joined(asked, input, compared)
        if driver is not None:
            return driver
        tools = await self._tools()
        record = await tools.store.find(asked.place)
        driver = self._joined(asked, input, compared)  # another call may have started one during the read
        if driver is not None:
            return driver
        if record is not None:
            compared = attrs.evolve(compared, after=None).begun(record)
            if (ended := self._ended(record, decide(record, compared))) is not None:
                return Replayed(ended)
        driver = self._driver(tools, asked.place, compared, record)
        driver.following = _own(asked.following)
        driver.join(asked, input)
        return driver

    async def follow(
        self, record: Record, following: Following | None = None, state: RequestState | None = None
    ) -> Driver:
        """Join the driver of an entry, or start one that only follows its request, and never submits."""
        self._check_open()
        tools = await self._tools()
        driver = self.running(record)
        if driver is None:
            compared = Asked(endpoint_id=record.endpoint_id, input_digest=record.input_digest)
            driver = self._driver(tools, record.place, compared, record)
            driver.known = state
            if following is not None:
                driver.following = _own(following)
        driver.want(logs=following is not None and following.logs)
        return driver

    async def look_up(self, record: Record) -> None:
        """Look up the request of an uncertain entry; see `Tools.look_up`."""
        self._check_open()
        await (await self._tools()).look_up(record, resubmit=False, store_io=True)

    def running(self, record: Record) -> KeyedDriver | None:
        """Return the running driver of an entry, or None."""
        driver: KeyedDriver | None = self._ledger.drivers.get(record.place)
        return driver

    def outcomes(self, record: Record) -> Outcomes:
        """Return the object that stores the outcomes of this entry's attempts. The store must be open."""
        assert self._used is not None
        return Outcomes(self._used, record.place, record.number)

    async def store(self) -> Store:
        """Return the open store of the ledger."""
        return (await self._tools()).store

    def _joined(self, asked: KeyedRequest, input: Recognised, compared: Asked) -> KeyedDriver | None:
        """Join the running driver of the key and return it; None if there is none.

        Raises KeyConflictError if the driver has another endpoint or input.
        """
        driver: KeyedDriver | None = self._ledger.drivers.get(asked.place)
        if driver is None:
            return None
        if (differs := difference(driver.entry, compared)) is not None:
            raise refusals.conflict(driver.entry, differs)
        driver.join(asked, input)
        return driver

    def _ended(self, record: Record, step: decisions.Step) -> Ended | None:
        """Return the stored outcome if the step replays it, otherwise None. Raises KeyConflictError."""
        match step:
            case decisions.Conflict():
                raise refusals.conflict(record, step.differs)
            case decisions.Replay() | decisions.Expired():
                return replay(record, self._operations.files, from_ledger=True)
        return None

    def _driver(self, tools: Tools, place: Place, compared: Asked, record: Record | None) -> KeyedDriver:
        self._ledger.check_open()
        driver = KeyedDriver(tools, place, compared, record)
        self._ledger.drivers[place] = driver
        self._ledger.running.add(driver)
        return driver

    async def _tools(self) -> Tools:
        store = await self._ledger.store()
        if self._used is None:
            self._used = Tools(operations=self._operations, ledger=self._ledger, store=store)
        return self._used


def _own(following: Following) -> Following:
    """Return a copy for the driver, which later turns on logs if another caller wants them."""
    return Following(logs=following.logs, mode=following.mode, poll_interval=following.poll_interval)
