"""The requests that several questions share. Each is made once, by the first question that needs it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar
from urllib.parse import urlencode

import attrs

from fal_async.cli.doctor.live.live_requests import LiveRequest, LiveRequests, word_in
from fal_async.cli.doctor.live.not_seen import NotSeenError
from fal_async.errors import FalError, RequestRef, ResponseDecodeError
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.queue import RequestUrls, cancel_request, result_request, status_request

T = TypeVar("T")
_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
"""Seconds between two reads of the platform API, while a record is awaited."""


@attrs.frozen(kw_only=True)
class Completed:
    """A request that ran to its end.

    Attributes:
        early: the response to a fetch of the result right after the submit.
        listed: whether the history listed the request before its first poll, or why that is unknown.
        result: the response to a fetch of the result after the end.
        late_cancel: the response to a cancel after the end.
        units_before: the account's billed units of the endpoint before the submit; None: the key may not read them.
    """

    request: LiveRequest
    early: HttpResponse
    listed: bool | str
    result: HttpResponse
    late_cancel: HttpResponse
    units_before: Decimal | None


@attrs.frozen(kw_only=True)
class Cancelled:
    """A request that was cancelled before its end.

    Attributes:
        before: the status word that was seen before the cancel.
        listed: whether the history listed the request before its end, or why that is unknown.
        cancel: the response to the cancel.
        after: the status word that was seen first after the cancel.
        result: the response to a fetch of the result after the end.
    """

    request: LiveRequest
    before: str
    listed: bool | str
    cancel: HttpResponse
    after: str
    result: HttpResponse


@attrs.frozen(kw_only=True)
class Unknown:
    """The responses about a request id that does not exist."""

    status: HttpResponse
    without_key: HttpResponse
    result: HttpResponse
    cancel: HttpResponse


@attrs.frozen
class Lag:
    """How long after the end of the request something was seen.

    Attributes:
        seconds: the time.
        at_most: whether it was there at the first look, so that the lag may be shorter.
    """

    seconds: float
    at_most: bool


@attrs.frozen(kw_only=True)
class Records:
    """What the platform API shows of the completed request. A text in place of a value says why it is unknown.

    Attributes:
        item: its record in the request history.
        listed: how long after its end the history listed it as ended.
        billed: how long after its end the billing events listed it.
        counted: how long after its end the usage of the endpoint had grown.
    """

    item: dict[str, Any] | str
    listed: Lag | str
    billed: Lag | str
    counted: Lag | str


class Observations:
    """What was seen so far. A failure is kept, too, so that no paid request is repeated."""

    def __init__(self, requests: LiveRequests) -> None:
        self.requests: LiveRequests = requests
        self._kept: dict[str, Any] = {}
        self._since = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def completed(self) -> Completed:
        return await self._once("completed", self._complete)

    async def cancelled_at_once(self) -> Cancelled:
        return await self._once("cancelled at once", lambda: self._cancel(()))

    async def cancelled_running(self) -> Cancelled:
        return await self._once("cancelled running", lambda: self._cancel(("IN_PROGRESS",)))

    async def unknown(self) -> Unknown:
        return await self._once("unknown", self._ask_unknown)

    async def wrong_input(self) -> HttpResponse:
        """Return the result of a request whose input lacks everything."""
        return await self._once("wrong input", self._fail)

    async def records(self) -> Records:
        return await self._once("records", self._find_records)

    async def _once(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        if name not in self._kept:
            try:
                self._kept[name] = await work()
            except (FalError, NotSeenError) as error:
                self._kept[name] = error
        found = self._kept[name]
        if isinstance(found, FalError | NotSeenError):
            raise NotSeenError(found.message if isinstance(found, FalError) else str(found))
        return found  # type: ignore[no-any-return]

    async def _complete(self) -> Completed:
        requests = self.requests
        units = await self._units()
        request = await requests.accepted()
        early = await requests.result(request)
        listed = await self._is_listed(request)
        await requests.until(request, ())
        return Completed(
            request=request,
            early=early,
            listed=listed,
            result=await requests.result(request),
            late_cancel=await requests.cancel(request),
            units_before=units if isinstance(units, Decimal) else None,
        )

    async def _cancel(self, words: tuple[str, ...]) -> Cancelled:
        requests = self.requests
        # In a busy queue, a request of low priority waits longer.
        request = await requests.accepted({} if words else {"X-Fal-Queue-Priority": "low"})
        if words:
            await requests.until(request, words)
        before, polls = request.word, len(request.polls)
        looking = asyncio.ensure_future(self._is_listed(request)) if words else None
        try:
            cancel = await requests.cancel(request)
        finally:
            listed = "not asked" if looking is None else await looking
        await requests.until(request, ())
        return Cancelled(
            request=request,
            before=before,
            listed=listed,
            cancel=cancel,
            after=word_in(request.polls[polls]),
            result=await requests.result(request),
        )

    async def _fail(self) -> HttpResponse:
        response, request = await self.requests.submit(body=b"{}")
        if request is None:
            return response
        await self.requests.until(request, ())
        return await self.requests.result(request)

    async def _ask_unknown(self) -> Unknown:
        send, request_id = self.requests.send, str(uuid.uuid4())
        urls: RequestUrls = self.requests.urls_of_unknown(request_id)
        ref = RequestRef(request_id=request_id)
        anonymous = status_request(urls.status, ref, logs=False)
        anonymous.auth = False
        return Unknown(
            status=await send(status_request(urls.status, ref, logs=False)),
            without_key=await send(anonymous),
            result=await send(result_request(urls.response, ref, persistent=False)),
            cancel=await send(cancel_request(urls.cancel, ref)),
        )

    # The platform API.

    async def _find_records(self) -> Records:
        done = await self.completed()
        item, billed, counted = await asyncio.gather(
            self._until(done.request, lambda: self._ended(done.request)),
            self._until(done.request, lambda: self._is_billed(done.request)),
            self._until(done.request, lambda: self._has_grown(done.units_before)),
        )
        return Records(
            item=item if isinstance(item, str) else item[0],
            listed=item if isinstance(item, str) else item[1],
            billed=billed if isinstance(billed, str) else billed[1],
            counted=counted if isinstance(counted, str) else counted[1],
        )

    async def _until(
        self, request: LiveRequest, look: Callable[[], Awaitable[T | None]]
    ) -> tuple[T, Lag] | str:
        """Return what `look` finds, and when, or why it found nothing."""
        pause, patience, at_most = _PAUSE, self.requests.patience, True
        try:
            async with asyncio.timeout(patience):
                while True:
                    found = await look()
                    if found is not None:
                        return found, Lag(time.time() - (request.ended_at or time.time()), at_most)
                    at_most = False
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, _LONGEST_PAUSE)
        except TimeoutError:
            return f"not within {patience:g} s"
        except NotSeenError as error:
            return str(error)
        except FalError as error:
            return error.message

    async def _ended(self, request: LiveRequest) -> dict[str, Any] | None:
        item = await self._listed(request)
        return item if item is not None and item.get("ended_at") else None

    async def _is_listed(self, request: LiveRequest) -> bool | str:
        try:
            item = await self._listed(request)
            return "it had ended by then" if item and item.get("ended_at") else item is not None
        except NotSeenError as error:
            return str(error)
        except FalError as error:
            return error.message

    async def _listed(self, request: LiveRequest) -> dict[str, Any] | None:
        query = {"request_id": request.ref.request_id, "expand": "payloads"}
        return self.item_of(request, await self.rows("/models/requests/by-endpoint", "items", query))

    def item_of(self, request: LiveRequest, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
        return next((row for row in rows if row.get("request_id") == request.ref.request_id), None)

    async def _is_billed(self, request: LiveRequest) -> bool | None:
        query = {"request_id": request.ref.request_id}
        rows = await self.rows("/models/billing-events", "billing_events", query)
        return self.item_of(request, rows) is not None or None

    async def _has_grown(self, before: Decimal | None) -> bool | None:
        units = await self._units()
        if isinstance(units, str):
            raise NotSeenError(units)
        if before is None:
            raise NotSeenError("the usage before the request is unknown")
        return units > before or None

    async def _units(self) -> Decimal | str:
        """Return the account's billed units of the endpoint since yesterday, or why they are unknown."""
        try:
            rows = await self.rows("/models/usage", "summary", {"expand": "summary", "start": self._since})
            return sum((Decimal(str(row.get("quantity", 0))) for row in rows), Decimal(0))
        except FalError as error:
            return error.message
        except (NotSeenError, InvalidOperation) as error:
            return str(error)

    async def rows(self, path: str, name: str, query: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of one page about the endpoint. NotSeenError if fal does not show them."""
        endpoint = self.requests.endpoint.full
        response = await self.requests.read(f"{path}?{urlencode({'endpoint_id': endpoint, **query})}")
        if response.status == 403:
            raise NotSeenError("the API key may not read it (403); an ADMIN key may")
        if response.status != 200:
            raise NotSeenError(f"the platform API answered {response.status}")
        try:
            document = response.json()
        except ResponseDecodeError as error:
            raise NotSeenError(error.message) from error
        rows = document.get(name) if isinstance(document, dict) else None
        if not isinstance(rows, list):
            raise NotSeenError(f"the answer of the platform API has no {name}")
        return [row for row in rows if isinstance(row, dict)]
