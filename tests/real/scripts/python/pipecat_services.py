"""Pipecat's services of fal: a picture for a prompt, and a transcript of a segment of speech, as in a pipeline."""

import asyncio
import os

import aiohttp
from media import wav
from pipecat.frames.frames import ErrorFrame, TranscriptionFrame, URLImageRawFrame
from pipecat.services.fal.image import FalImageGenService
from pipecat.services.fal.stt import FalSTTService


async def main() -> None:
    async with aiohttp.ClientSession() as http:
        images = FalImageGenService(aiohttp_session=http, key=os.environ["FAL_KEY"])
        [picture] = [frame async for frame in images.run_image_gen("a cat")]
        assert isinstance(picture, URLImageRawFrame), picture
        assert picture.size == (1024, 1024)
        assert len(picture.image) == 1024 * 1024 * 3
        speech = FalSTTService(api_key=os.environ["FAL_KEY"], aiohttp_session=http, sample_rate=16_000)
        [heard] = [frame async for frame in speech.run_stt(wav())]
        assert isinstance(heard, TranscriptionFrame), heard
        assert heard.text
        wrong = FalImageGenService(
            aiohttp_session=http,
            key="wrong:key",
            settings=FalImageGenService.Settings(model="fal-ai/flux/schnell"),
        )
        [error] = [frame async for frame in wrong.run_image_gen("a cat")]
        assert isinstance(error, ErrorFrame)
        assert "401" in error.error


asyncio.run(main())
print("done")
