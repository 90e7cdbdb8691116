"""Runs `fal-async batch run` with parsed arguments."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from fal_async.batch.tables import read_inputs, stdin_inputs
from fal_async.cli import exits
from fal_async.cli.batch.keyed_table import KeyedTable, key_of, keyed_rows
from fal_async.cli.batch.reports import Report
from fal_async.cli.interrupts import run_until_interrupted
from fal_async.cli.key_check import check_key
from fal_async.cli.messages import fail
from fal_async.cli.output import OutputLostError, forget_standard_output, put_error
from fal_async.errors import ConfigurationError, FalError
from fal_async.session import Session

_LEAVING = "stopping the run; the ledger keeps what is done. Press Ctrl-C again to exit at once"


def run_batch(options: argparse.Namespace) -> int:
    """Run the batch, and return the exit status."""
    try:
        check_key()
    except ConfigurationError as error:
        put_error("batch run", error, as_json=options.json)
        return exits.REFUSED
    progress = _is_watched() if options.progress is None else options.progress
    report = Report(as_json=options.json, ledger=options.ledger, shown=progress)
    try:
        inputs = _inputs(options)
        return run_until_interrupted(_run(options, inputs, report, progress), _LEAVING)
    except FalError as error:
        report.stopped(error)
        return exits.of_error(error)
    except OutputLostError as error:
        forget_standard_output()
        return fail("batch run", f"{error}; the same command continues the run")


def _is_watched() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _inputs(options: argparse.Namespace) -> Any:
    path, columns, key = options.inputs, options.columns, options.key_column
    if path != "-":
        return read_inputs(path, columns=columns) if key is None else KeyedTable(path, columns, key)
    # A separate file object, because at exit the interpreter waits for a running read of sys.stdin.
    try:
        lines = open(0, "rb", closefd=False)  # noqa: SIM115
    except OSError as error:
        raise ConfigurationError(f"standard input can't be read: {error.strerror or error}") from error
    if key is None:
        return stdin_inputs(lines, columns=columns)
    wanted = None if columns is None else {*columns, key}
    return keyed_rows(stdin_inputs(lines, columns=wanted), columns, key)


async def _run(options: argparse.Namespace, inputs: Any, report: Report, progress: bool) -> int:
    async with Session(ledger=options.ledger) as fal:
        batch = fal.map(
            options.endpoint,
            inputs,
            key=None if options.key_column is None else key_of,
            run=options.run,
            concurrency=options.concurrency,
            retries=options.retries,
            retry_failed=options.retry_failed,
            extend=options.extend,
            max_failures=options.max_failures,
            max_cost=options.max_cost,
            download=options.download,
            names=options.names,
            timeout=options.timeout,
            progress=progress,
            uncertain=options.uncertain,
        )
        try:
            async with batch:
                async for item in batch:
                    report.item(item)
        except FalError as error:
            report.put_json_error(error)
            raise
        finally:
            try:
                report.summary(options.endpoint, batch.summary)
            except OutputLostError:
                forget_standard_output()
    return exits.of_summary(batch.summary)
