"""The tests' PostgreSQL: databases of their own, restarts, and an end with the process that started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from tests.documents.code_blocks import environment
from tests.testbed.postgres import Cluster, Mode

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
STARTED = """
import sys
from tests.testbed.postgres import cluster
with cluster() as running:
    print(running.folder, flush=True)
    sys.stdin.read()
"""


async def test_a_new_database_is_empty_and_another_one_does_not_see_its_tables(
    postgres: Cluster, database: str
) -> None:
    other = postgres.new_database()
    for url in (database, other):
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE pictures (id int)")
        await connection.close()
    postgres.drop_database(other)
    assert other != database


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_ends_connections_and_keeps_what_was_committed(
    postgres: Cluster, database: str, mode: Mode
) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE pictures AS SELECT 7 AS id")
    postgres.restart(mode)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.execute("SELECT 1")
    again = await asyncpg.connect(database)
    assert await again.fetchval("SELECT id FROM pictures") == 7
    await again.close()


async def test_a_stopped_server_refuses_connections_until_it_is_started(
    postgres: Cluster, database: str
) -> None:
    postgres.stop()
    with pytest.raises(OSError, match="No such file"):
        await asyncpg.connect(database)
    postgres.start()
    await (await asyncpg.connect(database)).close()


def test_a_failed_statement_raises_instead_of_returning_its_output(postgres: Cluster) -> None:
    assert postgres.run("VALUES (1, 'a'), (2, 'b')") == "1|a\n2|b"
    with pytest.raises(subprocess.CalledProcessError):
        postgres.run("SELECT 1/0")


def test_the_server_and_its_folder_are_gone_when_its_starter_was_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as starter:
        assert starter.stdout is not None
        assert starter.stderr is not None
        folder = Path(starter.stdout.readline().strip())
        server = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        starter.kill()
        assert starter.stderr.read() == ""  # its end: the keeper has the same standard error
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
