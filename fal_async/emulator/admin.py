"""`/_emulator`: what a test in another process or language can ask for. No key: it is loopback."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs

from fal_async.emulator.core import Call, Core
from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.operations import webhook_keys
from fal_async.emulator.wire.answers import Answer, json_answer, request_error

_ANSWER_LEAVES = 0.05
"""Seconds that this call's own answer gets to leave before the server goes away."""
Action = Callable[[Core, Any], Any]


class Controls(Protocol):
    """What only the whole emulator can do."""

    def go_away(self, seconds: float, *, after: float = 0.0) -> None: ...
    def restart_soon(self, *, keep_memory: bool, downtime: float, after: float = 0.0) -> None: ...
    def rotate_key(self, new: str) -> None: ...
    def lock_account(self, *, polls: bool = True) -> None: ...
    def unlock_account(self) -> None: ...
    def clear_requests(self) -> None: ...
    def drop_connections(self) -> None: ...


class Admin:
    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self._actions: Mapping[tuple[str, str], Action] = {
            ("GET", ""): _summary,
            ("GET", "faults"): lambda core, _: [fault.to_json() for fault in core.faults],
            ("POST", "faults"): _add_faults,
            ("DELETE", "faults"): lambda core, _: core.faults.clear(),
            ("GET", "jobs"): lambda core, _: [_job(job) for job in core.jobs],
            ("POST", "seed"): lambda core, wanted: core.faults.seed(int(wanted["seed"])),
            ("GET", "requests"): _requests,
            ("DELETE", "requests"): lambda _, __: controls.clear_requests(),
            ("POST", "drop"): self._drop,
            ("POST", "pause"): self._pause,
            ("POST", "restart"): self._restart,
            ("POST", "key"): self._rotate,
            ("POST", "lock"): lambda _, __: controls.lock_account(),
            ("POST", "unlock"): lambda _, __: controls.unlock_account(),
            ("GET", "webhooks"): webhook_keys.list_attempts,
            ("POST", "webhooks"): webhook_keys.deliver,
            ("POST", "webhooks/automatic"): webhook_keys.set_automatic,
            ("POST", "webhooks/rotate"): webhook_keys.rotate_key,
        }

    async def __call__(self, core: Core, call: Call) -> Answer:
        action = self._actions.get((call.request.method, call.route.rest))
        if action is None:
            served = ", ".join(f"{method} /_emulator/{path}".rstrip("/") for method, path in self._actions)
            return request_error(404, f"Expected one of {served}")
        try:
            wanted = json.loads(call.body) if call.body.strip() else {}
            return json_answer(action(core, wanted))
        except KeyError as error:
            return request_error(400, f"{error} is missing, or is nothing that the emulator knows")
        except (ValueError, TypeError, AttributeError) as error:
            return request_error(400, f"{type(error).__name__}: {error}")

    def _pause(self, _: Core, wanted: Any) -> None:
        self._controls.go_away(float(wanted["seconds"]), after=_ANSWER_LEAVES)

    def _drop(self, _: Core, __: Any) -> None:
        asyncio.get_running_loop().call_later(_ANSWER_LEAVES, self._controls.drop_connections)

    def _restart(self, _: Core, wanted: Any) -> None:
        keep, downtime = bool(wanted.get("keep_memory", True)), float(wanted.get("downtime", 0))
        self._controls.restart_soon(keep_memory=keep, downtime=downtime, after=_ANSWER_LEAVES)

    def _rotate(self, _: Core, wanted: Any) -> None:
        self._controls.rotate_key(str(wanted["key"]))


def _add_faults(core: Core, wanted: Any) -> list[dict[str, Any]]:
    """One fault or a list of them; all of them are read before the first is added."""
    faults = [Fault.from_json(document) for document in (wanted if isinstance(wanted, list) else [wanted])]
    core.faults.add(*faults)
    return [fault.to_json() for fault in faults]


def _summary(core: Core, _: Any) -> dict[str, Any]:
    jobs = list(core.jobs)
    return {
        "counts": core.recorder.counts(),
        "jobs": len(jobs),
        "states": Counter(job.state for job in jobs),
        "faults": len(core.faults),
        "faults_struck": core.faults.struck,
    }


def _requests(core: Core, _: Any) -> list[dict[str, Any]]:
    if not core.recorder.keeps:
        raise ValueError("requests are counted only: start the emulator with --record (record=True)")
    return [
        {
            **attrs.asdict(request, recurse=False),
            "query": dict(request.query),
            "headers": dict(request.headers),
            "body": request.body.decode(errors="replace"),
        }
        for request in core.recorder.requests()
    ]


def _job(job: Job) -> dict[str, Any]:
    names = (
        "request_id endpoint_id via state input submitted_at started_at completed_at attempts "
        "cancel_requests error error_type forgotten"
    )
    document = {name: getattr(job, name) for name in names.split()}
    return {**document, "status_code": None if job.answer is None else job.answer.status}
