"""The tables of the benchmarks' README.md are made from raw results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from benchmarks.harness.figures import cpu_ratio, delay, find, grouped, requests_each
from benchmarks.harness.load import Load
from benchmarks.harness.readme import rewrite
from benchmarks.harness.tables import TABLES
from benchmarks.harness.targets import targets

ABOUT = {
    "taken": "2026-11-25T00:00:00+00:00",
    "cpus": 2,
    "cpu": "some CPU",
    "load_average": 0.5,
    "python": "3.11.9",
    "packages": {"aiohttp": "3.14.5", "fal-client": None},
}


def result(rival: str, cpu: float, *, delays: tuple[float, ...] = (0.1,), **load: Any) -> dict[str, Any]:
    return {
        "load": attrs.asdict(Load(rival=rival, total=10, at_once=10, **load)),
        "finished": 10,
        "errors": {},
        "wall": 2 * cpu,
        "cpu": cpu,
        "memory": 10_000,
        "stall": 0.0,
        "delays": list(delays),
        "server": {
            "requests": {"submit": 10, "status": 30, "result": 10},
            "submissions": 10,
            "connections": 10,
            "most_connections": 10,
            "cpu": 0.1,
            "cpu_share": 0.1,
        },
    }


def failed(rival: str) -> dict[str, Any]:
    return {"load": attrs.asdict(Load(rival=rival, total=10, at_once=10)), "finished": 0, "errors": {"X": 10}}


def test_the_cpu_ratio_is_computed_within_each_round() -> None:
    """The second round is twice as slow for both clients, which does not change the ratio."""
    rounds = [
        [result("aiohttp", 1.0), result("fal_async", 1.2)],
        [result("fal_async", 2.4), result("aiohttp", 2.0)],
    ]
    data = {"rounds": rounds}
    assert cpu_ratio(data, find(data, rival="fal_async"), "aiohttp") == pytest.approx(1.2)


def test_the_cpu_ratio_without_its_base_is_none() -> None:
    data = {"rounds": [[failed("aiohttp"), result("fal_async", 1.2)]]}
    assert cpu_ratio(data, find(data, rival="fal_async"), "aiohttp") is None


def test_rounds_of_one_load_are_grouped_and_their_delays_pooled() -> None:
    data = {
        "rounds": [
            [result("fal_async", 1.0, delays=(0.1, 0.3))],
            [result("fal_async", 1.0, delays=(0.2,))],
        ]
    }
    [results] = grouped(data)
    assert len(results) == 2
    assert delay(results, 0.5) == 0.2
    assert requests_each(results, "status") == 3
    assert requests_each(results) == 5


@pytest.mark.parametrize("part", ["calls", "noticing", "crowd", "large"])
def test_a_failed_measurement_is_shown_with_its_errors(part: str) -> None:
    data = {"rounds": [[result("aiohttp", 1.0, seconds=10.0), failed("fal-client")]]}
    table = TABLES[part](data)
    assert "10 X" in table
    assert {line.count("|") for line in table.splitlines()} == {table.splitlines()[0].count("|")}


def test_a_missed_target_is_shown_with_the_difference() -> None:
    data = {"rounds": [[result("aiohttp", 1.0), result("fal_async", 1.5)]]}
    data["rounds"][0][0]["load"]["at_once"] = data["rounds"][0][1]["load"]["at_once"] = 1000
    table = targets({"calls": data})
    assert "1.5 x" in table
    assert "no, by 0.1 x" in table


def test_rewriting_the_readme_changes_only_its_tables(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(
        "before\n<!-- table: crowd -->\nold\n<!-- end -->\nbetween\n<!-- table: calls -->\n<!-- end -->\n"
    )
    data = {"about": ABOUT, "rounds": [[result("aiohttp", 1.0)]]}
    (tmp_path / "calls.json").write_text(json.dumps(data))
    rewrite(page, tmp_path)
    text = page.read_text()
    assert text.startswith("before\n<!-- table: crowd -->\nNot measured yet.\n<!-- end -->\nbetween\n")
    assert "| subscribe | 10 | aiohttp, polling |" in text
    rewrite(page, tmp_path)
    assert page.read_text() == text
