"""Runs `fal-async batch status`, `uncertain` and `export` with parsed arguments."""

from __future__ import annotations

import argparse
import asyncio
import datetime
from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from fal_async.batch.progress.wording import cost
from fal_async.cli import exits
from fal_async.cli.key_check import check_key
from fal_async.cli.messages import fail
from fal_async.cli.output import (
    OutputLostError,
    forget_standard_output,
    put,
    put_error,
    put_line,
    with_amounts,
)
from fal_async.errors import ConfigurationError, FalError
from fal_async.ledger.ledger import Ledger, LedgerSummary
from fal_async.ledger.ledger_entry import LedgerEntry
from fal_async.session import Session

_STATES = ("done", "failed", "uncertain", "cancelled", "submitted", "claimed")


def status(options: argparse.Namespace) -> int:
    """Print a line for each run, and the total last. Return the exit status."""
    return _done("batch status", _status, options)


def uncertain(options: argparse.Namespace) -> int:
    """Print a line for each entry that is still uncertain. Return the exit status."""
    if options.lookup:
        try:
            check_key()
        except ConfigurationError as error:
            put_error("batch uncertain", error, as_json=options.json)
            return exits.REFUSED
    return _done("batch uncertain", _uncertain, options)


def export(options: argparse.Namespace) -> int:
    """Write the file, then print one line. Return the exit status."""
    return _done("batch export", _export, options)


def _done(
    verb: str, part: Callable[[argparse.Namespace], Coroutine[Any, Any, int]], options: argparse.Namespace
) -> int:
    try:
        return asyncio.run(part(options))
    except FalError as error:
        put_error(verb, error, as_json=options.json)
        return exits.of_error(error)
    except OutputLostError as error:
        forget_standard_output()
        return fail(verb, str(error))


async def _status(options: argparse.Namespace) -> int:
    async with await Ledger.open(options.ledger) as ledger:
        spaces = [space for space in await ledger.spaces() if options.run in (None, space.run)]
        several = len({space.origin for space in spaces}) > 1  # such as a trial on an emulator
        for space in spaces:
            names = (space.run or "(no run)", space.tenant, space.origin if several else "")
            numbers = await ledger.summary(run=space.run, tenant=space.tenant, origin=space.origin)
            _show(options, " ".join(filter(None, names)), attrs.asdict(space), numbers)
        if options.json or len(spaces) != 1:
            _show(options, "total", {}, await ledger.summary(run=options.run))
    return exits.DONE


def _show(options: argparse.Namespace, name: str, names: dict[str, Any], numbers: LedgerSummary) -> None:
    if options.json:
        document = with_amounts(attrs.asdict(numbers))
        put({**names, **document} if names else {"summary": document})
        return
    counts = [f"{getattr(numbers, state):,} {state}" for state in _STATES if getattr(numbers, state)]
    costs = [] if numbers.cost is None else [cost(numbers.cost, numbers.unpriced)]
    put_line(f"{name}: {', '.join([*counts, *costs]) or 'nothing'}")


async def _uncertain(options: argparse.Namespace) -> int:
    if options.lookup:
        await _look_up(options)
    async with await Ledger.open(options.ledger) as ledger:
        if options.resolve is not None:
            await ledger.resolve(
                options.resolve, request_id=options.request_id, run=options.run, tenant=options.tenant
            )
        left = 0
        async for entry in ledger.entries(run=options.run, tenant=options.tenant, state="uncertain"):
            left += 1
            _show_entry(options, entry)
    if options.json:
        put({"summary": {"uncertain": left}})
    elif not left:
        put_line("nothing is uncertain")
    return exits.UNCERTAIN if left else exits.DONE


async def _look_up(options: argparse.Namespace) -> None:
    async with Session(ledger=options.ledger) as fal:
        theirs = fal if options.tenant is None else fal.with_options(tenant=options.tenant)
        recovered = await theirs.recover(options.run)
    if recovered.error is not None:  # entries that could not be looked up are listed as uncertain
        put_error("batch uncertain", recovered.error, as_json=options.json)


def _show_entry(options: argparse.Namespace, entry: LedgerEntry) -> None:
    if options.json:
        names = ("key", "run", "tenant", "endpoint_id", "attempts", "claimed_at")
        put({name: getattr(entry, name) for name in names})
        return
    at = datetime.datetime.fromtimestamp(entry.claimed_at, datetime.UTC).isoformat(" ", "seconds")
    where = (f" run {entry.run}" if entry.run else "") + (f" tenant {entry.tenant}" if entry.tenant else "")
    put_line(f"{entry.key}: {entry.endpoint_id}{where}, sent about {at}, attempt {entry.attempts}")


async def _export(options: argparse.Namespace) -> int:
    async with await Ledger.open(options.ledger) as ledger:
        number = await ledger.export(options.file, run=options.run)
    if options.json:
        put({"summary": {"entries": number, "file": options.file}})
    else:
        put_line(f"{options.file}: {number:,} entries")
    return exits.DONE
