"""The URL of a ledger in PostgreSQL: its options, and that no message shows a part of its password."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fal_async import ConfigurationError
from fal_async.ledger.opening import checked_place
from fal_async.ledger.postgres.postgres_address import address_of


def test_the_options_of_the_ledger_are_taken_out_and_those_of_the_driver_are_kept() -> None:
    direct = "postgresql://me@db:5432/runs?sslmode=require"
    address = address_of(
        f"postgres://me:secret@pooler/runs?pool_size=2&sslmode=require&direct={quote(direct)}"
    )
    assert address.url == "postgres://me:secret@pooler/runs?sslmode=require"
    assert (address.direct, address.pool_size, address.name) == (direct, 2, "postgres://pooler/runs")
    assert "secret" not in repr(address)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me@h1:1,[::1]:2,h3/runs", "postgresql://h1:1,[::1]:2,h3/runs"),
        ("postgresql://%2Fvar%2Frun/runs", "postgresql://%2Fvar%2Frun/runs"),
        ("postgresql:///runs?host=/tmp&user=me", "postgresql:///runs"),
        ("postgresql://host/runs?password=secret", "postgresql://host/runs"),
        ("postgresql://", "postgresql://"),
    ],
)
def test_the_name_of_an_address_has_only_hosts_and_the_database(url: str, name: str) -> None:
    assert address_of(url).name == name
    assert "secret" not in repr(address_of(url))


@pytest.mark.parametrize("size", ["0", "101", "-1", "two", "", "4.0"])
def test_a_pool_size_out_of_range_is_refused_with_the_default(size: str) -> None:
    with pytest.raises(ConfigurationError, match=r"expected pool_size=1 to 100 \(default 4\)"):
        address_of(f"postgresql://host/runs?pool_size={size}")


def test_a_direct_address_that_is_not_a_url_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"expected direct=postgresql://\.\.\."):
        address_of("postgresql://pooler/runs?direct=db:5432")


@given(
    st.sampled_from(["postgresql://", "postgres://", "postgresql:/", "POSTGRESQL:", "postgresql:///"]),
    st.text("abc19/?#@:%[]&= ,"),
    st.text("abc19/?#@:%[]&= ,"),
    st.sampled_from(["", "?sslmode=require", "?pool_size=x", "#part"]),
)
@example("postgresql://", "a/", "", "")
@example("postgresql://", "a?", "", "")
@example("postgresql://", "1/", "", "")
@example("postgresql://", "", "?a=", "")
@example("postgresql:", "", "", "")
@example("postgresql://", "@", "?=", "")
@example("postgresql://", "@", "?a=", "?sslmode=require")
def test_no_message_shows_a_password_even_if_it_is_not_escaped(
    begin: str, before: str, after: str, options: str
) -> None:
    try:
        shown = address_of(f"{begin}me:{before}SECRET{after}@host/runs{options}").name
    except ConfigurationError as error:
        shown = str(error)
    assert "SECRET" not in shown


@pytest.mark.parametrize("password", ["se?cret", "se/cret", "se#cret", "12?3", "12/3"])
@pytest.mark.parametrize("options", ["", "?sslmode=require"])
def test_a_password_that_is_not_escaped_is_refused_with_the_way_to_escape_it(
    password: str, options: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"in a password, write %40 for @, %2F for /, %3F for \?"):
        address_of(f"postgresql://me:{password}@host/runs{options}")


def test_a_password_may_also_be_an_option_of_the_url() -> None:
    address = address_of("postgresql://host/runs?password=p@ss&user=me%40example")
    assert address.url == "postgresql://host/runs?password=p%40ss&user=me%40example"


@given(st.text(min_size=1))
def test_an_escaped_password_reaches_the_driver_unchanged(password: str) -> None:
    safe = quote(password.encode("utf-8", "replace"), safe="")
    assert address_of(f"postgresql://me:{safe}@host/runs").url == f"postgresql://me:{safe}@host/runs"


def test_a_url_that_was_made_a_path_is_refused_because_a_path_changes_it() -> None:
    with pytest.raises(ConfigurationError, match="pass a URL as a str") as refused:
        checked_place(Path("postgresql://me:secret@host/runs"))
    assert "secret" not in str(refused.value)


def test_a_ledger_in_a_database_without_asyncpg_is_refused_naming_the_extra() -> None:
    script = (
        "import sys; sys.modules['asyncpg'] = None\n"
        "from fal_async import Session\n"
        "Session(ledger='postgresql://me:secret@host/runs')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False
    )
    assert "needs asyncpg: pip install 'fal-async[postgres]'" in done.stderr.splitlines()[-1]
    assert "secret" not in done.stderr.splitlines()[-1]
