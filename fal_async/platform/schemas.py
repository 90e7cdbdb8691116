"""Fetching the schemas of endpoints, for `platform.schema` and for checks of inputs (protocol 11.6)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial

import attrs

from fal_async.config import Settings
from fal_async.errors import ConfigurationError, NotFoundError
from fal_async.platform.schema_store import Fetch, SchemaStore
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.platform.workflow_records import parse_workflow, workflow_request
from fal_async.protocol.schemas.endpoint_schema import EndpointSchema, parse_schema, schema_request
from fal_async.protocol.schemas.workflow_schema import workflow_schema
from fal_async.transport import Transport

logger: logging.Logger = logging.getLogger("fal_async")
_STREAM = "/stream"


@attrs.frozen
class _Source:
    """A place that may have an endpoint's schema."""

    store: SchemaStore
    endpoint_id: str
    fetch: Fetch


class Schemas:
    """Fetches schemas with the settings of one view, and keeps them.

    `public` keeps those of fal's public documents, for the whole session; `own` those that need the API key, for
    views with the same credentials.
    """

    def __init__(
        self, transport: Transport, settings: Settings, *, public: SchemaStore, own: SchemaStore
    ) -> None:
        self._transport, self._settings = transport, settings
        self._public, self._own = public, own

    async def get(self, endpoint: EndpointId) -> EndpointSchema:
        """Return the schema of an endpoint. Raises NotFoundError if fal has none, and other errors of fal."""
        if self._settings.proxy_url is not None:
            raise ConfigurationError(
                "schemas can't be fetched through proxy_url: use Session(credentials=...)"
            )
        *first, last = self._sources(endpoint)
        for source in first:
            try:
                return await source.store.get(source.endpoint_id, source.fetch)
            except NotFoundError as error:
                if error.from_caller:
                    raise
        return await last.store.get(last.endpoint_id, last.fetch)

    async def get_if_possible(self, endpoint: EndpointId) -> EndpointSchema | None:
        """Return the schema of the endpoint of a call; None if it can't be had now.

        An endpoint for streams, such as `fal-ai/any-llm/stream`, mostly has the schema of the one without the path.
        """
        if self._settings.proxy_url is not None:
            return None
        sources = [*self._sources(endpoint)]
        if endpoint.path and endpoint.full.endswith(_STREAM):
            sources.append(self._published(endpoint.full.removesuffix(_STREAM)))
        for source in sources:
            found = await source.store.get_if_possible(source.endpoint_id, source.fetch)
            if found is not None:
                return found
        return None

    def _sources(self, endpoint: EndpointId) -> Iterator[_Source]:
        yield self._published(endpoint.full)
        if endpoint.namespace == "workflows" and not endpoint.path:
            yield _Source(self._own, endpoint.full, partial(self._fetch_workflow, endpoint))

    def _published(self, endpoint_id: str) -> _Source:
        return _Source(self._public, endpoint_id, partial(self._fetch, endpoint_id))

    async def _fetch(self, endpoint_id: str) -> EndpointSchema:
        request = schema_request(self._settings.hosts, endpoint_id)
        try:
            response = await self._transport.send(request, check=HttpResponse.json)
        except NotFoundError as error:
            if error.from_caller:
                raise
            app = endpoint_id.split("/")[1]
            raise _explained(
                error,
                f"fal publishes no schema: check the id, or search with fal.platform.models({app!r}). "
                "Private apps and endpoints for sessions may have none",
                endpoint_id,
            ) from None
        schema = parse_schema(response.json(), endpoint_id)
        if schema.input is None:
            logger.debug("inputs of %s are not checked, as fal's schema does not describe them", endpoint_id)
        return schema

    async def _fetch_workflow(self, endpoint: EndpointId) -> EndpointSchema:
        """Return the schema in the definition of a workflow, for which fal wants the API key (protocol 15.4)."""
        request = workflow_request(self._settings.hosts, endpoint.owner, endpoint.alias)
        try:
            response = await self._transport.send(request, check=HttpResponse.json)
        except NotFoundError as error:
            if error.from_caller:
                raise
            words = "no such workflow: check workflows/OWNER/NAME, or see fal.platform.workflows.list()"
            raise _explained(error, words, endpoint.full) from None
        return workflow_schema(parse_workflow(response).contents or {}, endpoint.full)


def _explained(error: NotFoundError, words: str, endpoint_id: str) -> NotFoundError:
    return NotFoundError(
        words, status=error.status, headers=error.headers, body=error.body, endpoint_id=endpoint_id
    )
