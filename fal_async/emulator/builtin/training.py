"""`fal-ai/flux-lora-fast-training`: takes half a minute, logs its progress, and returns files."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

from fal_async.emulator.builtin.checking import Checker
from fal_async.emulator.jobs.job import JobContext

_SECONDS_PER_STEP = 0.03
_REPORTS = 20


async def train_lora(input: Any, job: JobContext) -> dict[str, Any]:
    check = Checker(input)
    images = check.text("images_data_url")
    trigger = check.text("trigger_word", "")
    steps = check.whole("steps", 1000, 1, 10_000) or 1000
    check.finish()
    job.log("Downloading and preparing the images")
    await job.sleep(1)
    await _train(steps, random.Random(images), job)
    job.log("Saving the weights")
    config = json.dumps({"images_data_url": images, "trigger_word": trigger, "steps": steps}).encode()
    return {
        "diffusers_lora_file": await job.file(
            _safetensors(images), "application/octet-stream", "pytorch_lora_weights.safetensors"
        ),
        "config_file": await job.file(config, "application/json", "config.json"),
    }


async def _train(steps: int, dice: random.Random, job: JobContext) -> None:
    done, loss = 0, 0.9
    for report in range(1, _REPORTS + 1):
        upto = steps * report // _REPORTS
        if upto == done:
            continue
        await job.sleep((upto - done) * _SECONDS_PER_STEP)
        done, loss = upto, loss * dice.uniform(0.84, 0.97)
        job.log(f"Training: {done / steps:4.0%} {done}/{steps} loss={loss:.4f}")


def _safetensors(seed: str) -> bytes:
    """Return a valid safetensors file: 8 bytes of length, a JSON header, the data."""
    data = random.Random(seed).randbytes(2 * 4 * 16)
    tensor = {"dtype": "F16", "shape": [4, 16], "data_offsets": [0, len(data)]}
    header = json.dumps({"transformer.lora_A.weight": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + data
