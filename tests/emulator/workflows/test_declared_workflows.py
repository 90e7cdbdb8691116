"""Workflows in a file of `--endpoints`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fal_async.emulator import Emulator
from fal_async.emulator.serving.own_endpoints import add_declared
from tests.emulator.caller import calling

MODELS = """
[endpoints."me/poet"]
answer = { poem = "O {input.theme}!" }

[workflows]
"me/story" = "story.json"

[workflows."me/inline"]
nodes.text = { app = "workflows/me/story", input = { theme = "$input.theme" } }
output = { all = "$text" }
"""
STORY = {
    "nodes": {"text": {"type": "run", "app": "me/poet", "input": {"theme": "$input.theme"}}},
    "output": {"story": "$text.poem"},
}


async def test_a_file_of_endpoints_declares_workflows_by_a_file_or_a_table(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(MODELS)
    (tmp_path / "story.json").write_text(json.dumps(STORY))
    emulator = Emulator(builtins=False)
    add_declared(emulator, tmp_path / "models.toml")
    async with calling(emulator) as caller:
        assert (await caller.run("workflows/me/story", {"theme": "sea"})).data == {"story": "O sea!"}
        assert (await caller.run("workflows/me/inline", {"theme": "sea"})).data == {
            "all": {"story": "O sea!"}
        }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[workflows]\n"me/story" = "none.json"', r'workflows."me/story": .*No such file'),
        ('[workflows]\n"me/story" = 1', r'workflows."me/story": expected a str, but it is 1'),
        ('[workflows]\n"story" = {}', r"workflows.story: 'story' is not the id of a workflow"),
        ('[workflows."me/a"]\nnodes.b.depends = ["c"]', r'"me/a": nodes.b.depends: \'c\' refers to a node'),
        ("workflows = 1", "workflows: expected a table"),
    ],
)
def test_a_wrong_workflow_of_a_file_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "models.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        add_declared(Emulator(builtins=False), tmp_path / "models.toml")
