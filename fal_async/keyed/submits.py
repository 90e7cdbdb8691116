"""One submit of a keyed request, and its claim: durable before the first byte leaves, resolved on every way out."""

from __future__ import annotations

import asyncio
import copy

from fal_async.errors import SubmissionUncertainError
from fal_async.keyed.call import KeyedRequest
from fal_async.keyed.input_digests import Recognised
from fal_async.keyed.tools import Tools
from fal_async.ledger.store import Hold, NewClaim
from fal_async.protocol.ledger.ends import Claim, claim_after
from fal_async.protocol.ledger.entry import Record
from fal_async.queue.state import RequestState
from fal_async.transport.progress import Progress


class Outrun(Exception):
    """The entry is no longer what the decision to submit was made on. Nothing was sent."""


class KeyedSubmit:
    """Attributes:
    hold: the claim, from when it is written until it is resolved.
    attempt: the claim's number among the attempts of its entry, unless it was withdrawn.
    state: the request, from when fal has it: before its id is written.
    lost: it was given up, and fal may have taken it: the claim is stored as uncertain.
    record: the entry once its request id is written; None before, and where that failed.
    """

    def __init__(
        self, tools: Tools, asked: KeyedRequest, input: Recognised, seen: int | None, before: Record | None
    ) -> None:
        self._tools, self._asked, self._input = tools, asked, input
        self._seen, self._before = seen, before
        self._is_stale = False
        self.hold: Hold | None = None
        self.entry: int | None = None
        self.attempt: int = 0
        self.state: RequestState | None = None
        self.lost: SubmissionUncertainError | None = None
        self.record: Record | None = None
        self.progress: Progress = Progress(claim=self)

    # What the transport calls, see `transport/progress.py: Claim`.

    async def take(self) -> None:
        if self.hold is not None:
            return
        await self._tools.ledger.late.check()
        if self._is_stale:
            await self._look_again()
        self.hold = await self._tools.store.claim(self._new_claim())
        if self.hold is None:
            raise Outrun
        self.entry, self.attempt = self.hold.entry, self.hold.attempt

    async def give_back(self) -> None:
        hold, self.hold = self.hold, None
        self._is_stale = self._before is not None
        if hold is not None:
            await self._withdraw(hold)

    async def _look_again(self) -> None:
        """A claim that was withdrawn leaves an earlier entry as it was, but for its version."""
        before, now = self._before, await self._tools.store.find(self._asked.place, payloads=False)
        assert before is not None
        if now is None or (now.state, now.attempts, now.requests) != (
            before.state,
            before.attempts,
            before.requests,
        ):
            raise Outrun
        self._seen = now.version

    def _new_claim(self) -> NewClaim:
        tools, request = self._tools, self.progress.request
        assert request is not None
        assert isinstance(request.body, bytes)
        now, new = tools.now(), self._asked.new
        return NewClaim(
            place=self._asked.place,
            endpoint_id=new.endpoint.full,
            input_digest=self._input.digest,
            body_digest=self._input.digest_of_body(request.body),
            seen=self._seen,
            claimed_at=now,
            claimed_until=now + tools.budget(new.options.retry),
            input=self._input.kept(new.input, request.body, new.options),
        )

    # The submit itself.

    async def run(self) -> RequestState:
        """Its request, with its id written. Raises Outrun, SubmissionUncertainError (its claim is stored so), or
        what refused it (its claim is withdrawn)."""
        new = copy.copy(self._asked.new)  # which forgets its input once it is taken
        new.sha256s = self._input.sha256s
        try:
            self.state = state = await self._tools.operations.submit(new, self.progress)
        except (Exception, asyncio.CancelledError) as error:
            becomes = claim_after(error, sent=self.progress.sent)
            if becomes is Claim.UNCERTAIN and isinstance(error, asyncio.CancelledError):
                self.lost = self._given_up()
            await self._resolve(becomes)
            raise
        finally:
            # A large input is not kept through the wait, nor a result until garbage is looked for.
            self.progress.request = self.progress.claim = None
        await self._submitted(state.request_id)
        return state

    def give_up(self) -> bool:
        """Nobody waits for it any more: what has not left stays here. False: it may have left, so that its id is
        worth a wait."""
        self.progress.given_up = True
        return not self.progress.sent

    def _given_up(self) -> SubmissionUncertainError | None:
        request = self.progress.request
        if request is None:
            return None
        return self.progress.may_be_taken(request, "the wait for its answer was given up")

    async def _submitted(self, request_id: str) -> None:
        hold, self.hold = self.hold, None
        assert hold is not None
        now, store = self._tools.now(), self._tools.store
        self.record = await self._tools.write(
            self._asked.place, request_id, lambda: store.submitted(hold, request_id, now)
        )

    async def _resolve(self, becomes: Claim) -> None:
        hold, self.hold = self.hold, None
        if hold is None:
            return
        if becomes is Claim.WITHDRAW:
            await self._withdraw(hold)
        else:
            await self._uncertain(hold)

    async def _withdraw(self, hold: Hold) -> None:
        self.attempt, store = 0, self._tools.store
        await self._tools.write(self._asked.place, None, lambda: store.withdraw(hold))

    async def _uncertain(self, hold: Hold) -> None:
        now, store = self._tools.now(), self._tools.store
        await self._tools.write(self._asked.place, None, lambda: store.uncertain(hold, now))
