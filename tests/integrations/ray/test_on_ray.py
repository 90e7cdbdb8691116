"""`FalMapper` on a real Ray."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fal_async import Ledger
from fal_async.emulator import Emulator, JobContext, ModelError
from tests.integrations.ray.programs import FORMATS, PICTURES, numbered
from tests.testbed.ray_cluster import needs_ray, printed_by

pytestmark = [needs_ray, pytest.mark.timeout(120)]
ODD = "ValidationError: 422 an odd number"


@pytest.fixture
def pictures(emulator: Emulator) -> Emulator:
    """An emulator with a model that refuses odd numbers."""

    @emulator.endpoint(PICTURES)
    async def paint(input: Any, job: JobContext) -> Any:
        if input["n"] % 2:
            raise ModelError(422, "an odd number")
        file = await job.file(b"picture %d" % input["n"], "image/png", f"{input['n']}.png")
        return {"n_seen": input["n"], "input": input, "images": [file]}

    return emulator


async def run(program: str, emulator: Emulator, **arguments: str) -> list[Any]:
    """Return what the program got."""
    module = ("-m", "tests.integrations.ray.programs", program, json.dumps(arguments))
    found: list[Any] = json.loads((await printed_by(module, emulator)).splitlines()[-1])
    return found


async def test_rows_of_each_batch_format_are_the_same_requests_and_get_typed_columns(
    pictures: Emulator, tmp_path: Path
) -> None:
    found = await run("formats", pictures, folder=str(tmp_path), ledger=str(tmp_path / "runs.db"))
    assert [each["format"] for each in found] == [*FORMATS]
    for each in found:
        assert each["types"] == {
            "n_seen": "int64",
            "images": "list<element: struct<url: string>>",
            "request_id": "string",
            "error": "string",
        }
        assert each["rows"] == found[0]["rows"]  # with the same request ids
    for n, row in enumerate(found[0]["rows"]):
        assert row["id"] == f"row-{n}"
        assert row["request_id"] in pictures.jobs
        if n % 2:
            assert (row["n_seen"], row["images"]) == (None, None)
            assert row["error"].startswith(ODD)
        else:
            assert (row["n_seen"], row["error"]) == (n, None)
            assert row["images"][0]["url"].startswith(pictures.url)
    inputs = [job.input for job in pictures.jobs.values()]
    rows = [{name: row[name] for name in row if name != "id" and row[name] is not None} for row in numbered()]
    assert sorted(inputs, key=lambda input: int(input["n"])) == rows


async def test_the_files_of_a_result_are_returned_as_paths_or_as_bytes(
    pictures: Emulator, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    found = await run("files", pictures, folder=str(folder), ledger=str(tmp_path / "runs.db"))
    by_path, by_bytes = found[:3], found[3:]
    assert [each["data"] for each in by_path] == [each["data"] for each in by_bytes]
    for n, (paths, parts) in zip((0, 2, 4), zip(by_path, by_bytes, strict=True), strict=True):
        assert paths["paths"] == [str(folder / f"row-{n}-0.png")]
        assert parts["bytes"] == [Path(paths["paths"][0]).read_text()] == [f"picture {n}"]
    assert len(pictures.jobs) == 3


async def test_a_failed_row_fails_the_dataset_by_default_and_no_file_of_ray_has_the_key(
    pictures: Emulator, tmp_path: Path
) -> None:
    ledger, key = str(tmp_path / "runs.db"), "someone:1d2f3a4b5c6d7e8f"
    pictures.add_account(key)
    row, place, refused, logs = await run("failures", pictures, ledger=ledger, credentials=key)
    assert re.search(r"ValidationError: 422 key 'row-[135]': an odd number", row)
    assert "ledger='runs.db': expected an absolute path" in place
    assert "AuthenticationError" in refused
    assert logs["read"] > 5
    assert logs["with the key"] == []
    assert max(Counter(job.input["n"] for job in pictures.jobs.values()).values()) == 1
    async with await Ledger.open(ledger) as kept:
        states = {entry.input["n"]: entry.state async for entry in kept.entries()}
    assert states == {n: "failed" if n % 2 else "done" for n in states}
    assert "failed" in states.values()
