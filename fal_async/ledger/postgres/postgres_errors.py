"""Translate errors of the driver and of the server into messages that say what to do."""

from __future__ import annotations

import copy
import socket

import asyncpg

from fal_async.errors import ConfigurationError, FalError, LedgerError, one_line

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What the driver raises."""
_PASSING = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.TransactionRollbackError,
    asyncpg.InterfaceError,  # the connection was closed by another error
    asyncpg.InternalClientError,  # or is being closed
    OSError,  # TimeoutError is one, too
)
"""Errors after which the same operation may succeed, on another connection."""
_LASTING = (asyncpg.UnsupportedClientFeatureError, asyncpg.ClientConfigurationError, socket.gaierror)
_SETTINGS: tuple[tuple[type[Exception], str], ...] = (
    (asyncpg.InvalidPasswordError, "the password is wrong"),
    (asyncpg.InvalidAuthorizationSpecificationError, "the server refuses this user"),
    (asyncpg.InvalidCatalogNameError, "the database does not exist: create it first"),
    (asyncpg.ReadOnlySQLTransactionError, "the server is read-only: use the address of the primary server"),
)
_SAYINGS: tuple[tuple[type[Exception], str], ...] = (
    (
        asyncpg.TooManyConnectionsError,
        "the server has no free connection: lower pool_size= in the URL, or raise its limit",
    ),
    (asyncpg.DiskFullError, "the disk of the server is full: free some space. Earlier writes are kept"),
    (
        asyncpg.UndefinedTableError,
        "its tables are missing: were they deleted? Run `fal-async ledger migrate`",
    ),
    (TimeoutError, "the server does not respond"),
)


def is_passing(error: Exception) -> bool:
    """Return whether the same operation may succeed if it is repeated."""
    return isinstance(error, _PASSING) and not isinstance(error, _LASTING)


def ledger_error(error: Exception, name: str) -> FalError:
    """Return a LedgerError for an error of the driver, or ConfigurationError if only a setting can help.

    The error becomes its cause. A FalError is copied, so that each caller raises its own error.
    """
    if isinstance(error, FalError):
        made = copy.copy(error)
        made.__cause__ = error.__cause__
        return made
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        # The error of the server stands last, because a long message is cut.
        way = (
            "an administrator must run `fal-async ledger migrate --role NAME` (or `fal-async ledger schema`)"
        )
        return _caused(ConfigurationError(f"ledger {name}: {way}: {_said(error)}"), error)
    for kind, saying in _SETTINGS:
        if isinstance(error, kind):
            return _caused(ConfigurationError(f"ledger {name}: {saying}"), error)
    saying = next((saying for kind, saying in _SAYINGS if isinstance(error, kind)), "")
    return _caused(LedgerError(f"ledger {name}: {saying or _words(error)}"), error)


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"can't reach the server: {one_line(error.strerror or str(error), 80)}"
    return f"{_said(error)} ({type(error).__name__})"


def _said(error: Exception) -> str:
    """Return only the message itself: the details of the server may contain keys."""
    text = error.args[0] if error.args and isinstance(error.args[0], str) else type(error).__name__
    return one_line(text, 100)


def _caused(made: FalError, error: Exception) -> FalError:
    made.__cause__ = error
    return made
