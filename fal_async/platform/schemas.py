"""Fetching the schemas of endpoints, for `platform.schema` and for checks of inputs (protocol 11.6)."""

from __future__ import annotations

from fal_async.config import Settings
from fal_async.errors import ConfigurationError, NotFoundError
from fal_async.platform.schema_store import SchemaStore
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.schemas.endpoint_schema import EndpointSchema, parse_schema, schema_request
from fal_async.transport import Transport

_STREAM = "/stream"


class Schemas:
    """Fetches schemas with the settings of one view, and keeps them for the whole session."""

    def __init__(self, transport: Transport, settings: Settings, store: SchemaStore) -> None:
        self._transport, self._settings, self._store = transport, settings, store

    async def get(self, endpoint: EndpointId) -> EndpointSchema:
        """Return the schema of an endpoint. Raises NotFoundError if fal has none, and other errors of fal."""
        if self._settings.proxy_url is not None:
            raise ConfigurationError(
                "schemas can't be fetched through proxy_url: use Session(credentials=...)"
            )
        return await self._store.get(endpoint.full, lambda: self._fetch(endpoint.full))

    async def get_if_possible(self, endpoint: EndpointId) -> EndpointSchema | None:
        """Return the schema of the endpoint of a call; None if it can't be had now.

        An endpoint for streams, such as `fal-ai/any-llm/stream`, mostly has the schema of the one without the path.
        """
        if self._settings.proxy_url is not None:
            return None
        found = await self._if_possible(endpoint.full)
        if found is None and endpoint.full.endswith(_STREAM) and endpoint.path:
            return await self._if_possible(endpoint.full.removesuffix(_STREAM))
        return found

    async def _if_possible(self, endpoint_id: str) -> EndpointSchema | None:
        return await self._store.get_if_possible(endpoint_id, lambda: self._fetch(endpoint_id))

    async def _fetch(self, endpoint_id: str) -> EndpointSchema:
        request = schema_request(self._settings.hosts, endpoint_id)
        try:
            response = await self._transport.send(request, check=HttpResponse.json)
        except NotFoundError as error:
            if error.from_caller:
                raise
            raise _without_schema(endpoint_id, error) from None
        return parse_schema(response.json(), endpoint_id)


def _without_schema(endpoint_id: str, error: NotFoundError) -> NotFoundError:
    word = endpoint_id.rpartition("/")[2]
    return NotFoundError(
        f"fal publishes no schema: check the id, or search with fal.platform.models({word!r}). "
        "Private apps and endpoints for sessions may have none",
        status=error.status,
        headers=error.headers,
        body=error.body,
        endpoint_id=endpoint_id,
    )
