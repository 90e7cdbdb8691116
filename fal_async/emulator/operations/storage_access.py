"""Managing stored files: `/storage/files/acl`, `/storage/files/sign` and `/storage/settings` (7.4, 11.2).

api.fal.ai/v1 serves them; rest.fal.ai serves the ACL, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import attrs

from fal_async.emulator.core import Call, Core
from fal_async.emulator.operations.files import signed_url
from fal_async.emulator.storage.file_store import StoredFile
from fal_async.emulator.storage.lifecycle import Acl, Lifecycle
from fal_async.emulator.storage.upload_store import MAX_SIGNED
from fal_async.emulator.wire.answers import Answer, json_answer, platform_error

_COVERED = re.compile(r"(?:/v3b?\.fal\.media)?/(files/b/[0-9a-f]{8}/[^/]+)$")
"""Only URLs with `/files/b/`, those of v3b, can be managed (protocol 7.4)."""


async def storage(core: Core, call: Call) -> Answer:
    serve = {"files/acl": _acl, "files/sign": _sign, "settings": _settings}[call.storage.file or ""]
    try:
        return serve(core, call)
    except LookupError as error:
        return platform_error(404, "not_found", str(error.args[0]))
    except (ValueError, TypeError) as error:
        return platform_error(400, "validation_error", str(error))


def _acl(core: Core, call: Call) -> Answer:
    path, found = _named(core, call)
    if call.request.method == "PUT":
        document = json.loads(call.body)
        _check_acl(document)
        acl = Acl.from_json(document)
        core.files.change(path, attrs.evolve(found.lifecycle, acl=acl))
        return json_answer(acl.to_json())
    if call.request.method != "GET":
        return _wrong_method(call)
    return json_answer(found.lifecycle.acl.to_json())


def _sign(core: Core, call: Call) -> Answer:
    if call.request.method != "POST":
        return _wrong_method(call)
    path, _ = _named(core, call)
    seconds = _object(call, "expiration_seconds").get("expiration_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= MAX_SIGNED:
        raise ValueError(f"expiration_seconds must be from 1 to {MAX_SIGNED}")
    return json_answer({"signed_url": signed_url(core, call, path, seconds)})


def _settings(core: Core, call: Call) -> Answer:
    """Read or set the account's default lifecycle of uploads. A PUT clears what it leaves out (7.4)."""
    owner, defaults = call.account.nickname, core.uploads.defaults
    if call.request.method == "PUT":
        document = _object(call, "expiration_duration_seconds", "initial_acl")
        _check_acl(document.get("initial_acl"))
        if document.get("expiration_duration_seconds") == 0:
            raise ValueError("expiration_duration_seconds must be 1 or more, or null")
        defaults[owner] = Lifecycle.from_json(document)
    elif call.request.method != "GET":
        return _wrong_method(call)
    return json_answer(defaults[owner].to_json())


def _wrong_method(call: Call) -> Answer:
    return platform_error(405, "not_implemented", f"/{call.route.rest} does not take {call.request.method}")


def _named(core: Core, call: Call) -> tuple[str, StoredFile]:
    url = call.query.get("url")
    if not url:
        raise ValueError("url is required")
    if urlsplit(url).query:
        raise ValueError("url must not have a query")
    covered = _COVERED.search(unquote(urlsplit(url).path))
    found = core.files.find(covered[1]) if covered else None
    if covered is None or found is None or found.owner != call.account.nickname:
        raise LookupError("No such file, or none whose access can be controlled")
    return covered[1], found


def _object(call: Call, *names: str) -> dict[str, Any]:
    document = json.loads(call.body) if call.body.strip() else {}
    if not isinstance(document, dict):
        raise ValueError("expected a JSON object")
    _check_names(document, names)
    return document


def _check_acl(document: Any) -> None:
    """Raise ValueError for unknown names, which fal refuses here (7.4)."""
    if isinstance(document, dict):
        _check_names(document, ("default", "rules"))
        rules = document.get("rules")
        for rule in rules if isinstance(rules, list) else ():
            if isinstance(rule, dict):
                _check_names(rule, ("user", "decision"))


def _check_names(document: dict[str, Any], names: Sequence[str]) -> None:
    if unknown := set(document) - set(names):
        raise ValueError(f"{min(unknown)} is unknown: expected {', '.join(names)}")
