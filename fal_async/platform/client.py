"""`session.platform`: models, prices, usage, billing, past requests, keys, account, workflows (protocol 11).

Citations such as (protocol 11.8) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Any

from fal_async.config import Settings
from fal_async.errors import NotFoundError, short_tracebacks
from fal_async.platform.account_operations import Account
from fal_async.platform.key_operations import Keys
from fal_async.platform.listing import Listing
from fal_async.platform.schemas import Schemas
from fal_async.platform.sending import Sender
from fal_async.platform.workflow_operations import Workflows
from fal_async.protocol.endpoint import Endpoint, EndpointId
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.platform import (
    analytics_lines,
    billing_events,
    model_catalog,
    prices,
    request_records,
    usage_lines,
)
from fal_async.protocol.platform.analytics_lines import METRICS, AnalyticsLine
from fal_async.protocol.platform.billing_events import BillingEvent, Tags
from fal_async.protocol.platform.documents import Page
from fal_async.protocol.platform.model_catalog import Model, PlatformMeta
from fal_async.protocol.platform.price_cache import CachedPrice, Cost, PriceCache, cost_of, units_of
from fal_async.protocol.platform.prices import Estimate, Price
from fal_async.protocol.platform.queries import Endpoints, Moment, Names
from fal_async.protocol.platform.request_records import DeletedFile, RequestRecord
from fal_async.protocol.platform.usage_lines import UsageLine
from fal_async.protocol.schemas.endpoint_schema import EndpointSchema
from fal_async.single_flight import SingleFlight
from fal_async.transport import Transport


@short_tracebacks
class Platform:
    """What fal offers and what it costs, what was used, and the account's keys: `session.platform`.

    Reading is free, and is retried after temporary failures; a 429 is obeyed. Cancelling any call is safe, except
    `keys.create` and `workflows.create`, which fal may still have done. fal's figures about requests lag by a few
    minutes (protocol 11.7).
    """

    def __init__(
        self, transport: Transport, settings: Settings, known_prices: PriceCache, schemas: Schemas
    ) -> None:
        """`known_prices` are those of the session, which computes the costs of results with them."""
        self._sender = Sender(transport, settings)
        self._known_prices, self._schemas = known_prices, schemas
        self._flights: dict[str, SingleFlight[CachedPrice]] = {}

    def models(
        self,
        q: str | None = None,
        *,
        category: str | None = None,
        status: str | None = None,
        endpoint_ids: Endpoints | None = None,
        expand: Names | None = None,
        limit: int | None = None,
    ) -> Listing[Model]:
        """List the models that fal offers (protocol 11.8). No key is needed.

        Args:
            q: words to search for in names, descriptions and categories. None (default): all models.
            category: such as `"text-to-image"`. None (default): every category.
            status: `"active"` or `"deprecated"`. None (default): both.
            endpoint_ids: one endpoint id, or 1 to 50; fal answers with 404 if it does not know one. None (default):
                no filter.
            expand: further fields: `"openapi-3.0"`, `"enterprise_status"` or both; other words are passed on. None
                (default): none.
            limit: models per page, at least 1. None (default): as many as fal chooses.

        Returns:
            The models: `async for`, or `await` for a list. Its requests raise NotFoundError, RateLimitError and
            other errors of fal.

        Raises:
            ConfigurationError: an invalid argument, or a session with `proxy_url`. Nothing was sent.
        """
        query = model_catalog.models_query(q, category, status, endpoint_ids, expand, limit)
        return self._sender.listing(
            model_catalog.models_request, model_catalog.parse_models, query, public=True
        )

    async def model(self, endpoint_id: str | Endpoint[Any, Any], *, expand: Names | None = None) -> Model:
        """Return one model that fal offers (protocol 11.8). No key is needed, and cancelling is safe.

        Args:
            endpoint_id: such as `"fal-ai/flux/dev"`, or an `Endpoint`.
            expand: further fields: `"openapi-3.0"`, `"enterprise_status"` or both. None (default): none.

        Returns:
            The model.

        Raises:
            ConfigurationError: an invalid argument, or a session with `proxy_url`. Nothing was sent.
            NotFoundError: fal does not list this endpoint.
            ApiError: another error response of fal.
            TransportError: fal was not reached.
            SessionStateError: the session is closed.
        """
        wanted = EndpointId.parse(endpoint_id).full
        request = model_catalog.models_request(
            self._sender.hosts, model_catalog.models_query(ids=wanted, expand=expand)
        )
        page = await self._sender.send(request, model_catalog.parse_models, public=True)
        return model_catalog.only_model(page, wanted)

    async def schema(self, endpoint_id: str | Endpoint[Any, Any]) -> EndpointSchema:
        """Return the JSON schemas of an endpoint's input and output (protocol 11.6). No key is needed or sent.

        The session keeps each schema for 10 minutes, and all of its views share it. Concurrent calls for the same
        endpoint make one HTTP request. Cancelling is safe.

        Args:
            endpoint_id: such as `"fal-ai/flux/dev"`, or an `Endpoint`.

        Returns:
            The schemas, with references resolved, and what fal says about the endpoint.

        Raises:
            ConfigurationError: an invalid endpoint id, or a session with `proxy_url`. Nothing was sent.
            NotFoundError: fal has no schema of this endpoint; the message says what to do.
            ApiError: another error response of fal.
            ResponseDecodeError: the response is not an OpenAPI document.
            TransportError: fal was not reached.
            SessionStateError: the session is closed.
        """
        return await self._schemas.get(EndpointId.parse(endpoint_id))

    def pricing(self, endpoint_ids: Endpoints) -> Listing[Price]:
        """List what endpoints cost per billing unit, for this account (protocol 11.8).

        The session computes `result.cost` with the prices that it has fetched, for a day.

        Args:
            endpoint_ids: one endpoint id, or several. More than 50 are asked for in several HTTP requests.

        Returns:
            The prices: `async for`, or `await` for a list. Its requests raise NotFoundError if fal does not know
            one of the endpoints, and other errors of fal.

        Raises:
            ConfigurationError: an invalid argument, no endpoint id, or a session without a key of its own. Nothing
                was sent.
        """
        queries = prices.pricing_queries(endpoint_ids)
        return self._sender.listing(prices.pricing_request, self._kept_prices, *queries)

    def _kept_prices(self, response: HttpResponse) -> Page[Price]:
        page = prices.parse_pricing(response)
        self._known_prices.keep(page.items, time.time())
        return page

    async def estimate(
        self,
        *,
        calls: Mapping[str, int] | None = None,
        units: Mapping[str, float | Decimal] | None = None,
    ) -> Estimate:
        """Estimate what calls or billing units will cost, before anything is paid (protocol 11.8).

        Pass `calls` or `units`. fal sends only the total, no amount for each endpoint. Cancelling is safe.

        Args:
            calls: how many calls of each endpoint, at least 1. fal uses what calls have cost so far. None
                (default): `units` is given.
            units: how many billing units of each endpoint, such as images, at least 0.000001. fal uses the price
                per unit. None (default): `calls` is given.

        Returns:
            The estimated total.

        Raises:
            ConfigurationError: neither or both are given, or a quantity is invalid. Nothing was sent.
            NotFoundError: fal does not know one of the endpoints.
            ApiError: another error response of fal.
            TransportError: fal was not reached.
            SessionStateError: the session is closed.
        """
        request = prices.estimate_request(self._sender.hosts, calls=calls, units=units)
        return await self._sender.send(request, prices.parse_estimate)

    def usage(
        self,
        *,
        # Which requests.
        start: Moment | None = None,
        end: Moment | None = None,
        endpoint_ids: Endpoints | None = None,
        api_key_ids: Names | None = None,
        login_usernames: Names | None = None,
        # How they are added up.
        summary: bool = False,
        timeframe: str | None = None,
        timezone: str | None = None,
        bound_to_timeframe: bool | None = None,
        expand: Names | None = None,
        limit: int | None = None,
    ) -> Listing[UsageLine]:
        """List what was used and what it cost, by endpoint and period (protocol 11.9). Needs an admin key.

        The figures lag by a few minutes (protocol 11.7).

        Args:
            start: the beginning: a datetime with a time zone, a date, or Unix seconds. None (default): 24 hours
                ago.
            end: the end, which is not included. None (default): now.
            endpoint_ids: one endpoint, or 1 to 50. None (default): all.
            api_key_ids: the ids of one key, or of 1 to 50. None (default): all.
            login_usernames: the users of 1 to 50 logins. None (default): all.
            summary: True for one line per endpoint and price over all of the time; False (default) for one per
                period as well.
            timeframe: the length of a period: `"minute"`, `"hour"`, `"day"`, `"week"` or `"month"`. None (default):
                fal chooses by the time from `start` to `end`.
            timezone: where periods begin, such as `"Europe/Berlin"`. None (default): UTC.
            bound_to_timeframe: whether `start` and `end` are moved outwards to whole periods. None (default): as
                fal chooses, which is True.
            expand: `"auth_method"`, `"auth_method_structured"` or both: a line for each key or login. None
                (default): neither.
            limit: lines per page, at least 1. None (default): as many as fal chooses.

        Returns:
            The lines: `async for`, or `await` for a list. Its requests raise PermissionDeniedError if the key is
            not an admin key, and other errors of fal.

        Raises:
            ConfigurationError: an invalid argument, or a session without a key of its own. Nothing was sent.
        """
        series = usage_lines.series_query(
            start=start,
            end=end,
            timezone=timezone,
            timeframe=timeframe,
            bound_to_timeframe=bound_to_timeframe,
        )
        filtered = usage_lines.filters(
            endpoint_id=endpoint_ids, api_key_id=api_key_ids, login_username=login_usernames
        )
        query = usage_lines.usage_query(series, filtered, summary=summary, expand=expand, limit=limit)
        return self._sender.listing(usage_lines.usage_request, usage_lines.parse_usage, query)

    def analytics(
        self,
        endpoint_ids: Endpoints,
        *,
        metrics: Names = METRICS,
        start: Moment | None = None,
        end: Moment | None = None,
        summary: bool = False,
        timeframe: str | None = None,
        timezone: str | None = None,
        bound_to_timeframe: bool | None = None,
        limit: int | None = None,
    ) -> Listing[AnalyticsLine]:
        """List how the account's requests went: counts and durations, by endpoint and period (protocol 11.9).

        The figures lag by a few minutes (protocol 11.7).

        Args:
            endpoint_ids: one endpoint, or 1 to 50.
            metrics: the fields of `AnalyticsLine` to fill; other names are passed on, and found in `raw`. Default:
                requests, successes, both kinds of errors, and the 50th and 95th percentile of durations.
            start: the beginning: a datetime with a time zone, a date, or Unix seconds. None (default): 24 hours
                ago.
            end: the end, which is not included. None (default): now.
            summary: True for one line per endpoint over all of the time; False (default) for one per period.
            timeframe: the length of a period, as of `usage`. None (default): fal chooses.
            timezone: where periods begin, such as `"Europe/Berlin"`. None (default): UTC.
            bound_to_timeframe: whether `start` and `end` are moved outwards to whole periods. None (default): as
                fal chooses, which is True.
            limit: lines per page, at least 1. None (default): as many as fal chooses.

        Returns:
            The lines: `async for`, or `await` for a list. Its requests raise errors of fal.

        Raises:
            ConfigurationError: an invalid argument, or a session without a key of its own. Nothing was sent.
        """
        series = usage_lines.series_query(
            start=start,
            end=end,
            timezone=timezone,
            timeframe=timeframe,
            bound_to_timeframe=bound_to_timeframe,
        )
        query = analytics_lines.analytics_query(
            endpoint_ids, series, metrics=metrics, summary=summary, limit=limit
        )
        return self._sender.listing(analytics_lines.analytics_request, analytics_lines.parse_analytics, query)

    def billing_events(
        self,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        endpoint_ids: Endpoints | None = None,
        request_ids: Names | None = None,
        api_key_ids: Names | None = None,
        login_usernames: Names | None = None,
        tags: Tags | None = None,
        source: str | None = None,
        expand: Names | None = None,
        limit: int | None = None,
    ) -> Listing[BillingEvent]:
        """List what each request cost (protocol 11.9). Needs an admin key.

        Events lag by a few minutes, so that a request that was just completed has none yet (protocol 11.7).

        Args:
            start: the beginning: a datetime with a time zone, a date, or Unix seconds. None (default): 24 hours
                ago.
            end: the end, which is not included, at most 90 days after `start`. None (default): now.
            endpoint_ids: one endpoint, or 1 to 50. None (default): all.
            request_ids: the ids of one request, or of 1 to 50. None (default): all.
            api_key_ids: the ids of one key, or of 1 to 50. None (default): all.
            login_usernames: the users of 1 to 50 logins. None (default): all.
            tags: only requests with these tags: a value, several of which one must be set, or None for requests
                without the tag; 10 values at most. It needs tag reporting, which fal enables for an account. None
                (default): all.
            source: `"billed"` or `"tagged-billed"`, whose events have tags and come later. None (default): with
                `tags` the second one, else the first one.
            expand: `"auth_method"`, `"auth_method_structured"` or both. None (default): neither.
            limit: events per page, from 1 to 10,000. None (default): as many as fal chooses.

        Returns:
            The events: `async for`, or `await` for a list. Its requests raise PermissionDeniedError if the key is
            not an admin key, and other errors of fal.

        Raises:
            ConfigurationError: an invalid argument, or a session without a key of its own. Nothing was sent.
        """
        filtered = usage_lines.filters(
            endpoint_id=endpoint_ids,
            request_id=request_ids,
            api_key_id=api_key_ids,
            login_username=login_usernames,
        )
        filtered += billing_events.tags_query(source, tags)
        query = billing_events.events_query(start, end, filtered, expand, limit)
        return self._sender.listing(billing_events.events_request, billing_events.parse_events, query)

    def requests(
        self,
        endpoint_id: Endpoints,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        status: str | None = None,
        request_id: str | None = None,
        sort_by: str | None = None,
        expand: Names | None = None,
        limit: int | None = None,
    ) -> Listing[RequestRecord]:
        """List the account's past requests of an endpoint (protocol 11.10).

        The list lags by a few minutes, so that a request that it lacks may exist (protocol 11.7).

        Args:
            endpoint_id: one endpoint, or 1 to 50.
            start: the beginning: a datetime with a time zone, a date, or Unix seconds. It is not documented which
                time of a request counts: take a wide period. None (default): 24 hours ago; with `request_id` 90
                days ago.
            end: the end, which is not included. None (default): now.
            status: `"success"`, `"error"` or `"user_error"`. None (default): all.
            request_id: only this request. None (default): all.
            sort_by: `"ended_at"`, or `"duration"`. None (default): the first one.
            expand: `"payloads"` for inputs and outputs. None (default): without them.
            limit: requests per page, from 1 to 100. None (default): as many as fal chooses, which is 50.

        Returns:
            The requests: `async for`, or `await` for a list. Its requests raise errors of fal.

        Raises:
            ConfigurationError: an invalid argument, or a session without a key of its own. Nothing was sent.
        """
        query = request_records.requests_query(
            endpoint_id,
            start=start,
            end=end,
            status=status,
            request_id=request_id,
            sort_by=sort_by,
            expand=expand,
            limit=limit,
        )
        return self._sender.listing(request_records.requests_request, request_records.parse_requests, query)

    def search_requests(
        self,
        query: str | None = None,
        *,
        image_url: str | None = None,
        video_url: str | None = None,
        endpoint_ids: Endpoints | None = None,
        only_api_requests: bool = False,
        exclude_api_requests: bool = False,
        min_similarity: float | None = None,
        limit: int | None = None,
    ) -> Listing[RequestRecord]:
        """List the account's past requests that are similar to something, or all of them (protocol 11.10).

        Without `query`, `image_url` and `video_url` these are the requests of all endpoints, newest first; leave
        the loop when they are old enough. The list lags by a few minutes (protocol 11.7).

        Args:
            query: what the output shows, in words. None (default): not searched by words.
            image_url: a picture that the output is similar to. None (default): not searched by a picture.
            video_url: a video that the output is similar to. None (default): not searched by a video.
            endpoint_ids: one endpoint, or 1 to 50. None (default): all.
            only_api_requests: whether only requests that were made with a key are listed; default False.
            exclude_api_requests: whether they are left out; default False.
            min_similarity: the least similarity, from 0 to 1. None (default): as fal chooses.
            limit: requests per page, at least 1. None (default): as many as fal chooses.

        Returns:
            The requests: `async for`, or `await` for a list. Its requests raise errors of fal.

        Raises:
            ConfigurationError: an invalid argument, or a session without a key of its own. Nothing was sent.
        """
        wanted = request_records.search_query(
            query=query,
            image_url=image_url,
            video_url=video_url,
            ids=endpoint_ids,
            only_api_requests=only_api_requests,
            exclude_api_requests=exclude_api_requests,
            min_similarity=min_similarity,
            limit=limit,
        )
        return self._sender.listing(request_records.search_request, request_records.parse_search, wanted)

    async def delete_payloads(self, request_id: str) -> tuple[DeletedFile, ...]:
        """Delete what fal keeps of a request: its input, its output, and the files of its output (protocol 11.10).

        This can't be undone. Files of the input are never deleted. Needs an admin key. fal does it once, however
        often the HTTP request is retried. If the call is cancelled, it may have been done; call it again.

        Args:
            request_id: fal's id of the request.

        Returns:
            The files of the output, each with the reason if it was not deleted.

        Raises:
            ConfigurationError: an invalid id, or a session without a key of its own. Nothing was sent.
            NotFoundError: fal does not know the request.
            PermissionDeniedError: the key is not an admin key.
            ApiError: another error response of fal.
            TransportError: fal was not reached, or did not respond.
            SessionStateError: the session is closed.
        """
        request = request_records.deletion_request(self._sender.hosts, request_id, uuid.uuid4().hex)
        return await self._sender.send(request, request_records.parse_deletion)

    @property
    def keys(self) -> Keys:
        """The account's API keys: list, create, delete. Needs an admin key."""
        return Keys(self._sender)

    @property
    def account(self) -> Account:
        """The account: its balance, reports, and those of its organization."""
        return Account(self._sender)

    @property
    def workflows(self) -> Workflows:
        """The account's workflows: list, get, create."""
        return Workflows(self._sender)

    async def cost(self, endpoint_id: str | Endpoint[Any, Any], units: Decimal | float) -> Cost:
        """Return what billing units of an endpoint cost this account, by its list price (protocol 11.8).

        A price that the session has fetched in the last hour is used again; its age is in the value. Concurrent
        calls for one endpoint make one HTTP request. Discounts of the account are not known before it is billed.
        Cancelling is safe.

        Args:
            endpoint_id: such as `"fal-ai/flux/dev"`, or an `Endpoint`.
            units: how many units, at least 0, such as images. `pricing` says what is counted.

        Returns:
            The exact cost, with the price and its age.

        Raises:
            ConfigurationError: an invalid argument, or a session without a key of its own. Nothing was sent.
            NotFoundError: fal has no price of this endpoint.
            ApiError: another error response of fal.
            TransportError: fal was not reached.
            SessionStateError: the session is closed.
        """
        wanted, quantity = EndpointId.parse(endpoint_id).full, units_of(units)
        cached = self._known_prices.find(wanted, time.time()) or await self._fetched_price(wanted)
        return cost_of(cached, quantity, time.time())

    async def _fetched_price(self, endpoint_id: str) -> CachedPrice:
        """Fetch a price, once for all calls that need it at the same time."""
        flight = self._flights.setdefault(endpoint_id, SingleFlight())
        try:
            return await flight.get(lambda _: False, partial(self._fetch_price, endpoint_id))
        finally:
            if not flight.under_way:
                self._flights.pop(endpoint_id, None)

    async def _fetch_price(self, endpoint_id: str) -> CachedPrice:
        await self.pricing(endpoint_id)
        cached = self._known_prices.find(endpoint_id, time.time())
        if cached is None:
            raise NotFoundError("fal sent no price of this endpoint", status=404, endpoint_id=endpoint_id)
        return cached

    async def meta(self) -> PlatformMeta:
        """Return facts about fal's platform, such as the addresses of its webhooks (protocol 11.11).

        No key is needed, and cancelling is safe.

        Returns:
            The facts.

        Raises:
            ConfigurationError: a session with `proxy_url`. Nothing was sent.
            ApiError: an error response of fal.
            TransportError: fal was not reached.
            SessionStateError: the session is closed.
        """
        return await self._sender.send(
            model_catalog.meta_request(self._sender.hosts), model_catalog.parse_meta, public=True
        )
