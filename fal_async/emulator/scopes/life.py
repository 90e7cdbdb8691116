"""A scope is opened and closed, and the calls that belong to it are recognised."""

from __future__ import annotations

import itertools
import logging
import secrets

from fal_async.emulator.core import Call, Core, ScopeParts
from fal_async.emulator.faults.script import FaultScript
from fal_async.emulator.jobs.books import Books
from fal_async.emulator.jobs.job import COMPLETED, Job
from fal_async.emulator.operations.realtime_tokens import token_of

logger: logging.Logger = logging.getLogger("fal_async.emulator")
_NAMED = 5
"""How many requests a log line names."""


def open_scope(core: Core, name: str | None, key: str | None) -> ScopeParts:
    """Add an account with a key, and everything that the scope has of its own.

    None: a name, or a key, that no other scope has. ValueError: the name or the key is in use, or malformed.
    """
    if name is None:
        numbered = (f"scope-{number}" for number in itertools.count(len(core.scopes) + 1))
        name = next(free for free in numbered if free not in core.keyring.accounts)
    given = f"scope-{secrets.token_hex(4)}:{secrets.token_hex(16)}" if key is None else key
    account = core.keyring.add(given, nickname=name, is_scope=True)
    # The same seed for each scope, so that faults with a chance do not depend on what other scopes do.
    faults = FaultScript(core.faults.first_seed, has_port=False)
    parts = ScopeParts(account=account, faults=faults, recorder=core.recorder.empty(), books=Books())
    core.jobs.books_of_scopes[account] = parts.books
    core.scopes[name] = parts
    return parts


def close_scope(core: Core, parts: ScopeParts) -> list[Job]:
    """Refuse the scope's key and tokens from now on, and stop its requests. Return those that had not ended."""
    account = parts.account
    if core.scopes.get(account.nickname) is not parts:
        return []
    del core.scopes[account.nickname]
    jobs = core.jobs.of(account)
    unfinished = [job for job in jobs.values() if job.state != COMPLETED]
    for job in unfinished:
        job.forgotten = True  # so that the cancelled request has no webhook
    core.keyring.remove(account)
    core.realtime_tokens.revoke(account)
    core.uploads.forget_owner(account.nickname)
    core.jobs.books_of_scopes.pop(account, None)
    core.webhooks.forget(jobs)
    core.webhooks.set_automatic(account, True)  # forgets the account
    core.runners.close_scope(account, unfinished)
    if unfinished:
        names = [f"{job.request_id} of {job.endpoint_id}" for job in unfinished[:_NAMED]]
        more = ", ..." if len(unfinished) > _NAMED else ""
        logger.warning(
            "scope %s was closed while %d of its requests had not ended, which are cancelled: %s%s",
            account.nickname,
            len(unfinished),
            ", ".join(names),
            more,
        )
    return unfinished


def scope_of(core: Core, call: Call) -> ScopeParts | None:
    """Return the scope to which a call belongs, by its key, its token, or what its URL names; None without one."""
    if not core.scopes:
        return None
    own = core.scopes.get(call.account.nickname)
    return own if own is not None or call.credential.key is not None else core.scopes.get(_owner(core, call))


def _owner(core: Core, call: Call) -> str:
    """Return the nickname of the account to which a call without an API key belongs; empty if it has none."""
    if (holder := core.uploads.holder(call.headers.get("Authorization"))) is not None:
        return holder
    route = call.route
    if route.storage is not None and (upload := core.uploads.uploads.get(route.storage.upload_id or "")):
        return upload.owner
    if route.kind == "file" and (file := core.files.records.get(route.rest)) is not None:
        return file.owner
    if route.kind in ("stream", "realtime") and (token := token_of(call)) is not None:
        account = core.realtime_tokens.holder(token, route.endpoint_id or "", route.rest)
        return "" if account is None else account.nickname
    job = core.jobs.by_id.get(route.request_id or "")
    return "" if job is None else job.account.nickname
