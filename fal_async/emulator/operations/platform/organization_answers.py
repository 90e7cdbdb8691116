"""`/organization/*`: teams and what they used; the accounts of the emulator are the teams (protocol 11.2, 11.11).

Only the admin key of the root team, the emulator's own account, may call them.
"""

from __future__ import annotations

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.core import Call, Core
from fal_async.emulator.operations.platform import billing_events, focus_report, usage_lines
from fal_async.emulator.operations.platform.platform_clock import iso
from fal_async.emulator.operations.platform.platform_errors import forbidden, invalid, not_found
from fal_async.emulator.operations.platform.query_values import listed
from fal_async.emulator.wire.answers import Answer, json_answer

_LARGEST_PAGE = 100
_PRODUCTS = ("model_apis", "serverless", "compute")


def teams(core: Core, call: Call) -> Answer:
    rows = [
        {
            "username": account.nickname,
            "name": account.nickname.title(),
            "is_org_root": account is core.keyring.main,
            "created_at": iso(core, account.since),
        }
        for account in _teams(core, call)
    ]
    return json_answer({"teams": rows})


def usage(core: Core, call: Call) -> Answer:
    products = listed(call, "product")
    if wrong := set(products) - set(_PRODUCTS):
        raise invalid(f"product={sorted(wrong)[0]!r}: expected one of {', '.join(_PRODUCTS)}")
    found = _teams(core, call)
    # The emulator serves models only.
    return usage_lines.organization_usage(
        core, call, found if not products or _PRODUCTS[0] in products else []
    )


def events(core: Core, call: Call) -> Answer:
    return billing_events.organization_events(core, call, _teams(core, call), largest=_LARGEST_PAGE)


def focus(core: Core, call: Call) -> Answer:
    return focus_report.report(core, call, _teams(core, call))


def _teams(core: Core, call: Call) -> list[Account]:
    """Return the teams that the query names, or all. A caller of another team gets 403."""
    if call.account is not core.keyring.main:
        raise forbidden("Only an admin API key of the organization's root team may call this.")
    named = listed(call, "team_username")
    if unknown := [name for name in named if name not in core.keyring.accounts]:
        raise not_found(f"Team not found: {', '.join(unknown)}")
    return [account for name, account in core.keyring.accounts.items() if not named or name in named]
