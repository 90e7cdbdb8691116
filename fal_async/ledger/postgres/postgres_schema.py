"""The tables of a ledger on PostgreSQL, all in the schema `fal_async`, and how they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fal_async.errors import ConfigurationError

if TYPE_CHECKING:
    from fal_async.ledger.postgres.connection_types import Connection

VERSION = 1
"""The version of the tables."""
MIN_VERSION = 1
"""Stored beside it: a program whose VERSION is lower than the `min_version` of the database refuses it."""
SCHEMA = "fal_async"
_MIGRATING = 0x66616C32
"""An advisory lock, so that only one process makes the tables."""
_EXISTS = (
    "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    f"WHERE n.nspname = '{SCHEMA}' AND c.relname = 'meta')"
)
"""Reads the catalog, because `to_regclass` does not see tables that another connection has made a moment ago."""

_HAS_SCHEMA = f"SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = '{SCHEMA}')"
"""CREATE SCHEMA IF NOT EXISTS is refused without the right to make schemas, even if the schema exists."""

# As in `ledger/sqlite/schema.py`. In addition: `free_since`, since when the lock of an owner is known to be free,
# by the clock of the database; `awaited`, whether changes of an entry are announced to other processes; `mark`, by
# which a claim is recognised that was written although the connection broke.
_TABLES = """
CREATE TABLE fal_async.meta (version integer NOT NULL, min_version integer NOT NULL);
CREATE TABLE fal_async.origins (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, url text NOT NULL UNIQUE);
CREATE TABLE fal_async.spaces (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin bigint NOT NULL, tenant text NOT NULL, run text NOT NULL, UNIQUE (origin, tenant, run));
CREATE SEQUENCE fal_async.owner_numbers AS integer CYCLE;
CREATE TABLE fal_async.owners (
    id integer PRIMARY KEY, host text NOT NULL, pid integer NOT NULL, since double precision NOT NULL,
    free_since double precision);
CREATE TABLE fal_async.entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    space bigint NOT NULL, key text NOT NULL, version bigint NOT NULL, endpoint_id text NOT NULL,
    input_digest text NOT NULL, state text NOT NULL, final smallint NOT NULL DEFAULT 0, attempts integer NOT NULL,
    owner integer, claimed_at double precision NOT NULL, submitted_at double precision,
    ended_at double precision, headers text, expired smallint NOT NULL DEFAULT 0,
    awaited smallint NOT NULL DEFAULT 0, UNIQUE (space, key));
CREATE INDEX entries_under_way ON fal_async.entries (id) WHERE ended_at IS NULL;
CREATE TABLE fal_async.requests (
    entry bigint NOT NULL, n integer NOT NULL, origin bigint NOT NULL, body_digest text, request_id text,
    claimed_at double precision NOT NULL, claimed_until double precision NOT NULL,
    submitted_at double precision, ended_at double precision, outcome text,
    final smallint NOT NULL DEFAULT 0, units text, cost text, cancel_requested_at double precision, token text,
    mark bigint, PRIMARY KEY (entry, n));
CREATE UNIQUE INDEX requests_by_id ON fal_async.requests (request_id, origin) WHERE request_id IS NOT NULL;
CREATE UNIQUE INDEX requests_by_token ON fal_async.requests (token) WHERE token IS NOT NULL;
CREATE TABLE fal_async.inputs (
    entry bigint PRIMARY KEY, type text NOT NULL, packed smallint NOT NULL, body bytea NOT NULL);
CREATE TABLE fal_async.ends (
    entry bigint PRIMARY KEY, type text NOT NULL, packed smallint NOT NULL, body bytea NOT NULL);
ALTER TABLE fal_async.inputs ALTER body SET STORAGE EXTERNAL;
ALTER TABLE fal_async.ends ALTER body SET STORAGE EXTERNAL;
CREATE TABLE fal_async.files (
    entry bigint NOT NULL, n integer NOT NULL, path text NOT NULL, size bigint NOT NULL, PRIMARY KEY (entry, n));
"""
_ON_TABLES, _ON_SEQUENCES = "SELECT, INSERT, UPDATE, DELETE", "USAGE"
_HEAD = f"-- The tables of a ledger of fal_async, version {VERSION}. Run it once, as the role that will own them.\n"
_NO_RIGHTS = (
    "-- Only the owner can use the tables. Rights for another role: fal-async ledger schema --role NAME\n"
)
_MIGRATIONS: dict[int, str] = {}
"""SQL by the version that it results in. Within a major version of the package, migrations only add things."""


def script(role: str | None) -> str:
    """Return the SQL of a new ledger, for an administrator; with the rights of `role`, if it is not None."""
    parts = (_HEAD, "BEGIN;\n", f"CREATE SCHEMA IF NOT EXISTS {SCHEMA};\n", sql_from(None))
    return "".join((*parts, _NO_RIGHTS if role is None else grants(role), "COMMIT;\n"))


def grants(role: str) -> str:
    """Return the SQL that grants a role the rights that a program needs to use the ledger."""
    to = '"' + role.replace('"', '""') + '"'
    return f"""GRANT USAGE ON SCHEMA {SCHEMA} TO {to};
GRANT {_ON_TABLES} ON ALL TABLES IN SCHEMA {SCHEMA} TO {to};
GRANT {_ON_SEQUENCES} ON ALL SEQUENCES IN SCHEMA {SCHEMA} TO {to};
-- Tables that a later version of fal_async adds:
ALTER DEFAULT PRIVILEGES IN SCHEMA {SCHEMA} GRANT {_ON_TABLES} ON TABLES TO {to};
ALTER DEFAULT PRIVILEGES IN SCHEMA {SCHEMA} GRANT {_ON_SEQUENCES} ON SEQUENCES TO {to};
"""


def sql_from(found: int | None) -> str:
    """Return the SQL that makes the tables, or migrates those of this version; "" if there is nothing to do."""
    if found is None:
        return f"{_TABLES.lstrip()}INSERT INTO fal_async.meta VALUES ({VERSION}, {MIN_VERSION});\n"
    if found >= VERSION:
        return ""
    steps = "\n".join(_MIGRATIONS[version].strip() for version in range(found + 1, VERSION + 1))
    return f"{steps}\nUPDATE fal_async.meta SET version = {VERSION}, min_version = {MIN_VERSION};\n"


async def found_version(connection: Connection, name: str) -> int | None:
    """Return the version of the tables; None if there are none.

    Raises ConfigurationError if they need a newer version of the package.
    """
    if not await connection.fetchval(_EXISTS):
        return None
    found = await connection.fetchrow("SELECT version, min_version FROM fal_async.meta")
    if found is None or found["min_version"] > VERSION:
        raise ConfigurationError(
            f"ledger {name}: it was written by a newer version of fal_async: update the package"
        )
    version: int = found["version"]
    return version


async def migrate(connection: Connection, name: str) -> tuple[int | None, int]:
    """Make the tables, or migrate them; return the version before, and the one now.

    Raises ConfigurationError as `found_version`, and the driver's errors.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATING)
        found = await found_version(connection, name)
        if found is None and not await connection.fetchval(_HAS_SCHEMA):
            await connection.execute(f"CREATE SCHEMA {SCHEMA}")
        if sql := sql_from(found):
            await connection.execute(sql)
        return found, max(found or 0, VERSION)


async def prepare(connection: Connection, name: str) -> None:
    """Make the tables of a new ledger. Raises as `migrate`; ConfigurationError if they have to be migrated."""
    found = await found_version(connection, name)
    if found is None:
        await migrate(connection, name)
    elif found < VERSION:
        raise ConfigurationError(
            f"ledger {name}: run `fal-async ledger migrate` first: its tables have version {found}, and this "
            f"version of fal_async needs {VERSION}"
        )
