"""Adds endpoints of a document to an emulator in such a way that they can be removed again."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.core import Core, Replaced
from fal_async.emulator.declared.document import Declared, read_document
from fal_async.emulator.registration import Registration


def add_declared(core: Core, registration: Registration, document: Any, name: str) -> None:
    """Add the endpoints of `{"endpoints": {id: table}}`; if one of them is wrong, none is added.

    Args:
        core: the parts of the emulator.
        registration: registers endpoints.
        document: the document, which may not name files.
        name: what messages call it.

    Raises:
        DocumentError: If something in it is wrong.
    """
    for each in read_document(document, name, None):
        before = _before(core, each)
        each.register(registration)
        core.declared[each.endpoint_id] = before


def _before(core: Core, declared: Declared) -> Replaced:
    """Return what to serve when the endpoint is removed: what was served before the first document with its id."""
    name, earlier = declared.endpoint_id, core.declared.get(declared.endpoint_id)
    return Replaced(
        document=declared.document,
        endpoint=core.endpoints.find(name) if earlier is None else earlier.endpoint,
        price=core.prices.find(name) if earlier is None else earlier.price,
    )
