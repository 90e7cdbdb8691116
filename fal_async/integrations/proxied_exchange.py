"""One request that is passed on by the proxy, and its answer.

What must not be left half-way goes on where the caller leaves: a submit to its answer, so that its job can be
cancelled, which nobody else could; and a cancel to its end.
"""

from __future__ import annotations

import asyncio
import logging

import attrs

from fal_async.errors import FalError, SubmissionUncertainError, TransportError
from fal_async.integrations.asgi_exchange import RawAnswer
from fal_async.integrations.disconnect import CLEANUP_LIMIT, cancel_abandoned, end_tasks
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.proxy.headers import returned_headers
from fal_async.protocol.proxy.rules import ProxyRoute, Refusal
from fal_async.protocol.queue import parse_submission
from fal_async.session import Session
from fal_async.transport import OpenResponse

logger: logging.Logger = logging.getLogger("fal_async")


class ProxiedExchange:
    def __init__(self, session: Session, route: ProxyRoute, request: HttpRequest, answer: RawAnswer) -> None:
        self._session, self._route, self._request, self._answer = session, route, request, answer
        self._submitted: HttpResponse | None = None

    async def relay(self) -> None:
        """Refusal, FalError, or an OSError of the caller's connection."""
        if self._route not in (ProxyRoute.SUBMIT, ProxyRoute.CANCEL):
            await self._pass_through()
            return
        exchange = asyncio.ensure_future(self._pass_through())
        try:
            await asyncio.shield(exchange)
        except asyncio.CancelledError:
            delivered = self._answer.ended
            try:
                await asyncio.wait((exchange,), timeout=CLEANUP_LIMIT)
            finally:  # also where the server does not wait for that, and cancels again
                (outcome,) = await end_tasks(exchange)
            if not delivered:
                await self._abandon(outcome)
            raise
        except FalError:
            raise
        except OSError as error:  # some servers tell so that the caller has left (ASGI 2.4)
            await self._abandon(error)
            raise

    async def _pass_through(self) -> None:
        timeouts = self._session.settings.timeouts
        if self._route is ProxyRoute.RUN:  # a direct call is silent until the model is done
            timeouts = attrs.evolve(timeouts, first_byte=timeouts.run)
        async with self._session.transport.pass_through(self._request, timeouts=timeouts) as response:
            _check(response)
            if self._route is ProxyRoute.SUBMIT:
                await self._return_submission(response)
                return
            await self._answer.begin(response.status, returned_headers(response.headers))
            async for chunk in response.chunks():
                await self._answer.write(chunk)
            await self._answer.end()

    async def _return_submission(self, response: OpenResponse) -> None:
        """Whole, so that its id is known whatever becomes of the caller."""
        try:
            body = b"".join([chunk async for chunk in response.chunks()])
        except TransportError as error:
            said = f"submit: fal may have taken the request: {error.message}"
            raise SubmissionUncertainError(said, request_id=response.request_id).about(
                self._request.ref
            ) from error
        if response.status < 300:
            self._submitted = HttpResponse(status=response.status, headers=response.headers, body=body)
        await self._answer.begin(response.status, returned_headers(response.headers))
        await self._answer.write(body)
        await self._answer.end()

    async def _abandon(self, outcome: BaseException | None) -> None:
        """The caller left before its answer: nobody knows the id of the job that it asked for."""
        if self._submitted is not None:
            try:
                request_id = parse_submission(self._submitted).request_id
            except FalError as error:
                logger.warning("a caller left, and its submit can't be cancelled: %s", error)
                return
            await cancel_abandoned(self._session.queue.handle(self._request.endpoint_id or "", request_id))
        elif isinstance(outcome, SubmissionUncertainError | asyncio.CancelledError):
            logger.warning(
                "a caller left, and its %s for %s was not answered: fal may have taken it",
                self._request.operation,
                self._request.endpoint_id,
            )


def _check(response: OpenResponse) -> None:
    if 300 <= response.status < 400:
        raise Refusal(502, "fal redirected the request, which is not followed")
    if response.status == 401:
        # The caller can do nothing about a key that it does not know.
        logger.error("fal refused the key of the proxy's session")
        raise Refusal(502, "the proxy's credentials were refused")
