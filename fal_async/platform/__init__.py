"""The platform API: what fal offers, what it costs, what was used and paid, past requests, keys (protocol 11).

`client.py` is `session.platform`. `sending.py` sends its HTTP requests, and `listing.py` goes through lists page by
page. The requests and the values are made in `fal_async/protocol/platform/`.

Citations such as (protocol 11.8) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fal_async.platform.client import Platform
    from fal_async.platform.listing import Listing
    from fal_async.protocol.platform.documents import Page
    from fal_async.protocol.platform.model_catalog import Model, PlatformMeta
    from fal_async.protocol.platform.prices import Estimate, Price

_HOMES = {
    "Estimate": "protocol.platform.prices",
    "Listing": "platform.listing",
    "Model": "protocol.platform.model_catalog",
    "Page": "protocol.platform.documents",
    "Platform": "platform.client",
    "PlatformMeta": "protocol.platform.model_catalog",
    "Price": "protocol.platform.prices",
}

__all__ = [
    "Estimate",
    "Listing",
    "Model",
    "Page",
    "Platform",
    "PlatformMeta",
    "Price",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"fal_async.{_HOMES[name]}"), name)
