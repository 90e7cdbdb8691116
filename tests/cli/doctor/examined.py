"""Runs `fal-async doctor` as a separate process with chosen environment variables."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).parents[3]


@attrs.frozen
class Report:
    status: int | None
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    def found(self, topic: str, name: str) -> dict[str, Any]:
        (one,) = [
            each for each in self.document["findings"] if (each["topic"], each["name"]) == (topic, name)
        ]
        found: dict[str, Any] = one
        return found

    def states(self, topic: str) -> dict[str, str]:
        return {each["name"]: each["state"] for each in self.document["findings"] if each["topic"] == topic}


async def doctor(*arguments: str, **variables: str) -> Report:
    """Run it, with `--json` unless `arguments` have `--text`."""
    words = [word for word in arguments if word != "--text"]
    as_json = [] if "--text" in arguments else ["--json"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "fal_async", "doctor", *words, *as_json),
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Report(process.returncode, out.decode(), err.decode())
