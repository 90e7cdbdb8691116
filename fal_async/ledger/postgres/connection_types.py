"""The types of the driver, asyncpg."""

from __future__ import annotations

from typing import TypeAlias

from asyncpg import Connection as _Connection
from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "_Connection[Record] | PoolConnectionProxy[Record]"
"""A connection, of a pool or opened separately."""
