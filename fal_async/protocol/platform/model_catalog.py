"""The models that fal offers, and facts about the platform (protocol 11.1, 11.8, 11.11)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from fal_async.config import Hosts
from fal_async.errors import NotFoundError
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.platform.documents import Page, number, object_of, page_of, raw_field, read, wire
from fal_async.protocol.platform.queries import (
    Endpoints,
    Names,
    Query,
    endpoint_ids,
    listed,
    names,
    page_size,
    reading,
    single,
)


@attrs.frozen(kw_only=True)
class Model:
    """A model that fal offers: one endpoint (protocol 11.8).

    Only `endpoint_id` is certain. The other fields are None or empty if fal does not send them.

    Attributes:
        endpoint_id: such as `"fal-ai/flux/dev"`.
        display_name: the name on fal's pages.
        category: such as `"text-to-image"`.
        description: what the model does, in one or two sentences.
        status: `"active"` or `"deprecated"`.
        tags: free words, such as `"new"` or `"beta"`.
        kind: `"inference"` or `"training"`.
        license_type: `"commercial"`, `"research"` or `"private"`.
        updated_at: when the entry was last changed.
        created_at: when the model was added; fal's name for it is `date`.
        duration_estimate_seconds: how long a request takes, in seconds. fal sends it in minutes.
        model_url: the URL of the endpoint.
        thumbnail_url: a picture.
        thumbnail_animated_url: an animated picture.
        github_url: the source code or the license.
        stream_url: the URL of the endpoint's stream.
        training_endpoint_ids: the endpoints that train this model.
        inference_endpoint_ids: the endpoints that use what this one trains.
        is_favorited: whether the account marked it; None without a key.
        openapi: the OpenAPI document, with `expand="openapi-3.0"`.
        enterprise_status: `"ready"` or `"pending"`, with `expand="enterprise_status"`.
        expand_errors: why fal could not send an expanded field, by its name, such as
            `{"openapi": "expansion_failed: ..."}`.
        raw: the whole entry, with fields that this class does not have.
    """

    endpoint_id: str
    display_name: str | None = None
    category: str | None = None
    description: str | None = attrs.field(default=None, repr=False)
    status: str | None = None
    tags: tuple[str, ...] = ()
    kind: str | None = None
    license_type: str | None = None
    updated_at: datetime | None = None
    created_at: datetime | None = attrs.field(default=None, metadata=wire("date"))
    duration_estimate_seconds: float | None = None
    model_url: str | None = attrs.field(default=None, repr=False)
    thumbnail_url: str | None = attrs.field(default=None, repr=False)
    thumbnail_animated_url: str | None = attrs.field(default=None, repr=False)
    github_url: str | None = attrs.field(default=None, repr=False)
    stream_url: str | None = attrs.field(default=None, repr=False)
    training_endpoint_ids: tuple[str, ...] = attrs.field(default=(), repr=False)
    inference_endpoint_ids: tuple[str, ...] = attrs.field(default=(), repr=False)
    is_favorited: bool | None = None
    openapi: Mapping[str, Any] | None = attrs.field(default=None, repr=False, eq=False)
    enterprise_status: str | None = None
    expand_errors: Mapping[str, str] = attrs.field(factory=dict, eq=False)
    raw: Mapping[str, Any] = raw_field()


@attrs.frozen(kw_only=True)
class PlatformMeta:
    """Facts about fal's platform.

    Attributes:
        webhook_ip_ranges: the addresses that fal's webhooks come from, in CIDR notation.
        raw: the whole response.
    """

    webhook_ip_ranges: tuple[str, ...] = ()
    raw: Mapping[str, Any] = raw_field()


def models_query(
    q: str | None = None,
    category: str | None = None,
    status: str | None = None,
    ids: Endpoints | None = None,
    expand: Names | None = None,
    limit: int | None = None,
) -> Query:
    """Return the checked query of a search for models. `ids`: the argument `endpoint_ids`."""
    return [
        *single("q", q),
        *single("category", category),
        *single("status", status),
        *listed("endpoint_id", endpoint_ids("endpoint_ids", ids)),
        *listed("expand", names("expand", expand)),
        *page_size(limit),
    ]


def models_request(hosts: Hosts, query: Query, cursor: str | None = None) -> HttpRequest:
    return reading(hosts, "models", query, cursor=cursor)


def parse_models(response: HttpResponse) -> Page[Model]:
    return page_of(object_of(response), "models", _model)


def only_model(page: Page[Model], endpoint_id: str) -> Model:
    """Return the model of a page that was asked for. Raises NotFoundError if fal does not list it."""
    for model in page.items:
        if model.endpoint_id == endpoint_id:
            return model
    raise NotFoundError(
        "fal lists no model with this endpoint id - search with platform.models(q=...)",
        status=404,
        endpoint_id=endpoint_id,
    )


def _model(row: Mapping[str, Any], place: str) -> Model:
    metadata = row.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    errors = {
        name: words for name in ("openapi", "enterprise_status") if (words := _expand_error(row.get(name)))
    }
    expanded = {name: row.get(name) for name in ("openapi", "enterprise_status") if name not in errors}
    minutes = number(metadata.get("duration_estimate"))
    return read(
        Model,
        {**metadata, **expanded, "endpoint_id": row.get("endpoint_id")},
        place,
        duration_estimate_seconds=None if minutes is None else minutes * 60.0,
        expand_errors=errors,
        raw=row,
    )


def _expand_error(value: Any) -> str | None:
    error = value.get("error") if isinstance(value, Mapping) else None
    if not isinstance(error, Mapping):
        return None
    return ": ".join(str(error[name]) for name in ("code", "message") if error.get(name)) or "unknown"


def meta_request(hosts: Hosts) -> HttpRequest:
    return reading(hosts, "meta", auth=False)


def parse_meta(response: HttpResponse) -> PlatformMeta:
    return read(PlatformMeta, object_of(response))
