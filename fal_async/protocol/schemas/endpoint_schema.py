"""The schema of one endpoint: the HTTP request for fal's OpenAPI document, and what the document says (11.6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import attrs

from fal_async.config import Hosts
from fal_async.errors import RequestRef, ResponseDecodeError
from fal_async.protocol.fields import text_in
from fal_async.protocol.http import JSON_TYPE, HttpRequest, Operation
from fal_async.protocol.schemas.schema_fields import SchemaField, fields
from fal_async.protocol.schemas.self_contained import self_contained

_REQUEST = "/requests/{"


@attrs.frozen(kw_only=True)
class EndpointSchema:
    """What fal publishes about the input and the output of an endpoint (protocol 11.6).

    `input` and `output` are JSON schemas (draft 2020-12) that need nothing else of the document: nested references
    lead to `#/$defs/Name`, which the schema contains, and a recursive schema refers to itself in this way. A value
    that may be null is written `anyOf: [..., {"type": "null"}]`.

    Attributes:
        endpoint_id: such as `"fal-ai/flux/dev"`.
        input: the schema of the input, such as `{"type": "object", "properties": {"prompt": ...}, ...}`. None: fal
            does not say.
        output: the schema of the result. None: fal does not say.
        title: the name of the input's schema in the document. None: it has none.
        category: such as `"text-to-image"`. None: unknown.
        playground_url: the page where the model can be tried in a browser. None: unknown.
        documentation_url: the page that describes the model. None: unknown.
        thumbnail_url: a picture. None: unknown.
        document: the whole OpenAPI 3.0 document, as fal sent it.
    """

    endpoint_id: str
    input: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    output: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    title: str | None = None
    category: str | None = None
    playground_url: str | None = None
    documentation_url: str | None = None
    thumbnail_url: str | None = None
    document: Mapping[str, Any] = attrs.field(factory=dict, repr=False, eq=False)

    def input_fields(self) -> tuple[SchemaField, ...]:
        """Return the fields of the input, in the order that fal shows them; () if fal does not say.

        Returns:
            One value per field: its name, type, default, limits, and whether a file can be passed.
        """
        return fields(self.input)

    def output_fields(self) -> tuple[SchemaField, ...]:
        """Return the fields of the result, in the order that fal shows them; () if fal does not say.

        Returns:
            One value per field, as those of `input_fields`.
        """
        return fields(self.output)


def schema_request(hosts: Hosts, endpoint_id: str) -> HttpRequest:
    """Return the HTTP request for an endpoint's OpenAPI document, which is public: it is sent without a key."""
    query = urlencode({"endpoint_id": endpoint_id})
    return HttpRequest(
        operation=Operation.READ,
        method="GET",
        url=f"{hosts.openapi}/api/openapi/queue/openapi.json?{query}",
        headers={"Accept": JSON_TYPE},
        auth=False,
        ref=RequestRef(endpoint_id=endpoint_id),
    )


def parse_schema(document: Any, endpoint_id: str) -> EndpointSchema:
    """Return what an OpenAPI document says about an endpoint. Parts that it lacks are None.

    Raises ResponseDecodeError if the document is not an object, or nested too deeply.
    """
    if not isinstance(document, Mapping):
        raise ResponseDecodeError(
            f"the schema of {endpoint_id!r} is not an OpenAPI document", endpoint_id=endpoint_id
        )
    path = _path_of(document, endpoint_id)
    found = _json_schema(_in(document, "paths", path, "post", "requestBody"))
    try:
        sent, received = self_contained(document, found), self_contained(document, _output(document, path))
    except RecursionError:
        raise ResponseDecodeError(
            f"the schema of {endpoint_id!r} is nested too deeply", endpoint_id=endpoint_id
        ) from None
    about = _in(document, "info", "x-fal-metadata")
    return EndpointSchema(
        endpoint_id=endpoint_id,
        input=sent,
        output=received,
        title=None if sent is None else text_in(sent, "title"),
        category=text_in(about, "category"),
        playground_url=text_in(about, "playgroundUrl"),
        documentation_url=text_in(about, "documentationUrl"),
        thumbnail_url=text_in(about, "thumbnailUrl"),
        document=document,
    )


def _path_of(document: Mapping[str, Any], endpoint_id: str) -> str:
    """Return the path whose POST submits a request.

    It is `/{id}`, with or without a slash at the end. The document of an alias has the path of another endpoint,
    which is then the only one that can be posted to.
    """
    for path in (f"/{endpoint_id}", f"/{endpoint_id}/"):
        if _in(document, "paths", path, "post"):
            return path
    others = [path for path in _paths(document) if _in(document, "paths", path, "post", "requestBody")]
    return others[0] if len(others) == 1 else f"/{endpoint_id}"


def _output(document: Mapping[str, Any], path: str) -> Any:
    """Return the schema of the 200 of `GET /{id}/requests/{request_id}`."""
    results = [
        each
        for each in _paths(document)
        if _REQUEST in each and each.endswith("}") and _in(document, "paths", each, "get")
    ]
    wanted = path.rstrip("/") + _REQUEST
    own = [each for each in results if each.startswith(wanted)]
    for each in own or results[: len(results) == 1]:
        return _json_schema(_in(document, "paths", each, "get", "responses", "200"))
    return None


def _json_schema(carrier: Mapping[str, Any]) -> Any:
    """Return the schema of the JSON body of a request or a response."""
    return _in(carrier, "content", JSON_TYPE).get("schema")


def _paths(document: Mapping[str, Any]) -> Iterator[str]:
    return (path for path in _in(document, "paths") if isinstance(path, str))


def _in(document: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return a mapping within mappings; an empty one if any of them is missing."""
    value: Any = document
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}
