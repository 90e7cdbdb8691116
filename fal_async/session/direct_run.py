"""One direct call: uploads its files, sends it, and parses the response (protocol 3)."""

from __future__ import annotations

import time
from typing import Any

import attrs

from fal_async.models import Result
from fal_async.options import CallOptions
from fal_async.protocol.amounts import billable_units
from fal_async.protocol.endpoint import CHAIN, EndpointId
from fal_async.protocol.run import parse_run, run_request
from fal_async.session.view import View
from fal_async.transport.progress import Progress


@attrs.define(kw_only=True, eq=False, repr=False)
class DirectRun:
    """The arguments of one `run`, validated."""

    view: View
    endpoint: EndpointId
    input: Any
    options: CallOptions
    method: str
    output_type: Any
    progress: Progress = attrs.field(factory=Progress, init=False)

    async def result(self) -> Result[Any]:
        """Send the request and return its result."""
        view = self.view
        if self.endpoint != CHAIN:  # which has no schema
            await view.check_input(self.endpoint, self.input, self.options)
        value = await view.files.with_urls(self.input, inline_below=self.options.inline_below)
        request = run_request(view.settings, self.endpoint, value, self.options, self.method)
        response = await view.transport.send(request, retry=self.options.retry, progress=self.progress)
        units = billable_units(response.headers)
        cost = view.learned.prices.cost(self.endpoint.full, units, time.time())
        return parse_run(response, self.endpoint, self.output_type, view.files, cost)
