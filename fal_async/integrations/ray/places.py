"""Checks of a ledger and of folders that the actors of a Ray cluster share."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from typing import Any

from fal_async.errors import ConfigurationError, one_line
from fal_async.ledger.postgres.postgres_address import is_address

_SHOWN = 40
"""Maximum number of characters of a value in a message."""


def check_ledger(ledger: object) -> None:
    """Raise ConfigurationError unless it is an absolute path or a URL, which each actor can open."""
    if not isinstance(ledger, str | os.PathLike):
        raise ConfigurationError(
            f"ledger is of type {type(ledger).__name__}: expected an absolute path or a URL, because each actor "
            "opens the ledger in its own process"
        )
    where = os.fspath(ledger)
    if not is_address(where):
        check_absolute("ledger", where.removeprefix("sqlite:///") if isinstance(where, str) else where)


def check_absolute(name: str, path: object) -> None:
    """Raise ConfigurationError if it is a relative path: each actor may have another working directory."""
    if isinstance(path, str | os.PathLike) and not os.path.isabs(os.path.expanduser(path)):
        shown = one_line(os.fsdecode(path), _SHOWN)
        raise ConfigurationError(
            f"{name}={shown!r}: expected an absolute path, such as {'/data/' + os.path.basename(shown)!r}, because "
            "actors may have different working directories"
        )


def check_shared(ledger: str | os.PathLike[str], machines: Collection[str]) -> None:
    """Raise ConfigurationError if the ledger is a file, and the cluster has several machines."""
    if len(machines) > 1 and not is_address(os.fspath(ledger)):
        raise ConfigurationError(
            f"use ledger='postgresql://...': this cluster has {len(machines)} machines, each of which would have a "
            "file of its own, so that a retry on another machine would be paid again"
        )


def machines_of_cluster() -> set[str]:
    """Return the addresses of the machines of the Ray cluster to which this process belongs; empty without one."""
    ray: Any = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return set()
    return {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
