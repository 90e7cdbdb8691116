"""Responses of the platform API, as its document describes them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fal_async.config import Hosts
from fal_async.protocol.http import HttpRequest, HttpResponse

HOSTS = Hosts()


def answer(body: Any, status: int = 200) -> HttpResponse:
    """Return a response with this JSON text, or with this value as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    return HttpResponse(status=status, headers={"content-type": "application/json"}, body=text.encode())


def query_of(request: HttpRequest) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(request.url).query, keep_blank_values=True)


def path_of(request: HttpRequest) -> str:
    return urlsplit(request.url).path
