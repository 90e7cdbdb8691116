"""The access log: one line for each HTTP request, without secrets, and without polls that succeed."""

from __future__ import annotations

import pytest

from fal_async.emulator import Fault
from tests.emulator.caller import Caller


async def test_a_line_has_the_operation_the_endpoint_the_request_id_and_the_status(caller: Caller) -> None:
    lines: list[str] = []
    caller.emulator.log_requests(lines.append)
    submitted = await caller.submit("fal-ai/any-llm", {"prompt": "x"})
    await caller.finished(submitted)
    await caller.result(submitted)
    words = [line.split() for line in lines]
    short = submitted.data["request_id"][:8]
    assert [line[1:6] for line in words] == [
        ["POST", "submit", "fal-ai/any-llm", short, "200"],
        ["GET", "result", "fal-ai/any-llm", short, "200"],
    ]
    assert [line[7] for line in words] == ["ms", "ms"]
    assert all(line[9] == "B" for line in words)


async def test_a_log_of_everything_has_polls_and_no_log_has_nothing(caller: Caller) -> None:
    lines: list[str] = []
    caller.emulator.log_requests(lines.append, everything=True)
    submitted = await caller.submit("fal-ai/any-llm", {"prompt": "x"})
    await caller.status(submitted)
    assert " status " in lines[-1]
    caller.emulator.log_requests(None)
    await caller.status(submitted)
    assert len(lines) == 2


async def test_a_fault_and_a_poll_that_fails_are_marked(caller: Caller) -> None:
    lines: list[str] = []
    caller.emulator.log_requests(lines.append)
    caller.emulator.faults.add(Fault.answer(503, on="status"), Fault.reset(on="submit", after=1))
    submitted = await caller.submit("fal-ai/any-llm", {"prompt": "x"})
    assert (await caller.status(submitted)).status == 503
    with pytest.raises(Exception, match=r".*"):
        await caller.submit("fal-ai/any-llm", {"prompt": "x"})
    assert " 503 " in lines[1]
    assert lines[1].endswith("fault: answer")
    assert " --- " in lines[2]
    assert lines[2].endswith("no answer  fault: reset")


async def test_no_key_token_or_control_character_is_in_a_line(caller: Caller) -> None:
    lines: list[str] = []
    caller.emulator.log_requests(lines.append, everything=True)
    base = caller.emulator.url
    await caller.get(f"{base}/fal.run/me/%1b[31mred?fal_jwt_token=secret-token")
    await caller.get(f"{base}/api.fal.ai/v1/models?key=secret-key", headers={"Authorization": "Key a:secret"})
    await caller.get(f"{base}/fal.run/{'long' * 50}/x")
    text = "\n".join(lines)
    assert len(lines) == 3
    assert "secret" not in text
    assert caller.emulator.key not in text
    assert "\x1b" not in text
    assert max(map(len, lines)) < 150
