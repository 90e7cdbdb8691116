"""Every example of `--help` works."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fal_async.cli.verbs import leaves
from tests.cli.shell import Shell
from tests.documents.code_blocks import environment

NOT_RUN = {
    "fal-async demo": "tests/cli/test_demo.py",
    "fal-async emulator": "tests/cli/test_emulator.py",
    "fal-async ledger": "tests/cli/test_ledger.py",
    "fal-async proxy": "tests/cli/test_proxy.py",
    "eval": "tests/cli/test_completion.py",
}
"""How examples begin that another file tests."""
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003"
    "0101002e1ac4d20000000049454e44ae426082"
)
_NEEDS_SHELL = re.compile(r"[|>*$]|^\w+=")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-\S+")


EXAMPLES = [(name, example) for name, module in leaves() for example in module.EXAMPLES]


@pytest.mark.parametrize("name", [name for name, _ in leaves()])
def test_each_verb_has_an_example_of_itself(name: str) -> None:
    assert any(f"fal-async {name}" in example for verb, example in EXAMPLES if verb == name)


@pytest.mark.parametrize(("name", "module"), list(leaves()))
def test_each_verb_prints_json_for_programs(name: str, module: ModuleType) -> None:
    parser = argparse.ArgumentParser(prog=name)
    module.configure(parser)
    assert "--json" in parser.format_usage()


@pytest.fixture
def folder(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make what the examples name: a model, and files in the current folder."""

    @shell.emulator.endpoint("fal-ai/clarity-upscaler")
    async def upscale(input: dict[str, Any]) -> dict[str, Any]:
        return {"image": {"url": input["image_url"]}}

    monkeypatch.chdir(tmp_path)
    for name, content in {
        "prompt.txt": "a cat",
        "input.json": '{"prompt": "a cat", "num_inference_steps": 1}',
        "prompts.jsonl": '{"prompt": "a cat", "num_inference_steps": 1}\n',
    }.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "cat.png").write_bytes(PICTURE)
    (tmp_path / "handle.json").write_text(shell.run("submit", "fal-ai/any-llm", "prompt=x", "--json").out)
    return tmp_path


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_each_example_works_as_it_is_written(
    name: str, example: str, shell: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if any(example.startswith(begin) or f" {begin}" in example for begin in NOT_RUN):
        pytest.skip("tested in another file")
    if name in ("batch status", "batch uncertain", "batch export"):
        batch = ("batch", "run", "fal-ai/flux/schnell", "prompts.jsonl", "--ledger", "runs.db")
        assert shell.run(*batch).status == 0
    if name == "types" and example.endswith(" --check"):
        assert shell.run(*shlex.split(example)[1:-1]).status == 0
    submitted = shell.run("submit", "fal-ai/flux/dev", "prompt=x", "num_inference_steps:=1").out.strip()
    shell.run("result", "fal-ai/flux/dev", submitted, "--wait")
    if name == "usage":
        monkeypatch.setenv("FAL_KEY", shell.emulator.admin_key)
    line = _ID.sub(submitted, example)
    line = re.sub(r"https://v3\S+", lambda _: shell.run("upload", "cat.png").out.strip(), line)
    line = line.replace("http://127.0.0.1:8765", shell.emulator.url)
    if not _NEEDS_SHELL.search(line):
        done = shell.run(*shlex.split(line)[1:])
        too_late = name == "cancel" and "has completed in the meantime" in done.out
        assert (done.status, done.out + done.err != "") == (int(too_late), True), done.err
        return
    program = folder / "fal-async"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fal_async "$@"\n')
    program.chmod(0o755)
    own = {"FAL_BASE_URL": shell.emulator.url, "FAL_KEY": shell.emulator.key}
    process = subprocess.run(
        ["sh", "-c", line],
        env=environment(PATH=f"{folder}:/usr/bin:/bin", **own),
        capture_output=True,
        timeout=50,
    )
    assert process.returncode == 0, process.stderr
