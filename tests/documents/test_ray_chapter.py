"""The programs of the chapter on Ray, on a real Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from fal_async.emulator import Emulator
from tests.documents.code_blocks import Block, blocks_of
from tests.testbed.ray_cluster import needs_ray, printed_by

BLOCKS = blocks_of(
    "fal_async/integrations/ray/README.md", "ray_dataset", "ray_input", "ray_columns", "ray_core"
)
PROGRAM = """
from tests.testbed.ray_cluster import ray_on_this_machine

with ray_on_this_machine():
    exec(compile(open("block.py").read(), "block.py", "exec"), {"__name__": "block"})
"""
pytestmark = [needs_ray, pytest.mark.timeout(120)]


async def printed(block: Block, emulator: Emulator, data: Path) -> str:
    """What a program prints, with the folder `data` in place of /data."""
    assert '"/data/' in block.code
    (data / "block.py").write_text(block.code.replace('"/data/', f'"{data}/'))
    return await printed_by(("-c", PROGRAM), emulator, data)


async def test_the_dataset_of_the_chapter_is_mapped_and_written(emulator: Emulator, tmp_path: Path) -> None:
    import pyarrow.parquet

    lines = [f'{{"id": "p{n}", "prompt": "a cat on planet {n}"}}\n' for n in range(5)]
    (tmp_path / "prompts.jsonl").write_text("".join(lines))
    await printed(BLOCKS["ray_dataset"], emulator, tmp_path)
    table = pyarrow.parquet.read_table(tmp_path / "pictures")
    assert table.column_names == ["id", "prompt", "output", "request_id", "error"]
    assert emulator.count("submit") == 5
    assert set(table["request_id"].to_pylist()) == set(emulator.jobs)
    assert table["error"].null_count == len(table)


async def test_photos_of_a_folder_are_uploaded_and_edited(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "portrait.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    out = await printed(BLOCKS["ray_input"], emulator, tmp_path)
    (file,) = (tmp_path / "edited").iterdir()
    assert str(file) in out
    assert (emulator.count("submit"), len(emulator.uploads)) == (1, 1)


async def test_typed_columns_and_bytes_of_files_are_printed(emulator: Emulator, tmp_path: Path) -> None:
    out = await printed(BLOCKS["ray_columns"], emulator, tmp_path)
    seed, width, size, word = out.splitlines()[-1].split()
    assert (int(seed) > 0, width, int(size) > 1000, word) == (True, "1024", True, "bytes")


async def test_an_actor_and_tasks_with_the_same_keys_pay_once(emulator: Emulator, tmp_path: Path) -> None:
    await printed(BLOCKS["ray_core"], emulator, tmp_path)
    assert emulator.count("submit") == 3
