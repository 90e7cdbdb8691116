"""Recorded answers of fal, one JSON file each with the expected outcome beside it; see `sample_names`.

One folder per feature. `errors` has a folder for each part that answers or that the answer is about: the model, the
request (its id, options and time limits), the account (keys, balance, concurrency), the platform API, gateways.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fal_async.protocol.http import HttpResponse

FOLDER = Path(__file__).parent


def sample_names(feature: str) -> list[str]:
    """Return the names of a feature's samples, with their folder if there is one: "gateway/nginx_502"."""
    folder = FOLDER / feature
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.json"))


def load(feature: str, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / feature / f"{name}.json").read_text())
    return document


def answer(sample: dict[str, Any]) -> HttpResponse:
    """Return the recorded answer. A body that is a `str` is sent as it is, everything else as JSON."""
    recorded = sample["answer"]
    body = recorded["body"]
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return HttpResponse(status=recorded["status"], headers=recorded["headers"], body=data)
