"""A complete local fal on one loopback port: for demos, for our tests, and for the tests of our users.

    from fal_async.emulator import Emulator

    async with Emulator() as emulator:
        async with Session(credentials=emulator.key, hosts=emulator.hosts) as fal: ...

It is a second, independent reading of fal's wire protocol and shares no code with the client,
so that a misreading on one side shows. Importing this package loads neither aiohttp nor anything else:
pytest loads the plugin beside it in every run, also in those that never touch fal.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fal_async.emulator.answers import Answer, ModelError
    from fal_async.emulator.events import Event
    from fal_async.emulator.faults import Fault
    from fal_async.emulator.jobs import Job, JobContext
    from fal_async.emulator.realtime_options import RealtimeOptions
    from fal_async.emulator.recording import RecordedRequest
    from fal_async.emulator.server import Emulator
    from fal_async.emulator.webhooks import WebhookAttempt, WebhookPolicy

__all__ = [
    "Answer",
    "Emulator",
    "Event",
    "Fault",
    "Job",
    "JobContext",
    "ModelError",
    "RealtimeOptions",
    "RecordedRequest",
    "WebhookAttempt",
    "WebhookPolicy",
]

_HOMES = {
    "Answer": "answers",
    "Emulator": "server",
    "Event": "events",
    "Fault": "faults",
    "Job": "jobs",
    "JobContext": "jobs",
    "ModelError": "answers",
    "RealtimeOptions": "realtime_options",
    "RecordedRequest": "recording",
    "WebhookAttempt": "webhooks",
    "WebhookPolicy": "webhooks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
