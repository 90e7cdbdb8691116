"""The benchmark programs that make their own tables, with small loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import storage, streaming
from benchmarks.emulator_load import measures
from benchmarks.emulator_load.virtual_hour import virtual_hour
from benchmarks.harness import processes


def test_uploads_are_verified_by_hash_and_their_parts_counted(tmp_path: Path) -> None:
    file = tmp_path / "file"
    digest = storage.make_file(file, 11 * storage.MIB)
    with processes.server("emulator", str(tmp_path / "cdn")) as url:
        for name in ("fal_async up", "aiohttp by hand up"):  # only the second sends so small a file in parts
            figures = storage.upload_once(name, tmp_path, url, file, digest)
            assert figures.get("same"), figures
        assert storage.parts_sent(url) == 2


def test_a_failed_transfer_is_recorded_without_figures(tmp_path: Path) -> None:
    with processes.server("emulator") as url:
        figures = storage.measure("fal_async up", url, str(tmp_path / "missing"))
    assert list(figures) == ["failed"]
    assert "missing" in figures["failed"]


@pytest.mark.parametrize(("table", "count"), [("streams", 100), ("realtime", 20)])
def test_every_client_reads_the_whole_stream(table: str, count: int) -> None:
    taken = streaming.take(table, count, rounds=1)
    assert {figures["count"] for rounds in taken.values() for figures in rounds} == {count}
    assert "fal_async" in taken


def test_the_load_of_the_emulator_is_measured_with_every_request_answered() -> None:
    assert measures.at_once(20)["lost"] == 0
    assert measures.waiting_jobs(20).keys() == {"submit", "status", "cancel"}
    assert measures.status_streams(3)["mib"] > 0
    assert measures.requests("bare", 0.1)["per_cpu_second"] > 0


def test_a_virtual_hour_is_measured_with_every_webhook_delivered() -> None:
    taken = virtual_hour(60)
    assert taken["webhook_attempts"] == 24
    assert taken["virtual"] > 3_000
