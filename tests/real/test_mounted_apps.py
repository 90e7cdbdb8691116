"""Applications of frameworks that we do not use elsewhere, in the process of the emulator."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.real.conftest import SCRIPTS, output_of, python_with

ROOT = Path(__file__).parents[2]


async def test_applications_of_four_frameworks_work_when_they_are_mounted(workshop: Path) -> None:
    python = python_with(workshop, "python-mounted")
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    out = await output_of(python, SCRIPTS / "python" / "mounted_apps.py", env={"PYTHONPATH": paths})
    found = json.loads(out.splitlines()[-1])
    for name in ("fal", "flask", "quart", "litestar"):
        assert found[name]["output"] == "HELLO"
        assert found[name]["events"] == 2
        assert [message for _, message in found[name]["logs"]] == ["upper hello"]
    assert found["fal"]["schemas"] == ["Answer", "CancelOutcome", "Prompt", "QueueStatus"]
    assert [found[name]["schemas"] for name in ("flask", "quart", "litestar")] == [None] * 3
