"""The arguments of `fal.map`, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from fal_async.batch.files.file_names import check_names
from fal_async.batch.inputs import check_inputs
from fal_async.batch.keys.item_keys import KeyOf, check_key_of
from fal_async.batch.scheduler import ItemCallback
from fal_async.batch.stopping import check_max_failures, max_cost_of
from fal_async.checks import Validator, check_flag, check_function, check_int, check_seconds, checked
from fal_async.errors import ConfigurationError
from fal_async.options import CallOptions
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.ledger.decisions import Uncertain
from fal_async.protocol.ledger.key_checks import check_uncertain
from fal_async.protocol.structure import check_output_type


def _by(check: Callable[[Any], object]) -> Validator:
    """Make an attrs validator of a check that needs only the value."""

    def validate(_: Any, __: Any, value: Any) -> None:
        check(value)

    return validate


def _check_names(arguments: Any, _: Any, value: Any) -> None:
    check_names(value)
    if value is not None and arguments.folder is None:
        raise ConfigurationError(
            "names= names the files that download= writes: pass download=, too, or omit names="
        )


def _folder(value: Any) -> Path | None:
    if value is None:
        return None
    from fal_async.storage.local_paths import local_path

    return local_path("download", value)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class BatchArguments:
    """The arguments of `Session.map`, where they are described. Raises ConfigurationError for an invalid one."""

    endpoint: EndpointId
    inputs: Any = attrs.field(validator=_by(check_inputs))
    options: CallOptions
    concurrency: int = attrs.field(validator=checked(check_int, least=1))
    ordered: bool = attrs.field(validator=checked(check_flag))
    retries: int = attrs.field(validator=checked(check_int, least=0))
    max_failures: int | float | None = attrs.field(validator=_by(check_max_failures))
    max_cost: Decimal | None = attrs.field(converter=max_cost_of)
    timeout: float | None = attrs.field(validator=checked(check_seconds, or_none=True))
    output_type: Any = attrs.field(validator=_by(check_output_type))
    on_item: ItemCallback | None = attrs.field(validator=checked(check_function, takes=("item",)))
    key: KeyOf | None = attrs.field(validator=_by(check_key_of))
    folder: Path | None = attrs.field(converter=_folder)
    """`download=`: the folder to which the files of the results are written."""
    names: str | None = attrs.field(validator=_check_names)
    # The following have an effect only with a ledger.
    retry_failed: bool = attrs.field(validator=checked(check_flag))
    extend: bool = attrs.field(validator=checked(check_flag))
    uncertain: Uncertain = attrs.field(validator=_by(check_uncertain))
    cancel_on_exit: bool = attrs.field(validator=checked(check_flag))
