"""Recorded answers of fal's, one JSON file each with the expected outcome beside it; see `sample_names`.

A folder per feature. `errors` has one for whoever answers, or for what the answer is about: the model, the request
(its id, options and time limits), the account (keys, balance, concurrency), the platform API, gateways on the way.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fal_async.protocol.http import HttpResponse

FOLDER = Path(__file__).parent


def sample_names(feature: str) -> list[str]:
    """Those of a feature, with the folder where it has some: "gateway/nginx_502"."""
    folder = FOLDER / feature
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.json"))


def load(feature: str, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / feature / f"{name}.json").read_text())
    return document


def answer(sample: dict[str, Any]) -> HttpResponse:
    """The recorded answer. A body that is a text stands for itself, everything else for its JSON."""
    recorded = sample["answer"]
    body = recorded["body"]
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return HttpResponse(status=recorded["status"], headers=recorded["headers"], body=data)
