"""`/account/*`: the balance, the billing report, and which models the account may use (protocol 11.2, 11.11)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fal_async.emulator.accounts.prices import CURRENCY
from fal_async.emulator.core import Call, Core
from fal_async.emulator.operations.platform.focus_report import csv_answer, report
from fal_async.emulator.operations.platform.model_list import enterprise_status, metadata
from fal_async.emulator.operations.platform.platform_errors import forbidden
from fal_async.emulator.operations.platform.query_values import choice, listed
from fal_async.emulator.wire.answers import Answer, json_answer

_UNLIMITED = Decimal(1_000_000)
"""US dollars that an account without a balance shows."""


def billing(_: Core, call: Call) -> Answer:
    document: dict[str, Any] = {"username": call.account.nickname}
    if "credits" in listed(call, "expand"):
        balance = call.account.balance
        left = _UNLIMITED if balance is None else balance
        document["credits"] = {"current_balance": left, "currency": CURRENCY}
    return json_answer(document)


def focus(core: Core, call: Call) -> Answer:
    """Return the report; the root of the organisation may have it for all teams."""
    if choice(call, "expand", ("organization",)) is None:
        return report(core, call, [call.account])
    if call.account is not core.keyring.main:
        raise forbidden("Only the root of the organization has the report of all teams.")
    return report(core, call, list(core.keyring.accounts.values()))


def model_access(core: Core, call: Call) -> Answer:
    """Return a row for each model; the emulator blocks none."""
    rows = []
    for served in core.endpoints:
        details = metadata(core, call, served)
        status = enterprise_status(served.endpoint_id)
        rows.append(
            {
                "endpoint_id": served.endpoint_id,
                "title": details["display_name"],
                "category": details["category"],
                "enterprise_status": status,
                "ui_access": "ALLOWED",
                "api_access": "ALLOWED",
            }
        )
    return csv_answer(rows)
