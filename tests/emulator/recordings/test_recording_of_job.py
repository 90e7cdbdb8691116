"""Each job names the recording that it was recorded to, or played from."""

from __future__ import annotations

from pathlib import Path

from tests.emulator.caller import Caller
from tests.emulator.recordings.real_fal import real_fal, recording, replaying


async def _recordings(caller: Caller) -> list[str | None]:
    """Make a direct call and a queued one, and return the recordings of their jobs."""
    await caller.run("me/paint/fast", {"prompt": "a cat"})
    await caller.finished(await caller.submit("me/paint/fast", {"prompt": "a dog"}))
    jobs = list(caller.emulator.jobs.values())
    shown = [(await caller.get(f"/_emulator/jobs/{job.request_id}")).data["recording"] for job in jobs]
    assert shown == [job.recording for job in jobs]
    return shown


async def test_a_job_names_its_recording_when_it_is_recorded_and_when_it_is_replayed(tmp_path: Path) -> None:
    async with real_fal() as real, recording(tmp_path, real) as caller:
        recorded = await _recordings(caller)
        assert {job.recording for job in real.jobs.values()} == {None}
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*.json")}
    assert len(written) == 2
    assert set(recorded) == written
    async with replaying(tmp_path) as caller:
        assert await _recordings(caller) == recorded
