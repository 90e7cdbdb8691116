"""fal-client while fal fails now and then: each call still ends as the client's rules say, and nothing is lost."""

import os
from typing import Any

import fal_client
import httpx

FLUX, LLM = "fal-ai/flux/schnell", "fal-ai/any-llm"
CONTROL = os.environ["FAL_BASE_URL"] + "/_emulator"


def fail(*faults: dict[str, Any]) -> None:
    """Let the next calls fail, each with the first fault that is left."""
    httpx.post(f"{CONTROL}/faults", json=list(faults)).raise_for_status()


def all_struck() -> None:
    left = httpx.get(f"{CONTROL}/faults").json()
    assert left == [], left


def asked(text: str) -> str:
    answer = fal_client.subscribe(LLM, {"prompt": text}, interval=0.01)
    assert text in answer["output"]
    return text


# What the client repeats: 429, the pages of fal's gateway, and connections that break.
fail({"kind": "answer", "status": 429, "retry_after": 1, "on": "submit", "times": 2})
fail({"kind": "html", "status": 503, "on": "status", "times": 2}, {"kind": "reset", "on": "status"})
fail({"kind": "html", "status": 502, "on": "result"}, {"kind": "close", "on": "result"})
asked("one")
all_struck()
fail({"kind": "truncate", "on": "result"}, {"kind": "refuse", "seconds": 0.3, "on": "status"})
asked("two")
all_struck()

# What it reports: fal's own 503, and a balance that is exhausted.
for fault, status in (
    ({"kind": "answer", "status": 503, "retry_after": 1, "on": "run"}, 503),
    ({"kind": "balance", "on": "run"}, 403),
    ({"kind": "answer", "status": 500, "error_type": "runner_server_error", "on": "run"}, 500),
):
    fail(fault)
    try:
        fal_client.run(LLM, {"prompt": "a"})
    except fal_client.FalClientHTTPError as error:
        assert error.status_code == status, error
    else:
        raise AssertionError(f"no {status}")
all_struck()

# A restart in the middle: the client connects again, and follows the same request.
handle = fal_client.submit("fal-ai/flux-lora-fast-training", {"images_data_url": "a", "steps": 1000})
httpx.post(f"{CONTROL}/restart", json={"downtime": 0.3}).raise_for_status()
assert handle.get(interval=0.02)["diffusers_lora_file"]["url"]

# It repeats a submit whose answer was lost, so that both are paid: the emulator's books show it.
fail({"kind": "reset", "on": "submit", "taken": True})
asked("three")
repeated = httpx.get(f"{CONTROL}/books").json()[LLM]["repeated"]
assert [entry["taken"] for entry in repeated] == [2], repeated
print("done")
