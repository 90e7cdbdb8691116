"""`session.platform`: models, prices, usage, billing, past requests, keys, account, workflows (protocol 11).

Citations such as (protocol 11.8) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal

from fal_async.config import Settings
from fal_async.errors import short_tracebacks
from fal_async.platform.listing import Listing
from fal_async.platform.schemas import Schemas
from fal_async.platform.sending import Sender
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.platform import model_catalog, prices
from fal_async.protocol.platform.documents import Page
from fal_async.protocol.platform.model_catalog import Model, PlatformMeta
from fal_async.protocol.platform.price_cache import PriceCache
from fal_async.protocol.platform.prices import Estimate, Price
from fal_async.protocol.platform.queries import Names
from fal_async.protocol.schemas.endpoint_schema import EndpointSchema
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

    def models(
        self,
        q: str | None = None,
        *,
        category: str | None = None,
        status: str | None = None,
        endpoint_ids: Names | None = None,
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

    async def model(self, endpoint_id: str, *, expand: Names | None = None) -> Model:
        """Return one model that fal offers (protocol 11.8). No key is needed, and cancelling is safe.

        Args:
            endpoint_id: such as `"fal-ai/flux/dev"`.
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

    async def schema(self, endpoint_id: str) -> EndpointSchema:
        """Return the JSON schemas of an endpoint's input and output (protocol 11.6). No key is needed or sent.

        The session keeps each schema for 10 minutes, and all of its views share it. Concurrent calls for the same
        endpoint make one HTTP request. Cancelling is safe.

        Args:
            endpoint_id: such as `"fal-ai/flux/dev"`.

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

    def pricing(self, endpoint_ids: Names) -> Listing[Price]:
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
