"""Where the ledger of a Ray cluster may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fal_async.errors import ConfigurationError
from fal_async.integrations.ray.places import check_absolute, check_ledger, check_shared, machines_of_cluster

SERVER = "postgresql://user:secret@db/fal"


@pytest.mark.parametrize(
    "ledger", [SERVER, "/data/runs.db", Path("/data/runs.db"), "sqlite:////data/runs.db", "~/runs.db"]
)
def test_a_url_and_an_absolute_path_are_accepted_as_the_ledger(ledger: Any) -> None:
    check_ledger(ledger)


@pytest.mark.parametrize("ledger", ["runs.db", Path("out/runs.db"), "sqlite:///runs.db"])
def test_a_relative_path_is_refused_because_actors_have_other_folders(ledger: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"expected an absolute path, such as '/data/runs\.db'"):
        check_ledger(ledger)


def test_an_open_ledger_is_refused_because_it_belongs_to_one_process() -> None:
    with pytest.raises(
        ConfigurationError, match="ledger is of type object: expected an absolute path or a URL"
    ):
        check_ledger(object())


def test_a_relative_folder_is_refused_and_no_folder_is_accepted() -> None:
    check_absolute("download", None)
    with pytest.raises(
        ConfigurationError, match="download='out': expected an absolute path, such as '/data/out'"
    ):
        check_absolute("download", "out")


def test_a_file_is_refused_as_the_ledger_of_several_machines() -> None:
    machines = {"192.0.2.1", "192.0.2.2"}
    with pytest.raises(
        ConfigurationError, match=r"use ledger='postgresql://...': this cluster has 2 machines"
    ):
        check_shared("/data/runs.db", machines)
    check_shared(SERVER, machines)
    check_shared("/data/runs.db", {"192.0.2.1"})
    check_shared("/data/runs.db", set())


def test_a_process_outside_of_a_cluster_has_no_machines() -> None:
    assert machines_of_cluster() == set()
