"""Workflows of the emulator under `emulator exec`: saved, run, queued and streamed by fal's JavaScript client."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.real.conftest import node_with, output_of

MODELS = """
[endpoints."me/poet"]
answer = { poem = "O {input.theme}!" }

[endpoints."me/reader"]
seconds = 1
answer = { audio = "{input.text}.wav" }

[[endpoints."me/reader".cases]]
when = { text = { contains = "war" } }
status = 422
detail = [{ loc = ["body", "text"], msg = "too loud", type = "value_error" }]
"""
TOO_LOUD = {"detail": [{"loc": ["body", "text"], "msg": "too loud", "type": "value_error"}]}


async def test_the_javascript_client_runs_queues_and_streams_a_workflow_whose_step_may_fail(
    workshop: Path, tmp_path: Path
) -> None:
    (tmp_path / "models.toml").write_text(MODELS)
    emulator = ("emulator", "exec", "--clock", "auto", "--endpoints", tmp_path / "models.toml", "--")
    script = node_with(workshop) / "scripts" / "workflow_client.mjs"
    said = await output_of(sys.executable, "-m", "fal_async", *emulator, "node", script, env={}, cwd=tmp_path)
    answer: dict[str, Any] = json.loads(said)
    for output in (answer["run"], answer["subscribed"], answer["adHoc"]):
        assert (output["poem"], output["sound"]) == ("O sea!", "O sea!.wav")
        assert output["image"].startswith("https://v3.fal.media/")
    assert answer["updates"][-1] == "COMPLETED"
    for stream in (answer["stream"], answer["adHocStream"]):
        assert [(event["type"], event.get("node_id")) for event in stream["events"][:3]] == [
            ("submit", "text"),
            ("completion", "text"),
            ("submit", "image"),
        ]
        assert stream["last"]["type"] == "output"
        assert stream["last"]["output"]["poem"] == "O sea!"
    failed = {"status": 422, "body": TOO_LOUD}
    assert (answer["failedRun"], answer["failedSubscribe"]) == (failed, failed)
    error = answer["failedStream"]["last"]
    assert error == answer["failedStream"]["events"][-1]
    assert (error["type"], error["node_id"], error["error"]) == ("error", "voice", failed)
