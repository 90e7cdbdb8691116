"""`llm`, the command line tool for language models, with the plug-in llm-fal: a picture, and a model's options."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

with tempfile.TemporaryDirectory() as folder:
    environ = {**os.environ, "FAL_API_KEY": os.environ["FAL_KEY"], "LLM_USER_PATH": folder}
    program = Path(sys.executable).with_name("llm")

    def llm(*arguments: str) -> str:
        run = subprocess.run([program, *arguments], env=environ, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    assert "fal-ai/flux/schnell" in llm("models")
    for model in ("fal-ai/flux/schnell", "fal-ai/fast-sdxl"):
        answer = llm("-m", model, "a cat")
        [url, *_] = [
            word.strip("()[]\"',") for word in answer.replace("(", " ").split() if "https://" in word
        ]
        assert httpx.get(url).content.startswith(b"\x89PNG"), answer
print("done")
