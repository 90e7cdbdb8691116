"""fal's own command line tool and its Python calls: a queued model, a stream, the queue of an app, the account."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import fal.apps
import httpx

home = tempfile.TemporaryDirectory()
os.environ["FAL_HOME_DIR"] = home.name


def tool(*arguments: str) -> str:
    program = Path(sys.executable).with_name("fal")
    run = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


assert "the sea" in tool("api", "fal-ai/any-llm", "prompt=the sea")
assert "the sea" in tool("api", "fal-ai/any-llm/stream", "prompt=the sea")
assert "emulator" in tool("auth", "whoami").lower()
slow = [fal.apps.submit("emulator/slow", {"prompt": str(number)}) for number in range(3)]
assert json.loads(tool("queue", "size", "slow", "--output", "json")) == {"size": 2}
assert "flushed" in tool("queue", "flush", "slow")
assert json.loads(tool("queue", "size", "slow", "--output", "json")) == {"size": 0}
slow[0].cancel()

drawn = fal.apps.run("fal-ai/flux/schnell", {"prompt": "a cat"})
picture = httpx.get(drawn["images"][0]["url"])
assert picture.content.startswith(b"\x89PNG")
handle = fal.apps.submit("fal-ai/flux/schnell", {"prompt": "a cat"})
assert handle.get()["images"]
with fal.apps.ws("fal-ai/any-llm") as connection:
    connection.send({"prompt": "the sea"})
    assert "the sea" in json.loads(connection.recv())["output"]
home.cleanup()
print("done")
