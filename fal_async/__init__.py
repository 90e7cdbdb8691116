"""The asyncio-native Python SDK for fal.ai.

    from fal_async import Session

    async with Session() as fal:  # FAL_KEY from the environment
        result = await fal.subscribe("fal-ai/flux/dev", input={"prompt": "a cat"})

Importing this package opens no connections and reads no environment variables. Each part is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fal_async.version import __version__

if TYPE_CHECKING:
    from fal_async.batch.batch import Batch
    from fal_async.batch.item import BatchItem
    from fal_async.batch.summary import BatchSummary
    from fal_async.config import ANONYMOUS, Hosts, Retry, RetryPolicy, Timeouts
    from fal_async.errors import (
        ApiError,
        AuthenticationError,
        BalanceExhaustedError,
        BatchStoppedError,
        CancelOutcome,
        ClientTimeoutError,
        ConfigurationError,
        ContentPolicyError,
        DownloadError,
        ErrorDetail,
        FalError,
        KeyConflictError,
        LedgerError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
        RealtimeError,
        RequestCancelledError,
        RequestFailedError,
        ResponseDecodeError,
        ResultExpiredError,
        ServerError,
        SessionStateError,
        StartTimeoutError,
        StreamError,
        SubmissionUncertainError,
        TransportError,
        TransportTimeoutError,
        UploadError,
        ValidationError,
        WebhookVerificationError,
    )
    from fal_async.http_over_websocket import HttpOverWebSocket
    from fal_async.keyed.recover import Recovered
    from fal_async.ledger.ledger import Ledger
    from fal_async.ledger.ledger_entry import LedgerEntry
    from fal_async.models import (
        Completed,
        InProgress,
        Queued,
        QueueStatus,
        RequestLog,
        Result,
        UnknownStatus,
        WorkflowCompletion,
        WorkflowFailure,
        WorkflowOutput,
        WorkflowSubmit,
    )
    from fal_async.options import CallOptions
    from fal_async.outputs.output_files import OutputFile
    from fal_async.platform.listing import Listing
    from fal_async.protocol.endpoint import Endpoint
    from fal_async.protocol.platform.billing_events import BillingEvent
    from fal_async.protocol.platform.model_catalog import Model
    from fal_async.protocol.platform.price_cache import Cost
    from fal_async.protocol.platform.prices import Estimate, Price
    from fal_async.protocol.platform.request_records import RequestRecord
    from fal_async.protocol.platform.usage_lines import UsageLine
    from fal_async.protocol.reconnecting import Reconnect, Reconnected
    from fal_async.protocol.schemas.endpoint_schema import EndpointSchema
    from fal_async.protocol.schemas.schema_fields import SchemaField
    from fal_async.protocol.sse import ServerSentEvent
    from fal_async.protocol.storage.input_files import File, FileInput
    from fal_async.protocol.storage.multipart import UploadState
    from fal_async.protocol.webhook_events import WebhookEvent
    from fal_async.queue.handle import RequestHandle
    from fal_async.realtime.connection import RealtimeConnection
    from fal_async.records import NULL, Null
    from fal_async.session import Session
    from fal_async.session.shortcuts import run, stream, submit, subscribe, upload
    from fal_async.storage.data_uri import encode, encode_file, encode_image
    from fal_async.storage_settings import StorageSettings
    from fal_async.streaming import EventStream
    from fal_async.webhooks.receiver import Receipt, WebhookReceiver
    from fal_async.webhooks.seen_store import Claim, MemoryStore, SeenStore
    from fal_async.webhooks.verifier import WebhookVerifier

# The module of each name, which is imported on first use.
_HOMES = {
    "batch.batch": ("Batch",),
    "batch.item": ("BatchItem",),
    "batch.summary": ("BatchSummary",),
    "config": ("ANONYMOUS", "Hosts", "Retry", "RetryPolicy", "Timeouts"),
    "realtime.connection": ("RealtimeConnection",),
    "storage.data_uri": ("encode", "encode_file", "encode_image"),
    "errors": (
        "ApiError",
        "AuthenticationError",
        "BalanceExhaustedError",
        "BatchStoppedError",
        "CancelOutcome",
        "ClientTimeoutError",
        "ConfigurationError",
        "ContentPolicyError",
        "DownloadError",
        "ErrorDetail",
        "FalError",
        "KeyConflictError",
        "LedgerError",
        "NotFoundError",
        "PermissionDeniedError",
        "RateLimitError",
        "RealtimeError",
        "RequestCancelledError",
        "RequestFailedError",
        "ResponseDecodeError",
        "ResultExpiredError",
        "ServerError",
        "SessionStateError",
        "StartTimeoutError",
        "StreamError",
        "SubmissionUncertainError",
        "TransportError",
        "TransportTimeoutError",
        "UploadError",
        "ValidationError",
        "WebhookVerificationError",
    ),
    "ledger.ledger": ("Ledger",),
    "ledger.ledger_entry": ("LedgerEntry",),
    "keyed.recover": ("Recovered",),
    "models": (
        "Completed",
        "InProgress",
        "QueueStatus",
        "Queued",
        "RequestLog",
        "Result",
        "UnknownStatus",
        "WorkflowCompletion",
        "WorkflowFailure",
        "WorkflowOutput",
        "WorkflowSubmit",
    ),
    "options": ("CallOptions",),
    "outputs.output_files": ("OutputFile",),
    "storage_settings": ("StorageSettings",),
    "protocol.endpoint": ("Endpoint",),
    "platform.listing": ("Listing",),
    "protocol.platform.billing_events": ("BillingEvent",),
    "protocol.platform.model_catalog": ("Model",),
    "protocol.platform.price_cache": ("Cost",),
    "protocol.platform.prices": (
        "Estimate",
        "Price",
    ),
    "protocol.platform.request_records": ("RequestRecord",),
    "protocol.platform.usage_lines": ("UsageLine",),
    "protocol.reconnecting": ("Reconnect", "Reconnected"),
    "protocol.schemas.endpoint_schema": ("EndpointSchema",),
    "protocol.schemas.schema_fields": ("SchemaField",),
    "protocol.sse": ("ServerSentEvent",),
    "records": ("NULL", "Null"),
    "queue.handle": ("RequestHandle",),
    "session": ("Session",),
    "streaming": ("EventStream",),
    "http_over_websocket": ("HttpOverWebSocket",),
    "protocol.storage.input_files": ("File", "FileInput"),
    "protocol.storage.multipart": ("UploadState",),
    "session.shortcuts": ("run", "stream", "submit", "subscribe", "upload"),
    "protocol.webhook_events": ("WebhookEvent",),
    "webhooks.seen_store": ("Claim", "MemoryStore", "SeenStore"),
    "webhooks.verifier": ("WebhookVerifier",),
    "webhooks.receiver": ("Receipt", "WebhookReceiver"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ANONYMOUS",
    "ApiError",
    "AuthenticationError",
    "BalanceExhaustedError",
    "Batch",
    "BatchItem",
    "BatchStoppedError",
    "BatchSummary",
    "BillingEvent",
    "CallOptions",
    "CancelOutcome",
    "Claim",
    "ClientTimeoutError",
    "Completed",
    "ConfigurationError",
    "ContentPolicyError",
    "Cost",
    "DownloadError",
    "Endpoint",
    "EndpointSchema",
    "ErrorDetail",
    "Estimate",
    "EventStream",
    "FalError",
    "File",
    "FileInput",
    "Hosts",
    "HttpOverWebSocket",
    "InProgress",
    "KeyConflictError",
    "Ledger",
    "LedgerEntry",
    "LedgerError",
    "Listing",
    "MemoryStore",
    "Model",
    "NULL",
    "NotFoundError",
    "Null",
    "OutputFile",
    "PermissionDeniedError",
    "Price",
    "QueueStatus",
    "Queued",
    "RateLimitError",
    "RealtimeConnection",
    "RealtimeError",
    "Receipt",
    "Reconnect",
    "Reconnected",
    "Recovered",
    "RequestCancelledError",
    "RequestFailedError",
    "RequestHandle",
    "RequestLog",
    "RequestRecord",
    "ResponseDecodeError",
    "Result",
    "ResultExpiredError",
    "Retry",
    "RetryPolicy",
    "SchemaField",
    "SeenStore",
    "ServerError",
    "ServerSentEvent",
    "Session",
    "SessionStateError",
    "StartTimeoutError",
    "StorageSettings",
    "StreamError",
    "SubmissionUncertainError",
    "Timeouts",
    "TransportError",
    "TransportTimeoutError",
    "UnknownStatus",
    "UploadError",
    "UploadState",
    "UsageLine",
    "ValidationError",
    "WebhookEvent",
    "WebhookReceiver",
    "WebhookVerificationError",
    "WebhookVerifier",
    "WorkflowCompletion",
    "WorkflowFailure",
    "WorkflowOutput",
    "WorkflowSubmit",
    "__version__",
    "encode",
    "encode_file",
    "encode_image",
    "run",
    "stream",
    "submit",
    "subscribe",
    "upload",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
