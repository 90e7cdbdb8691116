"""The account's workflows: list, get, create (protocol 15.4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from fal_async.checks import check_flag
from fal_async.config import Hosts
from fal_async.errors import ConfigurationError, FalError, ResponseDecodeError
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation
from fal_async.protocol.platform.documents import Page, object_of, page_of, raw_field, read
from fal_async.protocol.platform.queries import (
    Endpoints,
    Query,
    check_slug,
    endpoint_ids,
    listed,
    page_size,
    posting,
    reading,
    single,
)

_PARTS = ("name", "version", "nodes", "output", "schema")
"""The keys that a definition must have (protocol 15.3)."""
MAX_TITLE = 256


@attrs.frozen(kw_only=True)
class Workflow:
    """A workflow of the account (protocol 15.4).

    Attributes:
        name: the name in its endpoint id.
        title: the name for people.
        user_nickname: the name of its owner.
        created_at: when it was created.
        description: what it does; only in lists.
        thumbnail_url: a picture; only in lists.
        tags: free words; only in lists.
        endpoint_ids: the endpoints of its nodes; only in lists.
        is_public: whether others can see it; None in lists.
        contents: the definition (protocol 15.3); None in lists.
        raw: the whole entry.
    """

    name: str
    title: str = ""
    user_nickname: str | None = None
    created_at: datetime | None = None
    description: str | None = None
    thumbnail_url: str | None = attrs.field(default=None, repr=False)
    tags: tuple[str, ...] = ()
    endpoint_ids: tuple[str, ...] = ()
    is_public: bool | None = None
    contents: Mapping[str, Any] | None = attrs.field(default=None, repr=False, eq=False)
    raw: Mapping[str, Any] = raw_field()

    @property
    def endpoint_id(self) -> str | None:
        """The id to run it by, such as `"workflows/me/my-workflow"`; None if the owner is not known."""
        return None if self.user_nickname is None else f"workflows/{self.user_nickname}/{self.name}"


def workflows_query(search: str | None, used_endpoint_ids: Endpoints | None, limit: int | None) -> Query:
    return [
        *single("search", search),
        *listed("used_endpoint_ids", endpoint_ids("used_endpoint_ids", used_endpoint_ids)),
        *page_size(limit),
    ]


def workflows_request(hosts: Hosts, query: Query, cursor: str | None = None) -> HttpRequest:
    return reading(hosts, "workflows", query, cursor=cursor)


def parse_workflows(response: HttpResponse) -> Page[Workflow]:
    return page_of(object_of(response), "workflows", lambda row, place: read(Workflow, row, place))


def workflow_request(hosts: Hosts, username: str, name: str) -> HttpRequest:
    return reading(hosts, f"workflows/{check_slug('username', username)}/{check_slug('name', name)}")


def parse_workflow(response: HttpResponse) -> Workflow:
    found = object_of(response).get("workflow")
    if not isinstance(found, Mapping):
        raise ResponseDecodeError(
            "the response of the platform API has no workflow",
            paths=["required field missing @ $.workflow"],
        )
    return read(Workflow, found, "$.workflow")


def new_workflow_request(
    hosts: Hosts, name: str, title: str, contents: Mapping[str, Any], *, is_public: bool
) -> HttpRequest:
    """Return the HTTP request that creates a workflow. fal takes no idempotency key for it (protocol 11.7)."""
    check_slug("name", name)
    if not isinstance(title, str) or not 1 <= len(title) <= MAX_TITLE:
        raise ConfigurationError(f"title: expected a str of 1 to {MAX_TITLE} characters; got {title!r}")
    check_flag("is_public", is_public)
    if not isinstance(contents, Mapping):
        raise ConfigurationError(f"contents is of type {type(contents).__name__}: expected a mapping")
    if missing := [part for part in _PARTS if part not in contents]:
        raise ConfigurationError(f"contents has no {missing[0]!r}: expected {', '.join(_PARTS)}")
    document = {"name": name, "title": title, "contents": contents, "is_public": is_public}
    return posting(hosts, "workflows", document, Operation.CREATE)


def possible_workflow(error: FalError, name: str) -> FalError:
    """Return the error of a creation that may have succeeded, with what to do."""
    return error.at(
        f"the workflow {name[:60]!r} may exist now: look for it by workflows.list(search=...) first"
    )
