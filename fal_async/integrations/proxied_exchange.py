"""One HTTP request that the proxy passes on, and the response to its caller.

Two operations continue after the caller disconnects: a submit, until its response with the request id has arrived,
so that the request can be cancelled on fal; and a cancel, until it is done. Closing the session waits for both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import attrs

from fal_async.cancellation import CANCEL_LIMIT, Wait, submit_under, supervise
from fal_async.errors import FalError, SubmissionUncertainError, TransportError
from fal_async.integrations.asgi_exchange import RawAnswer
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.proxy.headers import returned_headers
from fal_async.protocol.proxy.rules import ProxyRoute, Refusal
from fal_async.protocol.queue import parse_submission
from fal_async.queue.client import open_waits
from fal_async.queue.handle import RequestHandle
from fal_async.session import Session
from fal_async.sheltered import ShelteredTask, settle
from fal_async.transport import OpenResponse
from fal_async.transport.progress import Progress

logger: logging.Logger = logging.getLogger("fal_async")


class ProxiedExchange:
    def __init__(self, session: Session, route: ProxyRoute, request: HttpRequest, answer: RawAnswer) -> None:
        self._session, self._route, self._request, self._answer = session, route, request, answer
        self._waits = open_waits(session.queue)
        self._submission: HttpResponse

    async def relay(self) -> None:
        """Pass the HTTP request on. Raises Refusal, FalError, or an OSError of the caller's connection."""
        if self._route is ProxyRoute.SUBMIT:
            wait = Wait(endpoint_id=self._request.endpoint_id or "", among=self._waits)
            await supervise(wait, lambda: self._submit(wait), timeout=None)
        elif self._route is ProxyRoute.CANCEL:
            await self._cancel()
        else:
            await self._pass_through()

    async def _pass_through(self) -> None:
        timeouts = self._session.settings.timeouts
        if self._route is ProxyRoute.RUN:  # fal sends nothing for a direct call until the model is done
            timeouts = attrs.evolve(timeouts, first_byte=timeouts.run)
        async with self._session.transport.pass_through(self._request, timeouts=timeouts) as response:
            _check(response)
            await self._answer.begin(response.status, returned_headers(response.headers))
            async for chunk in response.chunks():
                await self._answer.write(chunk)
            await self._answer.end()

    async def _cancel(self) -> None:
        with self._waits.cancelling():
            task = ShelteredTask(self._pass_through())
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                await settle(task, CANCEL_LIMIT)
                if not task.cancelled() and (error := task.exception()) is not None:
                    logger.info("a proxied cancel failed after its caller had disconnected: %s", error)
                raise

    async def _submit(self, wait: Wait) -> None:
        """Read the whole response before it is passed on: if the caller disconnects, the request id is known."""
        # The transport does not report when this HTTP request is sent, so it counts as sent from here on.
        progress = Progress(sent=True, began_at=time.time(), request=self._request)
        await submit_under(wait, progress, self._submitted())
        submission = self._submission
        await self._answer.begin(submission.status, returned_headers(submission.headers))
        await self._answer.write(submission.body)
        await self._answer.end()

    async def _submitted(self) -> RequestHandle[Any] | None:
        """Submit and return the request's handle.

        Returns None if there is no request to cancel, because fal refused it or sent no request id.
        """
        request = self._request
        async with self._session.transport.pass_through(request) as response:
            _check(response)
            try:
                body = b"".join([chunk async for chunk in response.chunks()])
            except TransportError as error:
                words = f"submit: fal may have accepted the request: {error.message}"
                raise SubmissionUncertainError(words, request_id=response.request_id).about(
                    request.ref
                ) from error
        self._submission = HttpResponse(status=response.status, headers=response.headers, body=body)
        if response.status >= 300:
            return None
        try:
            request_id = parse_submission(self._submission).request_id
            return self._session.queue.handle(request.endpoint_id or "", request_id)
        except FalError as error:
            logger.warning("a proxied submit can't be cancelled if its caller disconnects: %s", error)
            return None


def _check(response: OpenResponse) -> None:
    if 300 <= response.status < 400:
        raise Refusal(502, "fal redirected the request, which is not followed")
    if response.status == 401:
        # Not passed on as 401, because the refused API key is not the caller's.
        logger.error("fal refused the key of the proxy's session")
        raise Refusal(502, "the proxy's credentials were refused")
