"""The documents' examples of a test with the fixtures of the pytest plugin pass under pytest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("document", ["README.md", "fal_async/emulator/README.md"])
def test_a_documents_example_of_a_test_passes_under_pytest(tmp_path: Path, document: str) -> None:
    found = re.search(r"```python\n(async def test_my_pipeline.*?)```", (ROOT / document).read_text(), re.S)
    assert found is not None
    (tmp_path / "test_example.py").write_text(found[1])
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    # Named, and without what is installed: so it is this tree's plugin, installed or not.
    plugins = ["-p", "pytest_asyncio.plugin", "-p", "fal_async.emulator.pytest_plugin"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-q"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
