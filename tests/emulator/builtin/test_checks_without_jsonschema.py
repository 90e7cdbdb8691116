"""The built-in models refuse bad inputs in the same words with and without jsonschema."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tests.emulator.caller import Caller

CALLS: tuple[tuple[str, Any], ...] = (
    ("fal-ai/flux/dev", {}),
    ("fal-ai/flux/dev", []),
    ("fal-ai/flux/dev", {"prompt": 5, "num_images": 9, "seed": -1, "num_inference_steps": 0}),
    ("fal-ai/flux/dev", {"prompt": "x", "image_size": "huge"}),
    ("fal-ai/flux/dev", {"prompt": "x", "image_size": {"width": 0, "height": "a"}}),
    ("fal-ai/any-llm", {"prompt": []}),
    ("fal-ai/fast-lcm-diffusion", {"prompt": "x", "size": 5000, "seed": "a"}),
    ("fal-ai/flux-lora-fast-training", {"steps": 0}),
    ("fal-ai/whisper", {"task": "dance"}),
    ("fal-ai/chatterbox/text-to-speech", {"text": "x", "temperature": "hot"}),
)
PROGRAM = """
import asyncio, importlib.util, json, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in ("jsonschema", "msgspec") else find(name, *more)
sys.modules["jsonschema"] = sys.modules["msgspec"] = None
import aiohttp
from fal_async.emulator import Emulator

async def main():
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        for endpoint_id, input in json.loads(sys.argv[1]):
            key = {"Authorization": f"Key {emulator.key}"}
            async with http.post(f"{emulator.url}/fal.run/{endpoint_id}", json=input, headers=key) as answer:
                print(json.dumps([answer.status, await answer.json()]))

asyncio.run(main())
"""


async def test_bad_inputs_of_built_in_models_get_the_same_entries_without_jsonschema(caller: Caller) -> None:
    command = [sys.executable, "-c", PROGRAM, json.dumps(CALLS)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    without = [json.loads(line) for line in out.splitlines()]
    for (endpoint_id, input), (status, body) in zip(CALLS, without, strict=True):
        checked = await caller.run(endpoint_id, input)
        assert (status, body) == (checked.status, checked.data), (endpoint_id, input)
        assert status == 422
