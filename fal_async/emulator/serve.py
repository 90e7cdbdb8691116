"""The emulator as a separate process: `python -m fal_async emulator`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
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
    balance: Decimal | float | str | None = None,
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
    as_json: bool = False,
    configure: Callable[[Emulator], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, or until it is cancelled, then stop cleanly.

    The defaults suit a process that runs for days: HTTP requests are counted but not stored, and at most 10,000
    jobs are kept. `Emulator` describes most arguments in detail.

    Args:
        host: address to listen on; default 127.0.0.1.
        port: port to listen on; default 8765, 0 chooses a free one.
        key: API key of the emulator's own account; default "emulator:key".
        speed: time factor of emulated work; default 1.
        folder: directory for uploaded and produced files. None (default): a temporary one, deleted at the end.
        runners: how many requests each endpoint runs at a time; default 2.
        concurrency: how many requests each account, also each of `accounts`, runs at a time over all endpoints.
            None (default): no limit.
        balance: US dollars of the emulator's own account. None (default): no limit.
        accounts: API keys of further accounts; default none.
        retention: seconds for which a result can be fetched after completion. None (default): fal's rule.
        keep_jobs: how many jobs are kept; default 10,000.
        forget_after: seconds after its completion at which a job is deleted. None (default): no limit.
        file_lifetime: seconds for which a produced file can be read. None (default): no limit.
        gone_status: HTTP status for a file that has expired; default 404.
        plain_pictures: whether the built-in models return pictures of one colour; default False.
        require_key: whether callers need a known key; default True.
        record: whether HTTP requests are stored, so that `GET /_emulator/requests` lists them; default False.
        seed: seed of the random generator for faults with a `chance`; default 0.
        out: target for the lines with the address and the key. None (default): standard output.
        as_json: whether these lines are one line of JSON, with `url`, `key` and `admin_key`; default False.
        configure: function that is called with the emulator before it starts, to add endpoints or faults. None
            (default): none.

    Raises:
        OSError: If the port is in use or cannot be bound.
        ValueError: If an argument is out of range, or a key does not have the form id:secret.
    """
    emulator = Emulator(
        host=host,
        port=port,
        key=key,
        speed=speed,
        folder=folder,
        runners=runners,
        concurrency=concurrency,
        balance=balance,
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
    await _serve_until_signalled(emulator, sys.stdout if out is None else out, as_json)


async def _serve_until_signalled(emulator: Emulator, out: TextIO, as_json: bool) -> None:
    stop = asyncio.Event()
    signals = _stop_on_signals(stop)
    try:
        async with emulator:
            _announce(emulator, out, as_json)
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
        # Windows has no such handlers. There, Ctrl-C cancels the main task, which stops the emulator as well.
        return ()
    return wanted


def _announce(emulator: Emulator, out: TextIO, as_json: bool) -> None:
    where = {"url": emulator.url, "key": emulator.key, "admin_key": emulator.admin_key}
    lines = (
        f"fal emulator at {emulator.url} (key {emulator.key}, admin key {emulator.admin_key}); Ctrl-C stops it\n"
        f"export FAL_BASE_URL={emulator.url} FAL_KEY={emulator.key}\n"
    )
    out.write(json.dumps(where) + "\n" if as_json else lines)
    out.flush()
