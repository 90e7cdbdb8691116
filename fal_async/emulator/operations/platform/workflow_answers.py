"""`/workflows`: list, save and read workflows, which are served from then on (protocol 15.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fal_async.emulator.accounts.workflow_store import Workflow
from fal_async.emulator.core import Call, Core
from fal_async.emulator.operations.platform.page_numbers import USUAL, page_of
from fal_async.emulator.operations.platform.platform_clock import iso
from fal_async.emulator.operations.platform.platform_errors import forbidden, invalid, not_found
from fal_async.emulator.operations.platform.query_values import body_object, listed, text_member
from fal_async.emulator.wire.answers import Answer, json_answer
from fal_async.emulator.workflows.definition import DefinitionError
from fal_async.emulator.workflows.workflow_endpoint import serve_workflow

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_LONGEST_NAME, _LONGEST_TITLE = 128, 256


def workflows(core: Core, call: Call) -> Answer:
    """List the caller's workflows, the newest first."""
    word, used = call.query.get("search", "").lower(), set(listed(call, "used_endpoint_ids"))
    found = [
        one
        for one in core.workflows
        if one.owner == call.account.nickname
        and word in f"{one.name} {one.title}".lower()
        and (not used or used & set(one.endpoint_ids))
    ]
    page, more = page_of(found[::-1], call, largest=USUAL)
    return json_answer({"workflows": [_row(core, one) for one in page], **more, "total": len(found)})


def create(core: Core, call: Call) -> Answer:
    """Save a workflow. A name that the caller uses already is a 400 (15.4)."""
    document, owner = body_object(call), call.account.nickname
    name, is_public = text_member(document, "name", _LONGEST_NAME), document.get("is_public", False)
    if not _NAME.fullmatch(name):
        raise invalid(f"name={name!r}: expected letters, digits, '_' and '-' only")
    if not isinstance(is_public, bool):
        raise invalid("is_public: expected a bool")
    if core.workflows.find(owner, name) is not None:
        raise invalid(f"name={name!r}: a workflow with this name exists already")
    title, contents = text_member(document, "title", _LONGEST_TITLE), _contents(document)
    made = Workflow(
        owner=owner,
        name=name,
        title=title,
        contents=contents,
        is_public=is_public,
        created_at=core.clock.now(),
    )
    try:
        serve_workflow(core, made, listed=False)
    except DefinitionError as error:
        raise invalid(f"contents.{error}") from None
    return _whole(core, made, 201)


def read(core: Core, call: Call, username: str, name: str) -> Answer:
    found = core.workflows.find(username, name)
    if found is None:
        raise not_found(f"Workflow not found: {username}/{name}")
    if not found.is_public and found.owner != call.account.nickname:
        raise forbidden(f"The workflow {username}/{name} is not public.")
    return _whole(core, found, 200)


def _contents(document: dict[str, Any]) -> Mapping[str, Any]:
    contents = document.get("contents")
    if not isinstance(contents, dict):
        raise invalid("contents: expected an object")
    for name, kind in (("name", str), ("version", str), ("nodes", dict), ("output", dict), ("schema", dict)):
        if not isinstance(contents.get(name), kind):
            raise invalid(f"contents.{name}: expected {'a str' if kind is str else 'an object'}")
    if not all(isinstance(node, dict) for node in contents["nodes"].values()):
        raise invalid("contents.nodes: expected an object of objects")
    if not all(isinstance(reference, str) for reference in contents["output"].values()):
        raise invalid("contents.output: expected an object of references such as '$node.images.0.url'")
    if not all(isinstance(contents["schema"].get(name), dict) for name in ("input", "output")):
        raise invalid("contents.schema: expected the objects input and output")
    return contents


def _row(core: Core, one: Workflow) -> dict[str, Any]:
    metadata = one.contents.get("metadata")
    details = metadata if isinstance(metadata, dict) else {}
    row: dict[str, Any] = {
        "name": one.name,
        "title": one.title,
        "user_nickname": one.owner,
        "created_at": iso(core, one.created_at),
        "tags": [tag for tag in details.get("tags") or () if isinstance(tag, str)],
        "endpoint_ids": one.endpoint_ids,
    }
    texts = {name: details.get(name) for name in ("description", "thumbnail_url")}
    return {**row, **{name: text for name, text in texts.items() if isinstance(text, str)}}


def _whole(core: Core, one: Workflow, status: int) -> Answer:
    document = {
        "name": one.name,
        "title": one.title,
        "user_nickname": one.owner,
        "created_at": iso(core, one.created_at),
        "is_public": one.is_public,
        "contents": one.contents,
    }
    return json_answer({"workflow": document}, status)
