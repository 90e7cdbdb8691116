"""A WebSocket between a caller and a mounted application, which relays frames unchanged in both directions."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from fal_async.emulator.apps.application import Channel
from fal_async.emulator.apps.mounted_request import LOST, Closing, Rejected
from fal_async.emulator.apps.mounts import Mount
from fal_async.emulator.core import Call, Core
from fal_async.emulator.jobs.job import Job, JobContext
from fal_async.emulator.operations.mounted.mounted_call import ask_of
from fal_async.emulator.operations.realtime import accept
from fal_async.emulator.operations.realtime_session import Gone, Wire
from fal_async.emulator.wire.answers import Answer


class MountedWebSocket:
    """The relay, which occupies a runner. `connection` is None until the application has accepted."""

    def __init__(self, core: Core, call: Call, mount: Mount, job: Job) -> None:
        self._core, self._call, self._mount, self._job = core, call, mount, job
        self.connection: web.WebSocketResponse | None = None

    @property
    def over(self) -> bool:
        """Whether it was closed normally, so that only the application's clean-up still runs."""
        return self.connection is not None and self.connection.close_code not in (None, LOST)

    async def work(self, _: Any, __: JobContext) -> Answer | None:
        """Run the session. Return the application's refusal as the handshake's answer, or None."""
        await self._core.mounts.ready(self._mount.application)
        ask = ask_of(self._call, self._mount, self._job, b"")
        try:
            async with self._mount.application.connect(ask) as channel:
                self.connection = await accept(self._call, channel.protocol)
                await self._relay(channel, self.connection)
        except Rejected as refusal:
            return refusal.answer
        return None

    async def _relay(self, channel: Channel, connection: web.WebSocketResponse) -> None:
        wire = Wire(self._call, connection, self._core.clock, "raw")
        ways = {
            asyncio.create_task(_from_the_caller(wire, connection, channel)),
            asyncio.create_task(_from_the_application(wire, channel)),
        }
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        for way in done:
            way.result()


async def _from_the_caller(wire: Wire, connection: web.WebSocketResponse, channel: Channel) -> None:
    try:
        async for frame in wire.inputs(None):
            await channel.send(frame)
    except Gone as gone:
        await channel.close(connection.close_code or LOST, str(gone))


async def _from_the_application(wire: Wire, channel: Channel) -> None:
    """Send the application's frames, which faults count."""
    try:
        await wire.greet()
        while not isinstance(frame := await channel.receive(), Closing):
            await wire.answer(frame)
        await wire.close(frame.code, frame.reason)
    except Gone:
        return
