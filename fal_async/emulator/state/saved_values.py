"""How records become JSON values, and are checked when they are read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from cattrs import Converter

from fal_async.emulator.storage.lifecycle import Lifecycle

values: Converter = Converter(omit_if_default=True, forbid_extra_keys=True, detailed_validation=False)
"""Leaves out what has its default, and refuses unknown members and values of another type."""


def _only(*kinds: type) -> Any:
    def checked(value: Any, _: Any) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError(f"expected {kinds[0].__name__}, but it is {type(value).__name__}")
        return value

    return checked


values.register_structure_hook(str, _only(str))
values.register_structure_hook(bool, _only(bool))
values.register_structure_hook(int, _only(int))
values.register_structure_hook(float, _only(float, int))
values.register_structure_hook(Decimal, lambda value, _: Decimal(value))
values.register_unstructure_hook(Decimal, str)
values.register_structure_hook(Lifecycle, lambda value, _: Lifecycle.from_json(value))
values.register_unstructure_hook(Lifecycle, Lifecycle.to_json)
