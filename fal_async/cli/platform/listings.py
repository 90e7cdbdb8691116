"""Runs `models` and `requests` with parsed arguments."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import attrs

from fal_async.cli import exits
from fal_async.cli.command import failed, run_command
from fal_async.cli.messages import say
from fal_async.cli.output import put
from fal_async.cli.platform.tables import put_table
from fal_async.errors import ConfigurationError
from fal_async.platform import Listing
from fal_async.protocol.platform.request_records import RequestRecord
from fal_async.session import Session

T = TypeVar("T")


def models(options: argparse.Namespace) -> int:
    """Print the models that were searched for. Return the exit status."""
    return run_command("models", options, lambda fal: _models(fal, options), needs_key=False)


def requests(options: argparse.Namespace) -> int:
    """Print past requests. Return the exit status."""
    filtered = options.days is not None or options.status is not None or options.payloads
    if filtered and (options.endpoint is None or options.search is not None):
        error = ConfigurationError("--days, --status and --payloads need an ENDPOINT, and no --search")
        return failed("requests", options, error)
    return run_command("requests", options, lambda fal: _requests(fal, options))


def document(value: Any) -> dict[str, Any]:
    """Return the fields of a value as JSON, without `raw`. Money and quantities are exact text."""
    fields = attrs.asdict(value, recurse=False, filter=lambda field, _: field.name != "raw")
    return {name: f"{field:f}" if isinstance(field, Decimal) else field for name, field in fields.items()}


async def _models(fal: Session, options: argparse.Namespace) -> int:
    listing = fal.platform.models(
        " ".join(options.words) or None,
        category=options.category,
        status=options.status,
        limit=min(options.limit + 1, 100),
    )
    found, more = await _first(listing, options.limit)
    if options.json:
        put([document(model) for model in found])
        return exits.DONE
    rows = [
        (
            m.endpoint_id,
            m.category or "",
            "" if m.status == "active" else m.status or "",
            m.display_name or "",
        )
        for m in found
    ]
    return _put_found("model", ("ENDPOINT", "CATEGORY", "STATUS", "NAME"), rows, more)


async def _requests(fal: Session, options: argparse.Namespace) -> int:
    found, more = await _first(_listing(fal, options), options.limit)
    if options.json:
        put([document(record) for record in found])
        return exits.DONE
    rows = [
        (record.request_id, record.endpoint_id, _time(record.sent_at), _outcome(record), _seconds(record))
        for record in found
    ]
    return _put_found("request", ("REQUEST", "ENDPOINT", "SENT", "STATUS", "SECONDS"), rows, more)


def _listing(fal: Session, options: argparse.Namespace) -> Listing[RequestRecord]:
    limit = min(options.limit + 1, 100)
    if options.endpoint is None or options.search is not None:
        return fal.platform.search_requests(options.search, endpoint_ids=options.endpoint, limit=limit)
    start = datetime.now(UTC) - timedelta(days=options.days or 1)
    return fal.platform.requests(
        options.endpoint,
        start=start,
        status=options.status,
        expand="payloads" if options.payloads else None,
        limit=limit,
    )


async def _first(listing: AsyncIterator[T], limit: int) -> tuple[list[T], bool]:
    """Return the first values of a list, and whether there are more."""
    found: list[T] = []
    async for value in listing:
        if len(found) == limit:
            return found, True
        found.append(value)
    return found, False


def _put_found(what: str, headers: tuple[str, ...], rows: Sequence[tuple[str, ...]], more: bool) -> int:
    if rows:
        put_table(headers, rows, right=("SECONDS",))
    else:
        say(f"no {what} found")
    if more:
        say(f"there are more {what}s: raise --limit")
    return exits.DONE


def _time(moment: datetime | None) -> str:
    """Return a time in this machine's time zone."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _outcome(record: RequestRecord) -> str:
    return "not ended" if record.status_code is None else str(record.status_code)


def _seconds(record: RequestRecord) -> str:
    return "" if record.duration is None else f"{record.duration:.1f}"
