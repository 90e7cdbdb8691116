"""`llms.txt` of fal.ai and of each model (protocol 16.3)."""

from __future__ import annotations

import ast
import json
import re
import shlex
from typing import Any

from tests.emulator.caller import Caller


async def text_of(caller: Caller, path: str) -> str:
    answer = await caller.get(path, headers={})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    return answer.body.decode()


def block(text: str, language: str) -> str:
    found = re.search(f"```{language}\n(.*?)\n```", text, re.DOTALL)
    assert found is not None
    return found[1]


async def test_the_text_of_a_model_has_types_defaults_limits_choices_and_the_price(caller: Caller) -> None:
    text = await text_of(caller, "/fal.ai/models/fal-ai/flux/dev/llms.txt")
    assert text.startswith("# FLUX.1 [dev]\n\n> ")
    for line in (
        "- **Endpoint**: `https://fal.run/fal-ai/flux/dev`",
        "- **Category**: text-to-image",
        "- **Price**: $0.025 per image",
        "- **`prompt`** (`string`, _required_):",
        "- **`image_size`** (`ImageSize | Enum`, _optional_):",
        "- **`guidance_scale`** (`float`, _optional_):",
        "- **`images`** (`list<Image>`, _required_):",
        '  - Default: `"landscape_4_3"`',
        "  - Range: `1` to `4`",
        '  - Options: `"jpeg"`, `"png"`',
    ):
        assert f"\n{line}\n" in text


async def test_the_snippets_of_a_model_send_its_required_fields(caller: Caller) -> None:
    schema = {
        "type": "object",
        "required": ["prompt", "style", "count"],
        "properties": {
            "prompt": {"type": "string", "examples": ['a cat\'s "nose"']},
            "style": {"enum": ["oil", "ink"]},
            "count": {"type": "integer"},
        },
    }

    @caller.emulator.endpoint("me/painter", input_schema=schema)
    async def painter(input: Any) -> Any:
        return input

    text = await text_of(caller, "/fal.ai/models/me/painter/llms.txt")
    wanted = {"prompt": 'a cat\'s "nose"', "style": "oil", "count": 0}
    assert json.loads(block(text, "json")) == wanted
    command = shlex.split(block(text, "bash").replace("\\\n", " "))
    assert json.loads(command[command.index("--data") + 1]) == wanted
    (call,) = [node for node in ast.walk(ast.parse(block(text, "python"))) if isinstance(node, ast.Dict)]
    assert ast.literal_eval(call) == wanted
    assert "Pricing" not in text


async def test_a_model_without_schemas_has_a_text_with_its_snippets(caller: Caller) -> None:
    @caller.emulator.endpoint("me/plain")
    async def plain(input: Any) -> Any:
        return input

    text = await text_of(caller, "/fal.ai/models/me/plain/llms.txt")
    assert 'fal_client.subscribe("me/plain", arguments={})' in text


async def test_the_overview_lists_every_endpoint_with_its_own_text(caller: Caller) -> None:
    text = await text_of(caller, "/fal.ai/llms.txt")
    assert "(https://fal.ai/models/fal-ai/flux/dev/llms.txt)" in text


async def test_a_text_of_an_unknown_model_is_not_found(caller: Caller) -> None:
    for path in ("models/me/nothing/llms.txt", "models//llms.txt", "docs/llms.txt", "models/fal-ai/flux/dev"):
        assert (await caller.get(f"/fal.ai/{path}", headers={})).status == 404
