"""Where a ledger is, and whether its place keeps it: format, locks, file system, free space. It changes nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fal_async.cli.doctor.finding import Finding, Topic
from fal_async.errors import ConfigurationError, FalError
from fal_async.ledger.opening import checked_place
from fal_async.ledger.postgres.postgres_address import address_of, is_address
from fal_async.ledger.sqlite import schema
from fal_async.ledger.sqlite.location import Mounts, check_place, current_mounts, file_system
from fal_async.ledger.sqlite.record_locks import COMMIT, RecordLocks
from fal_async.storage.threads import abandonable

if TYPE_CHECKING:
    from fal_async.ledger.postgres.postgres_address import Address

LEDGER = Topic("ledger")
_FORGETTING = frozenset({"aufs", "overlay", "ramfs", "rootfs", "tmpfs"})
_LITTLE_SPACE = 200 * 1024 * 1024
_KEEP = "put it on a volume or a disk that outlives the container, or use PostgreSQL"


async def ledger_findings(where: str) -> list[Finding]:
    """Examine a ledger: a path or a URL. It raises no FalError; if it is cancelled, its thread is abandoned."""
    try:
        place = checked_place(where)
        if not is_address(place):
            return await abandonable(lambda: list(file_findings(place, current_mounts())))
        return [await _database(address_of(place))]
    except FalError as error:
        return [
            LEDGER.problem("place", error.message, "pass the path of a file, or postgresql://host/database")
        ]


def file_findings(path: str, mounts: Mounts) -> Iterator[Finding]:
    """Yield the findings about a ledger's file. It may be missing."""
    try:
        check_place(path)
    except (FalError, OSError) as error:
        yield LEDGER.problem("place", str(error), "pass the path of a file on a local disk")
        return
    yield _format(path)
    folder = os.path.dirname(path)
    yield _locks(folder)
    yield _disk(folder, file_system(folder, mounts))


def _format(path: str) -> Finding:
    if not os.path.exists(path):
        return LEDGER.ok("format", f"{path}: no file yet; the first call with a key makes it", path=path)
    try:
        # SQLite can't open a file without its log read-only, unless it may trust that nothing changes it.
        mode = "mode=ro" if os.path.exists(f"{path}-wal") else "immutable=1"
        db = sqlite3.connect(f"{Path(path).as_uri()}?{mode}", uri=True, timeout=1.0)
        try:
            found, least = db.execute("SELECT version, min_version FROM meta").fetchone()
            entries = db.execute("SELECT count(*) FROM entries").fetchone()[0]
        finally:
            db.close()
    except (sqlite3.Error, TypeError) as error:
        return LEDGER.problem(
            "format",
            f"{path}: {error}",
            "don't delete the file or its -wal: they have the ids of paid requests",
        )
    if least > schema.VERSION:
        return LEDGER.problem(
            "format",
            f"{path}: format {found}, this version reads {schema.VERSION}",
            "pip install --upgrade fal-async",
        )
    return LEDGER.ok("format", f"{path}: SQLite, format {found}, {entries} entries", path=path, version=found)


def _locks(folder: str) -> Finding:
    """Lock a file beside the ledger, which is removed at once."""
    try:
        with tempfile.TemporaryDirectory(prefix=".fal-async-doctor-", dir=folder) as inner:
            locks = RecordLocks(os.path.join(inner, "lock"))
            try:
                held = locks.try_hold(COMMIT)
            finally:
                locks.close()
    except OSError as error:
        return LEDGER.problem(
            "locks",
            f"a file in {folder} can't be made or locked: {error.strerror or error}",
            "give this user the right to write into the folder, or use a local disk",
        )
    if not held:
        return LEDGER.problem("locks", f"{folder} has no record locks", "use a local disk, or PostgreSQL")
    return LEDGER.ok("locks", "record locks work")


def _disk(folder: str, kind: str | None) -> Finding:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return LEDGER.problem("disk", f"{folder}: {error.strerror or error}", "use another folder")
    text = f"{kind or 'file system unknown'}, {free / 1e9:.1f} GB free"
    facts = {"file_system": kind, "free_bytes": free}
    if kind in _FORGETTING:
        forgets = (
            "memory, which forgets at a restart" if kind in ("tmpfs", "ramfs") else "a container's own disk"
        )
        return LEDGER.warning(
            "disk",
            f"{text}: {forgets}" + ("" if "forgets" in forgets else ", which forgets at each deploy"),
            _KEEP,
            **facts,
        )
    if free < _LITTLE_SPACE:
        return LEDGER.warning("disk", text, "free some space: a ledger that can't write stops calls", **facts)
    return LEDGER.ok("disk", text, **facts)


async def _database(address: Address) -> Finding:
    from fal_async.ledger.postgres.migrating import version_of_tables

    try:
        server, tables = await version_of_tables(address)
    except ConfigurationError as error:
        return LEDGER.problem("database", error.message, "see the chapter fal_async/ledger/POSTGRES.md")
    except FalError as error:
        return LEDGER.problem(
            "database", error.message, "check the address, the user, and that the server accepts connections"
        )
    text = f"{address.name}: PostgreSQL {server}, {'no tables yet' if tables is None else f'tables {tables}'}"
    facts = {"server": server, "version": tables}
    if tables is None:
        return LEDGER.warning(
            "database", text, "fal-async ledger migrate makes them, or the first call with a key", **facts
        )
    return LEDGER.ok("database", text, **facts)
