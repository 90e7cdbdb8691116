"""`fal-async completion`: the scripts are valid, and completion in bash completes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fal_async.cli import main
from tests.documents.code_blocks import environment

WITHOUT_ARGCOMPLETE = """
import sys; sys.modules["argcomplete"] = None
from fal_async.cli import main
sys.exit(main(sys.argv[1:]))
"""
# What bash does when the tab key is pressed.
PRESS_TAB = """
eval "$(fal-async completion bash)"
for line in "$@"; do
    COMP_LINE=$line COMP_POINT=${#line} COMP_TYPE=9 COMPREPLY=()
    _python_argcomplete fal-async
    echo "${COMPREPLY[*]}"
done
"""


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_valid(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    assert "_ARGCOMPLETE" in text
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([program, "-n"], input=text, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_json_of_completion_has_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    text = script("bash", capsys)
    assert main(["completion", "bash", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"shell": "bash", "script": text.rstrip("\n")}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_verbs_parts_options_choices_and_files(tmp_path: Path) -> None:
    program = tmp_path / "fal-async"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fal_async "$@"\n')
    program.chmod(0o755)
    (tmp_path / "prompts.jsonl").touch()
    lines = {
        "fal-async subs": {"subscribe"},
        "fal-async batch ": {"run", "status", "uncertain", "export", "-h", "--help"},
        "fal-async subscribe --idem": {"--idempotency-key"},
        "fal-async batch run --max-": {"--max-failures", "--max-cost"},
        "fal-async submit me/model --priority ": {"normal", "low"},
        "fal-async batch run me/model pro": {"prompts.jsonl"},
    }
    variables = environment(PATH=f"{tmp_path}:/usr/bin:/bin")
    done = subprocess.run(
        ["bash", "-c", PRESS_TAB, "bash", *lines],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.stderr == ""
    assert [set(line.split()) for line in done.stdout.splitlines()] == list(lines.values())


def test_without_argcomplete_the_extra_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ARGCOMPLETE, "completion", "bash"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "fal-async completion: needs argcomplete: pip install 'fal-async[cli]'\n"
