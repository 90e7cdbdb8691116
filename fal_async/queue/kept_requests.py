"""The seam to a session's ledger: what it does for requests that were made with a key."""

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
    """One request that an entry of the ledger has."""

    @property
    def has_ended(self) -> bool:
        """Whether its end is stored: then fal, which keeps it for minutes only, need not be asked."""
        ...

    async def result(self, output_type: Any) -> Result[Any, str]:
        """The stored one; else it is fetched, once, and stored."""
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
        """Its end, stored before it is given. `began`: `timeout` counts from then, on the event loop's clock."""
        ...

    async def cancel(self) -> CancelOutcome:
        """Ask fal to cancel it: all who wait for it are told."""
        ...


class KeptRequests(Protocol):
    """Of one view of a session."""

    async def submit(self, new: NewRequest, *, key: str, run: str, uncertain: Uncertain) -> RequestState:
        """The request of this key: submitted, unless it was before."""
        ...

    async def find(self, state: RequestState) -> KeptRequest | None:
        """The entry that has this request; None for one without a key."""
        ...


def check_keyed(key: str | None, *, has_ledger: bool) -> None:
    """ConfigurationError where `run=` or `uncertain=` stands without a key, or a key without a ledger."""
    if key is None:
        raise ConfigurationError("run= and uncertain= are about a key: pass key=, too")
    if not has_ledger:
        raise ConfigurationError(
            'key= needs a ledger, which knows what was paid for: Session(ledger="runs.db")'
        )
