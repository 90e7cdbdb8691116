"""A complete local fal on one loopback port, for demos and tests.

    from fal_async.emulator import Emulator

    async with Emulator() as emulator:
        async with Session(credentials=emulator.key, hosts=emulator.hosts) as fal: ...

The emulator is a second implementation of fal's wire protocol and shares no code with the client, so that tests
find a mistake on either side. Importing this package loads neither aiohttp nor its own modules, because pytest
imports the plugin in every run, even if no test uses fal.

Layers from the bottom up: `wire`; `accounts`, `storage`, `faults`, `cassettes`; `jobs`; `webhooks`, `apps`,
`builtin`; `schemas`; `core`; `operations`; `recordings`; `state`; `gateway` and `admin`; `server`; `serving`;
`execution`, `serve` and `pytest_plugin`. Imports go downward only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fal_async.emulator.accounts.account import Account
    from fal_async.emulator.accounts.history import RequestHistory
    from fal_async.emulator.faults.fault import Fault
    from fal_async.emulator.jobs.job import Job, JobContext
    from fal_async.emulator.jobs.polls import Polls
    from fal_async.emulator.jobs.realtime_options import RealtimeOptions
    from fal_async.emulator.network_guard import NetworkGuard, NetworkGuardError
    from fal_async.emulator.recordings.recordings import Recordings
    from fal_async.emulator.scopes.scope import Scope
    from fal_async.emulator.server import Emulator
    from fal_async.emulator.webhooks.deliveries import WebhookAttempt, WebhookPolicy
    from fal_async.emulator.wire.answers import Answer, ModelError
    from fal_async.emulator.wire.recorder import RecordedRequest
    from fal_async.emulator.wire.sse import Event

__all__ = [
    "Account",
    "Answer",
    "Emulator",
    "Event",
    "Fault",
    "Job",
    "JobContext",
    "ModelError",
    "NetworkGuard",
    "NetworkGuardError",
    "Polls",
    "RealtimeOptions",
    "RecordedRequest",
    "Recordings",
    "RequestHistory",
    "Scope",
    "WebhookAttempt",
    "WebhookPolicy",
]

_HOMES = {
    "Account": "accounts.account",
    "Answer": "wire.answers",
    "Emulator": "server",
    "Event": "wire.sse",
    "Fault": "faults.fault",
    "Job": "jobs.job",
    "JobContext": "jobs.job",
    "ModelError": "wire.answers",
    "NetworkGuard": "network_guard",
    "NetworkGuardError": "network_guard",
    "Polls": "jobs.polls",
    "RealtimeOptions": "jobs.realtime_options",
    "RecordedRequest": "wire.recorder",
    "Recordings": "recordings.recordings",
    "RequestHistory": "accounts.history",
    "Scope": "scopes.scope",
    "WebhookAttempt": "webhooks.deliveries",
    "WebhookPolicy": "webhooks.deliveries",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
