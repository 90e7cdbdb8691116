"""The platform API: what fal offers, what it costs, what was used and paid, past requests, keys (protocol 11).

`client.py` is `session.platform`; parts of it are in `key_operations.py`, `account_operations.py` and
`workflow_operations.py`. `sending.py` sends their HTTP requests, and `listing.py` goes through lists page by page.
The requests and the values are made in `fal_async/protocol/platform/`.

Citations such as (protocol 11.8) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fal_async.platform.account_operations import Account
    from fal_async.platform.client import Platform
    from fal_async.platform.key_operations import Keys
    from fal_async.platform.listing import Listing
    from fal_async.platform.workflow_operations import Workflows
    from fal_async.protocol.platform.account_reports import AccountBilling, Team
    from fal_async.protocol.platform.analytics_lines import AnalyticsLine
    from fal_async.protocol.platform.billing_events import BillingEvent
    from fal_async.protocol.platform.documents import Page
    from fal_async.protocol.platform.key_records import ApiKey, NewApiKey
    from fal_async.protocol.platform.model_catalog import Model, PlatformMeta
    from fal_async.protocol.platform.price_cache import Cost
    from fal_async.protocol.platform.prices import Estimate, Price
    from fal_async.protocol.platform.request_records import DeletedFile, RequestRecord
    from fal_async.protocol.platform.usage_lines import AuthMethod, UsageLine
    from fal_async.protocol.platform.workflow_records import Workflow

_HOMES = {
    "Account": "platform.account_operations",
    "AccountBilling": "protocol.platform.account_reports",
    "AnalyticsLine": "protocol.platform.analytics_lines",
    "ApiKey": "protocol.platform.key_records",
    "AuthMethod": "protocol.platform.usage_lines",
    "BillingEvent": "protocol.platform.billing_events",
    "Cost": "protocol.platform.price_cache",
    "DeletedFile": "protocol.platform.request_records",
    "Estimate": "protocol.platform.prices",
    "Keys": "platform.key_operations",
    "Listing": "platform.listing",
    "Model": "protocol.platform.model_catalog",
    "NewApiKey": "protocol.platform.key_records",
    "Page": "protocol.platform.documents",
    "Platform": "platform.client",
    "PlatformMeta": "protocol.platform.model_catalog",
    "Price": "protocol.platform.prices",
    "RequestRecord": "protocol.platform.request_records",
    "Team": "protocol.platform.account_reports",
    "UsageLine": "protocol.platform.usage_lines",
    "Workflow": "protocol.platform.workflow_records",
    "Workflows": "platform.workflow_operations",
}

__all__ = [
    "Account",
    "AccountBilling",
    "AnalyticsLine",
    "ApiKey",
    "AuthMethod",
    "BillingEvent",
    "Cost",
    "DeletedFile",
    "Estimate",
    "Keys",
    "Listing",
    "Model",
    "NewApiKey",
    "Page",
    "Platform",
    "PlatformMeta",
    "Price",
    "RequestRecord",
    "Team",
    "UsageLine",
    "Workflow",
    "Workflows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"fal_async.{_HOMES[name]}"), name)
