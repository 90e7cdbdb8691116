"""What the caller of `fal.map` asked for, checked before anything is sent."""

from __future__ import annotations

from typing import Any

import attrs

from fal_async.batch.inputs import check_inputs
from fal_async.batch.scheduler import ItemCallback
from fal_async.batch.stopping import check_max_failures
from fal_async.checks import check_flag, check_function, check_int, check_seconds, checked
from fal_async.options import CallOptions
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.structure import check_output_type


def _check_inputs(_: Any, __: Any, inputs: Any) -> None:
    check_inputs(inputs)


def _check_max_failures(_: Any, __: Any, value: Any) -> None:
    check_max_failures(value)


def _check_output_type(_: Any, __: Any, value: Any) -> None:
    check_output_type(value)


def _check_on_item(_: Any, __: Any, value: Any) -> None:
    check_function("on_item", value, takes=("item",))


@attrs.frozen(kw_only=True, eq=False, repr=False)
class BatchArguments:
    """The arguments of `Session.map`, where they are described. ConfigurationError for a wrong one."""

    endpoint: EndpointId
    inputs: Any = attrs.field(validator=_check_inputs)
    options: CallOptions
    concurrency: int = attrs.field(validator=checked(check_int, least=1))
    ordered: bool = attrs.field(validator=checked(check_flag))
    retries: int = attrs.field(validator=checked(check_int, least=0))
    max_failures: int | float | None = attrs.field(validator=_check_max_failures)
    timeout: float | None = attrs.field(validator=checked(check_seconds, or_none=True))
    output_type: Any = attrs.field(validator=_check_output_type)
    on_item: ItemCallback | None = attrs.field(validator=_check_on_item)
