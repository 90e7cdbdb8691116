"""The response from which each caller's result is built: as fal sent it, or as the ledger stores it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import attrs

from fal_async.errors import RequestRef, naming
from fal_async.models import Completed, Files, RequestLog, Result
from fal_async.protocol.http import HttpResponse, decode_body
from fal_async.protocol.results import build_result
from fal_async.queue.state import RequestState


@attrs.define(kw_only=True, eq=False, repr=False)
class Answer:
    """A response with the request that it answers.

    Attributes:
        response: the response of fal, or the stored one.
        ref: the request that it answers, for errors and results.
        files: creates the output files of the results; None: they can't be downloaded.
        state: the state of the request that was followed; None if the response is from the ledger.
    """

    response: HttpResponse
    ref: RequestRef
    files: Files | None
    state: RequestState | None = None
    _is_taken: bool = attrs.field(default=False, init=False)

    def result(
        self, output_type: Any, *, logs: bool, from_ledger: bool, cost: Decimal | None
    ) -> Result[Any, str]:
        """Build one caller's own copy of the result."""
        with naming(self.ref):
            data = decode_body(self._own_response())
        state = self.state
        return build_result(
            data,
            output_type,
            self.ref,
            attempts={} if state is None else state.attempts,
            status=_completed(state, logs),
            logs=_logs(state) if logs else (),
            headers=dict(self.response.headers),
            files=self.files,
            from_ledger=from_ledger,
            cost=cost,
        )

    def _own_response(self) -> HttpResponse:
        # The first caller may change the decoded body, which the response caches. So later callers decode a copy.
        if self._is_taken:
            return attrs.evolve(self.response)
        self._is_taken = True
        return self.response


def _completed(state: RequestState | None, logs: bool) -> Completed | None:
    status = None if state is None else state.completed
    return status if status is None or logs or not status.logs else attrs.evolve(status, logs=(), new_logs=())


def _logs(state: RequestState | None) -> list[RequestLog]:
    return [] if state is None else state.logs
