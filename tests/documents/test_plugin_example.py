"""The documents' examples of tests with the fixtures of the pytest plugin pass under pytest."""

from __future__ import annotations

import re
from pathlib import Path

from tests.documents.code_blocks import PYTHON
from tests.emulator.pytest_plugin.running import ASYNCIO, run_pytest

EXAMPLES = [block for block in PYTHON if "test_plugin_example.py runs" in block.how]

SHARED = """
def test_one(fal_emulator):
    fal_emulator.add_account("other:key")

def test_other(fal_emulator, fal_env):
    assert "other" in fal_emulator.accounts
"""


def test_the_documents_examples_of_tests_pass_under_pytest(tmp_path: Path) -> None:
    """A comment in the first line of a block names its file. `conftest.py` is for a folder of its own."""
    files = {}
    for number, block in enumerate(EXAMPLES):
        named = re.match(r"# (\w+)\.py\n", block.code)
        files[named[1] if named else f"test_{number}"] = block.code
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "conftest.py").write_text(files.pop("conftest"))
    (shared / "test_shared.py").write_text(SHARED)
    done = run_pytest(tmp_path, *ASYNCIO, "--asyncio-mode=auto", **files)
    count = sum(len(re.findall(r"^(?:async )?def test_", block.code, re.M)) for block in EXAMPLES)
    assert done.summary == f"{count + 2} passed", done.shown
