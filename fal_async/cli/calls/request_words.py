"""Makes a handle of the words that name a request: the endpoint and the request id, or a stored handle."""

from __future__ import annotations

import argparse
import os

from fal_async.cli.calls.call_input import read_text
from fal_async.errors import ConfigurationError
from fal_async.queue import RequestHandle
from fal_async.session import Session

_EXPECTED = "expected ENDPOINT and request id, or a handle that `submit --json` printed"


def read_request(options: argparse.Namespace) -> list[str]:
    """Return the endpoint and the request id, or only the text of a stored handle.

    Raises:
        ConfigurationError: the words name neither, or the file can't be read.
    """
    words: list[str] = options.request
    if len(words) > 2:
        raise ConfigurationError(f"{len(words)} words for one request: {_EXPECTED}")
    if len(words) == 2 or words[0].lstrip().startswith("{"):
        return words
    if words[0] != "-" and not os.path.exists(os.path.expanduser(words[0])):
        raise ConfigurationError(f"{words[0]}: no such file: {_EXPECTED}")
    return [read_text(words[0], "the handle")]


def handle_of(fal: Session, request: list[str]) -> RequestHandle:
    """Return the handle that these words stand for. Raises ConfigurationError if they are not valid."""
    if len(request) == 2:
        return fal.queue.handle(*request)
    return RequestHandle.from_json(request[0], fal)
