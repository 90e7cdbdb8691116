"""Recording in front of another emulator that plays real fal, and the replay of what was recorded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fal_async.emulator import Answer, Emulator, Fault, JobContext
from fal_async.emulator.recordings.recordings import Recordings
from tests.emulator.caller import calling, until
from tests.emulator.recordings.real_fal import (
    LOCAL_KEY,
    REAL_KEY,
    REAL_SECRET,
    client_day,
    real_fal,
    recording,
    replaying,
    whole_day,
)
from tests.servers.receiver import receiving


def everything_in(folder: Path) -> bytes:
    """Return names and contents of all files."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return b"\n".join(str(path.relative_to(folder)).encode() + b"\n" + path.read_bytes() for path in files)


def cassettes_in(folder: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/*.json"))]


async def test_a_recorded_day_replays_to_the_same_bytes_without_upstream_and_holds_no_secret(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver, receiving() as second:
        async with real_fal() as real, recording(tmp_path, real) as caller:
            real.faults.add(Fault.answer(429, on="submit", endpoint_id="me/read", retry_after=3))
            recorded, address = await whole_day(caller, receiver), real.url
            used = {
                request.query[name] for request in real.requests for name in request.query if "Sig" in name
            }
        async with replaying(tmp_path) as caller:
            replayed = await whole_day(caller, second)
    assert replayed.got == recorded.got
    assert [recorded.got[name][0] for name in ("run", "422", "429", "result of 422")] == [200, 422, 429, 422]
    written = everything_in(tmp_path)
    local_secret = LOCAL_KEY.partition(":")[2]
    assert len(used) == 2
    for secret in (REAL_KEY, REAL_SECRET, LOCAL_KEY, local_secret, address, "Authorization", "Key ", *used):
        assert secret.encode() not in written


async def test_a_day_of_our_client_replays_to_equal_results_with_missing_set_to_record(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "recordings"
    async with real_fal() as real:
        async with recording(folder, real) as caller:
            recorded = await client_day(caller.emulator, tmp_path)
        accepted = len(real.jobs)
        details = {"missing": "record", "upstream": real.url, "upstream_key": REAL_KEY}
        async with replaying(folder, **details) as caller:
            replayed = await client_day(caller.emulator, tmp_path)
            assert len(real.jobs) == accepted
            answers = [await caller.run("me/paint/fast", {"prompt": "missing"}) for _ in range(2)]
            assert len(real.jobs) == accepted + 1
    assert replayed == recorded
    assert answers[0].body == answers[1].body
    async with replaying(folder) as caller:
        again = await caller.run("me/paint/fast", {"prompt": "missing"})
        assert again.data["seed"] == answers[0].data["seed"]


async def test_strict_names_the_nearest_recording_for_an_input_that_differs_in_one_field(
    tmp_path: Path,
) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        await caller.run("me/paint/fast", {"prompt": "cat", "seed": 7})
        await caller.run("me/paint/fast", {"prompt": "a dog", "size": [1, 2], "seed": 9})
    [name] = [path.name for path in tmp_path.glob("*/*.json") if '"prompt": "cat"' in path.read_text()]
    async with replaying(tmp_path) as caller:
        missed = await caller.run("me/paint/fast", {"prompt": "cat", "seed": 8})
    assert missed.status >= 400
    assert f"me__paint__fast/{name}" in missed.data["detail"]
    assert "input.seed: 7 recorded, 8 asked" in missed.data["detail"]


async def test_a_dead_upstream_is_named_and_nothing_is_recorded(tmp_path: Path) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        address = real.url
        await real.stop()
        for reply in (await caller.submit("me/read", {}), await caller.run("me/read", {})):
            assert reply.status == 502
            assert f"{address}/" in reply.data["detail"]
            assert "can't be reached" in reply.data["detail"]
    assert everything_in(tmp_path) == b""


async def test_a_key_that_upstream_refuses_is_explained_and_nothing_is_recorded_or_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "wrong-id:wr0ngsec2etwr0ngsec2et"
    async with real_fal() as real:
        recordings = Recordings(tmp_path, mode="record", upstream=real.url, upstream_key=wrong)
        assert "wr0ng" not in repr(recordings)
        async with calling(Emulator(key=LOCAL_KEY, builtins=False, recordings=recordings)) as caller:
            note = await caller.call(
                "POST",
                "/rest.fal.ai/storage/upload/initiate",
                json={"file_name": "a.txt", "content_type": "text/plain"},
            )
            await caller.call("PUT", note.data["upload_url"], data=b"a")
            for reply in (
                await caller.submit("me/read", {}),
                await caller.run("me/read", {}),
                await caller.run("me/read", {"file": note.data["file_url"]}),
            ):
                assert reply.status == 401
                assert "FAL_KEY" in reply.data["detail"]
                assert b"wr0ng" not in reply.body
    assert everything_in(tmp_path) == b""
    assert "does not accept the API key" in caplog.text
    assert "wr0ng" not in caplog.text


@pytest.mark.parametrize(
    "fault", [Fault.close(on="submit", taken=True), Fault.reset(on="submit", taken=True)]
)
async def test_a_submit_whose_answer_is_lost_gets_504_and_is_neither_repeated_nor_recorded(
    tmp_path: Path, fault: Fault
) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        real.faults.add(fault)
        reply = await caller.submit("me/read", {"file": "data:,a"})
        assert reply.status == 504
        assert reply.headers["X-Fal-Request-Timeout-Type"] == "user"  # no client sends it again
        assert len(real.jobs) == real.count("submit") == 1
    assert everything_in(tmp_path) == b""


@pytest.mark.parametrize("operation", ["status", "result"])
async def test_a_request_that_upstream_no_longer_has_ends_with_504_and_is_not_recorded(
    tmp_path: Path, operation: str
) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        real.faults.add(Fault.answer(404, on=operation, body='{"status": "NOT_FOUND"}'))
        submitted = await caller.submit("me/read", {"file": "data:,a"})
        await caller.reached(submitted, "COMPLETED")
        assert (await caller.result(submitted)).status == 504
        assert real.count("submit") == 1
    assert everything_in(tmp_path) == b""


async def test_failures_of_polls_and_of_the_result_are_outlasted_without_a_second_submit(
    tmp_path: Path,
) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        real.faults.add(Fault.answer(503, on="status"), Fault.answer(502, on="result", fal_headers=False))
        submitted = await caller.submit("me/read", {"file": "data:,a"})
        await caller.reached(submitted, "COMPLETED")
        assert (await caller.result(submitted)).data["text"] == "a"
        assert real.faults.struck == 2
        assert real.count("submit") == 1
    assert len(cassettes_in(tmp_path)) == 1


async def test_a_recorded_stream_has_each_header_once_since_strict_clients_refuse_a_second(
    tmp_path: Path,
) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        recorded = await caller.run("me/talk/stream", {"a": 1})
    async with replaying(tmp_path) as caller:
        replayed = await caller.run("me/talk/stream", {"a": 1})
    for reply in (recorded, replayed):
        names = [name.lower() for name, _ in reply.headers.items()]
        assert len(names) == len(set(names))
        assert reply.headers["Content-Type"] == "text/event-stream"


async def test_a_stream_that_is_refused_is_recorded_and_refused_again(tmp_path: Path) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        recorded = await caller.run("me/strict/stream", {})
    async with replaying(tmp_path) as caller:
        replayed = await caller.run("me/strict/stream", {})
    assert recorded.status == replayed.status == 404
    assert recorded.body == replayed.body


async def test_a_token_in_the_query_of_a_call_is_neither_sent_to_fal_nor_recorded(tmp_path: Path) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        query = {"file": "data:,a", "fal_jwt_token": "t0ken"}
        await caller.get("/fal.run/me/read", params=query)
        assert real.count("run") == 1
        assert "fal_jwt_token" not in real.requests[-1].query
    assert len(cassettes_in(tmp_path)) == 1
    assert b"t0ken" not in everything_in(tmp_path)


async def test_secrets_in_an_answer_of_fal_and_in_an_input_are_not_recorded(tmp_path: Path) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:

        @real.endpoint("me/leaky")
        async def leaky(input: dict[str, Any], job: JobContext) -> Answer:
            file = await job.file(b"pixels", "image/png", "a.png")
            body = {
                "mine": f"{file['url']}?signature=s1gned",
                "elsewhere": "https://bucket.example.com/a.png?X-Amz-Signature=s1gned&size=1",
                "echo": input,
                "of_server": f"Key {REAL_KEY}",
            }
            headers = {
                "x-fal-cdn-token": "t0ken",
                "Set-Cookie": "session=c00kie",
                "Content-Type": "application/json",
            }
            return Answer(200, headers, json.dumps(body))

        input = {"local": LOCAL_KEY, "url": "https://me:passw0rd@example.com/?token=t0ken"}
        await caller.run("me/leaky", {"key": REAL_KEY})
        recorded = await caller.run("me/leaky", input)
        assert not {"x-fal-cdn-token", "Set-Cookie"} & set(recorded.headers)
        assert (await caller.get(recorded.data["mine"])).body == b"pixels"
        assert REAL_SECRET not in recorded.body.decode()
        assert "X-Amz-Signature=s1gned" in recorded.data["elsewhere"]  # else its caller could not read it
    written = everything_in(tmp_path)
    for secret in (REAL_SECRET, LOCAL_KEY, "s1gned", "t0ken", "c00kie", "passw0rd"):
        assert secret.encode() not in written
    async with replaying(tmp_path) as caller:
        replayed = await caller.run("me/leaky", input)
        assert replayed.status == 200
        assert (await caller.get(replayed.data["mine"])).body == b"pixels"


async def test_a_realtime_session_is_refused_while_calls_are_recorded_or_replayed(tmp_path: Path) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        headers = caller.with_headers(Upgrade="websocket", Connection="Upgrade")
        await caller.run("me/read", {"file": "data:,a"})
        refused = await caller.get("/fal.run/me/read/realtime", headers=headers)
    async with replaying(tmp_path) as caller:
        again = await caller.get("/ws.fal.run/me/read", headers=headers)
    assert refused.status == again.status == 400
    assert "can't be recorded" in refused.data["detail"]


async def test_a_stream_that_upstream_breaks_off_breaks_off_here_and_is_not_recorded(tmp_path: Path) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        real.faults.add(Fault.close(on="stream", events=1, taken=True))
        with pytest.raises(aiohttp.ClientPayloadError):
            await caller.run("me/talk/stream", {})
    assert everything_in(tmp_path) == b""


async def test_a_request_is_recorded_although_its_client_leaves_before_the_answer_to_its_submit(
    tmp_path: Path,
) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        real.faults.add(Fault.stall(0.05, on="submit"))
        leaving = asyncio.create_task(caller.submit("me/read", {"file": "data:,a"}))
        await until(lambda: bool(real.jobs))
        leaving.cancel()
        await until(lambda: bool(caller.emulator.jobs))
        [job] = caller.emulator.jobs.values()
        await job.wait_for("COMPLETED")
        assert [job.request_id] == list(real.jobs)
    [cassette] = cassettes_in(tmp_path)
    assert cassette["answer"]["body"]["json"]["text"] == "a"


async def test_a_cancel_here_cancels_the_request_at_upstream_and_nothing_is_recorded(tmp_path: Path) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:

        @real.endpoint("me/endless")
        async def endless(input: Any, job: JobContext) -> None:
            await asyncio.Event().wait()

        submitted = await caller.submit("me/endless", {})
        await caller.reached(submitted, "IN_PROGRESS")
        assert (await caller.cancel(submitted)).status == 202
        await caller.reached(submitted, "COMPLETED")
        [at_fal] = real.jobs.values()
        assert at_fal.cancel_requests == 1
    assert everything_in(tmp_path) == b""


async def test_a_stop_while_requests_run_leaves_only_whole_recordings(tmp_path: Path) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        gate = asyncio.Event()

        @real.endpoint("me/gated")
        async def gated(input: Any, job: JobContext) -> Any:
            await gate.wait()
            return {}

        await caller.run("me/read", {"file": "data:,a"})
        await caller.reached(await caller.submit("me/gated", {}), "IN_PROGRESS")
        await caller.emulator.stop()
        gate.set()
        assert [job.cancel_requests for job in real.jobs.values()] == [0, 0]
    assert [cassette["path"] for cassette in cassettes_in(tmp_path)] == ["me/read"]
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".json"]


async def test_two_recorders_of_one_folder_add_their_recordings_side_by_side(tmp_path: Path) -> None:
    async with real_fal() as real, recording(tmp_path, real) as one, recording(tmp_path, real) as two:
        callers = [one, two] * 3
        replies = await asyncio.gather(*(c.run("me/read", {"file": "data:,a"}) for c in callers))
    names = sorted(path.name.rpartition("-")[2] for path in tmp_path.glob("me__read/*"))
    assert names == [f"{n}.json" for n in range(1, 7)]
    recorded = sorted(cassette["answer"]["body"]["json"]["call"] for cassette in cassettes_in(tmp_path))
    assert recorded == sorted(reply.data["call"] for reply in replies)


async def test_a_caller_gets_its_paid_answer_although_the_recording_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        for name in ("me__read", "files"):
            (tmp_path / name).write_text("in the way")
        assert (await caller.run("me/read", {"file": "data:,a"})).data["text"] == "a"
        painted = (await caller.run("me/paint/fast", {})).data
        assert painted["images"][0]["url"].startswith("https://v3.fal.media/files/")
    assert caplog.text.count("is not recorded") == 2
    assert cassettes_in(tmp_path) == []
