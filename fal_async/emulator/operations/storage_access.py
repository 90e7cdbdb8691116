"""Managing stored files: `/storage/files/acl`, `/storage/files/sign` and `/storage/settings` (7.4, 11.2).

api.fal.ai/v1 serves them; rest.fal.ai serves the ACL, too.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote, urlsplit

import attrs

from fal_async.emulator.core import Call, Core
from fal_async.emulator.operations.files import signed_url
from fal_async.emulator.storage.file_store import StoredFile
from fal_async.emulator.storage.lifecycle import Acl, Lifecycle
from fal_async.emulator.storage.upload_store import MAX_SIGNED
from fal_async.emulator.wire.answers import Answer, json_answer, method_not_allowed, platform_error

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
        acl = Acl.from_json(json.loads(call.body))
        core.files.change(path, attrs.evolve(found.lifecycle, acl=acl))
        return json_answer(acl.to_json())
    if call.request.method != "GET":
        return method_not_allowed()
    return json_answer(found.lifecycle.acl.to_json())


def _sign(core: Core, call: Call) -> Answer:
    if call.request.method != "POST":
        return method_not_allowed()
    path, _ = _named(core, call)
    seconds = _object(call).get("expiration_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= MAX_SIGNED:
        raise ValueError(f"expiration_seconds must be from 1 to {MAX_SIGNED}")
    return json_answer({"signed_url": signed_url(core, call, path, seconds)})


def _settings(core: Core, call: Call) -> Answer:
    """Read or set the account's default lifecycle of uploads. A PUT clears what it leaves out (7.4)."""
    owner, defaults = call.account.nickname, core.uploads.defaults
    if call.request.method == "PUT":
        defaults[owner] = Lifecycle.from_json(_object(call))
    elif call.request.method != "GET":
        return method_not_allowed()
    return json_answer(defaults[owner].to_json())


def _named(core: Core, call: Call) -> tuple[str, StoredFile]:
    url = call.query.get("url")
    if not url:
        raise ValueError("url is required")
    covered = _COVERED.search(unquote(urlsplit(url).path))
    found = core.files.find(covered[1]) if covered else None
    if covered is None or found is None or found.owner != call.account.nickname:
        raise LookupError("No such file, or none whose access can be controlled")
    return covered[1], found


def _object(call: Call) -> dict[str, Any]:
    document = json.loads(call.body) if call.body.strip() else {}
    if not isinstance(document, dict):
        raise ValueError("expected a JSON object")
    return document
