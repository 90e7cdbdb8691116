"""The step of a workflow that calls a mounted application."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import attrs

from fal_async.emulator.apps.mounted_request import KEPT_BACK, Ask, billed_units, end_to_end
from fal_async.emulator.apps.mounts import Mount, Mounts
from fal_async.emulator.jobs.job import Job, JobContext
from fal_async.emulator.webhooks.signing import USER_ID
from fal_async.emulator.wire.answers import JSON, Answer


@attrs.frozen(kw_only=True)
class MountedStep:
    """A POST to the application, as the queue would send it. A cancelled step closes its connection."""

    mounts: Mounts
    mount: Mount
    job: Job

    async def work(self, input: Any, context: JobContext) -> Answer:
        await self.mounts.ready(self.mount.application)
        async with self.mount.application.ask(self._ask(json.dumps(input).encode())) as response:
            body = b"".join([piece async for piece in response.pieces()])
            if (units := billed_units(response.headers)) is not None:
                context.bill(units)
            return Answer(response.status, response.headers, body)

    def _ask(self, body: bytes) -> Ask:
        headers = end_to_end(self.job.headers, but=KEPT_BACK | {"content-type", "accept"})
        headers["x-fal-request-id"] = self.job.request_id
        headers["x-fal-endpoint"] = self.job.endpoint_id
        headers["x-fal-caller-user-id"] = USER_ID
        headers["Content-Type"], headers["Content-Length"] = JSON, str(len(body))
        path = quote(self.job.endpoint_id.removeprefix(self.mount.app_id)) or "/"
        return Ask(path=path, headers=headers, body=body, log=self.job.log)
