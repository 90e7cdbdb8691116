"""The queue in PostgreSQL: another worker runs a killed one's job, and an error is retried if that can help."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from fal_async import Session
from fal_async.emulator import Emulator, Fault
from tests.documents.engines.programs import CAT, SECONDS, Program, paid_once, refused_pictures, slow_pictures
from tests.testbed.postgres import Cluster

WORKER = ("-W", "error", "-c", "import pictures; pictures.main()")


@attrs.frozen
class Queue:
    """The program and its queue, in this process."""

    program: Program
    pictures: Any
    cluster: Cluster

    async def order(self) -> None:
        await self.pictures.draw.defer_async(prompt=CAT)

    async def run_all(self, fal: Session) -> None:
        """Run each job that is due once."""
        await self.pictures.app.run_worker_async(
            wait=False, additional_context={"fal": fal}, install_signal_handlers=False, listen_notify=False
        )

    def sql(self, statement: str) -> str:
        url = self.program.variables["DATABASE_URL"]
        return self.cluster.run(statement, url.partition("@/")[2].partition("?")[0])

    def states(self) -> str:
        return self.sql(
            "SELECT status, attempts FROM procrastinate_jobs WHERE task_name = 'draw' ORDER BY id"
        )


@pytest.fixture
async def queue(
    emulator: Emulator, postgres: Cluster, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Queue]:
    program = Program.saved("procrastinate", tmp_path, emulator, DATABASE_URL=database)
    pictures = program.module(monkeypatch)
    async with pictures.app.open_async():
        await pictures.app.schema_manager.apply_schema_async()
        yield Queue(program, pictures, postgres)


@pytest.fixture
async def fal(queue: Queue) -> AsyncIterator[Session]:
    """The session of a worker in this process."""
    async with Session(ledger=queue.program.variables["DATABASE_URL"]) as fal:
        yield fal


async def test_a_killed_workers_job_is_run_by_another_worker_and_paid_for_once(
    emulator: Emulator, queue: Queue
) -> None:
    release = slow_pictures(emulator)
    await queue.order()
    async with queue.program.process(*WORKER) as first:
        await emulator.wait_for("status", timeout=SECONDS)
        first.kill()
    assert queue.states() == "doing|0"
    queue.sql("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '31 seconds'")
    await queue.pictures.take_over(timestamp=0)
    release.set()
    async with queue.program.process(*WORKER) as second:
        await second.says("job 1: ")
        await second.stop()
    assert queue.states() == "succeeded|2"
    paid_once(emulator)


async def test_a_stopped_worker_waits_until_its_job_has_ended(emulator: Emulator, queue: Queue) -> None:
    release = slow_pictures(emulator)
    await queue.order()
    async with queue.program.process(*WORKER) as worker:
        await emulator.wait_for("status", timeout=SECONDS)
        worker.process.terminate()
        await worker.says("Waiting for job to finish")
        release.set()
        await worker.end()
    assert queue.states() == "succeeded|1"
    paid_once(emulator)


async def test_a_job_with_an_unknown_end_is_run_again_later_and_paid_for_once(
    emulator: Emulator, queue: Queue, fal: Session
) -> None:
    emulator.history.lag = 3_600.0
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    await queue.order()
    await queue.run_all(fal)
    assert queue.states() == "todo|1"
    assert queue.sql("SELECT scheduled_at > now() + interval '20 seconds' FROM procrastinate_jobs") == "t"

    emulator.history.lag = 0.0
    queue.sql("UPDATE procrastinate_jobs SET scheduled_at = now()")
    await queue.run_all(fal)
    assert queue.states() == "succeeded|2"
    paid_once(emulator)


async def test_a_job_that_the_model_refuses_fails_without_a_retry(
    emulator: Emulator, queue: Queue, fal: Session
) -> None:
    refused_pictures(emulator)
    await queue.order()
    await queue.run_all(fal)
    assert queue.states() == "failed|1"
