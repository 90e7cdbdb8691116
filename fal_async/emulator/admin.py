"""`/_emulator`: control of the emulator by tests in another process or language, without a key.

A page in a browser on the same machine could call it as well, so requests from pages of other origins are refused.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.accounts.prices import amount_of
from fal_async.emulator.core import Call, Core
from fal_async.emulator.downtime import Downtime
from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.jobs.books import Line
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.wire.answers import Answer, json_answer, request_error
from fal_async.emulator.wire.foreign_pages import foreign_page

_ANSWER_LEAVES = 0.05
"""Seconds between this call's answer and the downtime, in which the answer is sent."""
Action = Callable[[Core, Any], Any]


class Admin:
    def __init__(self, downtime: Downtime) -> None:
        self._downtime = downtime
        self._actions: Mapping[tuple[str, str], Action] = {
            ("GET", ""): _summary,
            ("GET", "faults"): lambda core, _: [fault.to_json() for fault in core.faults],
            ("POST", "faults"): _add_faults,
            ("DELETE", "faults"): lambda core, _: core.faults.clear(),
            ("GET", "jobs"): lambda core, _: [_job(job) for job in core.jobs],
            ("GET", "books"): _books,
            ("GET", "books/inputs"): lambda core, _: [_line(line) for line in core.jobs.books],
            ("POST", "files/expire"): _expire_files,
            ("POST", "seed"): lambda core, wanted: core.faults.seed(int(wanted["seed"])),
            ("GET", "requests"): _requests,
            ("DELETE", "requests"): lambda core, _: core.recorder.clear(),
            ("POST", "drop"): self._drop,
            ("POST", "pause"): self._pause,
            ("POST", "restart"): self._restart,
            ("GET", "accounts"): lambda core, _: [
                _account(account) for account in core.keyring.accounts.values()
            ],
            ("POST", "accounts"): _add_account,
            ("POST", "key"): _rotate_key,
            ("POST", "balance"): _set_balance,
            ("POST", "price"): _set_price,
            ("POST", "lock"): lambda core, wanted: core.keyring.named(wanted.get("account")).lock(),
            ("POST", "unlock"): lambda core, wanted: core.keyring.named(wanted.get("account")).unlock(),
            ("GET", "webhooks"): _webhook_attempts,
            ("POST", "webhooks"): _deliver,
            ("POST", "webhooks/automatic"): _set_automatic,
            ("POST", "webhooks/rotate"): _rotate_webhook_key,
        }

    async def __call__(self, core: Core, call: Call) -> Answer:
        action = self._actions.get((call.request.method, call.route.rest))
        if action is None:
            served = ", ".join(f"{method} /_emulator/{path}".rstrip("/") for method, path in self._actions)
            return request_error(404, f"Expected one of {served}")
        if (wrong := foreign_page(call.headers)) is not None:
            return request_error(403, f"/_emulator refuses pages of other origins: {wrong}")
        try:
            wanted = json.loads(call.body) if call.body.strip() else {}
            return json_answer(action(core, wanted))
        except KeyError as error:
            return request_error(400, f"{error} is missing, or unknown to the emulator")
        except (ValueError, TypeError, AttributeError) as error:
            return request_error(400, f"{type(error).__name__}: {error}")

    def _pause(self, _: Core, wanted: Any) -> None:
        self._downtime.go_away(float(wanted["seconds"]), after=_ANSWER_LEAVES)

    def _drop(self, _: Core, __: Any) -> None:
        asyncio.get_running_loop().call_later(_ANSWER_LEAVES, self._downtime.drop_connections)

    def _restart(self, _: Core, wanted: Any) -> None:
        keep, downtime = bool(wanted.get("keep_memory", True)), float(wanted.get("downtime", 0))
        self._downtime.restart_soon(keep_memory=keep, downtime=downtime, after=_ANSWER_LEAVES)


def _add_faults(core: Core, wanted: Any) -> list[dict[str, Any]]:
    """Add one fault or a list of faults; if one of them is invalid, none is added."""
    faults = [Fault.from_json(document) for document in (wanted if isinstance(wanted, list) else [wanted])]
    core.faults.add(*faults)
    return [fault.to_json() for fault in faults]


def _account(account: Account) -> dict[str, Any]:
    return {
        name: getattr(account, name)
        for name in ("nickname", "key", "admin_key", "concurrency", "running", "balance")
    }


def _add_account(core: Core, wanted: Any) -> dict[str, Any]:
    """Read `{"key", "nickname"?, "concurrency"?}`."""
    return _account(core.keyring.add(**wanted))


def _rotate_key(core: Core, wanted: Any) -> None:
    """Read `{"key", "account"?}`."""
    core.keyring.named(wanted.get("account")).key = str(wanted["key"])


def _set_balance(core: Core, wanted: Any) -> None:
    """Read `{"balance", "account"?}`; null: no limit."""
    balance = wanted["balance"]
    account = core.keyring.named(wanted.get("account"))
    account.balance = None if balance is None else amount_of(balance, "balance")


def _set_price(core: Core, wanted: Any) -> None:
    """Read `{"endpoint_id", "price", "unit"?}`; null: no price."""
    core.reprice(wanted["endpoint_id"], wanted["price"], wanted.get("unit"))


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
        raise ValueError("requests are not kept: start the emulator with --record (record=True)")
    return [
        {
            **attrs.asdict(request, recurse=False),
            "query": dict(request.query),
            "headers": dict(request.headers),
            "body": request.body.decode(errors="replace"),
        }
        for request in core.recorder.requests()
    ]


def _books(core: Core, _: Any) -> dict[str, Any]:
    """Return for each endpoint the numbers of accepted requests and of inputs, and the repeated inputs.

    `books/inputs` returns all inputs.
    """
    sums: dict[str, dict[str, Any]] = {}
    for line in core.jobs.books:
        one = sums.setdefault(line.endpoint_id, {"taken": 0, "inputs": 0, "repeated": []})
        one["taken"] += line.taken
        one["inputs"] += 1
        if line.taken > 1:
            one["repeated"].append(_line(line))
    return sums


def _line(line: Line) -> dict[str, Any]:
    return {**attrs.asdict(line), "taken": line.taken}


def _expire_files(core: Core, wanted: Any) -> None:
    """Read `{"urls"?, "status"?}`; without URLs, all files expire."""
    core.files.expire([str(url) for url in wanted.get("urls", ())], wanted.get("status"))


def _job(job: Job) -> dict[str, Any]:
    names = (
        "request_id endpoint_id via state input submitted_at started_at completed_at attempts "
        "cancel_requests error error_type forgotten"
    )
    document = {name: getattr(job, name) for name in names.split()}
    document["account"] = job.account.nickname
    return {**document, "status_code": None if job.answer is None else job.answer.status}


def _webhook_attempts(core: Core, _: Any) -> list[dict[str, Any]]:
    return [
        {**attrs.asdict(attempt, recurse=False), "body": attempt.body.decode(errors="replace")}
        for attempt in core.webhooks.attempts
    ]


def _deliver(core: Core, wanted: Any) -> None:
    """Read `{"request_id", "url"?, "age"?, "copies"?}`, for late deliveries and duplicates."""
    for _ in range(int(wanted.get("copies", 1))):
        core.webhooks.deliver_soon(
            str(wanted["request_id"]), wanted.get("url"), age=float(wanted.get("age", 0))
        )


def _set_automatic(core: Core, wanted: Any) -> None:
    core.webhooks.automatic = bool(wanted["automatic"])


def _rotate_webhook_key(core: Core, wanted: Any) -> None:
    core.webhooks.keys.rotate(retire=bool(wanted.get("retire", False)))
