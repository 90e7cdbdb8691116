"""Runs the demo: a request waits in the queue behind others, a model works on it, and its pictures are written."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fal_async.cli.screen import Screen
from fal_async.emulator import Emulator
from fal_async.models import InProgress, Queued, QueueStatus, Result
from fal_async.session import Session

MODEL = "fal-ai/flux/dev"
_BAR = 24
_SHARE = re.compile(r"(\d+)%")
_OTHERS = 4


class Story:
    """Prints each step of the request."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._began = time.monotonic()
        self._running_since: float | None = None

    @property
    def queue_seconds(self) -> float:
        return (self._running_since or time.monotonic()) - self._began

    def submitted(self, request_id: str) -> None:
        self._screen.line(f"  submitted   request {request_id}")

    def moved(self, status: QueueStatus) -> None:
        if isinstance(status, Queued):
            position = "?" if status.position is None else status.position
            self._screen.show(f"  in queue    {position} ahead of us")
        elif isinstance(status, InProgress):
            if self._running_since is None:
                self._running_since = time.monotonic()
                self._screen.end()
            if status.new_logs and (share := _SHARE.search(status.new_logs[-1].message)):
                self._screen.show(f"  drawing     {_bar(int(share[1]))}")
        else:
            self._screen.show(f"  drawing     {_bar(100)}")
            self._screen.end()


def _bar(percent: int) -> str:
    full = _BAR * percent // 100
    return f"{'█' * full}{'░' * (_BAR - full)} {percent:3d} %"


async def show(screen: Screen, prompt: str, seed: int, folder: Path) -> tuple[Result[Any, str], list[Path]]:
    """Start a local fal, run the request on it, and write the pictures. Return the result and their paths."""
    async with Emulator() as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
        screen.title(f"fal_async on a local fal at {emulator.url}")
        screen.line()
        screen.line(f'  {MODEL}: "{prompt}", 4 pictures, seed {seed}')
        async with _others_before_us(fal):
            await emulator.wait_for("submit", _OTHERS)
            story = Story(screen)
            result = await fal.subscribe(
                MODEL,
                {
                    "prompt": prompt,
                    "seed": seed,
                    "image_size": "landscape_4_3",
                    "num_images": 4,
                    "sync_mode": True,
                },
                logs=True,
                on_enqueue=story.submitted,
                on_queue_update=story.moved,
            )
            written = await result.download(folder)
    _sum_up(screen, story, result, written)
    return result, written


@contextlib.asynccontextmanager
async def _others_before_us(fal: Session) -> AsyncIterator[None]:
    """Submit other requests first, so that the request of the demo has to wait in the queue."""
    tasks = [
        asyncio.create_task(fal.subscribe(MODEL, {"prompt": f"other {number}", "num_inference_steps": 12}))
        for number in range(_OTHERS)
    ]
    try:
        yield
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _sum_up(screen: Screen, story: Story, result: Result[Any], written: list[Path]) -> None:
    screen.line()
    for path, image in zip(written, result.data["images"], strict=True):
        size = f"{image['width']} x {image['height']}, {path.stat().st_size // 1000} kB"
        screen.line(f"  {path}  {size}")
    screen.line()
    screen.line(f"  request id       {result.request_id}")
    screen.line(f"  queue time       {story.queue_seconds:.1f} s")
    screen.line(f"  inference time   {result.metrics['inference_time']:.1f} s")
    screen.line(f"  status polls     {result.attempts['status']}")
    screen.line()
    screen.note("The same code runs on fal itself: set FAL_KEY, and omit hosts=.")
