"""The events of a workflow's stream, of which fal may leave out every field but the type (protocol 15.2)."""

from __future__ import annotations

from typing import Any

import pytest

from fal_async.models import WorkflowCompletion, WorkflowFailure, WorkflowOutput, WorkflowSubmit
from fal_async.outputs.json_values import plain
from fal_async.protocol.streaming import failure_message, is_result, workflow_event

BODY = {"detail": [{"loc": ["body", "text"], "msg": "too short", "type": "value_error"}]}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (
            {"type": "submit", "node_id": "a", "app_id": "me/app", "request_id": "r-1"},
            WorkflowSubmit(node_id="a", app_id="me/app", request_id="r-1"),
        ),
        ({"type": "submit"}, WorkflowSubmit()),
        ({"type": "submit", "node_id": 7, "more": True}, WorkflowSubmit()),
        (
            {"type": "completion", "node_id": "a", "output": {"type": "error"}},
            WorkflowCompletion(node_id="a", output={"type": "error"}),
        ),
        ({"type": "output", "node_id": "a", "output": {"image": 1}}, WorkflowOutput(output={"image": 1})),
        ({"type": "output"}, WorkflowOutput(output=None)),
        (
            {"type": "error", "node_id": "a", "message": "no", "error": {"status": 422, "body": BODY}},
            WorkflowFailure(node_id="a", message="no", status=422, body=BODY),
        ),
        ({"type": "error", "error": "broken"}, WorkflowFailure(body="broken")),
        ({"type": "error", "error": {"status": "422"}}, WorkflowFailure()),
    ],
    ids=str,
)
def test_events_become_values_that_keep_all_that_was_sent(sent: dict[str, Any], expected: Any) -> None:
    event = workflow_event(sent)
    assert event == expected
    assert (event.raw, event.to_dict(), plain(event)) == (sent, sent, sent)
    assert "raw" not in repr(event)


@pytest.mark.parametrize(
    "value", [{"type": "progress", "progress": 1}, {"image": 1}, {"type": []}, [1], "x", None]
)
def test_other_values_and_events_of_unknown_types_are_kept_as_they_are(value: Any) -> None:
    assert workflow_event(value) is value


def test_only_values_without_a_type_may_be_the_output_itself() -> None:
    assert [is_result(value) for value in ({"image": 1}, "x", {"type": "progress"}, WorkflowOutput())] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (WorkflowFailure(message="step a failed", node_id="b"), "step a failed"),
        (WorkflowFailure(node_id="a", status=422), "the step a of the workflow failed with status 422"),
        (WorkflowFailure(message="step a failed", body=BODY), "step a failed: too short"),
        (WorkflowFailure(message="a was too short", body=BODY), "a was too short"),
        (
            WorkflowFailure(node_id="a", body="out of paint"),
            "the step a of the workflow failed: out of paint",
        ),
        (WorkflowFailure(), "the step of the workflow failed"),
    ],
)
def test_the_message_of_a_failure_names_what_fal_sent(failure: WorkflowFailure, message: str) -> None:
    assert failure_message(failure) == message
