"""`fal-async ledger` on a real PostgreSQL: the tables and the rights of a role, made once, and what is refused."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from fal_async import ConfigurationError, Ledger, Session
from fal_async.cli import exits, main
from fal_async.emulator import Emulator
from tests.documents.code_blocks import environment
from tests.testbed.postgres import WITH_PASSWORD, Cluster, name_in

MODEL, INPUT = "fal-ai/any-llm", {"prompt": "hello"}
ODD = 'odd"; DROP SCHEMA fal_async; --'
WITHOUT_ASYNCPG = """
import sys; sys.modules["asyncpg"] = None
from fal_async.cli import main
sys.exit(main(sys.argv[1:]))
"""
_numbers = itertools.count(1)


@attrs.frozen
class Place:
    """An empty database, and a role that may only connect to it.

    Attributes:
        admin: its URL for the superuser.
        app: its URL for the role.
        role: the name of the role.
    """

    cluster: Cluster
    admin: str
    app: str
    role: str

    def run(self, sql: str) -> str:
        """Run SQL as the superuser."""
        return self.cluster.run(sql, name_in(self.admin))


def place_of(cluster: Cluster, role: str) -> Iterator[Place]:
    quoted = '"' + role.replace('"', '""') + '"'
    cluster.run(f"CREATE ROLE {quoted} LOGIN PASSWORD 'secret'")
    admin = cluster.new_database()
    yield Place(cluster, admin, cluster.url(name_in(admin), role), role)
    cluster.drop_database(admin)
    cluster.run(f"DROP ROLE {quoted}")


@pytest.fixture
def place(postgres: Cluster) -> Iterator[Place]:
    yield from place_of(postgres, f"app_{next(_numbers)}")


@pytest.fixture
def odd_place(postgres: Cluster) -> Iterator[Place]:
    yield from place_of(postgres, ODD)


@attrs.frozen
class Done:
    status: int
    out: str
    err: str


class Command:
    """Runs `fal-async ledger` in another thread, as it has an event loop of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def __call__(self, *arguments: str) -> Done:
        status = await asyncio.to_thread(main, ["ledger", *arguments])
        return Done(status, *self._capsys.readouterr())


@pytest.fixture
def ledger(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


async def pay_once(emulator: Emulator, url: str) -> None:
    """Use all kinds of writes: a call with a key twice, then delete its entry."""
    async with (
        await Ledger.open(url) as opened,
        Session(emulator.key, hosts=emulator.hosts, ledger=opened) as fal,
    ):
        first = await fal.subscribe(MODEL, INPUT, key="order-42")
        again = await fal.subscribe(MODEL, INPUT, key="order-42")
        assert (first.from_ledger, again.from_ledger) == (False, True)
        await opened.forget("order-42")
    assert emulator.count("submit") == 1


def without_asyncpg(*arguments: str) -> Done:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ASYNCPG, "ledger", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        env=environment(),
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


# The SQL for an administrator.


async def test_a_role_with_the_printed_rights_can_use_the_printed_tables(
    place: Place, emulator: Emulator, ledger: Command
) -> None:
    printed = await ledger("schema", "--role", place.role)
    assert (printed.status, printed.err) == (0, "")
    place.run(printed.out)
    await pay_once(emulator, place.app)


async def test_the_schema_without_a_role_grants_nothing_and_names_the_option(
    place: Place, emulator: Emulator, ledger: Command
) -> None:
    printed = await ledger("schema")
    assert "GRANT" not in printed.out
    assert "fal-async ledger schema --role NAME" in printed.out
    place.run(printed.out)
    with pytest.raises(
        ConfigurationError, match=r"`fal-async ledger migrate --role NAME`.*permission denied"
    ):
        await pay_once(emulator, place.app)
    assert emulator.count("submit") == 0
    await pay_once(emulator, place.admin)


def test_the_schema_is_printed_without_asyncpg_and_without_a_database() -> None:
    printed = without_asyncpg("schema", "--role", "app")
    assert (printed.status, printed.err) == (0, "")
    assert "CREATE TABLE fal_async.entries" in printed.out
    assert 'GRANT USAGE ON SCHEMA fal_async TO "app";' in printed.out


async def test_the_schema_is_made_completely_or_not_at_all(place: Place, ledger: Command) -> None:
    printed = await ledger("schema", "--role", "nobody_has_this_name")
    with pytest.raises(subprocess.CalledProcessError):
        place.run(printed.out)
    assert place.run("SELECT count(*) FROM pg_namespace WHERE nspname = 'fal_async'") == "0"


# Rights of the role that opens a ledger.


async def test_a_role_that_may_not_make_the_tables_is_told_which_command_does(
    place: Place, emulator: Emulator
) -> None:
    with pytest.raises(
        ConfigurationError, match=r"`fal-async ledger migrate --role NAME`.*permission denied"
    ):
        await pay_once(emulator, place.app)
    assert emulator.count("submit") == 0


async def test_a_role_that_owns_the_empty_schema_makes_its_tables(place: Place, emulator: Emulator) -> None:
    place.run(f"CREATE SCHEMA fal_async AUTHORIZATION {place.role}")
    await pay_once(emulator, place.app)


@pytest.mark.parametrize(
    "missing", ["USAGE ON ALL SEQUENCES", "INSERT ON ALL TABLES", "UPDATE ON ALL TABLES"]
)
async def test_a_role_that_lacks_a_right_sends_nothing(
    place: Place, emulator: Emulator, ledger: Command, missing: str
) -> None:
    place.run((await ledger("schema", "--role", place.role)).out)
    place.run(f"REVOKE {missing} IN SCHEMA fal_async FROM {place.role}")
    with pytest.raises(ConfigurationError, match=r"permission denied for (sequence|table) owner"):
        await pay_once(emulator, place.app)
    assert emulator.count("submit") == 0


# Migrating.


async def test_migrate_makes_the_tables_and_a_second_time_does_nothing(place: Place, ledger: Command) -> None:
    shown = f"postgresql:///{name_in(place.admin)}"
    first, again = await ledger("migrate", place.admin), await ledger("migrate", place.admin, "--json")
    assert first == Done(0, f"{shown}: made the tables, version 1\n", "")
    assert (again.status, again.err) == (0, "")
    assert json.loads(again.out) == {"ledger": shown, "before": 1, "version": 1, "role": None}
    async with await Ledger.open(place.admin) as opened:
        assert (await opened.summary()).total == 0


async def test_migrate_grants_the_rights_of_a_role_also_if_the_tables_exist(
    odd_place: Place, emulator: Emulator, ledger: Command
) -> None:
    await ledger("migrate", odd_place.admin)
    done = await ledger("migrate", odd_place.admin, "--role", ODD)
    assert (done.status, done.err) == (0, "")
    assert done.out.endswith(
        f": nothing to do: the tables have version 1; granted the rights to the role {ODD}\n"
    )
    await pay_once(emulator, odd_place.app)


async def test_migrate_for_an_unknown_role_makes_nothing(place: Place, ledger: Command) -> None:
    done = await ledger("migrate", place.admin, "--role", "nobody_has_this_name")
    assert (done.status, done.out) == (exits.USAGE, "")
    assert done.err == "fal-async ledger migrate: --role nobody_has_this_name: create this role first\n"
    assert place.run("SELECT to_regclass('fal_async.meta') IS NULL") == "t"


async def test_migrate_by_a_role_without_the_right_says_who_must_run_it(
    place: Place, ledger: Command
) -> None:
    done = await ledger("migrate", place.app)
    assert (done.status, done.out) == (exits.USAGE, "")
    assert "an administrator must run `fal-async ledger migrate" in done.err
    assert len(done.err.splitlines()) == 1


async def test_tables_of_a_newer_version_are_left_alone_and_refused_if_they_say_so(
    place: Place, ledger: Command
) -> None:
    await ledger("migrate", place.admin)
    place.run("UPDATE fal_async.meta SET version = 7")
    assert (await ledger("migrate", place.admin)).out.endswith("nothing to do: the tables have version 7\n")
    place.run("UPDATE fal_async.meta SET min_version = 6")
    refused = await ledger("migrate", place.admin)
    assert (refused.status, refused.out) == (exits.USAGE, "")
    assert refused.err.endswith("it was written by a newer version of fal_async: update the package\n")


async def test_tables_of_an_older_version_are_refused_naming_migrate(place: Place, ledger: Command) -> None:
    await ledger("migrate", place.admin)
    place.run("UPDATE fal_async.meta SET version = 0")
    with pytest.raises(ConfigurationError, match="run `fal-async ledger migrate` first"):
        await Ledger.open(place.admin)


async def test_migrate_of_a_file_says_that_it_is_migrated_when_it_is_opened(
    ledger: Command, tmp_path: Path
) -> None:
    path = tmp_path / "runs.db"
    done = await ledger("migrate", str(path))
    assert (done.status, done.err) == (0, "")
    assert done.out == f"{path}: nothing to do: a ledger in a file is migrated when it is opened\n"
    assert json.loads((await ledger("migrate", str(path), "--json")).out)["version"] is None
    refused = await ledger("migrate", str(path), "--role", "app")
    assert (refused.status, refused.out) == (exits.USAGE, "")
    assert "--role: expected a database" in refused.err
    assert not path.exists()


# Errors, and passwords.


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("postgresql://me:secret@127.0.0.1:1/runs", exits.FAILED, "127.0.0.1:1/runs: can't reach the server"),
        ("postgresql://me:se/cret@host/runs", exits.USAGE, "in a password, write %40 for @, %2F for /"),
        ("postgresql://me:secret@host/runs?pool_size=0", exits.USAGE, "expected pool_size=1 to 100"),
        ("mysql://me:secret@host/runs", exits.USAGE, "expected a path"),
    ],
)
async def test_an_error_is_one_line_without_the_password(
    ledger: Command, url: str, status: int, said: str
) -> None:
    done = await ledger("migrate", url)
    assert (done.status, done.out) == (status, "")
    assert said in done.err
    assert "cret" not in done.err
    assert len(done.err.splitlines()) == 1


def test_migrate_without_asyncpg_names_the_extra_on_one_line() -> None:
    done = without_asyncpg("migrate", "postgresql://me:secret@host/runs")
    assert (done.status, done.out) == (exits.USAGE, "")
    assert done.err == (
        "fal-async ledger migrate: ledger=postgresql://... needs asyncpg: pip install 'fal-async[postgres]'\n"
    )


@pytest.mark.parametrize("role", ["", "two\nlines", "x" * 64])
def test_a_name_that_no_role_can_have_is_refused(role: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["ledger", "schema", "--role", role])
    assert "expected the name of a role: 1 to 63 bytes" in capsys.readouterr().err


@pytest.fixture
def needs_password(place: Place) -> Iterator[str]:
    """Return the URL of the ledger for a role that must give its password."""
    place.run(
        f"CREATE ROLE {WITH_PASSWORD} ROLE {place.role}; CREATE SCHEMA fal_async AUTHORIZATION {place.role}"
    )
    yield place.app
    place.cluster.run(f"DROP ROLE {WITH_PASSWORD}")


async def test_a_missing_password_is_reported_and_nothing_is_made(
    needs_password: str, ledger: Command
) -> None:
    done = await ledger("migrate", needs_password)
    assert (done.status, done.out) == (exits.USAGE, "")
    assert "password" in done.err


@pytest.mark.parametrize("variable", ["PGPASSWORD", "PGPASSFILE"])
async def test_a_password_is_read_from_the_variables_of_postgresql(
    needs_password: str,
    variable: str,
    ledger: Command,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    file = tmp_path / "pgpass"
    file.touch(mode=0o600)
    file.write_text("*:*:*:*:secret\n")
    monkeypatch.setenv(variable, str(file) if variable == "PGPASSFILE" else "secret")
    done = await ledger("migrate", needs_password)
    assert (done.status, done.err) == (0, "")
    await pay_once(emulator, needs_password)
