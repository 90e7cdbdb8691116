"""The JSON files of a saved state, and what each of them has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from fal_async.emulator.accounts.history import RequestHistory
from fal_async.emulator.accounts.prices import Price
from fal_async.emulator.accounts.workflow_store import Workflow
from fal_async.emulator.core import Core
from fal_async.emulator.state.saved_accounts import (
    SavedAccount,
    SavedTokens,
    put_accounts,
    put_tokens,
    take_accounts,
    take_tokens,
)
from fal_async.emulator.state.saved_files import (
    SavedFiles,
    SavedUploads,
    put_uploads,
    take_files,
    take_uploads,
)
from fal_async.emulator.state.saved_recordings import SavedRecordings, take_recordings
from fal_async.emulator.state.saved_settings import (
    SavedBooks,
    SavedClock,
    SavedEndpoints,
    SavedFaults,
    SavedRepeat,
    SavedText,
    put_books,
    put_clock,
    put_faults,
    put_history,
    put_key_values,
    put_repeats,
    put_workflows,
    take_books,
    take_clock,
    take_endpoints,
    take_faults,
    take_history,
    take_key_values,
    take_prices,
    take_repeats,
    take_workflows,
)
from fal_async.emulator.state.saved_webhooks import SavedWebhooks, put_webhooks, take_webhooks


@attrs.frozen
class Kind:
    """What one JSON file has: the type of its records, and how they are taken and put."""

    type: Any
    take: Callable[[Core], Any]
    put: Callable[[Core, Any], None] | None = None
    """None: it needs more than the emulator's parts, or the files on disk."""


KINDS: Mapping[str, Kind] = {
    "clock": Kind(SavedClock, take_clock, put_clock),
    "accounts": Kind(list[SavedAccount], take_accounts, put_accounts),
    "tokens": Kind(SavedTokens, take_tokens, put_tokens),
    "webhooks": Kind(SavedWebhooks, take_webhooks, put_webhooks),
    "history": Kind(RequestHistory, take_history, put_history),
    "endpoints": Kind(SavedEndpoints, take_endpoints),
    "prices": Kind(dict[str, Price], take_prices),
    "faults": Kind(SavedFaults, take_faults, put_faults),
    "workflows": Kind(list[Workflow], take_workflows, put_workflows),
    "key_values": Kind(list[SavedText], take_key_values, put_key_values),
    "repeats": Kind(list[SavedRepeat], take_repeats, put_repeats),
    "uploads": Kind(SavedUploads, take_uploads, put_uploads),
    "files": Kind(SavedFiles, take_files),
    "recordings": Kind(SavedRecordings | None, take_recordings),
    "books": Kind(SavedBooks, take_books, put_books),
}
"""One row for each JSON file, in the order in which they are loaded."""
