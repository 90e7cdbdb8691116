"""Make or migrate the tables for `fal-async ledger migrate`, on a connection of its own."""

from __future__ import annotations

import asyncpg

from fal_async.errors import ConfigurationError
from fal_async.ledger.postgres.postgres_address import Address
from fal_async.ledger.postgres.postgres_errors import FAILURES, ledger_error
from fal_async.ledger.postgres.postgres_schema import found_version, grants, migrate

_TO_CONNECT = 10.0


async def migrate_tables(address: Address, role: str | None) -> tuple[int | None, int]:
    """Make the tables, or migrate them; return the version before (None: there were none), and the one now.

    `role`: also grant it the rights that a program needs; None: nobody is granted anything.

    A migration of a large table may take long, so that there is no time limit. Cancelling is safe: all is done in
    one transaction.

    Raises ConfigurationError if the address or the database can't be used, LedgerError if it can't be reached.
    """
    try:
        connection = await asyncpg.connect(address.direct or address.url, timeout=_TO_CONNECT)
        try:
            async with connection.transaction():
                versions = await migrate(connection, address.name)
                if role is not None:
                    await _grant(connection, role)
        except BaseException:
            connection.terminate()
            raise
        await connection.close(timeout=_TO_CONNECT)
    except (*FAILURES, ValueError) as error:
        raise ledger_error(error, address.name) from error
    return versions


async def version_of_tables(address: Address, limit: float = 5.0) -> tuple[str, int | None]:
    """Return the version of the server, and that of the tables (None: there are none). It changes nothing.

    `limit`: seconds to connect, and seconds for each question. Cancelling is safe. Raises as `migrate_tables`.
    """
    try:
        connection = await asyncpg.connect(
            address.direct or address.url, timeout=limit, command_timeout=limit
        )
        try:
            server = str(await connection.fetchval("SHOW server_version"))
            return server, await found_version(connection, address.name)
        finally:
            connection.terminate()
    except (*FAILURES, ValueError) as error:
        raise ledger_error(error, address.name) from error


async def _grant(connection: asyncpg.Connection, role: str) -> None:
    try:
        await connection.execute(grants(role))
    except asyncpg.UndefinedObjectError as error:
        raise ConfigurationError(f"--role {role}: create this role first") from error
