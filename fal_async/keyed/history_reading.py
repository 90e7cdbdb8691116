"""Read fal's history around uncertain claims. Payloads are read later, as most requests are known by their ids.

A claim is the ledger's note, written before a submit is sent, that a process is about to send it. It is uncertain
if it is not known whether fal accepted the submit.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

import attrs

from fal_async.errors import SubmissionUncertainError
from fal_async.ledger.store import Store
from fal_async.protocol.ledger.entry import Record
from fal_async.protocol.ledger.matching import (
    Judgement,
    LostClaim,
    Seen,
    is_over,
    judged,
    lost_claim,
    merged,
)
from fal_async.protocol.request_history import PastRequest, Window, is_by_sending, later
from fal_async.queue.recovery import History

_FEW = 10
"""Most inputs that are fetched one by one, unless pages with payloads would need more HTTP requests."""
_PAGE = 100
"""Rows of one page of the history."""
_FINAL = ("found", "equal", "contested")
"""Verdicts that reading more of the history does not change."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class HistoryReading:
    """One reading of the history of one endpoint.

    Attributes:
        claimed: returns the entries of the endpoint that running owners are submitting now.
    """

    history: History
    store: Store
    claimed: Callable[[], Awaitable[Collection[Record]]]

    async def judged(
        self, uncertain: Collection[Record], wanted: Collection[int]
    ) -> tuple[Mapping[int, LostClaim], Mapping[int, Judgement]]:
        """Return the claims and the judgements, both by entry number; at least the wanted entries are judged."""
        claims, judgements = await self._near(uncertain, wanted)
        if self.history.clock_ahead:
            claims, judgements = await self._near(uncertain, wanted)
        # The verdict "nothing" requires that the submit can't be sent any more and that its whole window was read.
        open_ones = [
            claims[number].window
            for number in wanted
            if judgements[number].verdict not in _FINAL and is_over(claims[number], self._now())
        ]
        if open_ones:
            judgements = {**judgements, **await self._judged(claims, open_ones, thorough=True)}
        return claims, judgements

    async def _near(
        self, uncertain: Collection[Record], wanted: Collection[int]
    ) -> tuple[Mapping[int, LostClaim], Mapping[int, Judgement]]:
        claims = self._claims(uncertain)
        windows = [claims[number].near(self._now()) for number in wanted]
        return claims, await self._judged(claims, windows, thorough=False)

    def _now(self) -> float:
        """Return the time by fal's clock, as far as it is known."""
        return time.time() + self._ahead

    @property
    def _ahead(self) -> float:
        return self.history.clock_ahead or 0.0

    def _claims(self, records: Iterable[Record]) -> dict[int, LostClaim]:
        claims = (lost_claim(record, ahead=self._ahead) for record in records)
        return {claim.entry: claim for claim in claims if claim is not None}

    async def _judged(
        self, claims: Mapping[int, LostClaim], windows: Iterable[Window], *, thorough: bool
    ) -> Mapping[int, Judgement]:
        stretches = merged(windows)
        rows: dict[str, PastRequest] = {}
        for stretch in stretches:
            rows |= {row.request_id: row for row in await self._listed(stretch, thorough=thorough)}
        # The rivals are read before the known ids. So the id of a listed request is known, or its claim is a rival.
        rivals = self._claims(await self.claimed())
        known = await self.store.known(rows.keys())
        unknown = [row for row in rows.values() if row.request_id not in known]
        shown = Seen(
            unknown=await self._with_inputs(unknown, stretches),
            rivals=tuple(rivals.values()),
            latest_known=max((rows[name].sent_at or 0.0 for name in known), default=None),
            now=self._now(),
        )
        among = [claim for claim in claims.values() if any(map(claim.window.overlaps, stretches))]
        return judged(among, shown)

    async def _listed(self, stretch: Window, *, thorough: bool) -> list[PastRequest]:
        rows = await self._page_by_page(stretch)
        if thorough:
            # The next window shows whether the history has caught up. The windows after that are read in case the
            # history is ordered by the time at which requests completed.
            for number, window in enumerate(later(stretch.end, self._now())):
                if number > 0 and is_by_sending(stretch, rows):
                    break
                rows += await self._page_by_page(window)
        return rows

    async def _page_by_page(self, window: Window, *, payloads: bool = False) -> list[PastRequest]:
        rows = await self.history.of(window, payloads=payloads)
        if rows is None:
            raise SubmissionUncertainError(
                f"there are more than {self.history.most * _PAGE} requests around that time",
                endpoint_id=self.history.endpoint_id,
            )
        return rows

    async def _with_inputs(
        self, unknown: Collection[PastRequest], stretches: Iterable[Window]
    ) -> list[PastRequest]:
        if len(unknown) <= max(_FEW, self.history.asked):
            return [await self.history.one(row.request_id) or row for row in unknown]
        names = {row.request_id for row in unknown}
        shown = {row.request_id: row for row in unknown}
        for stretch in stretches:
            shown |= {
                row.request_id: row
                for row in await self._page_by_page(stretch, payloads=True)
                if row.request_id in names
            }
        return list(shown.values())
