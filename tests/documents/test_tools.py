"""What the documents say of `make` is so, and the tools have one version, which pyproject.toml pins."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
HOOKS = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / ".github").rglob("*.md"))]


def targets() -> list[str]:
    return [name for line in re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.M) for name in line.split()]


def test_make_alone_lists_every_target_and_does_nothing() -> None:
    # `make test` hands its own flags down, and its children name the folder that they are in.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=20
    )
    lines = [re.fullmatch(r"make (\S+) +(\S.*)", line) for line in done.stdout.splitlines()]
    assert [line[1] if line else line for line in lines] == targets()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_target_that_a_document_names_is_one(document: Path) -> None:
    named = re.findall(r"(?:`|^\$ )make ([a-z-]+)", document.read_text(encoding="utf-8"), re.M)
    assert set(named) - set(targets()) == set()


def test_hooks_run_the_pinned_tools_and_have_no_version_of_their_own() -> None:
    assert re.findall(r"repo: (.+)", HOOKS) == ["local"]
    assert not re.search(r"^\s*(rev|additional_dependencies):", HOOKS, re.M)
    entries = re.findall(r"entry: (\S+)", HOOKS)
    tools = {entry.removeprefix(".venv-test/bin/") for entry in entries}
    assert tools == {"ruff", "mypy"}
    dev = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]["dev"]
    assert tools <= {
        requirement.partition("==")[0]
        for requirement in dev
        if isinstance(requirement, str) and "==" in requirement
    }


@pytest.mark.parametrize("workflow", [*WORKFLOWS, ROOT / ".ci" / "run"], ids=lambda path: path.name)
def test_ci_calls_targets_that_exist(workflow: Path) -> None:
    called = re.findall(r"^\s*(?:- run: )?make ([a-z-]+)", workflow.read_text(encoding="utf-8"), re.M)
    assert called
    assert set(called) - set(targets()) == set()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_of_a_workflow_runs_one_target_and_nothing_else(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    jobs = re.split(r"^  (?=\w+:$)", text.split("\njobs:\n", 1)[1], flags=re.M)[1:]
    for job in jobs:
        commands = re.findall(r"\brun: (.+)", job)
        assert len(commands) == ("publish" not in job.partition(":")[0])
        assert all(command.startswith("make ") for command in commands)
    assert "\t" not in text
