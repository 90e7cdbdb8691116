"""The keys of an account (protocol 1.2, 11.11)."""

from __future__ import annotations

import secrets
import uuid

import attrs

from fal_async.emulator.timing.clock import Clock


@attrs.frozen(kw_only=True)
class ApiKey:
    """A key of an account.

    Attributes:
        key: the whole key, id:secret.
        alias: its name.
        created_at: when it was made, in seconds since the epoch.
        is_admin: whether it is an admin key. If False, its scope is API.
    """

    key: str = attrs.field(repr=False)
    alias: str
    created_at: float
    is_admin: bool = False

    @property
    def key_id(self) -> str:
        """The part before the colon."""
        return id_of(self.key)


def id_of(key: str) -> str:
    return key.partition(":")[0]


def checked_key(key: str) -> str:
    """Return the key. Raise ValueError unless it has the form id:secret."""
    if not all(key.partition(":")):
        raise ValueError("expected a key of the form id:secret, such as emulator:key")
    return key


def new_key(alias: str, created_at: float) -> ApiKey:
    """Return a new key: its id looks like a UUID, its secret like 32 hex characters (1.2)."""
    return ApiKey(key=f"{uuid.uuid4()}:{secrets.token_hex(16)}", alias=alias, created_at=created_at)


class KeyRack:
    """The keys that the platform API made or deleted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.made: dict[str, ApiKey] = {}
        """The keys that `POST /keys` made, by id."""
        self.deleted: set[str] = set()
        """The keys, of those with which the account was made, that are refused."""
        self._own: ApiKey | None = None
        self.since: float = clock.now()
        """When the account was made, in seconds since the epoch."""

    def of(self, key: str) -> list[ApiKey]:
        """Return the valid keys of scope API; `key` is the one with which the account was made."""
        return [*filter(None, [self._first(key)]), *self.made.values()]

    def find(self, given: str, key: str) -> ApiKey | None:
        """Return the valid key of scope API that a caller gave, or None; `key` is as of `of`."""
        found = self._first(key) if given == key else self.made.get(id_of(given))
        return found if found is not None and found.key == given else None

    def _first(self, key: str) -> ApiKey | None:
        if key in self.deleted:
            return None
        # One value for all calls with this key, because each of their jobs refers to it.
        if self._own is None or self._own.key != key:
            self._own = ApiKey(key=key, alias=id_of(key), created_at=self.since)
        return self._own

    def add(self, alias: str) -> ApiKey:
        key = new_key(alias, self._clock.now())
        self.made[key.key_id] = key
        return key

    def delete(self, key_id: str, key: str) -> None:
        """Delete a key; one that is unknown is ignored. `key` is as of `of`."""
        self.made.pop(key_id, None)
        if key_id == id_of(key):
            self.deleted.add(key)
