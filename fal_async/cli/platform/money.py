"""Runs `price` and `usage` with parsed arguments."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import attrs

from fal_async.cli import exits
from fal_async.cli.command import run_command
from fal_async.cli.messages import say
from fal_async.cli.output import put, put_line
from fal_async.cli.platform.listings import document
from fal_async.cli.platform.tables import bar, put_table
from fal_async.protocol.platform.prices import Estimate
from fal_async.protocol.platform.usage_lines import UsageLine
from fal_async.session import Session


def price(options: argparse.Namespace) -> int:
    """Print prices, and an estimate. Return the exit status."""
    return run_command("price", options, lambda fal: _price(fal, options))


def usage(options: argparse.Namespace) -> int:
    """Print what was used. Return the exit status."""
    return run_command("usage", options, lambda fal: _usage(fal, options))


async def _price(fal: Session, options: argparse.Namespace) -> int:
    prices = await fal.platform.pricing(options.endpoints)
    estimate = await _estimate(fal, options)
    if options.json:
        put(
            {
                "prices": [document(each) for each in prices],
                "estimate": None if estimate is None else document(estimate),
            }
        )
        return exits.DONE
    rows = [(each.endpoint_id, f"{each.unit_price:f}", each.currency, each.unit) for each in prices]
    put_table(("ENDPOINT", "PRICE", "CURRENCY", "UNIT"), rows, right=("PRICE",))
    if estimate is not None:
        of = f"{options.calls} calls" if options.calls else f"{options.units:f} units"
        each = " of each" if len(options.endpoints) > 1 else ""
        put_line(f"{of}{each}: about {estimate.total_cost:f} {estimate.currency}")
    return exits.DONE


async def _estimate(fal: Session, options: argparse.Namespace) -> Estimate | None:
    if options.calls:
        return await fal.platform.estimate(calls=dict.fromkeys(options.endpoints, options.calls))
    if options.units:
        return await fal.platform.estimate(units=dict.fromkeys(options.endpoints, options.units))
    return None


@attrs.frozen(kw_only=True)
class _Sum:
    """What was used of one unit, in one group. `quantity` is 0 if a group has several units."""

    group: str
    unit: str
    currency: str
    quantity: Decimal
    cost: Decimal


async def _usage(fal: Session, options: argparse.Namespace) -> int:
    by_time = options.by in ("hour", "day", "week", "month")
    lines = await fal.platform.usage(
        start=datetime.now(UTC) - timedelta(days=options.days),
        endpoint_ids=options.endpoints or None,
        summary=not by_time,
        timeframe=options.by if by_time else None,
        expand="auth_method" if options.by == "key" else None,
    )
    sums, totals = _sums(lines, options.by), _totals(lines)
    if options.json:
        put(
            {
                "days": options.days,
                "by": options.by,
                "lines": [document(each) for each in sums],
                "totals": {currency: f"{total:f}" for currency, total in totals.items()},
            }
        )
        return exits.DONE
    if not sums:
        say(f"nothing was used in the last {options.days} days, as far as fal has counted it")
        return exits.DONE
    _put_usage(options.by, sums, by_time)
    for currency, total in totals.items():
        put_line(f"total of the last {options.days} days: {total:f} {currency}")
    return exits.DONE


def _put_usage(by: str, sums: list[_Sum], by_time: bool) -> None:
    if not by_time:
        sums = sorted(sums, key=lambda each: each.cost, reverse=True)
    most = max(each.cost for each in sums)
    rows = [
        (
            each.group,
            f"{each.quantity.normalize():f}",
            each.unit,
            f"{each.cost:f}",
            each.currency,
            bar(each.cost, most),
        )
        for each in sums
    ]
    headers = ("TIME" if by_time else by.upper(), "QUANTITY", "UNIT", "COST", "CURRENCY", "")
    put_table(headers, rows, right=("QUANTITY", "COST"))


def _sums(lines: Iterable[UsageLine], by: str) -> list[_Sum]:
    """Add up the lines of each group, unit and currency, in the order of fal."""
    found: dict[tuple[str, str, str], _Sum] = {}
    for line in lines:
        key = _group(line, by), line.unit, line.currency
        before = found.get(key)
        quantity = line.quantity + (Decimal(0) if before is None else before.quantity)
        cost = line.cost_total + (Decimal(0) if before is None else before.cost)
        found[key] = _Sum(group=key[0], unit=key[1], currency=key[2], quantity=quantity, cost=cost)
    return list(found.values())


def _totals(lines: Iterable[UsageLine]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = {}
    for line in lines:
        totals[line.currency] = totals.get(line.currency, Decimal(0)) + line.cost_total
    return totals


def _group(line: UsageLine, by: str) -> str:
    if by == "endpoint":
        return line.endpoint_id
    if by == "key":
        return line.auth_method or "unknown"
    if line.bucket is None:
        return ""
    return f"{line.bucket:%Y-%m-%d %H:%M}" if by == "hour" else f"{line.bucket:%Y-%m-%d}"
