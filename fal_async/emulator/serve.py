"""The emulator as a process of its own: what `python -m fal_async emulator` runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from fal_async.emulator.defaults import DEFAULT_HOST, DEFAULT_KEY, DEFAULT_PORT, DEFAULT_RUNNERS, KEEP_JOBS
from fal_async.emulator.server import Emulator


async def serve(
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    *,
    key: str = DEFAULT_KEY,
    speed: float = 1.0,
    folder: str | os.PathLike[str] | None = None,
    runners: int = DEFAULT_RUNNERS,
    concurrency: int | None = None,
    accounts: Sequence[str] = (),
    retention: float | None = None,
    keep_jobs: int = KEEP_JOBS,
    forget_after: float | None = None,
    file_lifetime: float | None = None,
    gone_status: int = 404,
    plain_pictures: bool = False,
    require_key: bool = True,
    record: bool = False,
    seed: int = 0,
    out: TextIO | None = None,
    configure: Callable[[Emulator], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then stop cleanly. Options: see `Emulator`. OSError: the port is taken.

    It may run for days: requests are counted but not kept, unless `record=True`, and jobs are kept sparingly.
    `accounts`: keys of accounts beside the one that has `key`; `concurrency` is that of each of them.
    `out` gets the few lines that say where it is (default: standard output).
    `configure` is called before the start, to add endpoints or faults.
    """
    emulator = Emulator(
        host=host,
        port=port,
        key=key,
        speed=speed,
        folder=folder,
        runners=runners,
        concurrency=concurrency,
        retention=retention,
        require_key=require_key,
        record=record,
        keep_jobs=keep_jobs,
        forget_after=forget_after,
        file_lifetime=file_lifetime,
        gone_status=gone_status,
        plain_pictures=plain_pictures,
        seed=seed,
    )
    for other in accounts:
        emulator.add_account(other, concurrency=concurrency)
    if configure is not None:
        configure(emulator)
    await _serve_until_signalled(emulator, sys.stdout if out is None else out)


async def _serve_until_signalled(emulator: Emulator, out: TextIO) -> None:
    stop = asyncio.Event()
    signals = _stop_on_signals(stop)
    try:
        async with emulator:
            _announce(emulator, out)
            await stop.wait()
    finally:
        for number in signals:
            asyncio.get_running_loop().remove_signal_handler(number)


def _stop_on_signals(stop: asyncio.Event) -> tuple[signal.Signals, ...]:
    wanted = (signal.SIGINT, signal.SIGTERM)
    try:
        for number in wanted:
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    except NotImplementedError:
        # Windows has none of this: there Ctrl-C cancels the main task, which stops the emulator as well.
        return ()
    return wanted


def _announce(emulator: Emulator, out: TextIO) -> None:
    out.write(
        f"fal emulator at {emulator.url} (key {emulator.key}); Ctrl-C stops it\n"
        f"export FAL_BASE_URL={emulator.url} FAL_KEY={emulator.key}\n"
    )
    out.flush()
