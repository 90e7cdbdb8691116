"""The account's API keys: list, create, delete (protocol 11.11). All need an admin key."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from fal_async.config import Hosts
from fal_async.errors import ConfigurationError, FalError, ResponseDecodeError
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation
from fal_async.protocol.platform.documents import Page, object_of, page_of, raw_field, read
from fal_async.protocol.platform.queries import (
    ADMIN,
    Names,
    Query,
    deleting,
    listed,
    names,
    page_size,
    path_part,
    posting,
    reading,
)

MAX_ALIAS = 255
"""The most characters of a key's name (protocol 11.11)."""


@attrs.frozen(kw_only=True)
class ApiKey:
    """An API key of the account, without its secret (protocol 11.11).

    Attributes:
        key_id: the first half of the key, which is not secret.
        alias: the name that its creator chose.
        scope: `"API"`: admin keys are not listed.
        created_at: when it was created.
        creator_nickname: who created it, with `expand="creator_info"`.
        creator_email: the address of its creator, with `expand="creator_info"`.
        raw: the whole entry.
    """

    key_id: str
    alias: str = ""
    scope: str | None = None
    created_at: datetime | None = None
    creator_nickname: str | None = None
    creator_email: str | None = None
    raw: Mapping[str, Any] = raw_field()


@attrs.frozen(kw_only=True)
class NewApiKey:
    """A key that was just created. fal shows its secret this once (protocol 11.11).

    `repr` and logs don't have the secret.

    Attributes:
        key_id: the first half of the key, by which it is deleted.
        key: the whole key, `"key_id:key_secret"`, as `Session(credentials=...)` takes it.
        key_secret: the second half of the key.
    """

    key_id: str
    key: str = attrs.field(repr=False)
    key_secret: str = attrs.field(repr=False)


def keys_query(expand: Names | None, limit: int | None) -> Query:
    return [*listed("expand", names("expand", expand)), *page_size(limit)]


def keys_request(hosts: Hosts, query: Query, cursor: str | None = None) -> HttpRequest:
    return reading(hosts, "keys", query, cursor=cursor, needs=ADMIN)


def parse_keys(response: HttpResponse) -> Page[ApiKey]:
    return page_of(object_of(response), "keys", lambda row, place: read(ApiKey, row, place))


def creation_request(hosts: Hosts, alias: str) -> HttpRequest:
    """Return the HTTP request that creates a key. fal takes no idempotency key for it (protocol 11.7)."""
    if not isinstance(alias, str) or not 1 <= len(alias.strip()) <= MAX_ALIAS:
        raise ConfigurationError(f"alias: expected a str of 1 to {MAX_ALIAS} characters; got {alias!r}")
    return posting(hosts, "keys", {"alias": alias}, Operation.CREATE, needs=ADMIN)


def parse_new_key(response: HttpResponse) -> NewApiKey:
    """Parse the response, which is secret. An error has neither the body nor a cause that has it."""
    with contextlib.suppress(ResponseDecodeError):
        document = object_of(response)
        fields = {name: document.get(name) for name in ("key_id", "key", "key_secret")}
        if all(isinstance(value, str) and value for value in fields.values()):
            return NewApiKey(**fields)  # type: ignore[arg-type]
    raise ResponseDecodeError(
        "fal created a key, but its response can't be read: look for the key by keys.list() and delete it"
    )


def possible_key(error: FalError, alias: str) -> FalError:
    """Return the error of a creation that may have succeeded, with what to do."""
    return error.at(
        f"a key {alias[:40]!r} may exist now, and its secret is lost: look for it by keys.list() and delete it"
    )


def deletion_of_key(hosts: Hosts, key_id: str, idempotency_key: str) -> HttpRequest:
    if isinstance(key_id, str) and ":" in key_id:
        raise ConfigurationError("key_id has a ':': expected only the part before it, not the whole key")
    return deleting(hosts, f"keys/{path_part('key_id', key_id)}", idempotency_key)
