"""Workflows in the platform API: saved, listed and read (protocol 15.4)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.operations.platform.platform_caller import Platform, refused

CONTENTS: dict[str, Any] = {
    "name": "poster",
    "version": "1.0.0",
    "nodes": {
        "node_1": {"id": "node_1", "type": "run", "app": "fal-ai/flux/dev", "depends": [], "input": {}},
        "node_2": {"id": "node_2", "type": "run", "app": "me/upscale", "depends": ["node_1"], "input": {}},
        "output": {"id": "output", "type": "display", "depends": ["node_2"], "fields": {}},
    },
    "output": {"image": "$node_2.image"},
    "schema": {"input": {"prompt": {"type": "string"}}, "output": {}},
    "metadata": {"description": "Makes a poster.", "tags": ["print"]},
}
BODY = {"name": "poster", "title": "A Poster", "contents": CONTENTS}


async def test_a_saved_workflow_is_listed_and_read(platform: Platform) -> None:
    made = await platform.post("workflows", BODY)
    assert made.status == 201
    read = await platform.get("workflows/emulator/poster")
    assert read.data == made.data
    assert read.data["workflow"]["contents"] == CONTENTS
    assert read.data["workflow"]["is_public"] is False
    [row] = await platform.listed("workflows", "workflows")
    assert (row["name"], row["title"], row["user_nickname"]) == ("poster", "A Poster", "emulator")
    assert (row["description"], row["tags"]) == ("Makes a poster.", ["print"])
    assert row["endpoint_ids"] == ["fal-ai/flux/dev", "me/upscale"]


async def test_workflows_are_found_by_name_title_and_used_endpoints(platform: Platform) -> None:
    plain = {**CONTENTS, "nodes": {}, "output": {}, "metadata": None}
    await platform.post("workflows", BODY)
    await platform.post("workflows", {"name": "empty", "title": "Nothing", "contents": plain})
    for query, names in (
        ({}, ["empty", "poster"]),
        ({"search": "A POST"}, ["poster"]),
        ({"search": "empt"}, ["empty"]),
        ({"used_endpoint_ids": "me/other,me/upscale"}, ["poster"]),
        ({"used_endpoint_ids": "me/other"}, []),
        ({"limit": "1", "cursor": "Mg=="}, ["poster"]),
    ):
        assert [row["name"] for row in await platform.listed("workflows", "workflows", **query)] == names
    assert (await platform.get("workflows", limit=1)).data["total"] == 2


async def test_a_private_workflow_is_read_by_its_account_only(platform: Platform) -> None:
    other = platform.caller.emulator.add_account("other:key").key
    await platform.post("workflows", BODY)
    await platform.post("workflows", {**BODY, "name": "open", "is_public": True})
    assert refused(await platform.get("workflows/emulator/poster", key=other)) == (403, "authorization_error")
    assert (await platform.get("workflows/emulator/open", key=other)).status == 200
    assert refused(await platform.get("workflows/emulator/none", key=other)) == (404, "not_found")
    assert await platform.listed("workflows", "workflows", key=other) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "a poster"},
        {"name": "x" * 129},
        {"title": ""},
        {"title": None},
        {"is_public": "yes"},
        {"contents": []},
        {"contents": {**CONTENTS, "version": 1}},
        {"contents": {**CONTENTS, "nodes": {"a": 1}}},
        {"contents": {**CONTENTS, "output": {"image": 1}}},
        {"contents": {**CONTENTS, "output": {"image": "$node_3.image"}}},
        {"contents": {**CONTENTS, "schema": {"input": {}}}},
        {"name": "used"},
    ],
    ids=lambda changed: str(changed)[:40],
)
async def test_a_workflow_that_is_not_complete_or_has_a_used_name_is_not_saved(
    platform: Platform, changed: dict[str, Any]
) -> None:
    await platform.post("workflows", {**BODY, "name": "used"})
    assert refused(await platform.post("workflows", {**BODY, **changed})) == (400, "validation_error")
    assert len(await platform.listed("workflows", "workflows")) == 1
