"""Runs `fal-async ledger migrate` with parsed arguments."""

from __future__ import annotations

import argparse
import asyncio

from fal_async.cli import exits
from fal_async.cli.messages import fail
from fal_async.cli.output import OutputLostError, forget_standard_output, put, put_error, put_line
from fal_async.errors import ConfigurationError, FalError
from fal_async.ledger.opening import checked_place
from fal_async.ledger.postgres.postgres_address import address_of, is_address

VERB = "ledger migrate"


def migrate(options: argparse.Namespace) -> int:
    """Make or migrate the tables, print what was done, and return the exit status."""
    try:
        place = checked_place(options.ledger)
        if is_address(place):
            asyncio.run(_migrate(place, options))
        else:
            _pass_over(place, options)
    except FalError as error:
        put_error(VERB, error, as_json=options.json)
        return exits.of_error(error)
    except OutputLostError as error:
        forget_standard_output()
        return fail(VERB, str(error))
    return exits.DONE


async def _migrate(place: str, options: argparse.Namespace) -> None:
    from fal_async.ledger.postgres.migrating import migrate_tables

    address = address_of(place)
    before, now = await migrate_tables(address, options.role)
    if options.json:
        put({"ledger": address.name, "before": before, "version": now, "role": options.role})
        return
    granted = "" if options.role is None else f"; granted the rights to the role {options.role}"
    put_line(f"{address.name}: {_done(before, now)}{granted}")


def _done(before: int | None, now: int) -> str:
    if before is None:
        return f"made the tables, version {now}"
    if before == now:
        return f"nothing to do: the tables have version {now}"
    return f"migrated the tables from version {before} to {now}"


def _pass_over(path: str, options: argparse.Namespace) -> None:
    if options.role is not None:
        raise ConfigurationError("--role: expected a database; a ledger in a file has no roles")
    if options.json:
        put({"ledger": path, "before": None, "version": None, "role": None})
    else:
        put_line(f"{path}: nothing to do: a ledger in a file is migrated when it is opened")
