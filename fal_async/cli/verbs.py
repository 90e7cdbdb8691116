"""The verbs of the command line, by topic, and the modules that implement them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import NamedTuple

_PACKAGE = __package__ or ""


class Verb(NamedTuple):
    """One verb, or one part of a verb, such as `run` of `batch run`.

    Attributes:
        module: its module, without the prefix `fal_async.cli.`. It is imported only when the verb is used.
        line: its line in the overview and in `--help`.
    """

    module: str
    line: str

    def load(self) -> ModuleType:
        """Import and return the module."""
        return importlib.import_module(f"{_PACKAGE}.{self.module}")


TOPICS: Mapping[str, Mapping[str, Verb]] = {
    "calls to a model": {
        "run": Verb("calls.run_verb", "call a fast model directly, and print its output"),
        "subscribe": Verb(
            "calls.subscribe_verb", "submit a request, show how it moves, and print its result"
        ),
        "submit": Verb("calls.submit_verb", "submit a request, and print its id"),
        "status": Verb("calls.status_verb", "print the status of a request, or follow it"),
        "result": Verb("calls.result_verb", "print the result of a request"),
        "cancel": Verb("calls.cancel_verb", "cancel a request"),
        "stream": Verb("calls.stream_verb", "print what a model sends while it works"),
    },
    "files": {
        "upload": Verb("files.upload_verb", "upload files to fal's storage, and print their URLs"),
        "download": Verb("files.download_verb", "download files by their URLs"),
    },
    "models, prices and usage": {
        "models": Verb("platform.models_verb", "search the models that fal offers"),
        "schema": Verb("platform.schema_verb", "print the members of a model's input and output"),
        "price": Verb("platform.price_verb", "print what models cost, and estimate what calls will cost"),
        "usage": Verb("platform.usage_verb", "print what was used, and what it cost"),
        "requests": Verb("platform.requests_verb", "print past requests"),
    },
    "many inputs, each paid once": {
        "batch": Verb(
            "batch", "send the inputs in a file to an endpoint, and pay for each once: run, status, ..."
        ),
        "ledger": Verb(
            "ledger", "make the tables of a ledger in PostgreSQL, or migrate them: schema, migrate"
        ),
    },
    "types for your code": {
        "types": Verb("typed.types_verb", "write a Python module with the types of endpoints, or check it"),
    },
    "on this machine": {
        "demo": Verb("demo", "watch a request for four pictures run on a local fal, without a key or costs"),
        "doctor": Verb(
            "doctor", "examine this machine and its way to fal, and print a report without secrets"
        ),
        "emulator": Verb(
            "emulator", "run a complete local fal to develop and test against, without a key or costs"
        ),
        "proxy": Verb("proxy", "run a proxy for fal's browser clients that keeps your key on the server"),
        "completion": Verb(
            "completion", "print a script that completes verbs and options in bash, zsh or fish"
        ),
    },
}
"""The verbs, in the order of the overview."""

VERBS: Mapping[str, Verb] = {name: verb for verbs in TOPICS.values() for name, verb in verbs.items()}
"""All verbs by name."""


def parts_of(module: ModuleType) -> Mapping[str, Verb] | None:
    """Return the parts of a verb that has parts, such as `batch`; None for other verbs."""
    found: Mapping[str, Verb] | None = getattr(module, "PARTS", None)
    return found


def is_runnable(module: ModuleType) -> bool:
    """Return whether a verb runs without naming a part: all verbs without parts, and `emulator`."""
    return hasattr(module, "run")


def leaves() -> Iterator[tuple[str, ModuleType]]:
    """Yield what can be run, each with its module: `run`, `batch run`, `emulator`, `emulator exec`."""
    for name, verb in VERBS.items():
        module = verb.load()
        if is_runnable(module):
            yield name, module
        for part, row in (parts_of(module) or {}).items():
            yield f"{name} {part}", row.load()
