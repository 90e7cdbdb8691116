"""One submit of a keyed request, and its claim.

A claim is the ledger's note that this process is about to send a submit. It is on disk before the first byte is
sent. However the submit ends, the claim is resolved: it becomes the request, is withdrawn, or is stored as
uncertain.
"""

from __future__ import annotations

import asyncio
import copy
import secrets

from fal_async.errors import SubmissionUncertainError
from fal_async.keyed.call import KeyedRequest
from fal_async.keyed.input_digests import Recognised
from fal_async.keyed.tools import Tools
from fal_async.ledger.store import Hold, NewClaim
from fal_async.protocol.ledger.claim_tokens import ClaimToken, url_with_token
from fal_async.protocol.ledger.ends import Claim, claim_after
from fal_async.protocol.ledger.entry import Record
from fal_async.queue.state import RequestState
from fal_async.transport.progress import Progress


class Outrun(Exception):
    """Raised if the entry has changed since the decision to submit. Nothing was sent."""


class KeyedSubmit:
    """One submit with its claim.

    Attributes:
        hold: the claim, from its write until it is resolved; None before and after.
        entry: the number of the entry; None before the claim.
        attempt: the number of the attempt; 0 before the claim, and after it was withdrawn.
        state: the state of the request; None until fal has accepted it. It is set before the request id is stored.
        lost: the error of a submit that was interrupted and that fal may have accepted, so that the claim is stored
            as uncertain; None otherwise.
        record: the entry after the request id was stored; None before, and if the write failed.
        progress: what the transport reports about the submit.
    """

    def __init__(
        self, tools: Tools, asked: KeyedRequest, input: Recognised, seen: int | None, before: Record | None
    ) -> None:
        self._tools, self._asked, self._input = tools, asked, input
        self._seen, self._before = seen, before
        self._token = (
            None
            if asked.delivery is None
            else ClaimToken(text=secrets.token_urlsafe(16), purpose=asked.delivery)
        )
        self._is_stale = False
        self.hold: Hold | None = None
        self.entry: int | None = None
        self.attempt: int = 0
        self.state: RequestState | None = None
        self.lost: SubmissionUncertainError | None = None
        self.record: Record | None = None
        self.progress: Progress = Progress(claim=self)

    # Called by the transport, see `transport/progress.py: Claim`.

    async def take(self) -> None:
        """Write the claim, before the first attempt of the submit is sent.

        Raises Outrun if the entry has changed, LedgerError if the claim can't be written.
        """
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
        """Withdraw the claim, as fal did not accept the attempt. The next attempt takes a new claim."""
        hold, self.hold = self.hold, None
        self._is_stale = self._before is not None
        if hold is not None:
            await self._withdraw(hold)

    async def _look_again(self) -> None:
        """Read the version of an existing entry again, as withdrawing a claim has changed it.

        Raises Outrun if anything else has changed.
        """
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
            token=None if self._token is None else self._token.text,
        )

    # The submit itself.

    async def run(self) -> RequestState:
        """Submit, store the request id, and return the state of the request.

        Raises Outrun; SubmissionUncertainError (the claim is stored as uncertain); or the error with which the
        submit was refused (the claim is withdrawn).
        """
        new = copy.copy(self._asked.new)  # the copy drops its input once fal has accepted it
        new.sha256s = self._input.sha256s
        if self._token is not None and new.webhook_url is not None:
            new.webhook_url = url_with_token(new.webhook_url, self._token)
        try:
            self.state = state = await self._tools.operations.submit(new, self.progress)
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise  # the program ends now: the claim stays, and the next call with the key looks the request up
        except BaseException as error:
            becomes = claim_after(error, sent=self.progress.sent)
            if becomes is Claim.UNCERTAIN and isinstance(error, asyncio.CancelledError):
                self.lost = self._given_up()
            await self._resolve(becomes)
            raise
        finally:
            # Release a large input now, and break the reference cycle, which would delay the release of the result.
            self.progress.request = self.progress.claim = None
        await self._submitted(state.request_id)
        return state

    def give_up(self) -> bool:
        """Prevent that anything more is sent, as no caller waits.

        Returns False if the submit may have been sent already, so that its request id may still arrive.
        """
        self.progress.given_up = True
        return not self.progress.sent

    def _given_up(self) -> SubmissionUncertainError | None:
        request = self.progress.request
        if request is None:
            return None
        return self.progress.may_be_taken(request, "the wait for its response was cancelled")

    async def _submitted(self, request_id: str) -> None:
        hold, self.hold = self.hold, None
        assert hold is not None
        now, store = self._tools.now(), self._tools.store
        self.record = await self._tools.write(
            self._asked.place, request_id, lambda: store.submitted(hold, request_id, now)
        )

    async def _resolve(self, becomes: Claim) -> None:
        """Withdraw the claim, or store it as uncertain; nothing if there is no claim."""
        hold, self.hold = self.hold, None
        if hold is None:
            return
        if becomes is Claim.WITHDRAW:
            await self._withdraw(hold)
        else:
            await self._uncertain(hold)

    async def _withdraw(self, hold: Hold) -> None:
        """Delete the attempt from the ledger, as fal did not accept it."""
        self.attempt, store = 0, self._tools.store
        await self._tools.write(self._asked.place, None, lambda: store.withdraw(hold))

    async def _uncertain(self, hold: Hold) -> None:
        """Store that it is not known whether fal accepted the attempt."""
        now, store = self._tools.now(), self._tools.store
        await self._tools.write(self._asked.place, None, lambda: store.uncertain(hold, now))
