"""The interface through which the queue uses a session's ledger, for requests with a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from fal_async.errors import CancelOutcome, ConfigurationError
from fal_async.models import Result
from fal_async.protocol.following import Following
from fal_async.queue.state import NewRequest, RequestState

if TYPE_CHECKING:
    from fal_async.protocol.ledger.decisions import Uncertain


class KeptRequest(Protocol):
    """One request that is recorded in an entry of the ledger."""

    @property
    def has_ended(self) -> bool:
        """Whether the outcome is stored, so that fal, which may have deleted the result, need not be asked."""
        ...

    async def result(self, output_type: Any) -> Result[Any, str]:
        """Return the stored result. If the ledger has none yet, fetch the result once and store it."""
        ...

    async def wait(
        self,
        following: Following,
        *,
        on_queue_update: Callable[..., Any] | None,
        output_type: Any,
        timeout: float | None,
        began: float,
        cancel_on_exit: bool,
    ) -> Result[Any, str]:
        """Wait for the result, store it and return it. `timeout` counts from `began`, on the event loop's clock."""
        ...

    async def cancel(self) -> CancelOutcome:
        """Ask fal to cancel the request, and notify all tasks that wait for it. Return the outcome."""
        ...


class KeptRequests(Protocol):
    """The ledger's requests, as one view of a session uses them."""

    async def submit(self, new: NewRequest, *, key: str, run: str, uncertain: Uncertain) -> RequestState:
        """Return the request of this key. If the ledger has none, submit `new` and return that request."""
        ...

    async def find(self, state: RequestState) -> KeptRequest | None:
        """Return the entry of this request; None for a request without a key, or if the ledger can't be read."""
        ...


def check_keyed(key: str | None, *, has_ledger: bool) -> None:
    """Raise ConfigurationError for `run=` or `uncertain=` without a key, and for a key without a ledger."""
    if key is None:
        raise ConfigurationError("run= and uncertain= belong to a key: pass key= too")
    if not has_ledger:
        raise ConfigurationError(
            'key= needs a ledger, which records what was paid for: Session(ledger="runs.db")'
        )
