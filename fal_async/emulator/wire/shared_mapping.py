"""A view of a dict that the emulator's thread changes."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class SharedMapping(Mapping[K, V]):
    """A read-only view of a dict, which another thread may change while it is iterated: it iterates over a copy."""

    def __init__(self, shared: Mapping[K, V]) -> None:
        self._shared = shared

    def __getitem__(self, key: K) -> V:
        return self._shared[key]

    def __contains__(self, key: object) -> bool:
        return key in self._shared

    def __iter__(self) -> Iterator[K]:
        return iter(list(self._shared))

    def __len__(self) -> int:
        return len(self._shared)

    def keys(self) -> KeysView[K]:
        return dict.fromkeys(self._shared).keys()

    def values(self) -> ValuesView[V]:
        return dict(self._shared).values()

    def items(self) -> ItemsView[K, V]:
        return dict(self._shared).items()

    def __repr__(self) -> str:
        return repr(dict(self._shared))
