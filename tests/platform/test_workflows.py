"""`fal.platform.workflows`: list, get and create, on the emulator."""

from __future__ import annotations

from typing import Any

import pytest

from fal_async import ApiError, NotFoundError, Session, SubmissionUncertainError
from fal_async.emulator import Emulator, Fault

CONTENTS: dict[str, Any] = {
    "name": "cats",
    "version": "1.0.0",
    "nodes": {
        "node_a": {"id": "node_a", "type": "run", "app": "fal-ai/flux/dev", "depends": [], "input": {}}
    },
    "output": {"images": "$node_a.images"},
    "schema": {"input": {}, "output": {}},
}


async def test_a_workflow_that_was_created_is_listed_and_read(fal: Session) -> None:
    created = await fal.platform.workflows.create("cats", "Cats", CONTENTS)
    (listed,) = await fal.platform.workflows.list("cats", used_endpoint_ids="fal-ai/flux/dev")
    assert (listed.name, listed.title, listed.contents) == ("cats", "Cats", None)
    assert listed.user_nickname is not None
    read = await fal.platform.workflows.get(listed.user_nickname, listed.name)
    assert read.contents == created.contents == CONTENTS
    assert (read.is_public, read.endpoint_id) == (False, listed.endpoint_id)


async def test_a_name_that_is_taken_is_refused(fal: Session) -> None:
    await fal.platform.workflows.create("cats", "Cats", CONTENTS)
    with pytest.raises(ApiError) as caught:
        await fal.platform.workflows.create("cats", "More cats", CONTENTS)
    assert (caught.value.status, caught.value.error_type) == (400, "validation_error")


async def test_an_unknown_workflow_is_not_found(fal: Session) -> None:
    with pytest.raises(NotFoundError):
        await fal.platform.workflows.get("someone", "nothing")


async def test_a_creation_whose_response_is_lost_is_not_sent_again(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="platform", taken=True))
    with pytest.raises(SubmissionUncertainError, match="the workflow 'cats' may exist now"):
        await fal.platform.workflows.create("cats", "Cats", CONTENTS)
    assert emulator.count("platform") == 1
    assert len(await fal.platform.workflows.list()) == 1
