"""Replay a history of the workflow in `pictures.py`, as `python -m tests.documents.engines.replay ACTIVITY`.

A separate process, because Temporal's runtime keeps its threads and files until the process ends.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from typing import Any

from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

START, END = "2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z"
QUEUE = {"taskQueue": {"name": "pictures"}}
PROMPT = {
    "payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "ImEgY2F0Ig=="}]
}  # JSON: "a cat"


def event(number: int, kind: str, **attributes: Any) -> dict[str, Any]:
    """An event of a history, in the JSON in which Temporal exports it."""
    words = kind.lower().split("_")
    member = words[0] + "".join(word.title() for word in words[1:]) + "EventAttributes"
    time = START if number < 6 else END
    return {"eventId": str(number), "eventTime": time, "eventType": f"EVENT_TYPE_{kind}", member: attributes}


def history(activity: str) -> WorkflowHistory:
    """The history of a workflow whose activity returned its prompt."""
    checks = {"sdkMetadata": {"coreUsedFlags": [1, 2, 3]}}  # the types of activities are compared
    events = [
        event(1, "WORKFLOW_EXECUTION_STARTED", workflowType={"name": "Draw"}, input=PROMPT, **QUEUE),
        event(2, "WORKFLOW_TASK_SCHEDULED", **QUEUE),
        event(3, "WORKFLOW_TASK_STARTED", scheduledEventId="2"),
        event(4, "WORKFLOW_TASK_COMPLETED", scheduledEventId="2", startedEventId="3", **checks),
        event(5, "ACTIVITY_TASK_SCHEDULED", activityId="1", activityType={"name": activity}, **QUEUE),
        event(6, "ACTIVITY_TASK_STARTED", scheduledEventId="5", attempt=2),
        event(7, "ACTIVITY_TASK_COMPLETED", scheduledEventId="5", startedEventId="6", result=PROMPT),
        event(8, "WORKFLOW_TASK_SCHEDULED", **QUEUE),
        event(9, "WORKFLOW_TASK_STARTED", scheduledEventId="8"),
        event(10, "WORKFLOW_TASK_COMPLETED", scheduledEventId="8", startedEventId="9"),
        event(11, "WORKFLOW_EXECUTION_COMPLETED", workflowTaskCompletedEventId="10", result=PROMPT),
    ]
    return WorkflowHistory.from_json("order-42", json.dumps({"events": events}))


async def main(activity: str) -> None:
    program = importlib.import_module("pictures")
    await Replayer(workflows=[program.Draw]).replay_workflow(history(activity))
    sys.stdout.write("replayed\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
